//! Convolutions of 3x3 windows that move by single steps, and their adjoints, in fewer
//! multiplications: S. Winograd's minimal filtering, as A. Lavin and S. Gray apply it to layers of
//! neural networks (*Fast Algorithms for Convolutional Neural Networks*, CVPR 2016).
//!
//! The output is cut into tiles of `M x M`. What a tile meets, `N x N` elements with `N = M + 2`,
//! is transformed; so is the window, beforehand. In each of the `N · N` points of the transforms a
//! layer is then a product of matrices, weights times tiles, and the transform of the sums is the
//! output: `N² / M²` multiplications for each, 4 or 2.25, instead of 9.
//!
//! `transform` has the transforms, `sort` brings what tiles meet together, `job` does the work.

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

/// How many elements the transformed input of a block may have, and as many its sums: 3 MiB. Of
/// these, one place after the other is in the second-level cache.
const TRANSFORMED_ELEMENTS: usize = 6 << 17;
/// Of so many weights each thread had better read its own: 1.5 MiB.
const MANY_WEIGHTS: usize = 3 << 17;
/// Transforming a vector of tiles of a channel takes as long as multiplying it with the weights of
/// so many channels.
const TRANSFORM_COST: usize = 24;
/// The most tiles that are computed at a time.
const MAX_TILES: usize = 128;

/// The fewest channels, of the input or the output, with which the method is faster.
const MIN_CHANNELS: usize = 12;
/// From so many on, the products take longer than the transforms.
const WIDE: usize = 32;
/// The extent of the window.
const WINDOW: usize = 3;

/// See the module.
pub(crate) struct Winograd {
    isa: Isa,
    size: TileSize,
    rows: SpatialAxis,
    columns: SpatialAxis,
    inner: usize,
    outer: usize,
    /// Rows of tiles that make whole groups of signs.
    unit: usize,
    /// The most units that are computed at a time, of one image or of several.
    units: usize,
    /// Of each place of the transforms.
    pub(crate) weights: Arc<PackedMatrix>,
    /// Where the tiles of each channel begin.
    offsets: Vec<u32>,
    deinterleave: Deinterleave,
    /// Applied to the output.
    pub(crate) epilogue: Epilogue,
}

/// Which tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileSize {
    /// 2x2.
    Two,
    /// 4x4.
    Four,
}

