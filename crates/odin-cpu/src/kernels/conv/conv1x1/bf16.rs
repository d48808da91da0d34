//! 1x1 convolutions in bf16: matrix products over strips of positions, whose input is converted to a
//! panel while it is packed.

use super::{is_pointwise, partition};
use crate::kernels::conv::op::ConvOp;
use crate::kernels::epilogue::{BoundEpilogue, Epilogue, Span, StridedPtr};
use crate::kernels::gemm::bf16::{Bf16, PackedRows, Right, pairs, panel_offsets, tile_shape};
use crate::kernels::gemm::packing::RowTile;
use crate::kernels::{ImageIo, MAX_IMAGES, SimdKernel, Worker};
use crate::memory::ScratchSize;
use crate::program::StepPrecision;
use crate::simd::bf16::{Channels, PairTarget, TILE, TileShape};
use crate::simd::{Isa, MAX_LANES, Simd};
use std::ops::Range;
use std::sync::Arc;

/// The words of a panel to aim at: 128 KiB, a fraction of a second-level cache.
const PANEL_WORDS: usize = 1 << 15;
/// As [`PANEL_WORDS`] where the weights are many: 512 KiB.
const LONG_PANEL_WORDS: usize = 1 << 17;
/// From so many weights on they are many: 256 KiB.
const MANY_WEIGHTS: usize = 1 << 17;
/// The most positions of a strip: the accumulators of two row tiles take 48 KiB.
const LONGEST_STRIP: usize = 384;

/// Channels to which the prologue is applied at a time, an even number.
const CHANNELS: usize = 16;

/// A 1x1 convolution in bf16, specialised to a shape.
pub(crate) struct Bf16Conv1x1 {
    isa: Isa,
    bf16: Bf16,
    inner: usize,
    outer: usize,
    /// Elements per channel.
    plane: usize,
    strip: usize,
    /// The number of images in a strip. If there are several, a strip has all of their positions.
    images: usize,
    /// Where the blocks of a panel begin.
    offsets: Vec<u32>,
    pub(crate) weights: Arc<PackedRows>,
    pub(crate) prologue: Option<Epilogue>,
    pub(crate) epilogue: Epilogue,
}

impl Bf16Conv1x1 {
    /// Shapes of one image, `[1, C, spatial...]`; `None` if the convolution is not pointwise.
    pub(crate) fn new(isa: Isa, bf16: Bf16, op: &ConvOp, x: &[usize], y: &[usize]) -> Option<Self> {
        let (window, groups) = op.window();
        if !is_pointwise(window, groups, &x[2..], &y[2..]) {
            return None;
        }
        let (inner, outer, plane) = (x[1], y[1], x[2..].iter().product::<usize>());
        let many = inner.checked_mul(outer)? >= MANY_WEIGHTS;
        let words = if many { LONG_PANEL_WORDS } else { PANEL_WORDS };
        let columns = words / (pairs(inner) * bf16.parts.count()).max(1);
        let columns = columns.clamp(4 * TILE, LONGEST_STRIP) / TILE * TILE;
        let padded = plane.next_multiple_of(TILE);
        let images = match many {
            true => (columns / padded.max(1)).clamp(1, MAX_IMAGES),
            false => 1,
        };
        let strips = padded.div_ceil(columns).max(1);
        Some(Self {
            isa,
            bf16,
            inner,
            outer,
            plane,
            strip: padded.div_ceil(strips).next_multiple_of(TILE),
            images,
            offsets: panel_offsets(tile_shape(outer, pairs(inner))),
            weights: Arc::default(),
            prologue: None,
            epilogue: Epilogue::default(),
        })
    }

    /// Packs the weights; `None` if memory is exhausted.
    pub(crate) fn pack(&self, op: &ConvOp, w: &[f32]) -> Option<PackedRows> {
        let (inner, outer) = (self.inner, self.outer);
        let weight = |out: usize, channel: usize| match op {
            _ if channel >= inner => 0.0,
            ConvOp::Forward(_) => w[out * inner + channel],
            ConvOp::Adjoint(_) => w[channel * outer + out],
        };
        PackedRows::pack(self.bf16.parts, outer, self.shape(), |out, pair| {
            [weight(out, 2 * pair), weight(out, 2 * pair + 1)]
        })
    }

