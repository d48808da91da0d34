//! Matrix products in bf16. Row-major operands are converted while they are packed; constant ones are
//! packed once.

use super::PackedGemm;
use super::run::Sums;
use crate::kernels::gemm::bf16::{
    Bf16, Left, PackedRows, Parts, Right, pairs, panel_offsets, row_tile_pairs, tile_shape,
};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::{ImageIo, MAX_IMAGES, SimdKernel, WorkSlice, Worker};
use crate::memory::{AlignedBuffer, ScratchSize};
use crate::program::StepPrecision;
use crate::simd::bf16::{Channels, LeftRows, PairTarget, TILE, TileShape, pair, split};
use crate::simd::{Isa, Simd};
use std::ops::Range;
use std::sync::Arc;

/// Column tiles that are multiplied at a time.
const COLUMN_TILES: usize = 4;
/// The words of the left operands of all images to aim at: 1 MiB, half of a second-level cache.
const LEFT_WORDS: usize = 1 << 18;

/// A product in bf16.
pub(crate) struct Bf16Gemm {
    gemm: PackedGemm,
    bf16: Bf16,
    /// The number of images that are multiplied with a constant right operand while it is in the
    /// cache.
    images: usize,
    /// Where the blocks of a panel begin.
    offsets: Vec<u32>,
    pub(crate) packed: Arc<PackedHalves>,
}

/// The operands that are constant, packed.
#[derive(Default)]
pub(crate) struct PackedHalves {
    left: Option<PackedRows>,
    panel: Option<AlignedBuffer>,
}

impl Bf16Gemm {
    /// Whether a product can be computed in bf16: operands that are not packed, as constant matrices
    /// are, are to be row-major.
    pub(crate) fn supports(gemm: &PackedGemm, is_packed: [bool; 2]) -> bool {
        let is_row_major = [gemm.a, gemm.b].map(|matrix| matrix.column_stride == 1);
        let readable = |i: usize| is_packed[i] || is_row_major[i];
        gemm.k > 0 && readable(0) && readable(1)
    }

    /// A product that is [supported](Self::supports).
    pub(crate) fn new(gemm: PackedGemm, bf16: Bf16, is_packed: [bool; 2]) -> Self {
        let mut product = Self {
            images: 1,
            offsets: panel_offsets(tile_shape(gemm.m, pairs(gemm.k))),
            gemm,
            bf16,
            packed: Arc::default(),
        };
        if is_packed[1] {
            let left = product.left_words();
            product.images = (LEFT_WORDS / left.max(1)).clamp(1, MAX_IMAGES);
        }
        product
    }

    /// `[m, n, k]`, on which the packed layout depends.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.gemm.shape()
    }

    /// Packs the constant operands, if each is one matrix; `None` if memory is exhausted.
    pub(crate) fn pack(&self, a: Option<&[f32]>, b: Option<&[f32]>) -> Option<PackedHalves> {
        let PackedGemm { m, n, k, .. } = self.gemm;
        let (rows, columns) = (self.gemm.a, self.gemm.b);
        let mut packed = PackedHalves::default();
        if let Some(a) = a.filter(|a| a.len() == m * k) {
            let at = |row: usize, k_at: usize| if k_at < k { a[rows.at(row, k_at)] } else { 0.0 };
            let matrix = |row, pair| [at(row, 2 * pair), at(row, 2 * pair + 1)];
            packed.left = Some(PackedRows::pack(self.bf16.parts, m, self.tiles(), matrix)?);
        }
        if let Some(b) = b.filter(|b| b.len() == k * n) {
            let part = self.panel_words(n.div_ceil(TILE));
            let mut panel = AlignedBuffer::zeros(part.checked_mul(self.bf16.parts.count())?)?;
            let words = panel.as_mut_slice();
            let shape = self.tiles();
            for pair_at in 0..pairs(k) {
                for column in 0..n {
                    let entry = |k_at: usize| match k_at < k {
                        true => split(b[columns.at(k_at, column)]),
                        false => [0; 2],
                    };
                    let (first, second) = (entry(2 * pair_at), entry(2 * pair_at + 1));
                    let at = column / TILE * shape.right() + pair_at * TILE + column % TILE;
                    for index in 0..self.bf16.parts.count() {
                        words[index * part + at] = pair([first[index], second[index]]);
                    }
                }
            }
            packed.panel = Some(panel);
        }
        Some(packed)
    }

    fn tiles(&self) -> TileShape {
        tile_shape(self.gemm.m, pairs(self.gemm.k))
    }

    /// Words of a part of the left operand.
    fn left_part(&self) -> usize {
        self.gemm.m.div_ceil(self.tiles().rows) * self.tiles().left()
    }

    /// Words of the left operand of an image.
    fn left_words(&self) -> usize {
        self.left_part() * self.bf16.parts.count()
    }

    /// Words of a part of a panel.
    fn panel_words(&self, column_tiles: usize) -> usize {
        column_tiles * self.tiles().right()
    }

    /// The sizes of the scratch buffers for the left operands of all images, some columns of the
    /// right one, and accumulators.
    fn buffers(&self) -> [usize; 3] {
        let left = match self.packed.left {
            Some(_) => 0,
            None => self.images * self.left_words(),
        };
        let panel = match self.packed.panel {
            Some(_) => 0,
            None => self.panel_words(COLUMN_TILES) * self.bf16.parts.count(),
        };
        [left, panel, 2 * self.tiles().rows * COLUMN_TILES * TILE]
    }
}

