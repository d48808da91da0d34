//! Convolutions of 3x3 windows that move by single steps, and their adjoints, in fewer
//! multiplications: S. Winograd's minimal filtering, as A. Lavin and S. Gray apply it to layers of
//! neural networks (*Fast Algorithms for Convolutional Neural Networks*, CVPR 2016).
//!
//! The output is cut into tiles of `M x M`. What a tile meets, `N x N` elements with `N = M + 2`,
//! is transformed; so is the window, beforehand. In each of the `N · N` places of the transforms a
//! layer is then a product of matrices, weights times tiles, and the transform of the sums is the
//! output: `N² / M²` multiplications for each, 4 or 2.25, instead of 9.
//!
//! The transforms are those of polynomials at `N - 1` points and infinity. Points of about the
//! same size on both sides of 1 keep rounding errors small; docs/engine.md has measurements.

use super::conv::Kind;
use super::{Image, ScratchSize, Share, Shared, Written};
use crate::options::{self, Options};
use crate::pointwise::{Bound, Pointwise, Runs, Strided};
use crate::product::{Columns, Packed, Tile, multiply};
use crate::simd::{Isa, LONGEST, Simd, Work, store_up_to};
use crate::workspace::{Operands, Scratch};
use std::ops::Range;
use std::sync::Arc;

/// How many elements the transformed input of a block may have, and its sums: 3 MiB. Of these, one
/// place after the other is in the second-level cache.
const TRANSFORMED: usize = 6 << 17;
/// Of so many weights each thread had better read its own: 1.5 MiB.
const MANY: usize = 3 << 17;
/// The most tiles that are computed at a time.
const TILES: usize = 128;

/// The most images that are computed at a time.
const IMAGES: usize = 4;

/// The extent of the window.
const WINDOW: usize = 3;

/// See the module.
pub(crate) struct Winograd {
    isa: Isa,
    size: Size,
    rows: Line,
    columns: Line,
    inner: usize,
    outer: usize,
    /// Rows of tiles that make whole groups of signs.
    unit: usize,
    /// The most units that are computed at a time, of one image or of several.
    units: usize,
    /// Of each place of the transforms.
    weights: Arc<Packed>,
    /// Where the tiles of each channel begin.
    offsets: Vec<u32>,
    /// Applied to the output.
    pub(crate) after: Pointwise,
}

/// Which tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// 2x2.
    Two,
    /// 4x4.
    Four,
}

impl Size {
    /// The extent of a tile.
    fn tile(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// The extent of what a tile meets.
    fn met(self) -> usize {
        self.tile() + WINDOW - 1
    }
}

/// Whether an operator is a convolution of 3x3 windows by single steps, or the adjoint of one.
/// Shapes of one image.
fn is_possible(kind: &Kind, x: &[usize], y: &[usize]) -> bool {
    let (window, groups) = kind.window();
    let is_narrow = |&pad: &usize| pad < WINDOW;
    groups == 1
        && window.kernel == [WINDOW; 2]
        && window.strides == [1; 2]
        && window.dilations == [1; 2]
        && (matches!(kind, Kind::Conv(_)) || window.pads_begin.iter().all(is_narrow))
        && x.iter().chain(y).all(|&extent| extent > 0)
}

/// The tiles for which the method is faster than direct multiplication, if any, by the shapes of
/// one image: the transforms must be small beside the products, and the tiles many enough that
/// reading the weights, of which there are 1.8 or 4 times as many, does not take longer than the
/// products. Measured by `cargo run --release --example winograd`.
fn faster(x: &[usize], y: &[usize]) -> Option<Size> {
    let (channels, extent) = (x[1].min(y[1]), [y[2], y[3]]);
    let tiles = |size: Size| {
        extent
            .map(|e| e.div_ceil(size.tile()))
            .iter()
            .product::<usize>()
    };
    let (two, four) = (tiles(Size::Two), tiles(Size::Four));
    // Tiles that reach beyond the output are computed in vain.
    let is_covered = 5 * extent[0] * extent[1] >= 4 * four * 16;
    if channels >= 32 && four >= 16 && channels * four >= 1024 && is_covered {
        return Some(Size::Four);
    }
    (channels >= 64 && two >= 16 && channels * two >= 2048).then_some(Size::Two)
}

/// One spatial axis: output `t` meets input `t - pad + k`, for the entries `k` of the window.
#[derive(Debug, Clone, Copy)]
struct Line {
    input: usize,
    output: usize,
    pad: usize,
    tiles: usize,
}

/// The transforms of a line, of `M` outputs that meet `N` inputs.
trait Filter<const M: usize, const N: usize> {
    fn window(w: [f64; WINDOW]) -> [f64; N];
    fn input<S: Simd>(simd: S, x: [S::Vector; N]) -> [S::Vector; N];
    fn output<S: Simd>(simd: S, sums: [S::Vector; N]) -> [S::Vector; M];
}

/// The points 0, 1 and -1.
struct Two;

impl Filter<2, 4> for Two {
    fn window([a, b, c]: [f64; WINDOW]) -> [f64; 4] {
        [-a, (a + b + c) / 2.0, (a - b + c) / 2.0, c]
    }

