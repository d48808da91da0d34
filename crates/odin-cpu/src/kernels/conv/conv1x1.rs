//! 1x1 convolutions and their adjoints: matrix products of the weights with all channels of the
//! image.
//!
//! The output is computed strip by strip; a strip is a range of positions. Some channels of a strip
//! at a time are packed, applying the prologue; then each tile of weights is multiplied with them.
//! If the weights are few, the packed channels and the accumulators of a strip stay in the
//! first-level cache. If they are many, a strip is longer and has all channels, so that the weights
//! are read less often; it may span several small images. While a tile is multiplied, the output,
//! the addend, and the input of the next strip are prefetched.

use crate::kernels::conv::op::{ConvOp, is_pointwise};
use crate::kernels::epilogue::{BoundEpilogue, Epilogue, Span, StridedPtr};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::{PackedMatrix, RowTile, row_tiles};
use crate::kernels::gemm::prefetch::{self, Prefetch};
use crate::kernels::{ImageIo, MAX_IMAGES, SimdKernel, WorkSlice, Worker};
use crate::memory::ScratchSize;
use crate::simd::{Isa, MAX_LANES, Simd};
use std::ops::Range;
use std::sync::Arc;

pub(crate) mod bf16;

/// Weights are few up to this number: 256 KiB, a fraction of a second-level cache.
const FEW_WEIGHTS: usize = 1 << 16;
/// Positions of a strip if the weights are few. A multiple of all tile widths, and of the words in
/// which sign bits are stored.
const SHORT_STRIP: usize = 64;
/// The most channels that are packed at a time if the weights are few: 24 KiB, half of a
/// first-level cache.
const PACKED_CHANNELS: usize = 96;
/// The most positions of a strip if the weights are many: the accumulators of a tile of 12 rows
/// take 24 KiB.
const LONG_STRIP: usize = 512;
/// The elements to pack at a time if the weights are many, of one image and of several: 512 KiB and
/// 1 MiB, fractions of a second-level cache.
const PACKED_ELEMENTS: usize = 1 << 17;
const PACKED_ELEMENTS_OF_SEVERAL: usize = 1 << 18;

/// An input or an output of at least so many elements is prefetched: 1 MiB and 256 KiB. A smaller
/// one is still in the second-level cache, where a prefetch costs more than it saves.
const PREFETCHED_INPUT: usize = 1 << 18;
const PREFETCHED_OUTPUT: usize = 1 << 16;

/// A 1x1 convolution, specialised to a shape.
pub(crate) struct Conv1x1 {
    isa: Isa,
    inner: usize,
    outer: usize,
    /// Elements per channel.
    plane: usize,
    strip: usize,
    /// The number of images in a strip. If there are several, a strip has all of their positions.
    images_per_strip: usize,
    /// The number of channels packed at a time.
    depth: usize,
    /// The offset of each packed channel.
    offsets: Vec<u32>,
    /// The cache lines to prefetch: of a strip, in the channels packed at a time and in those of a
    /// tile; none where the data is in the cache.
    cache_lines: [Vec<u32>; 2],
    pub(crate) weights: Arc<PackedMatrix>,
    pub(crate) prologue: Epilogue,
    pub(crate) epilogue: Epilogue,
}

