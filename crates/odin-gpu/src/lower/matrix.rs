//! Products of matrices. The right matrix gives the rows of a [`Product`], and the left one its
//! columns, so that the result lies as the graph has it: neighbouring rows are neighbours in memory.

use super::fusion::Group;
use super::pack::pack;
use super::select::Selector;
use crate::Error;
use crate::shader::{
    self, Columns, Expression, Home, Inputs, Kernel, Operand, Place, Product, Rows, Tile,
};
use odin_graph::{Op, Tensor, ValueId, op};

impl Selector<'_> {
    /// The kernel of [`Op::MatMul`] or [`Op::Gemm`].
    pub(super) fn matrix_product(
        &self,
        group: &Group,
        v: ValueId,
        output: Place,
    ) -> Result<Kernel, Error> {
        let node = self.graph.node(v);
        let shape = self.extents(v);
        let (mut a, mut b) = (
            self.strided(node.operands[0])?,
            self.strided(node.operands[1])?,
        );
        let mut first = None;
        // As `[..., columns, depth]` and `[..., rows, depth]`.
        let (a_is_transposed, b_is_transposed) = match &node.op {
            Op::Gemm(gemm) => {
                first = self.scaled(gemm, v)?;
                (gemm.trans_a, gemm.trans_b)
            }
            _ => (false, false),
        };
        if a_is_transposed {
            transpose(&mut a);
        }
        if !b_is_transposed {
            transpose(&mut b);
        }
        let then = self.then(group, v, first)?;
        let rank = shape.len();
        let (columns, rows) = (shape[rank - 2], shape[rank - 1]);
        let depth = a.shape.last().copied().unwrap_or(1);
        let lead: usize = shape[..rank - 2].iter().product();
        let is_single = b.shape[..b.shape.len() - 2].iter().all(|&n| n == 1);
        let tile = Tile::of_rows(rows);
        let mut product = Product {
            rows,
            depth,
            columns: lead * columns,
            products: 1,
            is_merged: true,
            shape: shape.clone(),
            tile,
        };
        if let (Home::Constant(tensor, offset), true) = (&b.home, is_single) {
            let packed = packed(tensor, *offset, &b, [1, rows, depth], tile);
            let inputs = Inputs {
                rows: Rows::Packed(packed),
                columns: Columns::Matrix(a),
            };
            return Ok(shader::product(&product, &inputs, &then, output));
        }
        (product.columns, product.products, product.is_merged) = (columns, lead, false);
        let matrices = |matrix: &Operand, extent: usize| {
            let mut to = shape[..rank - 2].to_vec();
            to.extend([extent, depth]);
            matrix.broadcast(&to)
        };
        let inputs = Inputs {
            rows: Rows::Strided(matrices(&b, rows)),
            columns: Columns::Matrix(matrices(&a, columns)),
        };
        Ok(shader::product(&product, &inputs, &then, output))
    }

    /// `alpha`, `beta` and the addend of a [`Op::Gemm`], if they do anything.
    fn scaled(&self, gemm: &op::Gemm, v: ValueId) -> Result<Option<Expression>, Error> {
        let addend = self.graph.node(v).operands.get(2);
        if addend.is_none() && gemm.alpha == 1.0 {
            return Ok(None);
        }
        let operands = addend.map(|&c| self.strided(c)).transpose()?;
        let operands: Vec<Operand> = operands.into_iter().collect();
        let product = Expression::identity(&self.extents(v));
        Ok(Some(product.then(Op::Gemm(*gemm), &operands)))
    }
}

/// Exchanges the last two axes.
fn transpose(matrix: &mut Operand) {
    let rank = matrix.shape.len();
    matrix.shape.swap(rank - 2, rank - 1);
    matrix.strides.swap(rank - 2, rank - 1);
}

fn packed(
    tensor: &Tensor,
    offset: usize,
    b: &Operand,
    sizes: [usize; 3],
    tile: Tile,
) -> shader::Weights {
    let rank = b.strides.len();
    let (row, step) = (b.strides[rank - 2], b.strides[rank - 1]);
    let how = format!("matrix {offset} {row} {step}");
    pack(tensor, sizes, tile, &how, |_, m, k| {
        offset + m * row + k * step
    })
}
