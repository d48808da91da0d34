//! Convolutions of single elements, and their adjoints: each output position is a product of the
//! weights with the channels of one input position.
//!
//! The output is computed strip by strip, a strip being some neighbouring positions. Of a strip,
//! some channels at a time are copied, through the activation before the convolution; then each
//! tile of weights is multiplied with the copy. If the weights are few, the copy and the sums of a
//! strip stay in the first-level cache. If they are many, a strip is longer and has all channels,
//! so that the weights are read less often.

use super::conv::Kind;
use super::{ScratchSize, Share, Shared, Written};
use crate::pointwise::{Bound, Pointwise, Runs, Strided};
use crate::product::{Columns, Packed, Tile, multiply};
use crate::simd::{Isa, LONGEST, Simd, Work};
use crate::workspace::{Operands, Out, Scratch};
use odin_graph::op::Window;
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
/// How many elements the copy should have then: 512 KiB, a part of a second-level cache.
const COPY: usize = 1 << 17;

/// See the module.
pub(crate) struct Conv1x1 {
    isa: Isa,
    inner: usize,
    outer: usize,
    /// Elements of a channel.
    plane: usize,
    strip: usize,
    /// How many channels are copied at a time.
    depth: usize,
    /// Where the channels of a copy begin.
    offsets: Vec<u32>,
    weights: Arc<Packed>,
    /// Applied to the input.
    pub(crate) before: Pointwise,
    /// Applied to the sums.
    pub(crate) after: Pointwise,
}

/// Whether each position of the output meets the same position of the input, in all channels, and
/// nothing else.
pub(crate) fn meets_itself(window: &Window, groups: usize, x: &[usize], y: &[usize]) -> bool {
    let ones = |extents: &[usize]| extents.iter().all(|&extent| extent == 1);
    let unpadded = window.pads_begin.iter().all(|&pad| pad == 0);
    groups == 1 && ones(&window.kernel) && ones(&window.strides) && unpadded && x == y
}

impl Conv1x1 {
    /// Shapes of one image, `[1, C, spatial...]`; `None` where a position meets more than itself,
    /// or the image is too large.
    pub(crate) fn new(isa: Isa, kind: &Kind, x: &[usize], y: &[usize]) -> Option<Self> {
        let (window, groups) = kind.window();
        if !meets_itself(window, groups, &x[2..], &y[2..]) {
            return None;
        }
        let (inner, outer, plane) = (x[1], y[1], x[2..].iter().product::<usize>());
        let (strip, depth) = match inner.checked_mul(outer)? <= FEW {
            true => (SHORT, inner.div_ceil(inner.div_ceil(CHANNELS))),
            false => {
                let positions = (COPY / inner).clamp(SHORT, LONG) / SHORT * SHORT;
                let strips = plane.div_ceil(positions);
                (plane.div_ceil(strips).next_multiple_of(SHORT), inner)
            }
        };
        u32::try_from(depth.checked_mul(Self::row(strip))?).ok()?;
        Some(Self {
            isa,
            inner,
            outer,
            plane,
            strip,
            depth,
            offsets: (0..depth).map(|k| (k * Self::row(strip)) as u32).collect(),
            weights: Arc::default(),
            before: Pointwise::default(),
            after: Pointwise::default(),
        })
    }

    /// Packs the weights; `None` if there is no memory for them.
    pub(crate) fn pack(&self, kind: &Kind, w: &[f32]) -> Option<Packed> {
        let (inner, outer) = (self.inner, self.outer);
        Packed::new(self.isa, outer, inner, |out, channel| match kind {
            Kind::Conv(_) => w[out * inner + channel],
            Kind::Adjoint(_) => w[channel * outer + out],
        })
    }

    /// With weights that [`Conv1x1::pack`] has packed.
    pub(crate) fn with(mut self, weights: Arc<Packed>) -> Self {
        self.weights = weights;
        self
    }

    /// From one channel of the copy to the next: an odd number of cache lines, if that is more
    /// than a few, so that channels do not compete for the same places in a cache.
    fn row(strip: usize) -> usize {
        match strip {
            SHORT => SHORT,
            _ => ((strip / LONGEST) | 1) * LONGEST,
        }
    }

    /// Elements of the copy and of the sums: those of all channels if they are continued.
    fn room(&self) -> [usize; 2] {
        let rows = match self.depth < self.inner {
            true => self.outer,
            false => self.weights.height(),
        };
        [
            self.depth * Self::row(self.strip) + LONGEST,
            rows * self.strip,
        ]
    }
}

impl Shared for Conv1x1 {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, scratch: &mut Scratch, share: Share) {
        let (copy, sums) = scratch.floats.as_mut_slice().split_at_mut(self.room()[0]);
        self.isa.run(Job {
            conv: self,
            x,
            y,
            copy,
            sums,
            share,
        });
    }

    fn scratch(&self) -> ScratchSize {
        ScratchSize {
            floats: self.room().iter().sum(),
            indices: 0,
        }
    }
}

