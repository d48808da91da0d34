//! Rules of matrix products.

use super::Rule;
use super::layout::sum_to_shape;
use crate::op::*;
use crate::{Graph, Op, ValueId};

fn swap_last_two(g: &mut Graph, x: ValueId) -> Rule {
    let rank = g.shape(x).rank();
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    g.add(Op::Transpose(perm), &[x])
}

pub(super) fn mat_mul_rule(g: &mut Graph, x: &[ValueId], first: bool, dy: ValueId) -> Rule {
    let (operand, full) = if first {
        let transposed = swap_last_two(g, x[1])?;
        (x[0], g.mat_mul(dy, transposed)?)
    } else {
        let transposed = swap_last_two(g, x[0])?;
        (x[1], g.mat_mul(transposed, dy)?)
    };
    sum_to_shape(g, full, g.shape(operand).clone())
}

/// With `a' = op(a)`: `da' = α·dy·b'ᵀ`, `db' = α·a'ᵀ·dy`, each transposed back where the operand
/// is stored transposed.
pub(super) fn gemm_rule(
    g: &mut Graph,
    gemm: &Gemm,
    x: &[ValueId],
    position: usize,
    dy: ValueId,
) -> Rule {
    let product = |trans_a, trans_b| {
        Op::Gemm(Gemm {
            alpha: gemm.alpha,
            beta: 0.0,
            trans_a,
            trans_b,
        })
    };
    match (position, gemm.trans_a, gemm.trans_b) {
        (0, false, trans_b) => g.add(product(false, !trans_b), &[dy, x[1]]),
        (0, true, trans_b) => g.add(product(trans_b, true), &[x[1], dy]),
        (1, trans_a, false) => g.add(product(!trans_a, false), &[x[0], dy]),
        (1, trans_a, true) => g.add(product(true, trans_a), &[dy, x[0]]),
        _ => {
            let beta = g.scalar(gemm.beta)?;
            let scaled = g.mul(dy, beta)?;
            sum_to_shape(g, scaled, g.shape(x[2]).clone())
        }
    }
}
