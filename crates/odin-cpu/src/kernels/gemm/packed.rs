//! Packed matrix products.
//!
//! Products are blocked along `k`. In a block, the left matrix is packed into tiles of rows, the
//! right one into panels of columns; constants are packed once, when the engine is prepared. A
//! block of a panel stays in the first-level cache while all tiles stream from the second-level
//! cache. While a tile is multiplied, the next data is prefetched.

use crate::kernels::fused_elementwise::ProductEpilogue;
use crate::kernels::gemm::packing::{RowTile, row_tiles};
use crate::kernels::gemm::prefetch;
use crate::kernels::strided::LoopNest;
use crate::memory::AlignedBuffer;
use crate::simd::{Isa, MAX_LANES, Simd, SimdTask, load_up_to};
use odin_graph::op;
use odin_lower::{broadcast_strides, row_major};
use std::ops::Range;
use std::sync::Arc;

pub(crate) mod bf16;
mod run;

/// Columns of a panel: the width of the highest tile of the longest vectors.
const PANEL_COLUMNS: usize = 2 * MAX_LANES;
/// The block length along `k`: a block of a panel takes 16 KiB, and one of a tile of 12 rows 6 KiB.
const DEPTH_BLOCK: usize = 128;

/// `alpha · a · b + beta · c` for matrices `a [m, k]` and `b [k, n]`, or for a batch of them.
/// Operands are `a`, `b` and, if there is one, `c`; packed ones are not read.
pub(crate) struct PackedGemm {
    isa: Isa,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix,
    b: Matrix,
    pub(crate) packed: Arc<PackedOperands>,
    /// For each product of the batch, where its matrices begin.
    batch: Vec<[usize; 2]>,
    tiles: Vec<RowTile>,
    /// Row offsets of a block of a full panel and of the last one.
    offsets: [Vec<u32>; 2],
    /// The cache lines of the output of a tile, of a block of a tile, and of a block of a panel.
    cache_lines: [Vec<u32>; 3],
    alpha: f32,
    addend: Option<AddendMatrix>,
    /// The elementwise operators that are applied to the product.
    pub(crate) program: Option<ProductEpilogue>,
}

/// An operand of a product of matrices: a batch of matrices in the last two axes.
#[derive(Debug, Clone)]
pub(crate) struct Factor<'a> {
    shape: &'a [usize],
    strides: Vec<usize>,
    /// The number of its first element.
    first: usize,
}

impl<'a> Factor<'a> {
    pub(crate) fn row_major(shape: &'a [usize]) -> Self {
        Self::strided(shape, &row_major(shape), 0)
    }

    /// A strided view, of which rows or columns are contiguous.
    pub(crate) fn strided(shape: &'a [usize], strides: &[usize], first: usize) -> Self {
        // The stride of an axis of one element is arbitrary.
        let stride = |(&extent, &stride)| if extent == 1 { 1 } else { stride };
        Self {
            shape,
            strides: shape.iter().zip(strides).map(stride).collect(),
            first,
        }
    }

    /// The axes of the batch.
    fn lead(&self) -> &[usize] {
        &self.shape[..self.shape.len() - 2]
    }

    /// The strides of the batch, broadcast to the axes `to`.
    fn lead_strides(&self, to: &[usize]) -> Vec<usize> {
        let own = self.lead().iter().zip(&self.strides);
        let own = own.map(|(&extent, &stride)| if extent == 1 { 0 } else { stride });
        let missing = to.len() - self.lead().len();
        std::iter::repeat_n(0, missing).chain(own).collect()
    }

    fn matrix(&self) -> Matrix {
        let lead = self.lead().len();
        Matrix {
            row_stride: self.strides[lead],
            column_stride: self.strides[lead + 1],
        }
    }

    /// Whether its elements are in order, without gaps.
    fn is_row_major(&self) -> bool {
        let axes = self.shape.iter().zip(&self.strides);
        let mut axes = axes.zip(row_major(self.shape));
        self.first == 0 && axes.all(|((&extent, &own), packed)| extent == 1 || own == packed)
    }
}

/// The layout of a matrix.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    row_stride: usize,
    column_stride: usize,
}

impl Matrix {
    /// Row-major, or column-major.
    fn new(rows: usize, columns: usize, transposed: bool) -> Self {
        let (row_stride, column_stride) = if transposed { (1, rows) } else { (columns, 1) };
        Self {
            row_stride,
            column_stride,
        }
    }