/// The scratch memory of a thread; [`Bf16Gemm::buffers`] has the sizes.
struct Buffers<'a> {
    left: &'a mut [f32],
    panel: &'a mut [f32],
    sums: &'a mut [f32],
    /// For the operators that are applied to the product.
    registers: &'a mut [f32],
}

/// A product of the batch, and the thread's share of it.
struct Item<'a> {
    index: usize,
    /// Where its matrices begin.
    matrices: [usize; 2],
    tiles: &'a [RowTile],
    column_blocks: Range<usize>,
}

impl SimdKernel for Bf16Gemm {
    fn isa(&self) -> Isa {
        self.gemm.isa
    }

    fn images_at_a_time(&self) -> usize {
        self.images
    }

    fn precision(&self) -> StepPrecision {
        self.bf16.parts.into()
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.buffers().iter().sum::<usize>() + self.gemm.registers())
    }

    /// Threads partition the batch where it is large enough, else the columns, else the rows.
    #[inline(always)]
    fn run_images<S: Simd>(&self, simd: S, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        let (batch, n) = (&self.gemm.batch, self.gemm.n);
        let column_blocks = n.div_ceil(COLUMN_TILES * TILE);
        let mut own = [WorkSlice::WHOLE; 3];
        let axis = [batch.len(), column_blocks]
            .iter()
            .position(|&units| units >= worker.slice.count);
        own[axis.unwrap_or(2)] = worker.slice;
        let tiles = row_tile_pairs(self.gemm.m, self.tiles());
        let [left, panel, sums] = self.buffers();
        let scratch = worker.scratch.floats.as_mut_slice();
        let (left, rest) = scratch.split_at_mut(left);
        let (panel, rest) = rest.split_at_mut(panel);
        let (sums, registers) = rest.split_at_mut(sums);
        let mut buffers = Buffers {
            left,
            panel,
            sums,
            registers,
        };
        for images in images.chunks(self.images) {
            for index in own[0].of(batch.len()) {
                let item = Item {
                    index,
                    matrices: batch[index],
                    tiles: &tiles[own[2].of(tiles.len())],
                    column_blocks: own[1].of(column_blocks),
                };
                self.multiply_item(simd, images, &item, &mut buffers);
            }
        }
        self.bf16.isa.release();
    }
}

/// The `nth` of some shares of words, in whole cache lines.
fn share(words: &[f32], nth: usize, count: usize) -> &[f32] {
    let len = words.len().div_ceil(count).next_multiple_of(TILE);
    let start = (nth * len).min(words.len());
    &words[start..words.len().min(start + len)]
}

