//! Convolutions and their adjoints: as tiled products where channels are many, else one element at a
//! time.

use super::fusion::{Group, is_pointwise};
use super::pack::pack;
use super::select::Selector;
use crate::Error;
use crate::shader::{
    self, Columns, Direct, Direction, Expression, Inputs, Kernel, Operand, Place, Product, Rows,
    Taps, Tile,
};
use odin_graph::op::{Binary, Window};
use odin_graph::{Op, Tensor, ValueId};

/// The fewest channels of a group for which tiles pay.
const FEWEST_CHANNELS: usize = 8;

/// The most phases of an adjoint, each of which is a step: as many as patches of 16x16 have.
const MOST_PHASES: usize = 256;

/// A convolution, or the adjoint of one.
struct Convolution<'a> {
    direction: Direction,
    window: &'a Window,
    groups: usize,
}

impl Selector<'_> {
    /// The kernels of a convolution: one, or one for each phase of a strided adjoint.
    pub(super) fn convolution(
        &self,
        group: &Group,
        v: ValueId,
        output: Place,
    ) -> Result<Vec<Kernel>, Error> {
        let node = self.graph.node(v);
        let conv = match &node.op {
            Op::Conv(conv) => Convolution {
                direction: Direction::Forward,
                window: &conv.window,
                groups: conv.groups,
            },
            Op::ConvTranspose(conv) => Convolution {
                direction: Direction::Adjoint,
                window: &conv.window,
                groups: conv.groups,
            },
            _ => return Err(self.internal(v)),
        };
        let (x, w) = (node.operands[0], node.operands[1]);
        let shape = self.extents(v);
        let then = self.then(group, v, self.biased(v)?)?;
        let [m, c] = [shape[1], self.extents(x)[1]].map(|channels| channels / conv.groups);
        let few = conv.groups > 1 && m.min(c) < FEWEST_CHANNELS;
        let Some(weights) = self.graph.constant_value(w).filter(|_| !few) else {
            return Ok(vec![self.direct(&conv, x, w, &shape, &then, output)?]);
        };
        if !matches!(conv.window.axes(), 1 | 2) || conv.phase_count(&shape) > MOST_PHASES {
            return Ok(vec![self.direct(&conv, x, w, &shape, &then, output)?]);
        }
        if conv.direction == Direction::Forward && is_pointwise(conv.window) {
            let x = match group.prologue.is_empty() {
                true => Expression::operand(self.contiguous(x)?),
                false => self.expression(&group.prologue, None)?,
            };
            let product = conv.product(&shape, c, shape[2..].iter().product());
            let columns = Columns::Plane(x);
            return Ok(vec![finish(
                &conv, product, columns, weights, None, &then, output,
            )]);
        }
        let x = self.contiguous(x)?;
        let phases = conv.phases(&shape);
        let kernels = phases.into_iter().map(|phase| {
            let depth = c * phase.taps.count.iter().product::<usize>();
            let product = conv.product(&shape, depth, phase.taps.grid.iter().product());
            let columns = Columns::Taps(x.clone(), phase.taps.clone());
            finish(
                &conv,
                product,
                columns,
                weights,
                Some(&phase),
                &then,
                output,
            )
        });
        Ok(kernels.collect())
    }

    /// The expression that adds the bias of a convolution, if it has one.
    fn biased(&self, v: ValueId) -> Result<Option<Expression>, Error> {
        let Some(&bias) = self.graph.node(v).operands.get(2) else {
            return Ok(None);
        };
        let shape = self.extents(v);
        let own = self.contiguous(bias)?;
        let rank = shape.len() - 1;
        let mut per_channel = Operand {
            shape: vec![1; rank],
            strides: vec![0; rank],
            ..own.clone()
        };
        (per_channel.shape[0], per_channel.strides[0]) = (shape[1], own.strides[0]);
        let sum = Expression::identity(&shape).then(Op::Binary(Binary::Add), &[per_channel]);
        Ok(Some(sum))
    }

    fn direct(
        &self,
        conv: &Convolution<'_>,
        x: ValueId,
        w: ValueId,
        shape: &[usize],
        then: &[Expression],
        output: Place,
    ) -> Result<Kernel, Error> {
        let direct = Direct {
            direction: conv.direction,
            window: conv.window,
            groups: conv.groups,
            x: self.contiguous(x)?,
            w: self.contiguous(w)?,
            shape,
        };
        Ok(shader::direct(&direct, then, output))
    }
}

/// The positions of a result whose taps are the same, and these taps of the window: first and step.
struct Phase {
    taps: Taps,
    kernel_first: [usize; 2],
    kernel_step: [usize; 2],
}

/// The same along one axis.
struct AxisPhase {
    grid: usize,
    count: usize,
    stride: usize,
    first: isize,
    step: isize,
    out_stride: usize,
    out_first: usize,
    kernel_first: usize,
    kernel_step: usize,
}

