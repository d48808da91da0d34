//! Operators that move elements, and products of matrices.

use super::array::{Array, Index, Real, Value, broadcast_offset, offset};
use super::count;
use crate::op::*;

pub(super) fn concat<T: Real>(axis: usize, parts: &[&Array<T>], shape: &[usize]) -> Vec<T> {
    let at = |mut index: Vec<usize>| {
        for part in parts {
            if index[axis] < part.shape()[axis] {
                return part.floats()[offset(&index, part.shape())];
            }
            index[axis] -= part.shape()[axis];
        }
        T::nan()
    };
    Index::over(shape).map(at).collect()
}

pub(super) fn slice<T: Real>(slice: &Slice, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let at = |mut index: Vec<usize>| {
        for cut in &slice.axes {
            index[cut.axis] = cut.start + index[cut.axis] * cut.step;
        }
        x.floats()[offset(&index, x.shape())]
    };
    Index::over(shape).map(at).collect()
}

pub(super) fn pad<T: Real>(pad: &Pad, x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let at = |mut index: Vec<usize>| {
        for border in &pad.axes {
            let i = index[border.axis];
            if i < border.before || i >= border.before + x.shape()[border.axis] {
                return T::of(pad.value);
            }
            index[border.axis] -= border.before;
        }
        x.floats()[offset(&index, x.shape())]
    };
    Index::over(shape).map(at).collect()
}

pub(super) fn transpose<T: Real>(perm: &[usize], x: &Array<T>, shape: &[usize]) -> Vec<T> {
    let at = |index: Vec<usize>| {
        let mut source = vec![0; index.len()];
        for (to, &from) in perm.iter().enumerate() {
            source[from] = index[to];
        }
        x.floats()[offset(&source, x.shape())]
    };
    Index::over(shape).map(at).collect()
}

pub(super) fn mat_mul<T: Real>(a: &Array<T>, b: &Array<T>, shape: &[usize]) -> Vec<T> {
    let (ra, rb, r) = (a.shape().len(), b.shape().len(), shape.len());
    let (m, k, l) = (shape[r - 2], a.shape()[ra - 1], shape[r - 1]);
    let at = |i: usize| {
        let (matrix, row, column) = (i / (m * l), i / l % m, i % l);
        let first = |array: &Array<T>, rank: usize| {
            broadcast_offset(&array.shape()[..rank - 2], &shape[..r - 2], matrix)
        };
        let (a0, b0) = (first(a, ra) * m * k, first(b, rb) * k * l);
        (0..k).fold(T::zero(), |sum, j| {
            sum + a.floats()[a0 + row * k + j] * b.floats()[b0 + j * l + column]
        })
    };
    (0..count(shape)).map(at).collect()
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
    let at = |i: usize| {
        let (row, column) = (i / shape[1], i % shape[1]);
        let product = (0..k).fold(T::zero(), |sum, j| {
            sum + entry(a, gemm.trans_a, row, j) * entry(b, gemm.trans_b, j, column)
        });
        let addend = operands
            .get(2)
            .map_or(T::zero(), |c| c.array().broadcast_at(shape, i));
        T::of(gemm.alpha) * product + T::of(gemm.beta) * addend
    };
    (0..count(shape)).map(at).collect()
}