impl Bf16Gemm {
    #[inline(always)]
    fn multiply_item<S: Simd>(
        &self,
        simd: S,
        images: &[ImageIo<'_>],
        item: &Item<'_>,
        buffers: &mut Buffers<'_>,
    ) {
        let shape = self.tiles();
        let all = self.gemm.n.div_ceil(TILE);
        self.pack_left(images, item, buffers.left);
        for block in item.column_blocks.clone() {
            let column_tiles = block * COLUMN_TILES..all.min((block + 1) * COLUMN_TILES);
            for (index, image) in images.iter().enumerate() {
                let (panel, own_tiles) = match &self.packed.panel {
                    Some(panel) => (
                        Right::panel(panel.as_slice(), shape, all, &self.offsets),
                        column_tiles.clone(),
                    ),
                    None => {
                        self.pack_panel(image, item, &column_tiles, buffers.panel);
                        let own = column_tiles.len();
                        let panel = Right::panel(buffers.panel, shape, own, &self.offsets);
                        (panel, 0..own)
                    }
                };
                let left = match &self.packed.left {
                    Some(left) => left.left(self.bf16.parts),
                    None => Left {
                        words: &buffers.left[index * self.left_words()..],
                        part: self.left_part(),
                    },
                };
                let columns = column_tiles.start * TILE..self.gemm.n.min(column_tiles.end * TILE);
                let is_last = index + 1 == images.len();
                let next = self.next_columns(column_tiles.end, is_last);
                for (nth, &tile) in item.tiles.iter().enumerate() {
                    let next = next.map(|part| share(part, nth, item.tiles.len()));
                    let stride = COLUMN_TILES * TILE;
                    let sums = &mut *buffers.sums;
                    let (tiles, panel) = (own_tiles.clone(), Right { next, ..panel });
                    self.bf16
                        .multiply(shape, left, tile, panel, tiles, sums, stride);
                    let (sums, registers) = (Sums { sums, stride }, &mut *buffers.registers);
                    let (index, columns) = (item.index, columns.clone());
                    self.gemm
                        .store(simd, image, index, tile, columns, sums, registers);
                }
            }
        }
    }

    /// The words of each part of a constant right operand that come next, if this is the last image
    /// that those before are multiplied with.
    fn next_columns(&self, column_tile: usize, is_last: bool) -> [&[f32]; 2] {
        let Some(panel) = self.packed.panel.as_ref().filter(|_| is_last) else {
            return [&[]; 2];
        };
        let part = self.panel_words(self.gemm.n.div_ceil(TILE));
        let start = (column_tile * self.tiles().right()).min(part);
        let end = part.min(start + COLUMN_TILES * self.tiles().right());
        let words = panel.as_slice();
        match self.bf16.parts {
            Parts::One => [&words[start..end], &[]],
            Parts::Two => [&words[start..end], &words[part..][start..end]],
        }
    }

    /// Packs this thread's rows of the left operands, unless they are constant.
    fn pack_left(&self, images: &[ImageIo<'_>], item: &Item<'_>, left: &mut [f32]) {
        if self.packed.left.is_some() {
            return;
        }
        let PackedGemm { m, k, .. } = self.gemm;
        let shape = self.tiles();
        let parts = self.bf16.parts.count();
        for (index, image) in images.iter().enumerate() {
            let a = &image.x.floats(0)[item.matrices[0]..][..m * k];
            let left = &mut left[index * self.left_words()..][..self.left_words()];
            for tile in item.tiles {
                for row in (tile.row..tile.row + tile.height).step_by(shape.rows) {
                    let first = row / shape.rows * shape.left();
                    let mut part = |index: usize| match index < parts {
                        true => {
                            let words = &mut left[index * self.left_part() + first..];
                            words[..shape.left()].as_mut_ptr()
                        }
                        false => std::ptr::null_mut(),
                    };
                    let to = [part(0), part(1)];
                    let rows = LeftRows {
                        first: a[row * k..].as_ptr(),
                        rows: shape.rows.min(m - row),
                        stride: k,
                        depth: k,
                        shape,
                    };
                    // SAFETY: the rows are in the matrix, and each part has room for a row tile.
                    #[allow(unsafe_code)]
                    unsafe {
                        self.bf16.isa.pack_left(&rows, to);
                    }
                }
            }
        }
    }

    /// Packs some columns of a right operand that is not constant.
    fn pack_panel(
        &self,
        image: &ImageIo<'_>,
        item: &Item<'_>,
        column_tiles: &Range<usize>,
        panel: &mut [f32],
    ) {
        let PackedGemm { n, k, .. } = self.gemm;
        let shape = self.tiles();
        let b = &image.x.floats(1)[item.matrices[1]..][..k * n];
        let columns = column_tiles.start * TILE..n.min(column_tiles.end * TILE);
        let part = self.panel_words(column_tiles.len());
        let parts = self.bf16.parts.count();
        let panel = &mut panel[..parts * part];
        let filled = pairs(k) * TILE;
        for tile in panel.chunks_exact_mut(shape.right()) {
            tile[filled..].fill(0.0);
        }
        let to = PairTarget {
            parts: match panel.split_at_mut(part) {
                (high, []) => [high.as_mut_ptr(), std::ptr::null_mut()],
                (high, low) => [high.as_mut_ptr(), low.as_mut_ptr()],
            },
            stride: TILE,
            row_stride: 0,
            vector_stride: shape.right(),
        };
        let from = Channels {
            first: b[columns.start..].as_ptr(),
            count: k,
            stride: n,
            rows: 1,
            row_stride: 0,
            len: columns.len(),
            step: 1,
            lead: 0,
            width: columns.len(),
        };
        // SAFETY: the columns are in the matrix, and their tiles in the panel.
        #[allow(unsafe_code)]
        unsafe {
            self.bf16.isa.pack_pairs(&from, to);
        }
    }
}