    fn at(self, row: usize, column: usize) -> usize {
        row * self.row_stride + column * self.column_stride
    }

    /// The cache lines of some rows and columns.
    fn lines(self, rows: usize, columns: usize) -> Vec<u32> {
        match self.column_stride {
            1 => prefetch::cache_lines(rows, self.row_stride, columns),
            _ => prefetch::cache_lines(columns, self.column_stride, rows),
        }
    }
}

/// The operands that are constant, packed.
#[derive(Default)]
pub(crate) struct PackedOperands {
    rows: Option<AlignedBuffer>,
    panels: Option<AlignedBuffer>,
}

/// `beta · c[row · strides[0] + column · strides[1]]`; a stride is 0 where `c` is broadcast.
struct AddendMatrix {
    beta: f32,
    strides: [usize; 2],
}

impl PackedGemm {
    /// [`odin_graph::Op::MatMul`], for the shapes of one image.
    pub(crate) fn mat_mul(isa: Isa, a: Factor<'_>, b: Factor<'_>, y: &[usize]) -> Self {
        let (rank, k) = (y.len(), a.shape[a.shape.len() - 1]);
        let (mut m, n, lead) = (y[rank - 2], y[rank - 1], &y[..rank - 2]);
        let count = |lead: &[usize]| lead.iter().product::<usize>();
        let strides = [a.lead_strides(lead), b.lead_strides(lead)];
        let mut batch = LoopNest::new(lead, [&strides[0], &strides[1]]);
        let (mut left, right) = (a.matrix(), b.matrix());
        // A batch of left matrices and one right matrix are one tall product.
        if count(b.lead()) == 1 && count(a.lead()) == count(lead) && a.is_row_major() {
            m *= count(lead);
            left = Matrix::new(m, k, false);
            batch = LoopNest::new(&[], [&[], &[]]);
        }
        Self::new(isa, [m, n, k], left, right, batch, [a.first, b.first])
    }

    /// [`odin_graph::Op::Gemm`], for the shapes of one image.
    pub(crate) fn gemm(
        isa: Isa,
        gemm: op::Gemm,
        a: &[usize],
        c: Option<&[usize]>,
        y: &[usize],
    ) -> Self {
        let (m, n, k) = (y[0], y[1], a[usize::from(!gemm.trans_a)]);
        let (a, b) = (
            Matrix::new(m, k, gemm.trans_a),
            Matrix::new(k, n, gemm.trans_b),
        );
        let batch = LoopNest::broadcast(&[], [&[], &[]]);
        let mut product = Self::new(isa, [m, n, k], a, b, batch, [0, 0]);
        product.alpha = gemm.alpha;
        product.addend = c.map(|c| {
            let strides = broadcast_strides(c, y);
            AddendMatrix {
                beta: gemm.beta,
                strides: [strides[0], strides[1]],
            }
        });
        product
    }

    fn new(
        isa: Isa,
        [m, n, k]: [usize; 3],
        a: Matrix,
        b: Matrix,
        walk: LoopNest<2>,
        first: [usize; 2],
    ) -> Self {
        let mut batch = Vec::new();
        walk.for_each_run(|[i, j]| {
            let [a, b] = walk.strides;
            let (i, j) = (first[0] + i, first[1] + j);
            batch.extend((0..walk.extent).map(|step| [i + step * a, j + step * b]));
        });
        let offsets = |width| {
            (0..k.min(DEPTH_BLOCK))
                .map(|k| (k * width) as u32)
                .collect()
        };
        let last = panel_width(n, n.saturating_sub(1) / PANEL_COLUMNS);
        let tiles = row_tiles(isa, m, k);
        let height = tiles.first().map_or(0, |tile| tile.height);
        Self {
            isa,
            m,
            n,
            k,
            a,
            b,
            packed: Arc::default(),
            batch,
            tiles,
            cache_lines: [
                Matrix::new(m, n, false).lines(height, PANEL_COLUMNS),
                a.lines(height, DEPTH_BLOCK),
                b.lines(DEPTH_BLOCK, PANEL_COLUMNS),
            ],
            offsets: [offsets(PANEL_COLUMNS), offsets(last)],
            alpha: 1.0,
            addend: None,
            program: None,
        }
    }

