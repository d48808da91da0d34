//! Convolutions of single elements, and their adjoints: each output position is a product of the
//! weights with the channels of one input position.
//!
//! The output is computed strip by strip, a strip being some neighbouring positions. Of a strip,
//! some channels at a time are copied, through the activation before the convolution; then each
//! tile of weights is multiplied with the copy. If the weights are few, the copy and the sums of a
//! strip stay in the first-level cache. If they are many, a strip is longer and has all channels,
//! so that the weights are read less often; it may be several small images. While a tile is
//! multiplied, what comes next is brought nearer: the output and what is added to it, and the input
//! of the next strip.

use crate::kernels::conv::op::{ConvOp, is_pointwise};
use crate::kernels::epilogue::{BoundEpilogue, Epilogue, Span, StridedPtr};
use crate::kernels::gemm::microkernel::{ColumnPanel, multiply_tile};
use crate::kernels::gemm::packing::{PackedMatrix, RowTile, tiles};
use crate::kernels::gemm::prefetch;
use crate::kernels::gemm::prefetch::Prefetch;
use crate::kernels::{ImageIo, MAX_IMAGES, SimdKernel, WorkSlice};
use crate::memory::{Scratch, ScratchSize};
use crate::simd::{Isa, MAX_LANES, Simd};
use std::ops::Range;
use std::sync::Arc;

/// Weights are few if there are at most so many: 256 KiB, a part of a second-level cache.
const FEW: usize = 1 << 16;
/// Positions of a strip if the weights are few. A multiple of all widths of tiles, and whole words
/// of signs.
const SHORT: usize = 64;
/// The most channels that are copied at a time if the weights are few: the copy takes 24 KiB,
/// half of a first-level cache.
const CHANNELS: usize = 96;
/// The most positions of a strip if the weights are many: the sums of a tile of 12 rows take
/// 24 KiB.
const LONG: usize = 512;
/// How many elements the copy should have then, of one image and of several: 512 KiB and 1 MiB,
/// parts of a second-level cache.
const COPY: usize = 1 << 17;
const COPIES: usize = 1 << 18;

/// An input or an output of so many elements is brought nearer beforehand, 1 MiB and 256 KiB. What
/// is smaller is in the second-level cache still, where to ask for it takes longer than it saves.
const FAR_INPUT: usize = 1 << 18;
const FAR_OUTPUT: usize = 1 << 16;

/// See the module.
pub(crate) struct Conv1x1 {
    isa: Isa,
    inner: usize,
    outer: usize,
    /// Elements of a channel.
    plane: usize,
    strip: usize,
    /// How many images a strip has. If several, it has all of their positions.
    together: usize,
    /// How many channels are copied at a time.
    depth: usize,
    /// Where the channels of a copy begin.
    offsets: Vec<u32>,
    /// The cache lines of a strip, in the channels of a copy and in those of a tile; none where
    /// they are near.
    lines: [Vec<u32>; 2],
    pub(crate) weights: Arc<PackedMatrix>,
    /// Applied to the input.
    pub(crate) prologue: Epilogue,
    /// Applied to the sums.
    pub(crate) epilogue: Epilogue,
}

impl Conv1x1 {
    /// Shapes of one image, `[1, C, spatial...]`; `None` where a position meets more than itself,
    /// or the image is too large.
    pub(crate) fn new(isa: Isa, kind: &ConvOp, x: &[usize], y: &[usize]) -> Option<Self> {
        let (window, groups) = kind.window();
        if !is_pointwise(window, groups, &x[2..], &y[2..]) {
            return None;
        }
        let (inner, outer, plane) = (x[1], y[1], x[2..].iter().product::<usize>());
        let (strip, depth, together) = match inner.checked_mul(outer)? <= FEW {
            true => (SHORT, inner.div_ceil(inner.div_ceil(CHANNELS)), 1),
            false => {
                let positions = |copy: usize| (copy / inner).clamp(SHORT, LONG) / SHORT * SHORT;
                let together = (positions(COPIES) / plane.max(1)).min(MAX_IMAGES);
                let strips = plane.div_ceil(positions(COPY));
                let strip = match together {
                    0 | 1 => plane.div_ceil(strips.max(1)),
                    several => several * plane,
                };
                (strip.next_multiple_of(SHORT), inner, together.max(1))
            }
        };
        u32::try_from(depth.checked_mul(Self::row(strip))?).ok()?;
        let mut conv = Self {
            isa,
            inner,
            outer,
            plane,
            strip,
            together,
            depth,
            offsets: (0..depth).map(|k| (k * Self::row(strip)) as u32).collect(),
            lines: Default::default(),
            weights: Arc::default(),
            prologue: Epilogue::default(),
            epilogue: Epilogue::default(),
        };
        let height = tiles(isa, outer, 0).first().map_or(0, |tile| tile.height);
        let far = [(depth, inner, FAR_INPUT), (height, outer, FAR_OUTPUT)];
        conv.lines = far.map(|(at_a_time, channels, far)| match channels * plane >= far {
            true => prefetch::cache_lines(at_a_time, plane, strip.min(plane)),
            false => Vec::new(),
        });
        Some(conv)
    }

