//! Products of matrices.
//!
//! Both matrices are cut into blocks of products of a sum. Of a block, the left matrix is packed in
//! tiles of rows, the right one in panels of columns; a known one once, when the engine is made. A
//! block of a panel stays in the first-level cache while all tiles go by, one after the other from
//! the second-level cache. While a tile is multiplied, what comes next is brought nearer.

use super::walk::{Walk, broadcast_strides};
use super::{ScratchSize, Share, Shared, Written};
use crate::product::{Columns, Tile, Wanted, lines, multiply, tiles};
use crate::simd::{Isa, LONGEST, Simd, Work, load_up_to, store_up_to};
use crate::workspace::{Aligned, Operands, Out, Scratch};
use odin_graph::op;
use std::ops::Range;
use std::sync::Arc;

/// Columns of a panel: as wide as the highest tile of the longest vectors.
const PANEL: usize = 2 * LONGEST;
/// Long sums are formed in blocks of this many products: a block of a panel takes 16 KiB, and one
/// of a tile of 12 rows 6 KiB.
const DEPTH: usize = 128;

/// `alpha · a · b + beta · c` for matrices `a [m, k]` and `b [k, n]`, or for many pairs of them.
/// Operands are `a`, `b` and, if there is an addend, `c`; known ones are not read.
pub(crate) struct Product {
    isa: Isa,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix,
    b: Matrix,
    known: Known,
    /// For each pair, which matrix of each operand.
    pairs: Vec<[usize; 2]>,
    tiles: Vec<Tile>,
    /// Where the rows of a block of a whole panel and of the last begin.
    offsets: [Vec<u32>; 2],
    /// The cache lines of a tile of a panel, of a block of a tile, and of a block of a panel.
    lines: [Vec<u32>; 3],
    alpha: f32,
    addend: Option<Addend>,
}

/// How a matrix lies in memory.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    row_stride: usize,
    column_stride: usize,
}

impl Matrix {
    /// Stored row by row, or column by column.
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
            1 => lines(rows, self.row_stride, columns),
            _ => lines(columns, self.column_stride, rows),
        }
    }
}

/// The operands that were packed beforehand.
#[derive(Clone, Default)]
pub(crate) struct Known {
    rows: Option<Arc<Aligned>>,
    panels: Option<Arc<Aligned>>,
}

/// `beta · c[row · strides[0] + column · strides[1]]`; the strides are those of rows or 0.
struct Addend {
    beta: f32,
    strides: [usize; 2],
}

impl Product {
    /// [`odin_graph::Op::MatMul`], shapes as of one image.
    pub(crate) fn mat_mul(isa: Isa, a: &[usize], b: &[usize], y: &[usize]) -> Self {
        let (rank, k) = (y.len(), a[a.len() - 1]);
        let (mut m, n) = (y[rank - 2], y[rank - 1]);
        let lead = |shape: &[usize]| shape[..shape.len() - 2].to_vec();
        let count = |shape: &[usize]| lead(shape).iter().product::<usize>();
        let mut pairs = Walk::broadcast(&lead(y), [&lead(a), &lead(b)]);
        // Many matrices times one are one long matrix times that.
        if count(b) == 1 && count(a) == count(y) {
            m *= count(y);
            pairs = Walk::broadcast(&[], [&[], &[]]);
        }
        let (a, b) = (Matrix::new(m, k, false), Matrix::new(k, n, false));
        Self::new(isa, [m, n, k], a, b, pairs)
    }