    #[inline(always)]
    fn input<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 4] {
        [
            simd.sub(c, a),
            simd.add(c, b),
            simd.sub(c, b),
            simd.sub(d, b),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 2] {
        let (even, odd) = (simd.add(b, c), simd.sub(b, c));
        [simd.add(a, even), simd.add(odd, d)]
    }
}

/// The points 0, `P`, `-P`, `Q` and `-Q`.
struct Four;

impl Four {
    const P: f64 = 0.625;
    const Q: f64 = 1.5;
}

impl Filter<4, 6> for Four {
    fn window([a, b, c]: [f64; WINDOW]) -> [f64; 6] {
        let (p2, q2) = (Self::P * Self::P, Self::Q * Self::Q);
        let at = |point: f64, norm: f64| (a + b * point + c * point * point) / norm;
        let (p, q) = (2.0 * p2 * (p2 - q2), 2.0 * q2 * (q2 - p2));
        [
            a / (p2 * q2),
            at(Self::P, p),
            at(-Self::P, p),
            at(Self::Q, q),
            at(-Self::Q, q),
            c,
        ]
    }

    #[inline(always)]
    fn input<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 6] {
        let (p, q) = (Self::P, Self::Q);
        let by = |x: f64| simd.splat(x as f32);
        let (less_p2, less_q2) = (by(-p * p), by(-q * q));
        let (product, less_sum) = (by(p * p * q * q), by(-p * p - q * q));
        let even_p = simd.mul_add(less_q2, c, e);
        let odd_p = simd.mul(by(p), simd.mul_add(less_q2, b, d));
        let even_q = simd.mul_add(less_p2, c, e);
        let odd_q = simd.mul(by(q), simd.mul_add(less_p2, b, d));
        [
            simd.mul_add(product, a, simd.mul_add(less_sum, c, e)),
            simd.add(even_p, odd_p),
            simd.sub(even_p, odd_p),
            simd.add(even_q, odd_q),
            simd.sub(even_q, odd_q),
            simd.mul_add(product, b, simd.mul_add(less_sum, d, f)),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, [a, b, c, d, e, f]: [S::Vector; 6]) -> [S::Vector; 4] {
        let (p, q) = (Self::P, Self::Q);
        let by = |x: f64| simd.splat(x as f32);
        let (even_p, odd_p) = (simd.add(b, c), simd.sub(b, c));
        let (even_q, odd_q) = (simd.add(d, e), simd.sub(d, e));
        [
            simd.add(a, simd.add(even_p, even_q)),
            simd.mul_add(by(p), odd_p, simd.mul(by(q), odd_q)),
            simd.mul_add(by(p * p), even_p, simd.mul(by(q * q), even_q)),
            simd.mul_add(by(p * p * p), odd_p, simd.mul_add(by(q * q * q), odd_q, f)),
        ]
    }
}

impl Winograd {
    /// The operator by the method that the options ask for; `None` where that is not this one.
    pub(crate) fn choose(options: Options, kind: &Kind, x: &[usize], y: &[usize]) -> Option<Self> {
        let size = match options.winograd {
            options::Winograd::Never => return None,
            _ if !is_possible(kind, x, y) => return None,
            options::Winograd::Tiles2 => Size::Two,
            options::Winograd::Tiles4 => Size::Four,
            options::Winograd::Auto => faster(x, y)?,
        };
        let winograd = Self::new(options.instructions.0, kind, size, x, y)?;
        // Rows may be too long.
        let is_small = winograd.places() * winograd.plane() <= 2 * TRANSFORMED;
        (is_small || options.winograd != options::Winograd::Auto).then_some(winograd)
    }

