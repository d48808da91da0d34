//! Execution of a packed matrix product.

use super::{AddendMatrix, PANEL_COLUMNS, PackedGemm, panel_columns, panel_width, prefetch_parts};
use crate::kernels::fused_elementwise::{ProductEpilogue, ProductTile};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, SimdKernel, WorkSlice, Worker};
use crate::memory::ScratchSize;
use crate::simd::{Isa, MAX_LANES, Simd, SimdTask, load_up_to, store_up_to};
use std::ops::Range;

impl SimdKernel for PackedGemm {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn scratch(&self) -> ScratchSize {
        let [rows, panel] = self.runtime_packing();
        let sums = self.accumulator_rows() * PANEL_COLUMNS;
        ScratchSize::floats(rows + panel + sums + self.registers())
    }

    /// Threads partition the batch where it is large enough, else the panels, else the tiles.
    #[inline(always)]
    fn run_image<S: Simd>(&self, simd: S, image: &ImageIo<'_>, worker: &mut Worker<'_>) {
        let (x, packed) = (&image.x, &self.packed);
        let (batch, panels) = (self.batch.len(), self.panels());
        let mut own = [WorkSlice::WHOLE; 3];
        let axis = [batch, panels]
            .iter()
            .position(|&units| units >= worker.slice.count);
        own[axis.unwrap_or(2)] = worker.slice;
        let tiles = &self.tiles[own[2].of(self.tiles.len())];

        let [rows, panel] = self.runtime_packing();
        let (rows, rest) = worker.scratch.floats.as_mut_slice().split_at_mut(rows);
        let (panel, rest) = rest.split_at_mut(panel);
        let (sums, registers) = rest.split_at_mut(self.accumulator_rows() * PANEL_COLUMNS);
        let mut buffers = Buffers {
            rows,
            panel,
            sums,
            registers,
        };
        for index in own[0].of(batch) {
            let [i, j] = self.batch[index];
            let mut item = BatchItem {
                index,
                image,
                a: match &packed.rows {
                    Some(_) => &[],
                    None => &x.floats(0)[i..],
                },
                left_is_packed: packed.rows.is_some(),
                b: match &packed.panels {
                    Some(_) => &[],
                    None => &x.floats(1)[j..],
                },
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
    image: &'a ImageIo<'a>,
    /// The left matrix, unless it is constant.
    a: &'a [f32],
    /// Whether its tiles are packed already.
    left_is_packed: bool,
    /// The right matrix, unless it is constant.
    b: &'a [f32],
}

/// The scratch memory of a thread; [`PackedGemm::scratch`] has the sizes.
struct Buffers<'a> {
    /// The left matrix, packed.
    rows: &'a mut [f32],
    /// A block of a panel.
    panel: &'a mut [f32],
    sums: &'a mut [f32],
    /// For the operators that are applied to the product.
    registers: &'a mut [f32],
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
                    self.pack_panel_block(simd, item.b, panel, &block, buffers.panel);
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
                    let sums = Sums {
                        sums,
                        stride: PANEL_COLUMNS,
                    };
                    let registers = &mut *buffers.registers;
                    self.store(simd, item.image, item.index, tile, columns, sums, registers);
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
            let part = |matrix: *const f32| Prefetch {
                base: matrix.wrapping_add(first),
                lines: output,
            };
            prefetches[0] = part(item.image.y.floats.start().cast_const());
            // Where the operands are packed already, what is to be added comes instead of them.
            let matrices = self.program.iter().flat_map(ProductEpilogue::matrices);
            for (to, matrix) in prefetches[1..].iter_mut().zip(matrices) {
                *to = part(item.image.x.floats(matrix).as_ptr());
            }
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

    /// The scratch memory of the operators that are applied to the product.
    pub(super) fn registers(&self) -> usize {
        self.program.as_ref().map_or(0, ProductEpilogue::scratch)
    }

    /// Stores the sums of some rows and columns of a product of the batch, with `alpha`, `beta` and
    /// `c`, and the operators that follow, applied.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn store<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        index: usize,
        tile: RowTile,
        columns: Range<usize>,
        Sums { sums, stride }: Sums<'_>,
        registers: &mut [f32],
    ) {
        let c = match self.addend {
            Some(_) => image.x.floats(2),
            None => &[],
        };
        let start = (index * self.m + tile.row) * self.n + columns.start;
        let Some(program) = &self.program else {
            for (r, sums) in sums.chunks_exact(stride).take(tile.height).enumerate() {
                let start = start + r * self.n;
                // SAFETY: the batch item, the columns or the tile is in this thread's work slice.
                #[allow(unsafe_code)]
                let y = unsafe { image.y.floats.part(start..start + columns.len()) };
                let y = y.chunks_mut(S::LANES);
                for ((y, sums), first) in y
                    .zip(sums.chunks_exact(S::LANES))
                    .zip(columns.clone().step_by(S::LANES))
                {
                    let at = [tile.row + r, first];
                    // SAFETY: `sums` is a whole vector, and the store ends with `y`.
                    #[allow(unsafe_code)]
                    unsafe {
                        let sum = self.scaled(simd, simd.load(sums.as_ptr()), c, at, y.len());
                        store_up_to(simd, y.len(), y.as_mut_ptr(), sum);
                    }
                }
            }
            return;
        };
        // A function of its own, so that the compiler keeps the product's loops as they are.
        self.isa.dispatch(ApplyOperators {
            gemm: self,
            program,
            image,
            at: [tile.row, columns.start],
            c,
            tile: ProductTile {
                sums,
                stride,
                rows: tile.height,
                columns: columns.len(),
                start,
                row_length: self.n,
            },
            registers,
        });
    }

    /// `alpha · sum + beta · c` for `n` elements from a row and a column on.
    #[inline(always)]
    fn scaled<S: Simd>(
        &self,
        simd: S,
        sum: S::Vector,
        c: &[f32],
        at: [usize; 2],
        n: usize,
    ) -> S::Vector {
        let sum = simd.mul(simd.splat(self.alpha), sum);
        match &self.addend {
            Some(addend) => simd.add(sum, addend.of(simd, c, at, n)),
            None => sum,
        }
    }
}

/// Applies the operators that follow a product to a tile, and stores the result.
struct ApplyOperators<'a> {
    gemm: &'a PackedGemm,
    program: &'a ProductEpilogue,
    image: &'a ImageIo<'a>,
    /// The first row and column.
    at: [usize; 2],
    c: &'a [f32],
    tile: ProductTile<'a>,
    registers: &'a mut [f32],
}