impl Conv1x1 {
    /// Shapes of one image, `[1, C, spatial...]`; `None` if the convolution is not pointwise, or
    /// the image is too large.
    pub(crate) fn new(isa: Isa, op: &ConvOp, x: &[usize], y: &[usize]) -> Option<Self> {
        let (window, groups) = op.window();
        if !is_pointwise(window, groups, &x[2..], &y[2..]) {
            return None;
        }
        let (inner, outer, plane) = (x[1], y[1], x[2..].iter().product::<usize>());
        let (strip, depth, images_per_strip) = match inner.checked_mul(outer)? <= FEW_WEIGHTS {
            true => (
                SHORT_STRIP,
                inner.div_ceil(inner.div_ceil(PACKED_CHANNELS)),
                1,
            ),
            false => {
                let positions = |packed: usize| {
                    (packed / inner).clamp(SHORT_STRIP, LONG_STRIP) / SHORT_STRIP * SHORT_STRIP
                };
                let images_per_strip =
                    (positions(PACKED_ELEMENTS_OF_SEVERAL) / plane.max(1)).min(MAX_IMAGES);
                let strips = plane.div_ceil(positions(PACKED_ELEMENTS));
                let strip = match images_per_strip {
                    0 | 1 => plane.div_ceil(strips.max(1)),
                    several => several * plane,
                };
                (
                    strip.next_multiple_of(SHORT_STRIP),
                    inner,
                    images_per_strip.max(1),
                )
            }
        };
        u32::try_from(depth.checked_mul(Self::channel_stride(strip))?).ok()?;
        let mut conv = Self {
            isa,
            inner,
            outer,
            plane,
            strip,
            images_per_strip,
            depth,
            offsets: (0..depth)
                .map(|k| (k * Self::channel_stride(strip)) as u32)
                .collect(),
            cache_lines: Default::default(),
            weights: Arc::default(),
            prologue: Epilogue::default(),
            epilogue: Epilogue::default(),
        };
        let height = row_tiles(isa, outer, 0)
            .first()
            .map_or(0, |tile| tile.height);
        let far = [
            (depth, inner, PREFETCHED_INPUT),
            (height, outer, PREFETCHED_OUTPUT),
        ];
        conv.cache_lines = far.map(|(at_a_time, channels, far)| match channels * plane >= far {
            true => prefetch::cache_lines(at_a_time, plane, strip.min(plane)),
            false => Vec::new(),
        });
        Some(conv)
    }

    /// Packs the weights; `None` if memory is exhausted.
    pub(crate) fn pack(&self, op: &ConvOp, w: &[f32]) -> Option<PackedMatrix> {
        let (inner, outer) = (self.inner, self.outer);
        PackedMatrix::pack(self.isa, outer, inner, |out, channel| match op {
            ConvOp::Forward(_) => w[out * inner + channel],
            ConvOp::Adjoint(_) => w[channel * outer + out],
        })
    }

    /// The distance between packed channels: an odd number of cache lines, if it is more than a
    /// few, so that channels do not map to the same cache sets.
    fn channel_stride(strip: usize) -> usize {
        match strip {
            SHORT_STRIP => SHORT_STRIP,
            _ => ((strip / MAX_LANES) | 1) * MAX_LANES,
        }
    }

    /// The sizes of the scratch buffers for packed channels and accumulators; those of all channels
    /// if sums continue across packed parts.
    fn buffers(&self) -> [usize; 2] {
        let rows = match self.depth < self.inner {
            true => self.outer,
            false => self.weights.height(),
        };
        [
            self.depth * Self::channel_stride(self.strip) + MAX_LANES,
            rows * self.strip,
        ]
    }
}

/// Some channels of a strip, packed together.
#[derive(Clone)]
struct Part {
    images: Range<usize>,
    /// Of each image.
    positions: Range<usize>,
    channels: Range<usize>,
}

/// The prologue and the epilogue of an image.
struct Bound<'a> {
    prologue: BoundEpilogue<'a>,
    epilogue: BoundEpilogue<'a>,
}