    /// Shapes of one image, `[1, C, H, W]`, of an operator for which it [`is_possible`]; `None`
    /// where the image is too large.
    fn new(isa: Isa, kind: &Kind, size: Size, x: &[usize], y: &[usize]) -> Option<Self> {
        let window = kind.window().0;
        let line = |axis: usize| {
            let before = window.pads_begin[axis];
            let pad = match kind {
                Kind::Conv(_) => Some(before),
                Kind::Adjoint(_) => (WINDOW - 1).checked_sub(before),
            };
            Some(Line {
                input: x[axis + 2],
                output: y[axis + 2],
                pad: pad?,
                tiles: y[axis + 2].div_ceil(size.tile()),
            })
        };
        let mut winograd = Self {
            isa,
            size,
            rows: line(0)?,
            columns: line(1)?,
            inner: x[1],
            outer: y[1],
            unit: 1,
            units: 1,
            weights: Arc::default(),
            offsets: Vec::new(),
            after: Pointwise::default(),
        };
        winograd.unit = winograd.rows_of_whole_signs().div_ceil(size.tile());
        winograd.units = winograd.units_at_a_time();
        let stride = winograd.stride();
        u32::try_from(winograd.inner.checked_mul(stride)?).ok()?;
        winograd.offsets = (0..winograd.inner).map(|c| (c * stride) as u32).collect();
        Some(winograd)
    }

    /// As it is called behind the name of the operator.
    pub(crate) fn name(&self) -> &'static str {
        match self.size {
            Size::Two => " by winograd 2x2",
            Size::Four => " by winograd 4x4",
        }
    }

    /// With weights that [`Winograd::pack`] has packed.
    pub(crate) fn with(mut self, weights: Arc<Packed>) -> Self {
        self.weights = weights;
        self
    }

    /// Transforms and packs the weights; `None` if there is no memory for them.
    pub(crate) fn pack(&self, kind: &Kind, w: &[f32]) -> Option<Packed> {
        match self.size {
            Size::Two => self.pack_for::<Two, 2, 4>(kind, w),
            Size::Four => self.pack_for::<Four, 4, 6>(kind, w),
        }
    }

    fn pack_for<F: Filter<M, N>, const M: usize, const N: usize>(
        &self,
        kind: &Kind,
        w: &[f32],
    ) -> Option<Packed> {
        let weights = |out: usize, channel: usize, places: &mut [f32]| {
            let entry = |r: usize, c: usize| {
                let (kernel, entry) = match kind {
                    Kind::Conv(_) => (out * self.inner + channel, r * WINDOW + c),
                    // The window of the adjoint is read backwards.
                    Kind::Adjoint(_) => (
                        channel * self.outer + out,
                        WINDOW * WINDOW - 1 - (r * WINDOW + c),
                    ),
                };
                f64::from(w[kernel * WINDOW * WINDOW + entry])
            };
            let lines: [[f64; N]; WINDOW] =
                std::array::from_fn(|r| F::window(std::array::from_fn(|c| entry(r, c))));
            for column in 0..N {
                let whole = F::window(std::array::from_fn(|r| lines[r][column]));
                for (row, &weight) in whole.iter().enumerate() {
                    places[row * N + column] = weight as f32;
                }
            }
        };
        Packed::several(self.isa, [self.outer, self.inner], N * N, weights)
    }

    /// The fewest rows of the output that make whole groups of signs.
    fn rows_of_whole_signs(&self) -> usize {
        let common = 1 << self.columns.output.trailing_zeros();
        LONGEST / LONGEST.min(common)
    }

    fn units_per_image(&self) -> usize {
        self.rows.tiles.div_ceil(self.unit)
    }