    /// Packs the weights; `None` if there is no memory for them.
    pub(crate) fn pack(&self, kind: &ConvOp, w: &[f32]) -> Option<PackedMatrix> {
        let (inner, outer) = (self.inner, self.outer);
        PackedMatrix::new(self.isa, outer, inner, |out, channel| match kind {
            ConvOp::Forward(_) => w[out * inner + channel],
            ConvOp::Adjoint(_) => w[channel * outer + out],
        })
    }

    /// From one channel of the copy to the next: an odd number of cache lines, if that is more
    /// than a few, so that channels do not compete for the same places in a cache.
    fn row(strip: usize) -> usize {
        match strip {
            SHORT => SHORT,
            _ => ((strip / MAX_LANES) | 1) * MAX_LANES,
        }
    }

    /// Elements of the copy and of the sums: those of all channels if they are continued.
    fn buffers(&self) -> [usize; 2] {
        let rows = match self.depth < self.inner {
            true => self.outer,
            false => self.weights.height(),
        };
        [
            self.depth * Self::row(self.strip) + MAX_LANES,
            rows * self.strip,
        ]
    }
}

/// Some channels of a strip.
#[derive(Clone)]
struct Part {
    images: Range<usize>,
    /// Of each image.
    positions: Range<usize>,
    channels: Range<usize>,
}

/// What the input and the output of an image go through.
struct Ends<'a> {
    before: BoundEpilogue<'a>,
    after: BoundEpilogue<'a>,
}

impl SimdKernel for Conv1x1 {
    fn isa(&self) -> Isa {
        self.isa
    }

    fn images_at_a_time(&self) -> usize {
        self.together
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize::floats(self.buffers().iter().sum())
    }

    #[inline(always)]
    fn run_image<S: Simd>(
        &self,
        simd: S,
        image: &ImageIo<'_>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        self.run_images(simd, std::slice::from_ref(image), scratch, slice);
    }

    /// Threads share the strips where there are enough; else the channels of the output, unless
    /// what each would then copy anew is more than what it computes.
    #[inline(always)]
    fn run_images<S: Simd>(
        &self,
        simd: S,
        images: &[ImageIo<'_>],
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        let (copy, sums) = scratch
            .floats
            .as_mut_slice()
            .split_at_mut(self.buffers()[0]);
        let strips = self.strips(images.len());
        let by_strips = strips >= 4 * slice.count
            || strips.is_multiple_of(slice.count) && self.inner >= self.outer;
        let [own_strips, by_channel] = match by_strips {
            true => [slice, WorkSlice::WHOLE],
            false => [WorkSlice::WHOLE, slice],
        };
        let tiles = self.weights.tiles();
        let tiles = &tiles[by_channel.of(tiles.len())];
        if tiles.is_empty() && by_channel.index != 0 {
            return;
        }
        let bind = |image| self.bind(image, by_channel.index == 0);
        let ends: Vec<Ends<'_>> = images.iter().map(bind).collect();
        let parts = |strip| self.parts(strip, images.len());
        let mut parts = own_strips.of(strips).flat_map(parts).peekable();
        while let Some(part) = parts.next() {
            self.copy(images, &ends, &part, copy);
            let is_last = part.channels.end == self.inner;
            let mut next = self.input(images, parts.peek(), tiles.len());
            for &tile in tiles {
                let sums = match self.depth < self.inner {
                    true => &mut sums[tile.row * self.strip..],
                    false => &mut *sums,
                };
                let [y, addend] = match is_last {
                    true => self.output(images, &ends, &part, tile),
                    false => [Prefetch::NONE; 2],
                };
                let soon = [y, addend, next.next().unwrap_or(Prefetch::NONE)];
                self.multiply(simd, tile, &part, copy, sums, soon);
                if is_last {
                    self.finish(images, &ends, &part, tile, sums);
                }
            }
        }
    }
}

impl Conv1x1 {
    /// How many strips some images have.
    fn strips(&self, images: usize) -> usize {
        match self.together {
            1 => images * self.plane.div_ceil(self.strip),
            several => images.div_ceil(several),
        }
    }

