//! Execution of a packed matrix product.

use super::{AddendMatrix, PANEL_COLUMNS, PackedGemm, panel_columns, panel_width, prefetch_parts};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, SimdKernel, WorkSlice, Worker};
use crate::memory::{ScratchSize, SharedSlice};
use crate::simd::{Isa, MAX_LANES, Simd, load_up_to, store_up_to};
use std::ops::Range;

impl SimdKernel for PackedGemm {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        let [rows, panel] = self.runtime_packing();
        ScratchSize::floats(rows + panel + self.accumulator_rows() * PANEL_COLUMNS)
    }

    /// Threads partition the batch where it is large enough, else the panels, else the tiles.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let ImageIo { x, y } = image;
        let PackedGemm {
            m, n, k, packed, ..
        } = self;
        let (batch, panels) = (self.batch.len(), self.panels());
        let mut own = [WorkSlice::WHOLE; 3];
        let axis = [batch, panels]
            .iter()
            .position(|&units| units >= worker.slice.count);
        own[axis.unwrap_or(2)] = worker.slice;
        let tiles = &self.tiles[own[2].of(self.tiles.len())];

        let [rows, panel] = self.runtime_packing();
        let (rows, rest) = worker.scratch.floats.as_mut_slice().split_at_mut(rows);
        let (panel, sums) = rest.split_at_mut(panel);
        let mut buffers = Buffers { rows, panel, sums };
        for index in own[0].of(batch) {
            let [i, j] = self.batch[index];
            let mut item = BatchItem {
                index,
                a: match &packed.rows {
                    Some(_) => &[],
                    None => &x.floats(0)[i * m * k..][..m * k],
                },
                left_is_packed: packed.rows.is_some(),
                b: match &packed.panels {
                    Some(_) => &[],
                    None => &x.floats(1)[j * k * n..][..k * n],
                },
                addend: match self.addend {
                    Some(_) => x.floats(2),
                    None => &[],
                },
                y: y.floats,
            };
            for panel in own[1].of(panels) {
                self.panel(simd, &item, panel, tiles, &mut buffers);
                item.left_is_packed = true;
            }
        }
    }
}

/// One product of a batch.
struct BatchItem<'a> {
    index: usize,
    /// The left matrix, unless it is constant.
    a: &'a [f32],
    /// Whether its tiles are packed already.
    left_is_packed: bool,
    /// The right matrix, unless it is constant.
    b: &'a [f32],
    addend: &'a [f32],
    /// The output of the whole batch.
    y: SharedSlice<'a, f32>,
}

/// The scratch memory of a thread; [`PackedGemm::scratch`] has the sizes.
struct Buffers<'a> {
    /// The left matrix, packed.
    rows: &'a mut [f32],
    /// A block of a panel.
    panel: &'a mut [f32],
    sums: &'a mut [f32],
}

impl PackedGemm {
    /// Multiplies tiles with a panel, each block of which is packed first unless it is constant.
    #[inline(always)]
    fn panel<S: Simd>(
        &self,
        simd: S,
        item: &BatchItem<'_>,
        panel: usize,
        tiles: &[RowTile],
        buffers: &mut Buffers<'_>,
    ) {
        let width = panel_width(self.n, panel);
        for block in self.depth_blocks() {
            let (packed, next) = match &self.packed.panels {
                Some(panels) => {
                    let start = self.k * panel * PANEL_COLUMNS + block.start * width;
                    panels.as_slice()[start..].split_at(block.len() * width)
                }
                None => {
                    self.pack_panel(item.b, panel, &block, buffers.panel);
                    (&*buffers.panel, &[][..])
                }
            };
            let columns = ColumnPanel {
                b: packed,
                offsets: &self.offsets[usize::from(width != PANEL_COLUMNS)][..block.len()],
                first: 0,
                count: width,
                last_offset: block.len().saturating_sub(1) * width,
                accumulate: block.start > 0,
                prefetches: [Prefetch::NONE; 3],
            };
            let is_last = block.end == self.k;
            let mut parts = prefetch_parts(next, block.len() * width, tiles.len());
            for (index, &tile) in tiles.iter().enumerate() {
                for line in parts.next().unwrap_or_default().chunks(MAX_LANES) {
                    simd.prefetch_l2(line.as_ptr());
                }
                let own = self.packed_tile(&block, tile);
                if !item.left_is_packed {
                    let a = &item.a[self.a.at(tile.row, block.start).min(item.a.len())..];
                    self.pack_tile(simd, a, tile.height, &mut buffers.rows[own.clone()]);
                }
                let a = match &self.packed.rows {
                    Some(rows) => &rows.as_slice()[own],
                    None => &buffers.rows[own],
                };
                let sums = match self.is_blocked() {
                    true => &mut buffers.sums[tile.row * PANEL_COLUMNS..],
                    false => &mut *buffers.sums,
                };
                let mut columns = columns;
                columns.prefetches = self.prefetches(item, panel, &block, tiles, index);
                multiply_tile(simd, tile.height, a, &columns, sums, PANEL_COLUMNS);
                if is_last {
                    let columns = panel_columns(self.n, panel);
                    let (from, stride) = ([&*sums, item.addend], PANEL_COLUMNS);
                    self.store_rows(simd, item.index, tile, columns, from, stride, item.y);
                }
            }
        }
    }