impl TileSize {
    /// The extent of a tile.
    fn tile(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// The extent of what a tile meets.
    fn input_extent(self) -> usize {
        self.tile() + WINDOW - 1
    }
}

/// Whether an operator is a convolution of 3x3 windows by single steps, or the adjoint of one.
/// Shapes of one image.
fn is_possible(kind: &ConvOp, x: &[usize], y: &[usize]) -> bool {
    let (window, groups) = kind.window();
    let is_narrow = |&pad: &usize| pad < WINDOW;
    groups == 1
        && window.kernel == [WINDOW; 2]
        && window.strides == [1; 2]
        && window.dilations == [1; 2]
        && (matches!(kind, ConvOp::Forward(_)) || window.pads_begin.iter().all(is_narrow))
        && x.iter().chain(y).all(|&extent| extent > 0)
}

/// The tiles for which the method is faster than direct multiplication, if any, by the shapes of
/// one image: the transforms must be small beside the products, and the tiles so many that they
/// fill a vector. Measured by `cargo run --release --example winograd`.
fn faster(x: &[usize], y: &[usize]) -> Option<TileSize> {
    let (channels, extent) = (x[1].min(y[1]), [y[2], y[3]]);
    let tiles = |size: TileSize| {
        let along = extent.map(|e| e.div_ceil(size.tile()));
        along[0] * along[1]
    };
    let (two, four) = (tiles(TileSize::Two), tiles(TileSize::Four));
    // Tiles that reach beyond the output are computed in vain.
    let is_covered = 4 * extent[0] * extent[1] >= 3 * four * 16;
    // Tiles of 2x2 are as fast where these fill one vector, and can be shared by threads.
    let is_alone = channels < WIDE && four == MAX_LANES;
    if channels >= MIN_CHANNELS && four >= MAX_LANES && is_covered && !is_alone {
        return Some(TileSize::Four);
    }
    (channels >= MIN_CHANNELS && two >= MAX_LANES).then_some(TileSize::Two)
}

/// One spatial axis: output `t` meets input `t - pad + k`, for the entries `k` of the window.
#[derive(Debug, Clone, Copy)]
struct SpatialAxis {
    input: usize,
    output: usize,
    pad: usize,
    tiles: usize,
}

impl Winograd {
    /// The operator by the method that the options ask for; `None` where that is not this one.
    pub(crate) fn choose(
        options: Options,
        kind: &ConvOp,
        x: &[usize],
        y: &[usize],
    ) -> Option<Self> {
        let size = match options.winograd {
            options::Winograd::Never => return None,
            _ if !is_possible(kind, x, y) => return None,
            options::Winograd::Tiles2 => TileSize::Two,
            options::Winograd::Tiles4 => TileSize::Four,
            options::Winograd::Auto => faster(x, y)?,
        };
        let mut winograd = Self::new(options.instructions.0, kind, size, x, y)?;
        // Rows may be too long.
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

    /// Shapes of one image, `[1, C, H, W]`, of an operator for which it [`is_possible`]; `None`
    /// where the image is too large.
    fn new(isa: Isa, kind: &ConvOp, size: TileSize, x: &[usize], y: &[usize]) -> Option<Self> {
        let window = kind.window().0;
        let line = |axis: usize| {
            let before = window.pads_begin[axis];
            let pad = match kind {
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

    /// As it is called behind the name of the operator.
    pub(crate) fn name(&self) -> &'static str {
        match self.size {
            TileSize::Two => " by winograd 2x2",
            TileSize::Four => " by winograd 4x4",
        }
    }

    /// Transforms and packs the weights; `None` if there is no memory for them.
    pub(crate) fn pack(&self, kind: &ConvOp, w: &[f32]) -> Option<PackedMatrix> {
        match self.size {
            TileSize::Two => self.pack_for::<Two, 2, 4>(kind, w),
            TileSize::Four => self.pack_for::<Four, 4, 6>(kind, w),
        }
    }

    fn pack_for<F: Transform<M, N>, const M: usize, const N: usize>(
        &self,
        kind: &ConvOp,
        w: &[f32],
    ) -> Option<PackedMatrix> {
        let weights = |out: usize, channel: usize, points: &mut [f32]| {
            let entry = |r: usize, c: usize| {
                let (kernel, entry) = match kind {
                    ConvOp::Forward(_) => (out * self.inner + channel, r * WINDOW + c),
                    // The window of the adjoint is read backwards.
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
        PackedMatrix::several(self.isa, [self.outer, self.inner], N * N, weights)
    }

    /// The fewest rows of the output that make whole groups of signs.
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

    /// MemoryPlan of the transforms.
    fn points(&self) -> usize {
        self.size.input_extent() * self.size.input_extent()
    }

    /// The tiles of a block in whole vectors.
    fn stride(&self) -> usize {
        (self.units * self.unit_tiles()).next_multiple_of(MAX_LANES)
    }

    /// From one place of the transformed input to the next: not a multiple of what separates
    /// lines that compete for a place in a cache.
    fn plane(&self) -> usize {
        self.inner * self.stride() + MAX_LANES
    }

    /// From one place of the sums of some channels to the next.
    fn sums_plane(&self) -> usize {
        self.outer * self.stride() + MAX_LANES
    }

    /// Elements of a channel of a piece of the output.
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

    /// Elements of a phase of the padded input: a row of tiles more, and at least one element.
    fn phase(&self) -> usize {
        (self.line() + self.columns.tiles).next_multiple_of(MAX_LANES) + MAX_LANES
    }

    /// Elements of the memory that a block needs, by its parts.
    fn buffers(&self) -> [usize; 5] {
        let (tile, met) = (self.size.tile(), self.size.input_extent());
        let tail = MAX_LANES;
        [
            tile * met * self.phase(),
            self.points() * self.plane() + tail,
            self.points() * self.sums_plane() + tail,
            tile * tile * self.line(),
            self.weights.height() * self.piece_stride(),
        ]
    }
}