    fn unit_tiles(&self) -> usize {
        self.unit.min(self.rows.tiles) * self.columns.tiles
    }

    fn units_at_a_time(&self) -> usize {
        let fits = TRANSFORMED / (self.places() * self.inner.max(1));
        (fits.min(TILES) / self.unit_tiles()).max(1)
    }

    /// Places of the transforms.
    fn places(&self) -> usize {
        self.size.met() * self.size.met()
    }

    /// The tiles of a block in whole vectors.
    fn stride(&self) -> usize {
        (self.units * self.unit_tiles()).next_multiple_of(LONGEST)
    }

    /// From one place of the transformed input to the next: not a multiple of what separates
    /// lines that compete for a place in a cache.
    fn plane(&self) -> usize {
        self.inner * self.stride() + LONGEST
    }

    fn height(&self) -> usize {
        let heights = self.weights.tiles().iter().map(|tile| tile.height);
        heights.max().unwrap_or(0)
    }

    /// From one place of the sums of some channels to the next.
    fn sums_plane(&self) -> usize {
        self.outer * self.stride() + LONGEST
    }

    /// Elements of a channel of a piece of the output.
    fn piece_stride(&self) -> usize {
        let rows = self.units * self.unit * self.size.tile();
        (rows * self.columns.output).next_multiple_of(LONGEST)
    }

    /// Rows of tiles of a piece at most, and one more.
    fn phase_rows(&self) -> usize {
        (self.units * self.unit).min(self.rows.tiles) + 1
    }

    /// Elements of a phase of the padded input, see [`Room`].
    fn phase(&self) -> usize {
        self.phase_rows() * (self.columns.tiles + 1) + 2 * LONGEST
    }

    fn room(&self) -> [usize; 5] {
        let tile = self.size.tile();
        let tail = LONGEST;
        [
            tile * tile * self.phase(),
            tile * tile * self.phase(),
            self.places() * self.plane() + tail,
            self.places() * self.sums_plane() + tail,
            self.height() * self.piece_stride(),
        ]
    }
}

impl Shared for Winograd {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, scratch: &mut Scratch, share: Share) {
        self.run_images(&[Image { x: *x, y }], scratch, share);
    }

    fn run_images(&self, images: &[Image<'_>], scratch: &mut Scratch, share: Share) {
        self.isa.run(Job {
            winograd: self,
            images,
            scratch: scratch.floats.as_mut_slice(),
            share,
        });
    }

    fn images_at_a_time(&self) -> usize {
        (self.units / self.units_per_image()).clamp(1, IMAGES)
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.room().iter().sum(),
            indices: 0,
        }
    }
}

/// A share of a convolution of some images.
struct Job<'a> {
    winograd: &'a Winograd,
    images: &'a [Image<'a>],
    scratch: &'a mut [f32],
    share: Share,
}

/// Some rows of tiles of an image, and where the first tile lies among those of a block.
struct Piece {
    image: usize,
    tile_rows: Range<usize>,
    first: usize,
}

/// The memory of a block.
struct Room<'a> {
    /// What a piece meets of a channel, with its padding, its rows sorted by their number modulo
    /// `M`.
    padded: &'a mut [f32],
    /// The same with columns sorted like that, too: neighbouring tiles meet neighbouring elements.
    phases: &'a mut [f32],
    transformed: &'a mut [f32],
    sums: &'a mut [f32],
    piece: &'a mut [f32],
}

impl Work for Job<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.winograd.size {
            Size::Two => self.compute::<S, Two, 2, 4>(simd),
            Size::Four => self.compute::<S, Four, 4, 6>(simd),
        }
    }
}

