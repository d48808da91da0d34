//! Convolutions of 3x3 windows that move by single steps, and their adjoints, in fewer
//! multiplications: S. Winograd's minimal filtering, as A. Lavin and S. Gray apply it to layers of
//! neural networks (*Fast Algorithms for Convolutional Neural Networks*, CVPR 2016).
//!
//! The output is cut into tiles of `M x M`. What a tile meets, `N x N` elements with `N = M + 2`,
//! is transformed; so is the window, beforehand. In each of the `N · N` places of the transforms a
//! layer is then a product of matrices, weights times tiles, and the transform of the sums is the
//! output: `N² / M²` multiplications for each, 4 or 2.25, instead of 9.
//!
//! `filter` has the transforms, `sort` brings what tiles meet together, `job` does the work.

mod filter;
mod job;
mod sort;

use super::conv::Kind;
use super::{IMAGES, Image, ScratchSize, Share, Shared, Written};
use crate::options::{self, Options};
use crate::pointwise::Pointwise;
use crate::product::Packed;
use crate::simd::{Isa, LONGEST};
use crate::workspace::{Operands, Scratch};
use filter::{Filter, Four, Two};
use job::Job;
use sort::Sorting;
use std::sync::Arc;

/// How many elements the transformed input of a block may have, and as many its sums: 3 MiB. Of
/// these, one place after the other is in the second-level cache.
const TRANSFORMED: usize = 6 << 17;
/// Of so many weights each thread had better read its own: 1.5 MiB.
const MANY: usize = 3 << 17;
/// Transforming a vector of tiles of a channel takes as long as multiplying it with the weights of
/// so many channels.
const TRANSFORM: usize = 24;
/// The most tiles that are computed at a time.
const TILES: usize = 128;

/// The fewest channels, of the input or the output, with which the method is faster.
const NARROWEST: usize = 12;
/// From so many on, the products take longer than the transforms.
const WIDE: usize = 32;
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
    sorting: Sorting,
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
/// one image: the transforms must be small beside the products, and the tiles so many that they
/// fill a vector. Measured by `cargo run --release --example winograd`.
fn faster(x: &[usize], y: &[usize]) -> Option<Size> {
    let (channels, extent) = (x[1].min(y[1]), [y[2], y[3]]);
    let tiles = |size: Size| {
        let along = extent.map(|e| e.div_ceil(size.tile()));
        along[0] * along[1]
    };
    let (two, four) = (tiles(Size::Two), tiles(Size::Four));
    // Tiles that reach beyond the output are computed in vain.
    let is_covered = 4 * extent[0] * extent[1] >= 3 * four * 16;
    // Tiles of 2x2 are as fast where these fill one vector, and can be shared by threads.
    let is_alone = channels < WIDE && four == LONGEST;
    if channels >= NARROWEST && four >= LONGEST && is_covered && !is_alone {
        return Some(Size::Four);
    }
    (channels >= NARROWEST && two >= LONGEST).then_some(Size::Two)
}

/// One spatial axis: output `t` meets input `t - pad + k`, for the entries `k` of the window.
#[derive(Debug, Clone, Copy)]
struct Line {
    input: usize,
    output: usize,
    pad: usize,
    tiles: usize,
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
        let mut winograd = Self::new(options.instructions.0, kind, size, x, y)?;
        // Rows may be too long.
        let is_small = winograd.places() * winograd.plane() <= 2 * TRANSFORMED;
        if !is_small && options.winograd == options::Winograd::Auto {
            return None;
        }
        winograd.sorting = Sorting::new(
            winograd.isa,
            size,
            &winograd.columns,
            winograd.tile_rows() + 1,
        );
        Some(winograd)
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
            sorting: Sorting::default(),
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
        let fits = TRANSFORMED / (self.places() * self.inner.max(self.outer));
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

    /// From one place of the sums of some channels to the next.
    fn sums_plane(&self) -> usize {
        self.outer * self.stride() + LONGEST
    }

    /// Elements of a channel of a piece of the output.
    fn piece_stride(&self) -> usize {
        let rows = self.units * self.unit * self.size.tile();
        (rows * self.columns.output).next_multiple_of(LONGEST)
    }

    /// The most rows of tiles of a piece.
    fn tile_rows(&self) -> usize {
        (self.units * self.unit).min(self.rows.tiles)
    }

    /// The most tiles of a piece, in whole vectors.
    fn line(&self) -> usize {
        (self.tile_rows() * self.columns.tiles).next_multiple_of(LONGEST)
    }

    /// Elements of a phase of the padded input: a row of tiles more, and at least one element.
    fn phase(&self) -> usize {
        (self.line() + self.columns.tiles).next_multiple_of(LONGEST) + LONGEST
    }

    /// Elements of the memory that a block needs, by its parts.
    fn room(&self) -> [usize; 5] {
        let (tile, met) = (self.size.tile(), self.size.met());
        let tail = LONGEST;
        [
            tile * met * self.phase(),
            self.places() * self.plane() + tail,
            self.places() * self.sums_plane() + tail,
            tile * tile * self.line(),
            self.weights.height() * self.piece_stride(),
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