    /// [`odin_graph::Op::Gemm`], shapes as of one image.
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
        let pairs = Walk::broadcast(&[], [&[], &[]]);
        let mut product = Self::new(isa, [m, n, k], a, b, pairs);
        product.alpha = gemm.alpha;
        product.addend = c.map(|c| {
            let strides = broadcast_strides(c, y);
            Addend {
                beta: gemm.beta,
                strides: [strides[0], strides[1]],
            }
        });
        product
    }

    fn new(isa: Isa, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, walk: Walk<2>) -> Self {
        let mut pairs = Vec::new();
        walk.runs(|[i, j]| {
            let [a, b] = walk.strides;
            pairs.extend((0..walk.extent).map(|step| [i + step * a, j + step * b]));
        });
        let offsets = |width| (0..k.min(DEPTH)).map(|k| (k * width) as u32).collect();
        let last = panel_width(n, n.saturating_sub(1) / PANEL);
        let tiles = tiles(isa, m, k);
        let height = tiles.first().map_or(0, |tile| tile.height);
        Self {
            isa,
            m,
            n,
            k,
            a,
            b,
            known: Known::default(),
            pairs,
            tiles,
            lines: [
                Matrix::new(m, n, false).lines(height, PANEL),
                a.lines(height, DEPTH),
                b.lines(DEPTH, PANEL),
            ],
            offsets: [offsets(PANEL), offsets(last)],
            alpha: 1.0,
            addend: None,
        }
    }

    /// Packs what is known of the operands, if it is one matrix; `None` if there is no memory for
    /// it.
    pub(crate) fn pack(&self, a: Option<&[f32]>, b: Option<&[f32]>) -> Option<Known> {
        let mut known = Known::default();
        if let Some(a) = a.filter(|a| a.len() == self.m * self.k) {
            let mut rows = Aligned::zeros(self.m * self.k)?;
            self.isa.run(Pack {
                product: self,
                a,
                to: rows.as_mut_slice(),
            });
            known.rows = Some(Arc::new(rows));
        }
        if let Some(b) = b.filter(|b| b.len() == self.k * self.n) {
            let mut panels = Aligned::zeros(self.panels_len())?;
            for panel in 0..self.panels() {
                let start = self.k * panel * PANEL;
                self.pack_panel(b, panel, &(0..self.k), &mut panels.as_mut_slice()[start..]);
            }
            known.panels = Some(Arc::new(panels));
        }
        Some(known)
    }

    /// What a packed operand depends on, besides the operand.
    pub(crate) fn shape(&self) -> [usize; 3] {
        [self.m, self.n, self.k]
    }

    pub(crate) fn with(mut self, known: Known) -> Self {
        self.known = known;
        self
    }

    fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    fn panels_len(&self) -> usize {
        self.k * self.n.next_multiple_of(LONGEST)
    }

    /// Some rows one after the other, as wide as the panel is in whole vectors.
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

    /// The blocks of a sum. There is one even if nothing is to be added.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let k = self.k;
        let starts = (0..k.max(1)).step_by(DEPTH);
        starts.map(move |first| first..k.min(first + DEPTH))
    }

    /// Where a block of a tile is among the packed rows: the tiles of a block follow each other.
    fn packed_tile(&self, block: &Range<usize>, tile: Tile) -> Range<usize> {
        let start = block.start * self.m + tile.row * block.len();
        start..start + tile.height * block.len()
    }

    /// Packs rows, tile by tile, each column by column.
    #[inline(always)]
    fn pack_rows<S: Simd>(&self, simd: S, a: &[f32], own: &[Tile], to: &mut [f32]) {
        for block in self.blocks() {
            for &tile in own {
                let to = &mut to[self.packed_tile(&block, tile)];
                let a = &a[self.a.at(tile.row, block.start).min(a.len())..];
                self.pack_tile(simd, a, tile.height, to);
            }
        }
    }

    /// Packs `height` rows that begin at `a`, column by column.
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
            (1, _) => {
                let from = a.chunks(column_stride.max(height));
                columns
                    .zip(from)
                    .for_each(|(to, a)| to.copy_from_slice(&a[..height]));
            }
            _ => {
                for (k, to) in columns.enumerate() {
                    let from = a[k * column_stride..].iter().step_by(row_stride);
                    to.iter_mut().zip(from).for_each(|(to, a)| *to = *a);
                }
            }
        }
    }

    /// Whether sums of a block are continued with the next one.
    fn continues(&self) -> bool {
        self.k > DEPTH
    }

    /// Rows of sums that are kept: all, or those of a tile.
    fn sums_rows(&self) -> usize {
        match self.continues() {
            true => self.m,
            false => self.tiles.iter().map(|tile| tile.height).max().unwrap_or(0),
        }
    }

    /// Elements that are packed while the product runs: all tiles, and a block of a panel.
    fn packed_now(&self) -> [usize; 2] {
        let rows = match self.known.rows {
            Some(_) => 0,
            None => (self.m * self.k).next_multiple_of(LONGEST),
        };
        let panel = match self.known.panels {
            Some(_) => 0,
            None => self.k.min(DEPTH) * PANEL,
        };
        [rows, panel]
    }
}