    fn shape(&self) -> TileShape {
        tile_shape(self.outer, pairs(self.inner))
    }

    /// Columns of a strip of all images.
    fn columns(&self) -> usize {
        self.images * self.strip
    }

    /// The sizes of the scratch buffers for the panel, the accumulators of two row tiles, and
    /// channels to which the prologue has been applied.
    fn buffers(&self) -> [usize; 3] {
        [
            self.bf16.panel_words(self.shape(), self.columns()),
            2 * self.shape().rows * self.columns(),
            CHANNELS * self.strip,
        ]
    }
}

/// A strip: some positions of some images.
struct Strip {
    images: Range<usize>,
    positions: Range<usize>,
}

impl Strip {
    /// Column tiles of each image.
    fn tiles(&self) -> usize {
        self.positions.len().div_ceil(TILE)
    }
}

/// The prologue and the epilogue of an image.
struct Bound<'a> {
    prologue: Option<BoundEpilogue<'a>>,
    epilogue: BoundEpilogue<'a>,
}

impl SimdKernel for Bf16Conv1x1 {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn images_at_a_time(&self) -> usize {
        self.images
    }

    fn precision(&self) -> StepPrecision {
        self.bf16.parts.into()
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.buffers().iter().sum())
    }

    #[inline(always)]
    fn run_images<S: Simd>(&self, _: S, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        let strips = images.len().div_ceil(self.images) * self.plane.div_ceil(self.strip);
        let [strip_slice, channel_slice] =
            partition(worker.slice, strips, [self.inner, self.outer]);
        let tiles = self.weights.tiles();
        let tiles = &tiles[channel_slice.of(tiles.len())];
        if tiles.is_empty() && channel_slice.index != 0 {
            return;
        }
        let bind = |image| self.bind(image, channel_slice.index == 0);
        let bound: Vec<Bound<'_>> = images.iter().map(bind).collect();
        let [panel, sums, _] = self.buffers();
        let scratch = worker.scratch.floats.as_mut_slice();
        let (panel, rest) = scratch.split_at_mut(panel);
        let (sums, normalised) = rest.split_at_mut(sums);
        for strip in strip_slice.of(strips) {
            let strip = self.strip(strip, images.len());
            self.pack_input(images, &bound, &strip, panel, normalised);
            for &tile in tiles {
                self.multiply(tile, &strip, panel, sums);
                self.apply_epilogue(images, &bound, &strip, tile, sums);
            }
        }
        self.bf16.isa.release();
    }
}

impl Bf16Conv1x1 {
    fn strip(&self, index: usize, images: usize) -> Strip {
        let of_image = self.plane.div_ceil(self.strip);
        let (image, first) = (
            index / of_image * self.images,
            index % of_image * self.strip,
        );
        Strip {
            images: image..images.min(image + self.images),
            positions: first..self.plane.min(first + self.strip),
        }
    }

    /// Only one thread saves the sign bits of the prologue: the one that `saves`.
    fn bind<'a>(&'a self, image: &ImageIo<'a>, saves: bool) -> Bound<'a> {
        let (input, output) = ([self.inner, self.plane], [self.outer, self.plane]);
        let signs = image.y.prologue_signs.filter(|_| saves);
        let bind = |prologue: &'a Epilogue| prologue.bind(self.isa, &image.x, signs, input);
        Bound {
            prologue: self.prologue.as_ref().map(bind),
            epilogue: self
                .epilogue
                .bind(self.isa, &image.x, image.y.epilogue_signs, output),
        }
    }