impl Convolution<'_> {
    fn product(&self, shape: &[usize], depth: usize, positions: usize) -> Product {
        let rows = shape[1] / self.groups;
        Product {
            rows,
            depth,
            columns: shape[0] * positions,
            products: self.groups,
            is_merged: true,
            shape: shape.to_vec(),
            tile: Tile::of_rows(rows),
        }
    }

    /// How many phases there are.
    fn phase_count(&self, y: &[usize]) -> usize {
        if self.direction == Direction::Forward {
            return 1;
        }
        let strides = self.window.strides.iter().zip(&y[2..]);
        let each = strides.map(|(&stride, &extent)| stride.min(extent));
        each.fold(1, usize::saturating_mul)
    }

    fn phases(&self, y: &[usize]) -> Vec<Phase> {
        let single = || {
            vec![AxisPhase {
                grid: 1,
                count: 1,
                stride: 1,
                first: 0,
                step: 1,
                out_stride: 1,
                out_first: 0,
                kernel_first: 0,
                kernel_step: 1,
            }]
        };
        let [rows, columns] = match self.window.axes() {
            1 => [single(), self.axis_phases(0, y[2])],
            _ => [self.axis_phases(0, y[2]), self.axis_phases(1, y[3])],
        };
        let mut phases = Vec::new();
        for r in &rows {
            for c in &columns {
                phases.push(Phase {
                    taps: Taps {
                        grid: [r.grid, c.grid],
                        count: [r.count, c.count],
                        stride: [r.stride, c.stride],
                        first: [r.first, c.first],
                        step: [r.step, c.step],
                        out_stride: [r.out_stride, c.out_stride],
                        out_first: [r.out_first, c.out_first],
                    },
                    kernel_first: [r.kernel_first, c.kernel_first],
                    kernel_step: [r.kernel_step, c.kernel_step],
                });
            }
        }
        phases
    }

    /// The phases along an axis of extent `y` of the result: one of a convolution, one for each remainder of the
    /// position by the stride of an adjoint.
    fn axis_phases(&self, axis: usize, y: usize) -> Vec<AxisPhase> {
        let w = self.window;
        let (kernel, stride) = (w.kernel[axis], w.strides[axis]);
        let (dilation, pad) = (w.dilations[axis] as isize, w.pads_begin[axis] as isize);
        if self.direction == Direction::Forward {
            return vec![AxisPhase {
                grid: y,
                count: kernel,
                stride,
                first: -pad,
                step: dilation,
                out_stride: 1,
                out_first: 0,
                kernel_first: 0,
                kernel_step: 1,
            }];
        }
        // Element `position` of the result reads element `(position + pad - tap · dilation) / stride`
        // of x, where that is whole.
        let s = stride as isize;
        let numerator = |phase: usize, tap: usize| phase as isize + pad - tap as isize * dilation;
        let period = stride / gcd(stride, w.dilations[axis]);
        let phase = |phase: usize| {
            let first = (0..kernel.min(period)).find(|&tap| numerator(phase, tap) % s == 0);
            let kernel_first = first.unwrap_or(kernel);
            AxisPhase {
                grid: (y - phase).div_ceil(stride),
                count: (kernel - kernel_first).div_ceil(period),
                stride: 1,
                first: numerator(phase, kernel_first) / s,
                step: -(period as isize * dilation / s),
                out_stride: stride,
                out_first: phase,
                kernel_first,
                kernel_step: period,
            }
        };
        (0..stride.min(y)).map(phase).collect()
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The kernel of a product whose left operand are the weights.
fn finish(
    conv: &Convolution<'_>,
    product: Product,
    columns: Columns,
    weights: &Tensor,
    phase: Option<&Phase>,
    then: &[Expression],
    output: Place,
) -> Kernel {
    let kernel = &conv.window.kernel;
    let size: usize = kernel.iter().product();
    let width = if kernel.len() == 2 { kernel[1] } else { size };
    let (rows, depth) = (product.rows, product.depth);
    let (counts, first, step) = match phase {
        Some(phase) => (phase.taps.count, phase.kernel_first, phase.kernel_step),
        None => ([1, 1], [0, 0], [1, 1]),
    };
    let taps = (counts[0] * counts[1]).max(1);
    let each = depth / taps;
    let tap = |k: usize| {
        let (row, column) = (k % taps / counts[1].max(1), k % taps % counts[1].max(1));
        (first[0] + row * step[0]) * width + first[1] + column * step[1]
    };
    let at = |z: usize, m: usize, k: usize| match conv.direction {
        Direction::Forward => ((z * rows + m) * each + k / taps) * size + tap(k),
        Direction::Adjoint => ((z * each + k / taps) * rows + m) * size + tap(k),
    };
    let how = format!(
        "{:?} {kernel:?} {counts:?} {first:?} {step:?}",
        conv.direction
    );
    let sizes = [product.products, rows, depth];
    let packed = pack(weights, sizes, product.tile, &how, at);
    let inputs = Inputs {
        rows: Rows::Packed(packed),
        columns,
    };
    shader::product(&product, &inputs, then, output)
}