impl Job<'_> {
    /// Threads share the channels of the output where the weights are many, so that each reads
    /// its own; else the units, if there are enough.
    #[inline(always)]
    fn compute<S: Simd, F: Filter<M, N>, const M: usize, const N: usize>(self, simd: S) {
        let Job {
            winograd,
            images,
            share,
            ..
        } = self;
        let units = images.len() * winograd.units_per_image();
        let many_weights = winograd.outer * winograd.inner * N * N > MANY;
        let [own_units, own_channels] = match many_weights || units < share.count {
            true => [Share::WHOLE, share],
            false => [share, Share::WHOLE],
        };
        let tiles = winograd.weights.tiles();
        let tiles = &tiles[own_channels.of(tiles.len())];
        let own = own_units.of(units);
        let bound: Vec<Bound<'_>> = images.iter().map(|image| winograd.bind(image)).collect();

        let [padded, phases, transformed, sums, _] = winograd.room();
        let (padded, rest) = self.scratch.split_at_mut(padded);
        let (phases, rest) = rest.split_at_mut(phases);
        let (transformed, rest) = rest.split_at_mut(transformed);
        let (sums, piece) = rest.split_at_mut(sums);
        let mut room = Room {
            padded,
            phases,
            transformed,
            sums,
            piece,
        };
        let blocks = Share {
            index: 0,
            count: own.len().div_ceil(winograd.units),
        };
        for index in 0..blocks.count {
            let block = Share { index, ..blocks }.of(own.len());
            let pieces = winograd.pieces(own.start + block.start..own.start + block.end);
            let columns =
                pieces.iter().map(|p| p.tile_rows.len()).sum::<usize>() * winograd.columns.tiles;
            for channel in 0..winograd.inner {
                for piece in &pieces {
                    let x = images[piece.image].x.floats(0);
                    winograd.transform_input::<S, F, M, N>(simd, x, channel, piece, &mut room);
                }
            }
            winograd.multiply(simd, tiles, columns, &mut room);
            for &tile in tiles {
                for piece in &pieces {
                    winograd.transform_output::<S, F, M, N>(simd, tile, piece, &mut room);
                    winograd.finish(
                        &images[piece.image],
                        &bound[piece.image],
                        tile,
                        piece,
                        &room,
                    );
                }
            }
        }
    }
}

impl Winograd {
    fn bind<'a>(&'a self, image: &Image<'a>) -> Bound<'a> {
        let plane = self.rows.output * self.columns.output;
        self.after
            .bind(self.isa, &image.x, image.y.after, [self.outer, plane])
    }

    /// The pieces of some units of all images.
    fn pieces(&self, units: Range<usize>) -> Vec<Piece> {
        let (of_image, mut unit, mut first) = (self.units_per_image(), units.start, 0);
        let mut pieces = Vec::new();
        while unit < units.end {
            let (image, start) = (unit / of_image, unit % of_image);
            let count = (of_image - start).min(units.end - unit);
            let rows = start * self.unit..self.rows.tiles.min((start + count) * self.unit);
            let tiles = rows.len() * self.columns.tiles;
            pieces.push(Piece {
                image,
                tile_rows: rows,
                first,
            });
            (unit, first) = (unit + count, first + tiles);
        }
        pieces
    }

    /// Copies what a piece meets of a channel into `room.phases`.
    #[inline(always)]
    fn sort_phases<S: Simd, const M: usize>(
        &self,
        simd: S,
        x: &[f32],
        tile_rows: &Range<usize>,
        room: &mut Room<'_>,
    ) {
        let (height, width) = (self.rows.input, self.columns.input);
        let row = M * (self.columns.tiles + 1);
        let own = self.columns.pad.min(row)..(self.columns.pad + width).min(row);
        assert!(own.len() <= width && x.len() == height * width);
        for line in 0..M * (tile_rows.len() + 1) {
            let at = line % M * M * self.phase() + line / M * row;
            let to = &mut room.padded[at..][..row];
            let from = (M * tile_rows.start + line).checked_sub(self.rows.pad);
            let Some(from) = from.filter(|&from| from < height) else {
                to.iter_mut().for_each(|to| *to = 0.0);
                continue;
            };
            super::conv::copy_row(simd, &x[from * width..][..own.len()], 1, &own, to);
        }
        let count = (tile_rows.len() + 1) * (self.columns.tiles + 1);
        let vectors = count.div_ceil(S::LANES);
        assert!(vectors * S::LANES <= self.phase());
        assert!(room.padded.len() >= M * M * self.phase());
        assert!(room.phases.len() >= M * M * self.phase());
        for row_phase in 0..M {
            for vector in 0..vectors {
                let first = vector * S::LANES;
                // SAFETY: of `M` phases each, `M` times as many elements are read as are written
                // to each; both arrays hold them, by the assertions.
                #[allow(unsafe_code)]
                unsafe {
                    let from = room
                        .padded
                        .as_ptr()
                        .add(M * (row_phase * self.phase() + first));
                    let sorted = simd.load_apart::<M>(from);
                    for (column_phase, &sorted) in sorted.iter().enumerate() {
                        let at = (row_phase * M + column_phase) * self.phase() + first;
                        simd.store(room.phases.as_mut_ptr().add(at), sorted);
                    }
                }
            }
        }
    }