    /// Converts a strip to a panel, applying the prologue.
    fn pack_input(
        &self,
        images: &[ImageIo<'_>],
        bound: &[Bound<'_>],
        strip: &Strip,
        panel: &mut [f32],
        normalised: &mut [f32],
    ) {
        let shape = self.shape();
        let part = strip.images.len() * strip.tiles() * shape.right();
        let parts = self.bf16.parts.count();
        let panel = &mut panel[..parts * part];
        self.clear_last_pairs(panel);
        for (index, image) in strip.images.clone().enumerate() {
            let from = images[image].x.floats(0);
            let first = index * strip.tiles() * shape.right();
            for block in (0..self.inner).step_by(CHANNELS) {
                let channels = block..self.inner.min(block + CHANNELS);
                let prologue = bound[image].prologue.as_ref();
                let from = self.channels(from, prologue, channels, strip, normalised);
                let at = first + block / 2 * TILE;
                let mut part = |index: usize| match index < parts {
                    true => panel[index * part + at..].as_mut_ptr(),
                    false => std::ptr::null_mut(),
                };
                let to = PairTarget {
                    parts: [part(0), part(1)],
                    stride: TILE,
                    row_stride: 0,
                    vector_stride: shape.right(),
                };
                // SAFETY: the positions are in the channels, and their column tiles in the panel.
                #[allow(unsafe_code)]
                unsafe {
                    self.bf16.isa.pack_pairs(&from, to);
                }
            }
        }
    }

    /// Clears the rows of a panel that no channel fills.
    fn clear_last_pairs(&self, panel: &mut [f32]) {
        let (shape, filled) = (self.shape(), pairs(self.inner) * TILE);
        if filled < shape.right() {
            for tile in panel.chunks_exact_mut(shape.right()) {
                tile[filled..].fill(0.0);
            }
        }
    }

    /// A strip of at most [`CHANNELS`] channels, with the prologue applied.
    fn channels(
        &self,
        from: &[f32],
        prologue: Option<&BoundEpilogue<'_>>,
        channels: Range<usize>,
        strip: &Strip,
        normalised: &mut [f32],
    ) -> Channels {
        let (len, count) = (strip.positions.len(), channels.len());
        let first = channels.start * self.plane + strip.positions.start;
        assert!(first + (count - 1) * self.plane + len <= from.len());
        let (first, stride) = match prologue {
            None => (from[first..].as_ptr(), self.plane),
            Some(prologue) => {
                assert!(count * self.strip <= normalised.len() && len <= self.strip);
                let span = Span {
                    channels,
                    first: strip.positions.start,
                    len,
                };
                let to = normalised.as_mut_ptr();
                // SAFETY: both hold the span, by the assertions; the strip is in this thread's work
                // slice, or this is the thread that saves the sign bits.
                #[allow(unsafe_code)]
                unsafe {
                    let from = StridedPtr::new(from.as_ptr().add(first), self.plane);
                    prologue.apply(span, from, StridedPtr::new(to, self.strip));
                }
                (to.cast_const(), self.strip)
            }
        };
        Channels {
            first,
            count,
            stride,
            rows: 1,
            row_stride: 0,
            len,
            step: 1,
            lead: 0,
            width: len,
        }
    }

    fn multiply(&self, tile: RowTile, strip: &Strip, panel: &[f32], sums: &mut [f32]) {
        let shape = self.shape();
        let column_tiles = strip.images.len() * strip.tiles();
        let left = self.weights.left(self.bf16.parts);
        let panel = Right::panel(panel, shape, column_tiles, &self.offsets);
        let (tiles, stride) = (0..column_tiles, self.columns());
        self.bf16
            .multiply(shape, left, tile, panel, tiles, sums, stride);
    }

    /// Applies the epilogue to the sums of one or two row tiles.
    fn apply_epilogue(
        &self,
        images: &[ImageIo<'_>],
        bound: &[Bound<'_>],
        strip: &Strip,
        tile: RowTile,
        sums: &[f32],
    ) {
        let (positions, len) = (&strip.positions, strip.positions.len());
        assert!(tile.row + tile.height <= self.outer && positions.end <= self.plane);
        assert!(strip.images.len() * strip.tiles() * MAX_LANES <= self.columns());
        assert!(tile.height * self.columns() <= sums.len());
        for (index, image) in strip.images.clone().enumerate() {
            let y = images[image].y.floats;
            assert!(y.len() == self.outer * self.plane);
            let span = Span {
                channels: tile.row..tile.row + tile.height,
                first: positions.start,
                len,
            };
            let start = tile.row * self.plane + positions.start;
            // SAFETY: both hold the span, by the assertions; the strip, or the channels of the
            // tile, are in this thread's work slice.
            #[allow(unsafe_code)]
            unsafe {
                let from = sums.as_ptr().add(index * strip.tiles() * TILE);
                let from = StridedPtr::new(from, self.columns());
                let to = StridedPtr::new(y.start().add(start), self.plane);
                bound[image].epilogue.apply(span, from, to);
            }
        }
    }
}