/// Packs `H` rows, a multiple of 4, that are stored row by row, column by column.
#[inline(always)]
fn pack_fours<S: Simd, const H: usize>(simd: S, a: &[f32], row_stride: usize, to: &mut [f32]) {
    let (to, _) = to.as_chunks_mut::<H>();
    for (first, to) in (0..).step_by(S::LANES).zip(to.chunks_mut(S::LANES)) {
        for four in (0..H).step_by(4) {
            let rows: [&[f32]; 4] = std::array::from_fn(|r| {
                let row = &a[(four + r) * row_stride + first..];
                &row[..to.len()]
            });
            let mut columns = [[0.0; 4]; LONGEST];
            // SAFETY: the rows are as long as `to`; the columns hold four vectors.
            #[allow(unsafe_code)]
            unsafe {
                let rows = rows.map(|row| load_up_to(simd, row.len(), row.as_ptr()));
                let to = columns.as_mut_ptr().cast::<f32>();
                for (i, &part) in simd.together(rows).iter().enumerate() {
                    simd.store(to.add(i * S::LANES), part);
                }
            }
            for (to, column) in to.iter_mut().zip(&columns) {
                to[four..four + 4].copy_from_slice(column);
            }
        }
    }
}

/// What is needed after a block, in as many parts as there are tiles to be multiplied until then.
fn ask(next: &[f32], len: usize, parts: usize) -> std::slice::Chunks<'_, f32> {
    let next = &next[..len.min(next.len())];
    next.chunks(
        len.div_ceil(parts.max(1))
            .next_multiple_of(LONGEST)
            .max(LONGEST),
    )
}

fn panel_columns(n: usize, panel: usize) -> Range<usize> {
    panel * PANEL..n.min((panel + 1) * PANEL)
}

fn panel_width(n: usize, panel: usize) -> usize {
    panel_columns(n, panel).len().next_multiple_of(LONGEST)
}

impl Shared for Product {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, scratch: &mut Scratch, share: Share) {
        self.isa.run(Job {
            product: self,
            x,
            y: y.floats,
            scratch: scratch.floats.as_mut_slice(),
            share,
        });
    }

    fn scratch(&self) -> ScratchSize {
        let [rows, panel] = self.packed_now();
        ScratchSize {
            floats: rows + panel + self.sums_rows() * PANEL,
            indices: 0,
        }
    }
}

/// Packs a known left matrix.
struct Pack<'a> {
    product: &'a Product,
    a: &'a [f32],
    to: &'a mut [f32],
}

impl Work for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let tiles = &self.product.tiles;
        self.product.pack_rows(simd, self.a, tiles, self.to);
    }
}

/// A share of a product.
struct Job<'a> {
    product: &'a Product,
    x: &'a Operands<'a>,
    y: Out<'a, f32>,
    scratch: &'a mut [f32],
    share: Share,
}

impl Work for Job<'_> {
    type Output = ();

    /// Threads share the pairs where there are enough, else the panels, else the tiles.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let product = self.product;
        let Product { m, n, k, known, .. } = product;
        let (pairs, panels) = (product.pairs.len(), product.panels());
        let mut own = [Share::WHOLE; 3];
        let axis = [pairs, panels]
            .iter()
            .position(|&units| units >= self.share.count);
        own[axis.unwrap_or(2)] = self.share;
        let tiles = &product.tiles[own[2].of(product.tiles.len())];

        let [rows, panel] = product.packed_now();
        let (rows, rest) = self.scratch.split_at_mut(rows);
        let (panel, sums) = rest.split_at_mut(panel);
        let mut room = Room { rows, panel, sums };
        for index in own[0].of(pairs) {
            let [i, j] = product.pairs[index];
            let mut pair = Pair {
                index,
                a: match &known.rows {
                    Some(_) => &[],
                    None => &self.x.floats(0)[i * m * k..][..m * k],
                },
                are_packed: known.rows.is_some(),
                b: match &known.panels {
                    Some(_) => &[],
                    None => &self.x.floats(1)[j * k * n..][..k * n],
                },
                addend: match product.addend {
                    Some(_) => self.x.floats(2),
                    None => &[],
                },
                y: self.y,
            };
            for panel in own[1].of(panels) {
                product.panel(simd, &pair, panel, tiles, &mut room);
                pair.are_packed = true;
            }
        }
    }
}

/// Two matrices and their product.
struct Pair<'a> {
    index: usize,
    /// The left matrix, unless it is known.
    a: &'a [f32],
    /// Whether its tiles are packed already.
    are_packed: bool,
    /// The right matrix, unless it is known.
    b: &'a [f32],
    addend: &'a [f32],
    /// All products.
    y: Out<'a, f32>,
}

