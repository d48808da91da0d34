//! Runs a packed product.

use super::*;
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, SimdKernel, WorkSlice};
use crate::memory::{Scratch, ScratchSize, SharedSlice};
use crate::simd::{Isa, MAX_LANES, Simd, load_up_to, store_up_to};

impl SimdKernel for PackedGemm {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        let [rows, panel] = self.runtime_packing();
        ScratchSize::floats(rows + panel + self.accumulator_rows() * PANEL_COLUMNS)
    }

    /// Threads share the pairs where there are enough, else the panels, else the tiles.
    #[inline(always)]
    fn run_image<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        let ImageIo { x, y } = image;
        let PackedGemm {
            m, n, k, packed, ..
        } = self;
        let (pairs, panels) = (self.pairs.len(), self.panels());
        let mut own = [WorkSlice::WHOLE; 3];
        let axis = [pairs, panels]
            .iter()
            .position(|&units| units >= slice.count);
        own[axis.unwrap_or(2)] = slice;
        let tiles = &self.tiles[own[2].of(self.tiles.len())];

        let [rows, panel] = self.runtime_packing();
        let (rows, rest) = scratch.floats.as_mut_slice().split_at_mut(rows);
        let (panel, sums) = rest.split_at_mut(panel);
        let mut buffers = Buffers { rows, panel, sums };
        for index in own[0].of(pairs) {
            let [i, j] = self.pairs[index];
            let mut pair = BatchItem {
                index,
                a: match &packed.rows {
                    Some(_) => &[],
                    None => &x.floats(0)[i * m * k..][..m * k],
                },
                are_packed: packed.rows.is_some(),
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
                self.panel(simd, &pair, panel, tiles, &mut buffers);
                pair.are_packed = true;
            }
        }
    }
}

/// Two matrices and their gemm.
struct BatchItem<'a> {
    index: usize,
    /// The left matrix, unless it is packed.
    a: &'a [f32],
    /// Whether its tiles are packed already.
    are_packed: bool,
    /// The right matrix, unless it is packed.
    b: &'a [f32],
    addend: &'a [f32],
    /// All products.
    y: SharedSlice<'a, f32>,
}

/// The memory of a thread; [`PackedGemm::scratch`] has the sizes.
struct Buffers<'a> {
    /// The left matrix, packed.
    rows: &'a mut [f32],
    /// A block of a panel.
    panel: &'a mut [f32],
    sums: &'a mut [f32],
}

impl PackedGemm {
    /// Multiplies tiles with a panel, of which each block is packed first unless it is packed.
    #[inline(always)]
    fn panel<S: Simd>(
        &self,
        simd: S,
        pair: &BatchItem<'_>,
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
                    self.pack_panel(pair.b, panel, &block, buffers.panel);
                    (&*buffers.panel, &[][..])
                }
            };
            let columns = ColumnPanel {
                b: packed,
                offsets: &self.offsets[usize::from(width != PANEL_COLUMNS)][..block.len()],
                first: 0,
                count: width,
                last_offset: block.len().saturating_sub(1) * width,
                continued: block.start > 0,
                soon: [Prefetch::NONE; 3],
            };
            let is_last = block.end == self.k;
            let mut parts = prefetch_parts(next, block.len() * width, tiles.len());
            for (index, &tile) in tiles.iter().enumerate() {
                for line in parts.next().unwrap_or_default().chunks(MAX_LANES) {
                    simd.prefetch_l2(line.as_ptr());
                }
                let own = self.packed_tile(&block, tile);
                if !pair.are_packed {
                    let a = &pair.a[self.a.at(tile.row, block.start).min(pair.a.len())..];
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
                columns.soon = self.prefetches(pair, panel, &block, tiles, index);
                multiply_tile(simd, tile.height, a, &columns, sums, PANEL_COLUMNS);
                if is_last {
                    self.store_tile(simd, pair, panel, tile, sums);
                }
            }
        }
    }

    /// What is needed after a block of a tile of a panel: the output if the block is the last, the
    /// next tile if it is to be packed, and a part of the next block of the right matrix.
    fn prefetches<'a>(
        &'a self,
        pair: &BatchItem<'a>,
        panel: usize,
        block: &Range<usize>,
        tiles: &[RowTile],
        index: usize,
    ) -> [Prefetch<'a>; 3] {
        let [output, rows, columns] = &self.lines;
        let mut soon = [Prefetch::NONE; 3];
        if block.end == self.k {
            let first = (pair.index * self.m + tiles[index].row) * self.n + panel * PANEL_COLUMNS;
            let start = pair.y.start().wrapping_add(first).cast_const();
            soon[0] = Prefetch {
                start,
                lines: output,
            };
        }
        if let Some(next) = tiles.get(index + 1).filter(|_| !pair.are_packed) {
            let start = pair.a.as_ptr();
            soon[1] = Prefetch {
                start: start.wrapping_add(self.a.at(next.row, block.start)),
                lines: rows,
            };
        }
        if self.packed.panels.is_none() {
            let (row, panel) = match block.end == self.k {
                true => (0, panel + 1),
                false => (block.end, panel),
            };
            let start = pair.b.as_ptr();
            let part = columns.len().div_ceil(tiles.len()).max(1);
            soon[2] = Prefetch {
                start: start.wrapping_add(self.b.at(row, panel * PANEL_COLUMNS)),
                lines: columns.chunks(part).nth(index).unwrap_or_default(),
            };
        }
        soon
    }

    /// Writes a tile of a panel, with what it is to be added to.
    #[inline(always)]
    fn store_tile<S: Simd>(
        &self,
        simd: S,
        pair: &BatchItem<'_>,
        panel: usize,
        tile: RowTile,
        sums: &[f32],
    ) {
        let columns = panel_columns(self.n, panel);
        let alpha = simd.splat(self.alpha);
        for (r, sums) in sums
            .chunks_exact(PANEL_COLUMNS)
            .take(tile.height)
            .enumerate()
        {
            let row = tile.row + r;
            let start = (pair.index * self.m + row) * self.n + columns.start;
            // SAFETY: the pair, the panel or the tile is this thread's own.
            #[allow(unsafe_code)]
            let y = unsafe { pair.y.part(start..start + columns.len()) };
            let y = y.chunks_mut(S::LANES);
            for ((y, sums), first) in y
                .zip(sums.chunks_exact(S::LANES))
                .zip(columns.clone().step_by(S::LANES))
            {
                // SAFETY: `sums` is a whole vector, and what is stored is as long as `y`.
                #[allow(unsafe_code)]
                unsafe {
                    let mut sum = simd.mul(alpha, simd.load(sums.as_ptr()));
                    if let Some(addend) = &self.addend {
                        sum = simd.add(sum, addend.of(simd, pair.addend, [row, first], y.len()));
                    }
                    store_up_to(simd, y.len(), y.as_mut_ptr(), sum);
                }
            }
        }
    }
}

impl AddendMatrix {
    /// The first `n` elements from some row and column on.
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, c: &[f32], [row, column]: [usize; 2], n: usize) -> S::Vector {
        let c = &c[row * self.strides[0] + column * self.strides[1]..];
        let c = match self.strides[1] {
            0 => simd.splat(c[0]),
            _ => {
                assert!(n <= c.len());
                // SAFETY: `n` elements are there.
                #[allow(unsafe_code)]
                unsafe {
                    load_up_to(simd, n, c.as_ptr())
                }
            }
        };
        simd.mul(simd.splat(self.beta), c)
    }
}
