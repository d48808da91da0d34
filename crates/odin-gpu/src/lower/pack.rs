//! Packing: constants in the order in which the tiles of a product read them.

use crate::shader::{Tile, WeightData, Weights};
use odin_graph::Tensor;

/// Packs the left operand of products: `[products, depth, rows]`, depth and rows padded with zeros to
/// whole tiles. `at` gives where in the constant the element of a product, row and depth is; `how`
/// names that function, for steps that share the constant.
pub(super) fn pack(
    tensor: &Tensor,
    [products, rows, depth]: [usize; 3],
    tile: Tile,
    how: &str,
    at: impl Fn(usize, usize, usize) -> usize,
) -> Weights {
    let (padded_rows, padded_depth) = (
        rows.next_multiple_of(tile.rows),
        depth.next_multiple_of(tile.depth),
    );
    let mut packed = vec![0.0; products * padded_depth * padded_rows];
    let data = tensor.data();
    for z in 0..products {
        for k in 0..depth {
            let line = &mut packed[(z * padded_depth + k) * padded_rows..][..rows];
            for (m, to) in line.iter_mut().enumerate() {
                *to = data[at(z, m, k)];
            }
        }
    }
    let key = format!(
        "{how} {products} {rows} {depth} by {} {}",
        tile.rows, tile.depth
    );
    Weights {
        key: (data.as_ptr() as usize, key),
        data: WeightData::Packed(packed.into()),
    }
}