    /// The parts of a strip of some images.
    fn parts(&self, strip: usize, images: usize) -> impl Iterator<Item = Part> {
        let (images, positions) = match self.together {
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

    /// The signs of the input are kept by one thread for all: that which `keeps` them.
    fn bind<'a>(&'a self, image: &ImageIo<'a>, keeps: bool) -> Ends<'a> {
        let (input, output) = ([self.inner, self.plane], [self.outer, self.plane]);
        let signs = image.y.prologue_signs.filter(|_| keeps);
        Ends {
            before: self.prologue.bind(self.isa, &image.x, signs, input),
            after: self
                .epilogue
                .bind(self.isa, &image.x, image.y.epilogue_signs, output),
        }
    }

    /// The input of a part, divided among some tiles.
    fn input<'a>(
        &'a self,
        images: &[ImageIo<'a>],
        part: Option<&Part>,
        tiles: usize,
    ) -> impl Iterator<Item = Prefetch<'a>> {
        let start = part.map(|part| {
            let x = images[part.images.start].x.floats(0).as_ptr();
            x.wrapping_add(part.channels.start * self.plane + part.positions.start)
        });
        let lines = start.map_or(&[][..], |_| &self.lines[0]);
        let start = start.unwrap_or(std::ptr::null());
        let chunk = lines.len().div_ceil(tiles.max(1)).max(1);
        lines
            .chunks(chunk)
            .map(move |lines| Prefetch { start, lines })
    }

    /// The output of a tile of the first image of a part, and what is added to it.
    fn output<'a>(
        &'a self,
        images: &[ImageIo<'a>],
        ends: &[Ends<'a>],
        part: &Part,
        tile: RowTile,
    ) -> [Prefetch<'a>; 2] {
        let first = tile.row * self.plane + part.positions.start;
        let image = part.images.start;
        let wanted = |start: *const f32| Prefetch {
            start: start.wrapping_add(first),
            lines: &self.lines[1],
        };
        let y = wanted(images[image].y.floats.start().cast_const());
        let addend = ends[image].after.addend();
        [y, addend.map_or(Prefetch::NONE, |x| wanted(x.as_ptr()))]
    }

    /// Copies a part, through the activation before the convolution.
    #[inline(always)]
    fn copy(&self, images: &[ImageIo<'_>], ends: &[Ends<'_>], part: &Part, copy: &mut [f32]) {
        let Part {
            positions,
            channels,
            ..
        } = part;
        let (row, len) = (Self::row(self.strip), positions.len());
        assert!(channels.end <= self.inner && positions.end <= self.plane);
        assert!(part.images.len() * len <= row && channels.len() * row <= copy.len());
        for (index, image) in part.images.clone().enumerate() {
            let from = images[image].x.floats(0);
            assert!(from.len() == self.inner * self.plane);
            let first = channels.start * self.plane + positions.start;
            let runs = Span {
                channels: channels.clone(),
                first: positions.start,
                len,
            };
            // SAFETY: both hold the positions of the channels, by the assertions; the strip is
            // this thread's own, or this is the thread that keeps the signs for all.
            #[allow(unsafe_code)]
            unsafe {
                let from = StridedPtr::new(from.as_ptr().add(first), self.plane);
                let to = StridedPtr::new(copy.as_mut_ptr().add(index * len), row);
                ends[image].before.apply(runs, from, to);
            }
        }
    }

    /// Multiplies a tile of weights with the copy of a part; sums of the channels before it are
    /// continued.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        tile: RowTile,
        part: &Part,
        copy: &[f32],
        sums: &mut [f32],
        soon: [Prefetch<'_>; 3],
    ) {
        let channels = &part.channels;
        let weights = &self.weights.tile(tile)[channels.start * tile.height..];
        let columns = ColumnPanel {
            b: copy,
            offsets: &self.offsets[..channels.len()],
            first: 0,
            count: part.images.len() * part.positions.len(),
            last_offset: channels.len().saturating_sub(1) * Self::row(self.strip),
            continued: channels.start > 0,
            soon,
        };
        multiply_tile(simd, tile.height, weights, &columns, sums, self.strip);
    }

    /// Applies what comes after the convolution to the sums of a tile.
    #[inline(always)]
    fn finish(
        &self,
        images: &[ImageIo<'_>],
        ends: &[Ends<'_>],
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
            let runs = Span {
                channels: tile.row..tile.row + tile.height,
                first: positions.start,
                len,
            };
            let start = tile.row * self.plane + positions.start;
            // SAFETY: both hold the runs, by the assertions; the strip, or the channels of the
            // tile, are this thread's own.
            #[allow(unsafe_code)]
            unsafe {
                let from = StridedPtr::new(sums.as_ptr().add(index * len), self.strip);
                let to = StridedPtr::new(y.start().add(start), self.plane);
                ends[image].after.apply(runs, from, to);
            }
        }
    }
}