    /// Transforms what a piece meets of a channel.
    #[inline(always)]
    fn transform_input<S: Simd, F: Filter<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        x: &[f32],
        channel: usize,
        piece: &Piece,
        room: &mut Room<'_>,
    ) {
        let plane = self.rows.input * self.columns.input;
        let x = &x[channel * plane..][..plane];
        self.sort_phases::<S, M>(simd, x, &piece.tile_rows, room);
        let (tiles, row, phase) = (self.columns.tiles, self.columns.tiles + 1, self.phase());
        let last = piece.tile_rows.len() * row + tiles + S::LANES;
        assert!(last <= phase && room.phases.len() >= M * M * phase);
        let to = channel * self.stride() + piece.first;
        let end = (N * N - 1) * self.plane() + to + piece.tile_rows.len() * tiles;
        assert!(end <= room.transformed.len());
        for tile_row in 0..piece.tile_rows.len() {
            for tile in (0..tiles).step_by(S::LANES) {
                let from = tile_row * row + tile;
                let to = to + tile_row * tiles + tile;
                // SAFETY: the furthest vector that is read begins a row and a tile further in the
                // last phase, and ends inside of it, by the first assertion. What is written are
                // the tiles of a row, inside by the second one.
                #[allow(unsafe_code)]
                unsafe {
                    let from = room.phases.as_ptr().add(from);
                    let to = room.transformed.as_mut_ptr().add(to);
                    let n = tiles - tile;
                    let mut columns = [[simd.splat(0.0); N]; N];
                    for (j, column) in columns.iter_mut().enumerate() {
                        let met = load_column::<S, M, N>(simd, from, j, row, phase);
                        *column = F::input(simd, met);
                    }
                    for i in 0..N {
                        let mut line = [simd.splat(0.0); N];
                        for (x, column) in line.iter_mut().zip(&columns) {
                            *x = column[i];
                        }
                        let line = F::input(simd, line);
                        for (j, &place) in line.iter().enumerate() {
                            let to = to.add((i * N + j) * self.plane());
                            store_up_to(simd, n, to, place);
                        }
                    }
                }
            }
        }
    }

    /// The products in all places.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, tiles: &[Tile], count: usize, room: &mut Room<'_>) {
        for place in 0..self.places() {
            let columns = Columns {
                b: room.transformed,
                offsets: &self.offsets,
                first: place * self.plane(),
                count,
                last_offset: self.inner.saturating_sub(1) * self.stride(),
            };
            for &tile in tiles {
                let sums = &mut room.sums[place * self.sums_plane() + tile.row * self.stride()..];
                let weights = &self.weights.tile_of(place, tile);
                multiply(simd, tile.height, weights, &columns, sums, self.stride());
            }
        }
    }

    /// Transforms the sums of a piece, and puts the rows of its output one after the other.
    #[inline(always)]
    fn transform_output<S: Simd, F: Filter<M, N>, const M: usize, const N: usize>(
        &self,
        simd: S,
        tile: Tile,
        piece: &Piece,
        room: &mut Room<'_>,
    ) {
        let (tiles, width) = (self.columns.tiles, self.columns.output);
        let rows = self.output_rows(&piece.tile_rows);
        let plane = self.sums_plane();
        let last = piece.first + piece.tile_rows.len() * tiles + S::LANES;
        let end = (N * N - 1) * plane + (tile.row + tile.height - 1) * self.stride() + last;
        assert!(tile.height > 0 && end <= room.sums.len());
        assert!(rows.len() * width <= self.piece_stride());
        assert!(tile.height * self.piece_stride() <= room.piece.len());
        for channel in 0..tile.height {
            for tile_row in 0..piece.tile_rows.len() {
                for first in (0..tiles).step_by(S::LANES) {
                    let row = (tile.row + channel) * self.stride();
                    let at = row + piece.first + tile_row * tiles + first;
                    let own = (rows.len() - M * tile_row).min(M);
                    let n = (width - M * first).min(M * S::LANES);
                    let to = channel * self.piece_stride() + M * tile_row * width + M * first;
                    // SAFETY: the last vector that is read ends inside of the sums, by the first
                    // assertion. What is written lies in rows of the piece: of `own` rows those
                    // `n` elements from column `M · first` that there are.
                    #[allow(unsafe_code)]
                    unsafe {
                        let from = room.sums.as_ptr().add(at);
                        let to = room.piece.as_mut_ptr().add(to);
                        let mut columns = [[simd.splat(0.0); M]; N];
                        for (j, column) in columns.iter_mut().enumerate() {
                            let mut sums = [simd.splat(0.0); N];
                            for (i, sum) in sums.iter_mut().enumerate() {
                                *sum = simd.load(from.add((i * N + j) * plane));
                            }
                            *column = F::output(simd, sums);
                        }
                        for i in 0..own {
                            let mut line = [simd.splat(0.0); N];
                            for (x, column) in line.iter_mut().zip(&columns) {
                                *x = column[i];
                            }
                            let line = F::output(simd, line);
                            store_together(simd, line, n, to.add(i * width));
                        }
                    }
                }
            }
        }
    }

    fn output_rows(&self, tile_rows: &Range<usize>) -> Range<usize> {
        let size = self.size.tile();
        tile_rows.start * size..self.rows.output.min(tile_rows.end * size)
    }

    /// Applies what comes after the convolution to a piece of some channels.
    fn finish(
        &self,
        image: &Image<'_>,
        after: &Bound<'_>,
        tile: Tile,
        piece: &Piece,
        room: &Room<'_>,
    ) {
        let (rows, width) = (self.output_rows(&piece.tile_rows), self.columns.output);
        let plane = self.rows.output * width;
        let runs = Runs {
            channels: tile.row..tile.row + tile.height,
            first: rows.start * width,
            len: rows.len() * width,
        };
        let start = tile.row * plane + runs.first;
        let y = image.y.floats;
        assert!(y.len() == self.outer * plane && runs.len <= self.piece_stride());
        assert!(tile.height * self.piece_stride() <= room.piece.len());
        // SAFETY: both hold the runs, by the assertions; the piece or the channels of the tile are
        // this thread's own.
        #[allow(unsafe_code)]
        unsafe {
            let from = Strided::new(room.piece.as_ptr(), self.piece_stride());
            let to = Strided::new(y.start().wrapping_add(start), plane);
            after.apply(runs, from, to);
        }
    }
}