    /// Packs the constant operands, if each is one matrix; `None` if memory is exhausted.
    pub(crate) fn pack(&self, a: Option<&[f32]>, b: Option<&[f32]>) -> Option<PackedOperands> {
        let mut packed = PackedOperands::default();
        if let Some(a) = a.filter(|a| a.len() == self.m * self.k) {
            let mut rows = AlignedBuffer::zeros(self.m * self.k)?;
            self.isa.dispatch(PackLeft {
                gemm: self,
                a,
                to: rows.as_mut_slice(),
            });
            packed.rows = Some(rows);
        }
        if let Some(b) = b.filter(|b| b.len() == self.k * self.n) {
            let mut panels = AlignedBuffer::zeros(self.panels_len())?;
            for panel in 0..self.panels() {
                let start = self.k * panel * PANEL_COLUMNS;
                self.pack_panel(b, panel, &(0..self.k), &mut panels.as_mut_slice()[start..]);
            }
            packed.panels = Some(panels);
        }
        Some(packed)
    }

    /// `[m, n, k]`, on which the packed layout depends.
    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.m, self.n, self.k]
    }

    fn panels(&self) -> usize {
        self.n.div_ceil(PANEL_COLUMNS)
    }

    fn panels_len(&self) -> usize {
        self.k * self.n.next_multiple_of(MAX_LANES)
    }

    /// Packs rows of a panel, in whole vectors.
    fn pack_panel(&self, b: &[f32], panel: usize, block: &Range<usize>, to: &mut [f32]) {
        let (width, columns) = (panel_width(self.n, panel), panel_columns(self.n, panel));
        for (k, to) in block.clone().zip(to.chunks_exact_mut(width)) {
            let (own, rest) = to.split_at_mut(columns.len());
            match self.b.column_stride {
                1 => own.copy_from_slice(&b[self.b.at(k, columns.start)..][..columns.len()]),
                _ => {
                    let columns = columns.clone();
                    let from = columns.map(|column| b[self.b.at(k, column)]);
                    own.iter_mut().zip(from).for_each(|(to, b)| *to = b);
                }
            }
            rest.fill(0.0);
        }
    }

    /// As [`PackedGemm::pack_panel`]; whole panels of a column-major matrix are transposed in vectors.
    #[inline(always)]
    fn pack_panel_block<S: Simd>(
        &self,
        simd: S,
        b: &[f32],
        panel: usize,
        block: &Range<usize>,
        to: &mut [f32],
    ) {
        let columns = panel_columns(self.n, panel);
        let Matrix {
            row_stride,
            column_stride,
        } = self.b;
        match row_stride == 1 && column_stride != 1 && columns.len() == PANEL_COLUMNS {
            true => {
                let b = &b[self.b.at(block.start, columns.start)..];
                let to = &mut to[..block.len() * PANEL_COLUMNS];
                pack_fours::<S, PANEL_COLUMNS>(simd, b, column_stride, to);
            }
            false => self.pack_panel(b, panel, block, to),
        }
    }

    /// The blocks along `k`; at least one, even if `k` is 0.
    fn depth_blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let k = self.k;
        let starts = (0..k.max(1)).step_by(DEPTH_BLOCK);
        starts.map(move |first| first..k.min(first + DEPTH_BLOCK))
    }

    /// The range of a block of a tile in the packed left matrix: the tiles of a block follow each
    /// other.
    fn packed_tile(&self, block: &Range<usize>, tile: RowTile) -> Range<usize> {
        let start = block.start * self.m + tile.row * block.len();
        start..start + tile.height * block.len()
    }

    /// Packs rows, tile by tile, each column-major.
    #[inline(always)]
    fn pack_rows<S: Simd>(&self, simd: S, a: &[f32], own: &[RowTile], to: &mut [f32]) {
        for block in self.depth_blocks() {
            for &tile in own {
                let to = &mut to[self.packed_tile(&block, tile)];
                let a = &a[self.a.at(tile.row, block.start).min(a.len())..];
                self.pack_tile(simd, a, tile.height, to);
            }
        }
    }

    /// Packs `height` rows that begin at `a`, column-major.
    #[inline(always)]
    fn pack_tile<S: Simd>(&self, simd: S, a: &[f32], height: usize, to: &mut [f32]) {
        let Matrix {
            row_stride,
            column_stride,
        } = self.a;
        let columns = to.chunks_exact_mut(height);
        match (row_stride, column_stride) {
            (_, 1) if height == 12 => pack_fours::<S, 12>(simd, a, row_stride, to),
            (_, 1) if height == 8 => pack_fours::<S, 8>(simd, a, row_stride, to),
            (_, 1) if height == 4 => pack_fours::<S, 4>(simd, a, row_stride, to),
            (1, _) if height == 12 => copy_rows::<12>(a, column_stride, to),
            (1, _) if height == 8 => copy_rows::<8>(a, column_stride, to),
            (1, _) if height == 4 => copy_rows::<4>(a, column_stride, to),
            (1, _) => {
                for (k, to) in columns.enumerate() {
                    to.copy_from_slice(&a[k * column_stride..][..height]);
                }
            }
            _ => {
                for (k, to) in columns.enumerate() {
                    let from = a[k * column_stride..].iter().step_by(row_stride);
                    to.iter_mut().zip(from).for_each(|(to, a)| *to = *a);
                }
            }
        }
    }

    /// Whether accumulators continue from one block to the next.
    fn is_blocked(&self) -> bool {
        self.k > DEPTH_BLOCK
    }

    /// Rows of accumulators that are kept: all of them, or those of a tile.
    fn accumulator_rows(&self) -> usize {
        match self.is_blocked() {
            true => self.m,
            false => self.tiles.iter().map(|tile| tile.height).max().unwrap_or(0),
        }
    }

    /// Elements that are packed at run time: all tiles, and a block of a panel.
    fn runtime_packing(&self) -> [usize; 2] {
        let rows = match self.packed.rows {
            Some(_) => 0,
            None => (self.m * self.k).next_multiple_of(MAX_LANES),
        };
        let panel = match self.packed.panels {
            Some(_) => 0,
            None => self.k.min(DEPTH_BLOCK) * PANEL_COLUMNS,
        };
        [rows, panel]
    }
}