impl SimdTask for ApplyOperators<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (gemm, [row, column]) = (self.gemm, self.at);
        if gemm.alpha != 1.0 || gemm.addend.is_some() {
            let ProductTile {
                stride,
                rows,
                columns,
                ..
            } = self.tile;
            for (r, sums) in self
                .tile
                .sums
                .chunks_exact_mut(stride)
                .take(rows)
                .enumerate()
            {
                let vectors = sums.chunks_exact_mut(S::LANES);
                for (sums, first) in vectors.zip((0..columns).step_by(S::LANES)) {
                    let (at, n) = ([row + r, column + first], S::LANES.min(columns - first));
                    // SAFETY: `sums` is a whole vector.
                    #[allow(unsafe_code)]
                    unsafe {
                        let sum = gemm.scaled(simd, simd.load(sums.as_ptr()), self.c, at, n);
                        simd.store(sums.as_mut_ptr(), sum);
                    }
                }
            }
        }
        // SAFETY: the tile is in this thread's work slice.
        #[allow(unsafe_code)]
        unsafe {
            self.program
                .apply(simd, self.image, &self.tile, self.registers);
        }
    }
}

/// Rows of sums, `stride` apart.
pub(super) struct Sums<'a> {
    pub(super) sums: &'a mut [f32],
    pub(super) stride: usize,
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