/// Column `j` of what a vector of tiles meets.
///
/// # Safety
/// Of each of the `M · M` phases, a vector is valid for reading at `from`, and one `row + 1`
/// further.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn load_column<S: Simd, const M: usize, const N: usize>(
    simd: S,
    from: *const f32,
    j: usize,
    row: usize,
    phase: usize,
) -> [S::Vector; N] {
    let mut column = [simd.splat(0.0); N];
    for (i, x) in column.iter_mut().enumerate() {
        let at = (i % M * M + j % M) * phase + i / M * row + j / M;
        // SAFETY: by the contract; `N` is less than twice `M`, or twice it.
        *x = unsafe { simd.load(from.add(at)) };
    }
    column
}

/// The first `n` of the elements of `M` vectors, taken in turns.
///
/// # Safety
/// `to` is valid for writing `n` elements.
#[allow(unsafe_code)]
#[inline(always)]
unsafe fn store_together<S: Simd, const M: usize>(
    simd: S,
    line: [S::Vector; M],
    n: usize,
    to: *mut f32,
) {
    for (i, &part) in simd.together(line).iter().enumerate() {
        let first = i * S::LANES;
        if first < n {
            // SAFETY: by the contract.
            unsafe { store_up_to(simd, n - first, to.add(first), part) };
        }
    }
}