/// Packs `H` rows, a multiple of 4, of a row-major matrix.
#[inline(always)]
fn pack_fours<S: Simd, const H: usize>(simd: S, a: &[f32], row_stride: usize, to: &mut [f32]) {
    let (to, _) = to.as_chunks_mut::<H>();
    for (first, to) in (0..).step_by(S::LANES).zip(to.chunks_mut(S::LANES)) {
        for four in (0..H).step_by(4) {
            let rows: [&[f32]; 4] = std::array::from_fn(|r| {
                let row = &a[(four + r) * row_stride + first..];
                &row[..to.len()]
            });
            let mut columns = [[0.0; 4]; MAX_LANES];
            // SAFETY: the rows are as long as `to`; the columns hold four vectors.
            #[allow(unsafe_code)]
            unsafe {
                let rows = rows.map(|row| load_up_to(simd, row.len(), row.as_ptr()));
                let to = columns.as_mut_ptr().cast::<f32>();
                for (i, &part) in simd.interleave_all(rows).iter().enumerate() {
                    simd.store(to.add(i * S::LANES), part);
                }
            }
            for (to, column) in to.iter_mut().zip(&columns) {
                to[four..four + 4].copy_from_slice(column);
            }
        }
    }
}

/// Packs `H` rows of a column-major matrix.
#[inline(always)]
fn copy_rows<const H: usize>(a: &[f32], column_stride: usize, to: &mut [f32]) {
    let (to, _) = to.as_chunks_mut::<H>();
    for (k, to) in to.iter_mut().enumerate() {
        to.copy_from_slice(&a[k * column_stride..][..H]);
    }
}

/// The first `len` elements of `next`, divided among the tiles that are multiplied before they are
/// needed.
fn prefetch_parts(next: &[f32], len: usize, parts: usize) -> std::slice::Chunks<'_, f32> {
    let next = &next[..len.min(next.len())];
    next.chunks(
        len.div_ceil(parts.max(1))
            .next_multiple_of(MAX_LANES)
            .max(MAX_LANES),
    )
}

fn panel_columns(n: usize, panel: usize) -> Range<usize> {
    panel * PANEL_COLUMNS..n.min((panel + 1) * PANEL_COLUMNS)
}

fn panel_width(n: usize, panel: usize) -> usize {
    panel_columns(n, panel).len().next_multiple_of(MAX_LANES)
}

/// Packs a constant left matrix.
struct PackLeft<'a> {
    gemm: &'a PackedGemm,
    a: &'a [f32],
    to: &'a mut [f32],
}

impl SimdTask for PackLeft<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tiles = &self.gemm.tiles;
        self.gemm.pack_rows(simd, self.a, tiles, self.to);
    }
}