impl SimdKernel for Conv1x1 {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn images_at_a_time(&self) -> usize {
        self.images_per_strip
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.buffers().iter().sum())
    }

    #[inline(always)]
    fn run_images<S: Simd>(&self, simd: S, images: &[ImageIo<'_>], worker: &mut Worker<'_>) {
        let (packed, sums) = worker
            .scratch
            .floats
            .as_mut_slice()
            .split_at_mut(self.buffers()[0]);
        let strips = self.strips(images.len());
        let [strip_slice, channel_slice] =
            partition(worker.slice, strips, [self.inner, self.outer]);
        let tiles = self.weights.tiles();
        let tiles = &tiles[channel_slice.of(tiles.len())];
        if tiles.is_empty() && channel_slice.index != 0 {
            return;
        }
        let bind = |image| self.bind(image, channel_slice.index == 0);
        let bound: Vec<Bound<'_>> = images.iter().map(bind).collect();
        let parts = |strip| self.parts(strip, images.len());
        let mut parts = strip_slice.of(strips).flat_map(parts).peekable();
        while let Some(part) = parts.next() {
            self.pack_input(images, &bound, &part, packed);
            let is_last = part.channels.end == self.inner;
            let mut next = self.prefetch_input(images, parts.peek(), tiles.len());
            for &tile in tiles {
                let sums = match self.depth < self.inner {
                    true => &mut sums[tile.row * self.strip..],
                    false => &mut *sums,
                };
                let [y, addend] = match is_last {
                    true => self.prefetch_output(images, &bound, &part, tile),
                    false => [Prefetch::NONE; 2],
                };
                let prefetches = [y, addend, next.next().unwrap_or(Prefetch::NONE)];
                self.multiply(simd, tile, &part, packed, sums, prefetches);
                if is_last {
                    self.apply_epilogue(images, &bound, &part, tile, sums);
                }
            }
        }
    }
}

impl Conv1x1 {
    /// The number of strips of some images.
    fn strips(&self, images: usize) -> usize {
        match self.images_per_strip {
            1 => images * self.plane.div_ceil(self.strip),
            several => images.div_ceil(several),
        }
    }

    /// The parts of a strip, in the order of their channels.
    fn parts(&self, strip: usize, images: usize) -> impl Iterator<Item = Part> {
        let (images, positions) = match self.images_per_strip {
            1 => {
                let of_image = self.plane.div_ceil(self.strip);
                let (image, first) = (strip / of_image, strip % of_image * self.strip);
                let positions = first..self.plane.min(first + self.strip);
                (image..image + 1, positions)
            }
            several => {
                let first = strip * several;
                (first..images.min(first + several), 0..self.plane)
            }
        };
        let (inner, depth) = (self.inner, self.depth);
        (0..inner).step_by(depth).map(move |first| Part {
            images: images.clone(),
            positions: positions.clone(),
            channels: first..inner.min(first + depth),
        })
    }

    /// Only one thread saves the sign bits of the prologue: the one that `saves`.
    fn bind<'a>(&'a self, image: &ImageIo<'a>, saves: bool) -> Bound<'a> {
        let (input, output) = ([self.inner, self.plane], [self.outer, self.plane]);
        let signs = image.y.prologue_signs.filter(|_| saves);
        Bound {
            prologue: self.prologue.bind(self.isa, &image.x, signs, input),
            epilogue: self
                .epilogue
                .bind(self.isa, &image.x, image.y.epilogue_signs, output),
        }
    }

