//! 3x3 convolutions of stride 1, and their adjoints, by S. Winograd's minimal filtering, as A.
//! Lavin and S. Gray apply it to convolutional layers (*Fast Algorithms for Convolutional Neural
//! Networks*, CVPR 2016).
//!
//! The output is cut into tiles of `M x M`. The receptive field of a tile, an input tile of `N x N`
//! elements with `N = M + 2`, is transformed; so is the window, when weights are packed. At each of
//! the `N · N` points of the transforms a layer is then a matrix product, weights times tiles, and
//! the inverse transform of the sums is the output: `N² / M²` multiplications per output and
//! channel, 4 or 2.25, instead of 9.
//!
//! `transform` has the transforms, `deinterleave` gathers input tiles into vectors, `tiles`
//! executes.

mod deinterleave;
mod tiles;
mod transform;

use crate::kernels::conv::op::ConvOp;
use crate::kernels::epilogue::Epilogue;
use crate::kernels::gemm::packing::PackedMatrix;
use crate::options::{self, Options};
use crate::simd::{Isa, MAX_LANES};
use deinterleave::Deinterleave;
use std::sync::Arc;
use transform::{Four, Transform, Two};

/// The most elements of a block's transformed input, and of its sums: 3 MiB. One point of each fits
/// the second-level cache.
const TRANSFORMED_ELEMENTS: usize = 6 << 17;
/// With more weights than this each thread reads its own: 1.5 MiB.
const MANY_WEIGHTS: usize = 3 << 17;
/// The time to transform a vector of tiles of a channel, in units of the time to multiply it with
/// the weights of one channel.
const TRANSFORM_COST: usize = 24;
/// The most tiles of a block.
const MAX_TILES: usize = 128;

/// The fewest channels, of the input or the output, for which the method is faster.
const MIN_CHANNELS: usize = 12;
/// From so many channels on, the products take longer than the transforms.
const WIDE: usize = 32;
/// The extent of the window.
const WINDOW: usize = 3;

/// A Winograd convolution, specialised to a shape.
pub(crate) struct Winograd {
    isa: Isa,
    size: TileSize,
    rows: SpatialAxis,
    columns: SpatialAxis,
    inner: usize,
    outer: usize,
    /// Rows of tiles whose sign bits are whole groups.
    unit: usize,
    /// The most units of a block, of one image or of several.
    units: usize,
    /// One matrix per point of the transforms.
    pub(crate) weights: Arc<PackedMatrix>,
    /// The offset of each channel's tiles.
    offsets: Vec<u32>,
    deinterleave: Deinterleave,
    pub(crate) epilogue: Epilogue,
}

/// The extent of the tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileSize {
    /// 2x2.
    Two,
    /// 4x4.
    Four,
}

impl TileSize {
    /// The extent of an output tile.
    fn tile(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// The extent of an input tile: the receptive field of an output tile.
    fn input_extent(self) -> usize {
        self.tile() + WINDOW - 1
    }
}

/// Whether an operator is a 3x3 convolution of stride 1, or the adjoint of one. Shapes of one
/// image.
fn is_possible(op: &ConvOp, x: &[usize], y: &[usize]) -> bool {
    let (window, groups) = op.window();
    let is_narrow = |&pad: &usize| pad < WINDOW;
    groups == 1
        && window.kernel == [WINDOW; 2]
        && window.strides == [1; 2]
        && window.dilations == [1; 2]
        && (matches!(op, ConvOp::Forward(_)) || window.pads_begin.iter().all(is_narrow))
        && x.iter().chain(y).all(|&extent| extent > 0)
}

/// The tile size for which the method is faster than direct convolution, if any, by the shapes of
/// one image: the transforms must be small beside the products, and the tiles must fill a vector.
/// Measured by `cargo run --release --example winograd`.
fn faster(x: &[usize], y: &[usize]) -> Option<TileSize> {
    let (channels, extent) = (x[1].min(y[1]), [y[2], y[3]]);
    let tiles = |size: TileSize| {
        let along = extent.map(|e| e.div_ceil(size.tile()));
        along[0] * along[1]
    };
    let (two, four) = (tiles(TileSize::Two), tiles(TileSize::Four));
    // Computation of tiles that extend beyond the output is wasted.
    let is_covered = 4 * extent[0] * extent[1] >= 3 * four * 16;
    // 2x2 tiles are as fast where 4x4 tiles fill one vector only, and threads can share them.
    let is_alone = channels < WIDE && four == MAX_LANES;
    if channels >= MIN_CHANNELS && four >= MAX_LANES && is_covered && !is_alone {
        return Some(TileSize::Four);
    }
    (channels >= MIN_CHANNELS && two >= MAX_LANES).then_some(TileSize::Two)
}

/// One spatial axis: output `t` reads input `t - pad + k`, for the taps `k` of the window.
#[derive(Debug, Clone, Copy)]
struct SpatialAxis {
    input: usize,
    output: usize,
    pad: usize,
    tiles: usize,
}

impl Winograd {
    /// The operator by the method that the options select; `None` if that is not this one.
    pub(crate) fn choose(options: Options, op: &ConvOp, x: &[usize], y: &[usize]) -> Option<Self> {
        let size = match options.winograd {
            options::Winograd::Never => return None,
            _ if !is_possible(op, x, y) => return None,
            options::Winograd::Tiles2 => TileSize::Two,
            options::Winograd::Tiles4 => TileSize::Four,
            options::Winograd::Auto => faster(x, y)?,
        };
        let mut winograd = Self::new(options.instructions.0, op, size, x, y)?;
        // Rows of tiles may be too long for a block.
        let is_small = winograd.points() * winograd.plane() <= 2 * TRANSFORMED_ELEMENTS;
        if !is_small && options.winograd == options::Winograd::Auto {
            return None;
        }
        winograd.deinterleave = Deinterleave::new(
            winograd.isa,
            size,
            &winograd.columns,
            winograd.tile_rows() + 1,
        );
        Some(winograd)
    }

