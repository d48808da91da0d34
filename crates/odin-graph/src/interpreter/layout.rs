//! Operators that rearrange elements, and matrix products.

use super::array::{Array, Offsets, Real, Value, broadcast_strides, row_major};
use super::count;
use crate::op::*;

pub(super) fn concat<T: Real>(axis: usize, parts: &[&Array<T>]) -> Vec<T> {
    let piece = |part: &Array<T>| count(&part.shape()[axis..]);
    let lines = count(&parts[0].shape()[..axis]);
    let line = |i: usize| {
        let of = move |part: &&Array<T>| part.floats()[i * piece(part)..][..piece(part)].to_vec();
        parts.iter().flat_map(of)
    };
    (0..lines).flat_map(line).collect()
}

pub(super) fn slice<T: Real>(slice: &Slice, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let own = row_major(x.shape());
    let (mut strides, mut first) = (own.clone(), 0);
    for cut in &slice.axes {
        first += cut.start * own[cut.axis];
        strides[cut.axis] *= cut.step;
    }
    let offsets = Offsets::new(shape, &strides, first);
    offsets.map(|i| x.floats()[i]).collect()
}

pub(super) fn pad<T: Real>(pad: &Pad, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let strides = row_major(shape);
    let before = |border: &PadAxis| border.before * strides[border.axis];
    let first = pad.axes.iter().map(before).sum();
    let mut y = vec![T::of(pad.value); count(shape)];
    for (offset, &v) in Offsets::new(x.shape(), &strides, first).zip(x.floats()) {
        y[offset] = v;
    }
    y
}

pub(super) fn transpose<T: Real>(perm: &[usize], x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let own = row_major(x.shape());
    let strides: Vec<usize> = perm.iter().map(|&axis| own[axis]).collect();
    let offsets = Offsets::new(shape, &strides, 0);
    offsets.map(|i| x.floats()[i]).collect()
}

pub(super) fn mat_mul<T: Real>(a: &Array<T>, b: &Array<T>, shape: &[usize]) -> Vec<T> {
    let (ra, rb, r) = (a.shape().len(), b.shape().len(), shape.len());
    let (m, k, l) = (shape[r - 2], a.shape()[ra - 1], shape[r - 1]);
    let matrices = |array: &Array<T>, rank: usize| {
        let strides = broadcast_strides(&array.shape()[..rank - 2], &shape[..r - 2]);
        Offsets::new(&shape[..r - 2], &strides, 0)
    };
    let mut y = Vec::with_capacity(count(shape));
    for (a0, b0) in matrices(a, ra).zip(matrices(b, rb)) {
        let (a, b) = (&a.floats()[a0 * m * k..], &b.floats()[b0 * k * l..]);
        for (row, column) in (0..m).flat_map(|row| (0..l).map(move |column| (row, column))) {
            let products = (0..k).map(|j| a[row * k + j] * b[j * l + column]);
            y.push(products.fold(T::zero(), |sum, p| sum + p));
        }
    }
    y
}

pub(super) fn gemm<T: Real>(gemm: &Gemm, operands: &[&Value<T>], shape: &[usize]) -> Vec<T> {
    let (a, b) = (operands[0].array(), operands[1].array());
    let k = a.shape()[usize::from(!gemm.trans_a)];
    let entry = |x: &Array<T>, transposed: bool, row: usize, column: usize| {
        let (row, column) = if transposed {
            (column, row)
        } else {
            (row, column)
        };
        x.floats()[row * x.shape()[1] + column]
    };
    let product = |i: usize| {
        let (row, column) = (i / shape[1], i % shape[1]);
        let sum = (0..k).fold(T::zero(), |sum, j| {
            sum + entry(a, gemm.trans_a, row, j) * entry(b, gemm.trans_b, j, column)
        });
        T::of(gemm.alpha) * sum
    };
    let products = (0..count(shape)).map(product);
    match operands.get(2) {
        Some(c) => {
            let addends = c.array().broadcast(shape);
            let beta = T::of(gemm.beta);
            products.zip(addends).map(|(p, c)| p + beta * c).collect()
        }
        None => products.collect(),
    }
}