    /// What to prefetch while a tile is multiplied: its output if the block is the last, the next
    /// tile if it is to be packed, and a part of the next block of the right matrix.
    fn prefetches<'a>(
        &'a self,
        item: &BatchItem<'a>,
        panel: usize,
        block: &Range<usize>,
        tiles: &[RowTile],
        index: usize,
    ) -> [Prefetch<'a>; 3] {
        let [output, rows, columns] = &self.cache_lines;
        let mut prefetches = [Prefetch::NONE; 3];
        if block.end == self.k {
            let first = (item.index * self.m + tiles[index].row) * self.n + panel * PANEL_COLUMNS;
            let start = item.y.start().wrapping_add(first).cast_const();
            prefetches[0] = Prefetch {
                base: start,
                lines: output,
            };
        }
        if let Some(next) = tiles.get(index + 1).filter(|_| !item.left_is_packed) {
            let start = item.a.as_ptr();
            prefetches[1] = Prefetch {
                base: start.wrapping_add(self.a.at(next.row, block.start)),
                lines: rows,
            };
        }
        if self.packed.panels.is_none() {
            let (row, panel) = match block.end == self.k {
                true => (0, panel + 1),
                false => (block.end, panel),
            };
            let start = item.b.as_ptr();
            let part = columns.len().div_ceil(tiles.len()).max(1);
            prefetches[2] = Prefetch {
                base: start.wrapping_add(self.b.at(row, panel * PANEL_COLUMNS)),
                lines: columns.chunks(part).nth(index).unwrap_or_default(),
            };
        }
        prefetches
    }

    /// Stores the sums of some rows and columns of a product of the batch, with `alpha`, `beta` and
    /// `c` applied. Rows of sums are `stride` apart.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn store_rows<S: Simd>(
        &self,
        simd: S,
        index: usize,
        tile: RowTile,
        columns: Range<usize>,
        [sums, c]: [&[f32]; 2],
        stride: usize,
        y: SharedSlice<'_, f32>,
    ) {
        let alpha = simd.splat(self.alpha);
        for (r, sums) in sums.chunks_exact(stride).take(tile.height).enumerate() {
            let row = tile.row + r;
            let start = (index * self.m + row) * self.n + columns.start;
            // SAFETY: the batch item, the columns or the tile is in this thread's work slice.
            #[allow(unsafe_code)]
            let y = unsafe { y.part(start..start + columns.len()) };
            let y = y.chunks_mut(S::LANES);
            for ((y, sums), first) in y
                .zip(sums.chunks_exact(S::LANES))
                .zip(columns.clone().step_by(S::LANES))
            {
                // SAFETY: `sums` is a whole vector, and the store ends with `y`.
                #[allow(unsafe_code)]
                unsafe {
                    let mut sum = simd.mul(alpha, simd.load(sums.as_ptr()));
                    if let Some(addend) = &self.addend {
                        sum = simd.add(sum, addend.of(simd, c, [row, first], y.len()));
                    }
                    store_up_to(simd, y.len(), y.as_mut_ptr(), sum);
                }
            }
        }
    }
}

impl AddendMatrix {
    /// `beta · c` for `n` elements from a row and a column on.
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, c: &[f32], [row, column]: [usize; 2], n: usize) -> S::Vector {
        let c = &c[row * self.strides[0] + column * self.strides[1]..];
        let c = match self.strides[1] {
            0 => simd.splat(c[0]),
            _ => {
                assert!(n <= c.len());
                // SAFETY: `n` elements are in bounds, by the assertion.
                #[allow(unsafe_code)]
                unsafe {
                    load_up_to(simd, n, c.as_ptr())
                }
            }
        };
        simd.mul(simd.splat(self.beta), c)
    }
}