    /// Shapes of one image, `[1, C, H, W]`, of an operator for which the method [`is_possible`];
    /// `None` if the image is too large.
    fn new(isa: Isa, op: &ConvOp, size: TileSize, x: &[usize], y: &[usize]) -> Option<Self> {
        let window = op.window().0;
        let line = |axis: usize| {
            let before = window.pads_begin[axis];
            let pad = match op {
                ConvOp::Forward(_) => Some(before),
                ConvOp::Adjoint(_) => (WINDOW - 1).checked_sub(before),
            };
            Some(SpatialAxis {
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
            deinterleave: Deinterleave::default(),
            epilogue: Epilogue::default(),
        };
        winograd.unit = winograd.rows_of_whole_signs().div_ceil(size.tile());
        winograd.units = winograd.units_at_a_time();
        let stride = winograd.stride();
        u32::try_from(winograd.inner.checked_mul(stride)?).ok()?;
        winograd.offsets = (0..winograd.inner).map(|c| (c * stride) as u32).collect();
        Some(winograd)
    }

    /// The suffix that describes the method.
    pub(crate) fn name(&self) -> &'static str {
        match self.size {
            TileSize::Two => " by winograd 2x2",
            TileSize::Four => " by winograd 4x4",
        }
    }

    /// Transforms and packs the weights; `None` if memory is exhausted.
    pub(crate) fn pack(&self, op: &ConvOp, w: &[f32]) -> Option<PackedMatrix> {
        match self.size {
            TileSize::Two => self.pack_for::<Two, 2, 4>(op, w),
            TileSize::Four => self.pack_for::<Four, 4, 6>(op, w),
        }
    }

    fn pack_for<F: Transform<M, N>, const M: usize, const N: usize>(
        &self,
        op: &ConvOp,
        w: &[f32],
    ) -> Option<PackedMatrix> {
        let weights = |out: usize, channel: usize, points: &mut [f32]| {
            let entry = |r: usize, c: usize| {
                let (kernel, entry) = match op {
                    ConvOp::Forward(_) => (out * self.inner + channel, r * WINDOW + c),
                    // The adjoint's window is reversed.
                    ConvOp::Adjoint(_) => (
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
                    points[row * N + column] = weight as f32;
                }
            }
        };
        PackedMatrix::pack_batch(self.isa, [self.outer, self.inner], N * N, weights)
    }

    /// The fewest output rows whose sign bits are whole groups.
    fn rows_of_whole_signs(&self) -> usize {
        let common = 1 << self.columns.output.trailing_zeros();
        MAX_LANES / MAX_LANES.min(common)
    }

    fn units_per_image(&self) -> usize {
        self.rows.tiles.div_ceil(self.unit)
    }

    fn unit_tiles(&self) -> usize {
        self.unit.min(self.rows.tiles) * self.columns.tiles
    }

    fn units_at_a_time(&self) -> usize {
        let fits = TRANSFORMED_ELEMENTS / (self.points() * self.inner.max(self.outer));
        (fits.min(MAX_TILES) / self.unit_tiles()).max(1)
    }

    /// The number of points of a transform.
    fn points(&self) -> usize {
        self.size.input_extent() * self.size.input_extent()
    }

    /// The tiles of a block, in whole vectors.
    fn stride(&self) -> usize {
        (self.units * self.unit_tiles()).next_multiple_of(MAX_LANES)
    }

    /// The distance between two points of the transformed input, padded so that points do not map
    /// to the same cache sets.
    fn plane(&self) -> usize {
        self.inner * self.stride() + MAX_LANES
    }

    /// The distance between two points of the sums.
    fn sums_plane(&self) -> usize {
        self.outer * self.stride() + MAX_LANES
    }

    /// The distance between channels of a piece of the output.
    fn piece_stride(&self) -> usize {
        let rows = self.units * self.unit * self.size.tile();
        (rows * self.columns.output).next_multiple_of(MAX_LANES)
    }

    /// The most rows of tiles of a piece.
    fn tile_rows(&self) -> usize {
        (self.units * self.unit).min(self.rows.tiles)
    }

    /// The most tiles of a piece, in whole vectors.
    fn line(&self) -> usize {
        (self.tile_rows() * self.columns.tiles).next_multiple_of(MAX_LANES)
    }

    /// The length of a phase of the padded input: one more row of tiles, and at least one more
    /// element.
    fn phase(&self) -> usize {
        (self.line() + self.columns.tiles).next_multiple_of(MAX_LANES) + MAX_LANES
    }

    /// The sizes of the scratch buffers of a block.
    fn buffers(&self) -> [usize; 5] {
        let (tile, input) = (self.size.tile(), self.size.input_extent());
        let tail = MAX_LANES;
        [
            tile * input * self.phase(),
            self.points() * self.plane() + tail,
            self.points() * self.sums_plane() + tail,
            tile * tile * self.line(),
            self.weights.height() * self.piece_stride(),
        ]
    }
}