    /// The prefetches of the input of a part, divided among the tiles.
    fn prefetch_input<'a>(
        &'a self,
        images: &[ImageIo<'a>],
        part: Option<&Part>,
        tiles: usize,
    ) -> impl Iterator<Item = Prefetch<'a>> {
        let start = part.map(|part| {
            let x = images[part.images.start].x.floats(0).as_ptr();
            x.wrapping_add(part.channels.start * self.plane + part.positions.start)
        });
        let lines = start.map_or(&[][..], |_| &self.cache_lines[0]);
        let start = start.unwrap_or(std::ptr::null());
        let chunk = lines.len().div_ceil(tiles.max(1)).max(1);
        lines
            .chunks(chunk)
            .map(move |lines| Prefetch { base: start, lines })
    }

    /// The prefetches of the output of a tile, in the first image of a part, and of its addend.
    fn prefetch_output<'a>(
        &'a self,
        images: &[ImageIo<'a>],
        bound: &[Bound<'a>],
        part: &Part,
        tile: RowTile,
    ) -> [Prefetch<'a>; 2] {
        let first = tile.row * self.plane + part.positions.start;
        let image = part.images.start;
        let prefetch = |start: *const f32| Prefetch {
            base: start.wrapping_add(first),
            lines: &self.cache_lines[1],
        };
        let y = prefetch(images[image].y.floats.start().cast_const());
        let addend = bound[image].epilogue.addend();
        [y, addend.map_or(Prefetch::NONE, |x| prefetch(x.as_ptr()))]
    }

    /// Packs a part, applying the prologue.
    #[inline(always)]
    fn pack_input(
        &self,
        images: &[ImageIo<'_>],
        bound: &[Bound<'_>],
        part: &Part,
        packed: &mut [f32],
    ) {
        let Part {
            positions,
            channels,
            ..
        } = part;
        let (row, len) = (Self::channel_stride(self.strip), positions.len());
        assert!(channels.end <= self.inner && positions.end <= self.plane);
        assert!(part.images.len() * len <= row && channels.len() * row <= packed.len());
        for (index, image) in part.images.clone().enumerate() {
            let from = images[image].x.floats(0);
            assert!(from.len() == self.inner * self.plane);
            let first = channels.start * self.plane + positions.start;
            let span = Span {
                channels: channels.clone(),
                first: positions.start,
                len,
            };
            // SAFETY: both hold the span, by the assertions; the strip is in this thread's work
            // slice, or this is the thread that saves the sign bits.
            #[allow(unsafe_code)]
            unsafe {
                let from = StridedPtr::new(from.as_ptr().add(first), self.plane);
                let to = StridedPtr::new(packed.as_mut_ptr().add(index * len), row);
                bound[image].prologue.apply(span, from, to);
            }
        }
    }

    /// Multiplies a tile of weights with a packed part; sums continue those of the channels before
    /// it.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        tile: RowTile,
        part: &Part,
        packed: &[f32],
        sums: &mut [f32],
        prefetches: [Prefetch<'_>; 3],
    ) {
        let channels = &part.channels;
        let weights = &self.weights.tile(tile)[channels.start * tile.height..];
        let columns = ColumnPanel {
            b: packed,
            offsets: &self.offsets[..channels.len()],
            first: 0,
            count: part.images.len() * part.positions.len(),
            last_offset: channels.len().saturating_sub(1) * Self::channel_stride(self.strip),
            accumulate: channels.start > 0,
            prefetches,
        };
        multiply_tile(simd, tile.height, weights, &columns, sums, self.strip);
    }

    /// Applies the epilogue to the sums of a tile.
    #[inline(always)]
    fn apply_epilogue(
        &self,
        images: &[ImageIo<'_>],
        bound: &[Bound<'_>],
        part: &Part,
        tile: RowTile,
        sums: &[f32],
    ) {
        let (positions, len) = (&part.positions, part.positions.len());
        assert!(tile.row + tile.height <= self.outer && positions.end <= self.plane);
        assert!(part.images.len() * len <= self.strip);
        assert!(tile.height * self.strip <= sums.len());
        for (index, image) in part.images.clone().enumerate() {
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
                let from = StridedPtr::new(sums.as_ptr().add(index * len), self.strip);
                let to = StridedPtr::new(y.start().add(start), self.plane);
                bound[image].epilogue.apply(span, from, to);
            }
        }
    }
}

/// A thread's slices of the strips and of the channels of the output: threads partition the strips where
/// there are enough; else the channels, unless packing the input in each thread costs more than the
/// products.
fn partition(slice: WorkSlice, strips: usize, [inner, outer]: [usize; 2]) -> [WorkSlice; 2] {
    let by_strips =
        strips >= 4 * slice.count || strips.is_multiple_of(slice.count) && inner >= outer;
    match by_strips {
        true => [slice, WorkSlice::WHOLE],
        false => [WorkSlice::WHOLE, slice],
    }
}