/// A share of a convolution.
struct Job<'a> {
    conv: &'a Conv1x1,
    x: &'a Operands<'a>,
    y: Written<'a>,
    copy: &'a mut [f32],
    sums: &'a mut [f32],
    share: Share,
}

impl Work for Job<'_> {
    type Output = ();

    /// Threads share the strips where there are enough; else the channels of the output, unless
    /// what each would then copy anew is more than what it computes.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (conv, share) = (self.conv, self.share);
        let strips = conv.plane.div_ceil(conv.strip);
        let by_strips = strips >= 4 * share.count
            || strips.is_multiple_of(share.count) && conv.inner >= conv.outer;
        let [own_strips, by_channel] = match by_strips {
            true => [share, Share::WHOLE],
            false => [Share::WHOLE, share],
        };
        let tiles = conv.weights.tiles();
        let tiles = &tiles[by_channel.of(tiles.len())];
        if tiles.is_empty() && by_channel.index != 0 {
            return;
        }
        // The thread that has the first channels keeps the signs of the input for all.
        let signs = self.y.before.filter(|_| by_channel.index == 0);
        let input = [conv.inner, conv.plane];
        let before = conv.before.bind(conv.isa, self.x, signs, input);
        let output = [conv.outer, conv.plane];
        let after = conv.after.bind(conv.isa, self.x, self.y.after, output);
        for strip in own_strips.of(strips) {
            let positions = strip * conv.strip..conv.plane.min((strip + 1) * conv.strip);
            for first in (0..conv.inner).step_by(conv.depth) {
                let block = first..conv.inner.min(first + conv.depth);
                conv.copy(&before, self.x.floats(0), &block, &positions, self.copy);
                for &tile in tiles {
                    let sums = match conv.depth < conv.inner {
                        true => &mut self.sums[tile.row * conv.strip..],
                        false => &mut *self.sums,
                    };
                    conv.multiply(simd, tile, &block, positions.len(), self.copy, sums);
                    if block.end == conv.inner {
                        conv.finish(&after, tile, &positions, sums, self.y.floats);
                    }
                }
            }
        }
    }
}

impl Conv1x1 {
    /// Copies some positions of some channels, through the activation before the convolution.
    #[inline(always)]
    fn copy(
        &self,
        before: &Bound<'_>,
        from: &[f32],
        channels: &Range<usize>,
        positions: &Range<usize>,
        copy: &mut [f32],
    ) {
        let row = Self::row(self.strip);
        assert!(from.len() == self.inner * self.plane && channels.end <= self.inner);
        assert!(positions.end <= self.plane && positions.len() <= row);
        assert!(channels.len() * row <= copy.len());
        let first = channels.start * self.plane + positions.start;
        let runs = Runs {
            channels: channels.clone(),
            first: positions.start,
            len: positions.len(),
        };
        // SAFETY: both hold the positions of the channels, by the assertions; the strip is this
        // thread's own, or this is the thread that keeps the signs for all.
        #[allow(unsafe_code)]
        unsafe {
            let from = Strided::new(from.as_ptr().wrapping_add(first), self.plane);
            before.apply(runs, from, Strided::new(copy.as_mut_ptr(), row));
        }
    }

    /// Multiplies a tile of weights with the copy of some channels; sums of those before them are
    /// continued.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        simd: S,
        tile: Tile,
        block: &Range<usize>,
        count: usize,
        copy: &[f32],
        sums: &mut [f32],
    ) {
        let weights = &self.weights.tile(tile)[block.start * tile.height..];
        let columns = Columns {
            b: copy,
            offsets: &self.offsets[..block.len()],
            first: 0,
            count,
            last_offset: block.len().saturating_sub(1) * Self::row(self.strip),
            continued: block.start > 0,
        };
        multiply(simd, tile.height, weights, &columns, sums, self.strip);
    }

    /// Applies what comes after the convolution to the sums of a tile.
    #[inline(always)]
    fn finish(
        &self,
        after: &Bound<'_>,
        tile: Tile,
        positions: &Range<usize>,
        sums: &[f32],
        y: Out<'_, f32>,
    ) {
        let start = tile.row * self.plane + positions.start;
        assert!(y.len() == self.outer * self.plane && positions.end <= self.plane);
        assert!(tile.row + tile.height <= self.outer && tile.height * self.strip <= sums.len());
        assert!(positions.len() <= self.strip);
        let runs = Runs {
            channels: tile.row..tile.row + tile.height,
            first: positions.start,
            len: positions.len(),
        };
        // SAFETY: both hold the runs, by the assertions; the strip, or the channels of the tile,
        // are this thread's own.
        #[allow(unsafe_code)]
        unsafe {
            let from = Strided::new(sums.as_ptr(), self.strip);
            let to = Strided::new(y.start().wrapping_add(start), self.plane);
            after.apply(runs, from, to);
        }
    }
}
