//! Single-threaded products of matrices that are packed on the fly.

use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::{RowTile, row_tiles};
use crate::kernels::gemm::prefetch::Prefetch;
use crate::simd::{Isa, MAX_LANES, Simd, SimdTask};
use std::ops::Range;

/// Columns that are multiplied at a time.
const PANEL_COLUMNS: usize = 96;

/// A strided view of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixView<'a> {
    pub(crate) data: &'a [f32],
    /// The distance between rows.
    pub(crate) row_stride: usize,
    /// The distance between columns.
    pub(crate) column_stride: usize,
}

impl<'a> MatrixView<'a> {
    /// A row-major matrix.
    pub(crate) fn rows(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The transposed view.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn at(self, row: usize, column: usize) -> f32 {
        self.data[row * self.row_stride + column * self.column_stride]
    }
}

/// `y = a · b`, or `y += a · b`, for `a [m, k]`, `b [k, n]` and `y [m, n]` with rows `y_stride`
/// apart.
pub(crate) fn gemm(
    isa: Isa,
    extents: [usize; 3],
    a: MatrixView<'_>,
    b: MatrixView<'_>,
    y: &mut [f32],
    y_stride: usize,
    accumulate: bool,
) {
    let [m, n, k] = extents;
    let tiles = row_tiles(isa, m, k);
    let mut rows = vec![0.0; m * k];
    for tile in &tiles {
        let to = rows[tile.row * k..].chunks_exact_mut(tile.height.max(1));
        for (k, to) in to.take(k).enumerate() {
            for (r, to) in to.iter_mut().enumerate() {
                *to = a.at(tile.row + r, k);
            }
        }
    }
    for first in (0..n).step_by(PANEL_COLUMNS) {
        let columns = first..n.min(first + PANEL_COLUMNS);
        let width = columns.len().next_multiple_of(MAX_LANES);
        let mut panel = vec![0.0; k * width];
        for (k, to) in panel.chunks_exact_mut(width).enumerate() {
            let from = columns.clone().map(|column| b.at(k, column));
            to.iter_mut().zip(from).for_each(|(to, b)| *to = b);
        }
        let offsets: Vec<u32> = (0..k).map(|k| (k * width) as u32).collect();
        isa.dispatch(Panel {
            tiles: &tiles,
            rows: &rows,
            panel: &panel,
            offsets: &offsets,
            columns,
            y: &mut *y,
            y_stride,
            accumulate,
        });
    }
}

/// The product of all rows with some columns.
struct Panel<'a> {
    tiles: &'a [RowTile],
    rows: &'a [f32],
    panel: &'a [f32],
    offsets: &'a [u32],
    columns: Range<usize>,
    y: &'a mut [f32],
    y_stride: usize,
    accumulate: bool,
}

impl SimdTask for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let count = self.columns.len();
        let mut sums = vec![0.0; 16 * PANEL_COLUMNS];
        for tile in self.tiles {
            let columns = ColumnPanel {
                b: self.panel,
                offsets: self.offsets,
                first: 0,
                count,
                last_offset: self.offsets.last().map_or(0, |&last| last as usize),
                accumulate: false,
                prefetches: [Prefetch::NONE; 3],
            };
            let a = &self.rows[tile.row * self.offsets.len()..];
            multiply_tile(simd, tile.height, a, &columns, &mut sums, PANEL_COLUMNS);
            for (r, sums) in sums
                .chunks_exact(PANEL_COLUMNS)
                .take(tile.height)
                .enumerate()
            {
                let start = (tile.row + r) * self.y_stride + self.columns.start;
                let y = &mut self.y[start..start + count];
                match self.accumulate {
                    true => y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum),
                    false => y.iter_mut().zip(sums).for_each(|(y, sum)| *y = *sum),
                }
            }
        }
    }
}
