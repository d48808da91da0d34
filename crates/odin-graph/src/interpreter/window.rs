//! Operators that slide a window over the spatial axes.

use super::array::{Array, Real, Value, first_max};
use super::count;
use crate::op::*;

/// A read of a sliding window: the position of the window, the tap, and the offset of the element
/// in its channel.
struct Read {
    position: usize,
    entry: usize,
    offset: usize,
}

/// All reads that are not of padding, position by position.
fn reads(w: &Window, positions: &[usize], spatial: &[usize]) -> Vec<Read> {
    let mut all = vec![Read {
        position: 0,
        entry: 0,
        offset: 0,
    }];
    for axis in 0..w.axes() {
        all = all
            .iter()
            .flat_map(|outer| {
                along(w, axis, positions[axis], spatial[axis]).map(move |inner| Read {
                    position: outer.position * positions[axis] + inner.position,
                    entry: outer.entry * w.kernel[axis] + inner.entry,
                    offset: outer.offset * spatial[axis] + inner.offset,
                })
            })
            .collect();
    }
    all.sort_by_key(|read| (read.position, read.entry));
    all
}

/// The reads along one axis.
fn along(
    w: &Window,
    axis: usize,
    positions: usize,
    extent: usize,
) -> impl Iterator<Item = Read> + '_ {
    let (stride, dilation, pad) = (w.strides[axis], w.dilations[axis], w.pads_begin[axis]);
    (0..positions).flat_map(move |position| {
        let taps = w.taps_inside(axis, position, extent);
        taps.map(move |entry| Read {
            position,
            entry,
            offset: position * stride + entry * dilation - pad,
        })
    })
}

/// The initial value of a convolution: its bias, broadcast, or zeros.
fn bias_or_zero<T: Real>(bias: Option<&&Value<T>>, shape: &[usize]) -> Vec<T> {
    let inner = count(&shape[2..]);
    let at = |i: usize| bias.map_or(T::zero(), |b| b.floats()[i / inner % shape[1]]);
    (0..count(shape)).map(at).collect()
}

/// Calls `f(x offset, w offset, y offset)` for every product in a convolution of `x` to `y`.
fn products(
    window: &Window,
    groups: usize,
    x: &[usize],
    y: &[usize],
    mut f: impl FnMut(usize, usize, usize),
) {
    let (xs, ys, ks) = (count(&x[2..]), count(&y[2..]), count(&window.kernel));
    let (c_per_group, m_per_group) = (x[1] / groups, y[1] / groups);
    let reads = reads(window, &y[2..], &x[2..]);
    for n in 0..x[0] {
        for m in 0..y[1] {
            for c in 0..c_per_group {
                let channel = m / m_per_group * c_per_group + c;
                let (x0, w0, y0) = (
                    (n * x[1] + channel) * xs,
                    (m * c_per_group + c) * ks,
                    (n * y[1] + m) * ys,
                );
                for read in &reads {
                    f(x0 + read.offset, w0 + read.entry, y0 + read.position);
                }
            }
        }
    }
}

pub(super) fn conv<T: Real>(conv: &Conv, operands: &[&Value<T>], shape: &[usize]) -> Vec<T> {
    let (x, w) = (operands[0].array(), operands[1].floats());
    let mut y = bias_or_zero(operands.get(2), shape);
    products(&conv.window, conv.groups, x.shape(), shape, |i, k, o| {
        y[o] = y[o] + x.floats()[i] * w[k];
    });
    y
}

/// A convolution with the roles of operand and result exchanged.
pub(super) fn conv_transpose<T: Real>(
    conv: &ConvTranspose,
    operands: &[&Value<T>],
    shape: &[usize],
) -> Vec<T> {
    let (x, w) = (operands[0].array(), operands[1].floats());
    let mut y = bias_or_zero(operands.get(2), shape);
    products(&conv.window, conv.groups, shape, x.shape(), |o, k, i| {
        y[o] = y[o] + x.floats()[i] * w[k];
    });
    y
}

/// For each window position of each channel: its offset, and the offsets that it reads.
fn windows<'a, T: Real>(
    w: &'a Window,
    x: &'a Array<T>,
    positions: &'a [usize],
) -> impl Iterator<Item = Vec<usize>> + 'a {
    let (spatial, inner) = (&x.shape()[2..], count(&x.shape()[2..]));
    let reads = reads(w, positions, spatial);
    (0..x.shape()[0] * x.shape()[1]).flat_map(move |channel| {
        let mut offsets = vec![Vec::new(); count(positions)];
        for read in &reads {
            offsets[read.position].push(channel * inner + read.offset);
        }
        offsets
    })
}

/// The offset of the first largest entry read.
fn winner<T: Real>(x: &Array<T>, reads: &[usize]) -> Option<usize> {
    let seen: Vec<T> = reads.iter().map(|&i| x.floats()[i]).collect();
    reads.get(first_max_or_zero(&seen)).copied()
}

fn first_max_or_zero<T: Real>(seen: &[T]) -> usize {
    if seen.is_empty() { 0 } else { first_max(seen) }
}

pub(super) fn max_pool<T: Real>(w: &Window, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    windows(w, x, &shape[2..])
        .map(|reads| winner(x, &reads).map_or(T::neg_infinity(), |i| x.floats()[i]))
        .collect()
}

pub(super) fn max_pool_grad<T: Real>(w: &Window, x: &Array<T>, dy: &Array<T>) -> Vec<T> {
    let mut dx = vec![T::zero(); x.floats().len()];
    for (reads, &d) in windows(w, x, &dy.shape()[2..]).zip(dy.floats()) {
        if let Some(i) = winner(x, &reads) {
            dx[i] = dx[i] + d;
        }
    }
    dx
}

pub(super) fn avg_pool<T: Real>(pool: &AvgPool, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let kernel = pool
        .window
        .kernel
        .iter()
        .map(|&k| k as f64)
        .product::<f64>();
    windows(&pool.window, x, &shape[2..])
        .map(|reads| {
            let sum = reads.iter().fold(T::zero(), |s, &i| s + x.floats()[i]);
            let n = match pool.count_padding {
                true => kernel as f32,
                false => reads.len() as f32,
            };
            sum / T::of(n)
        })
        .collect()
}