/// The memory of a thread; [`Product::scratch`] has the sizes.
struct Room<'a> {
    /// The left matrix, packed.
    rows: &'a mut [f32],
    /// A block of a panel.
    panel: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Product {
    /// Multiplies tiles with a panel, of which each block is packed first unless it is known.
    #[inline(always)]
    fn panel<S: Simd>(
        &self,
        simd: S,
        pair: &Pair<'_>,
        panel: usize,
        tiles: &[Tile],
        room: &mut Room<'_>,
    ) {
        let width = panel_width(self.n, panel);
        for block in self.blocks() {
            let (packed, next) = match &self.known.panels {
                Some(panels) => {
                    let start = self.k * panel * PANEL + block.start * width;
                    panels.as_slice()[start..].split_at(block.len() * width)
                }
                None => {
                    self.pack_panel(pair.b, panel, &block, room.panel);
                    (&*room.panel, &[][..])
                }
            };
            let columns = Columns {
                b: packed,
                offsets: &self.offsets[usize::from(width != PANEL)][..block.len()],
                first: 0,
                count: width,
                last_offset: block.len().saturating_sub(1) * width,
                continued: block.start > 0,
                soon: [Wanted::NOTHING; 3],
            };
            let is_last = block.end == self.k;
            let mut parts = ask(next, block.len() * width, tiles.len());
            for (index, &tile) in tiles.iter().enumerate() {
                for line in parts.next().unwrap_or_default().chunks(LONGEST) {
                    simd.prefetch_far(line.as_ptr());
                }
                let own = self.packed_tile(&block, tile);
                if !pair.are_packed {
                    let a = &pair.a[self.a.at(tile.row, block.start).min(pair.a.len())..];
                    self.pack_tile(simd, a, tile.height, &mut room.rows[own.clone()]);
                }
                let a = match &self.known.rows {
                    Some(rows) => &rows.as_slice()[own],
                    None => &room.rows[own],
                };
                let sums = match self.continues() {
                    true => &mut room.sums[tile.row * PANEL..],
                    false => &mut *room.sums,
                };
                let mut columns = columns;
                columns.soon = self.soon(pair, panel, &block, tiles, index);
                multiply(simd, tile.height, a, &columns, sums, PANEL);
                if is_last {
                    self.write(simd, pair, panel, tile, sums);
                }
            }
        }
    }

    /// What is needed after a block of a tile of a panel: the output if the block is the last, the
    /// next tile if it is to be packed, and a part of the next block of the right matrix.
    fn soon<'a>(
        &'a self,
        pair: &Pair<'a>,
        panel: usize,
        block: &Range<usize>,
        tiles: &[Tile],
        index: usize,
    ) -> [Wanted<'a>; 3] {
        let [output, rows, columns] = &self.lines;
        let mut soon = [Wanted::NOTHING; 3];
        if block.end == self.k {
            let first = (pair.index * self.m + tiles[index].row) * self.n + panel * PANEL;
            let start = pair.y.start().wrapping_add(first).cast_const();
            soon[0] = Wanted {
                start,
                lines: output,
            };
        }
        if let Some(next) = tiles.get(index + 1).filter(|_| !pair.are_packed) {
            let start = pair.a.as_ptr();
            soon[1] = Wanted {
                start: start.wrapping_add(self.a.at(next.row, block.start)),
                lines: rows,
            };
        }
        if self.known.panels.is_none() {
            let (row, panel) = match block.end == self.k {
                true => (0, panel + 1),
                false => (block.end, panel),
            };
            let start = pair.b.as_ptr();
            let part = columns.len().div_ceil(tiles.len()).max(1);
            soon[2] = Wanted {
                start: start.wrapping_add(self.b.at(row, panel * PANEL)),
                lines: columns.chunks(part).nth(index).unwrap_or_default(),
            };
        }
        soon
    }

    /// Writes a tile of a panel, with what it is to be added to.
    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, pair: &Pair<'_>, panel: usize, tile: Tile, sums: &[f32]) {
        let columns = panel_columns(self.n, panel);
        let alpha = simd.splat(self.alpha);
        for (r, sums) in sums.chunks_exact(PANEL).take(tile.height).enumerate() {
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

impl Addend {
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
