//! What is done to each element of a value, where no heavier operator comes before or after.

use super::{Share, Shared, Written};
use crate::pointwise::{Pointwise, Run};
use crate::simd::{Isa, LONGEST, Simd, Work};
use crate::workspace::{Operands, Scratch};

/// A [`Pointwise`] of operand 0.
pub(crate) struct Map {
    pub(crate) isa: Isa,
    pub(crate) pointwise: Pointwise,
    pub(crate) channels: usize,
    /// Elements of a channel.
    pub(crate) plane: usize,
}

impl Shared for Map {
    fn run(&self, x: &Operands<'_>, y: Written<'_>, _: &mut Scratch, share: Share) {
        self.isa.run(Job {
            map: self,
            x,
            y,
            share,
        });
    }
}

struct Job<'a> {
    map: &'a Map,
    x: &'a Operands<'a>,
    y: Written<'a>,
    share: Share,
}

impl Work for Job<'_> {
    type Output = ();

    /// Threads share the channels where there are enough, else groups of elements.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Map {
            channels, plane, ..
        } = *self.map;
        let groups = plane.div_ceil(LONGEST);
        let (own, elements) = match channels >= self.share.count {
            true => (self.share.of(channels), 0..plane),
            false => {
                let own = self.share.of(groups);
                let at = |group: usize| plane.min(group * LONGEST);
                (0..channels, at(own.start)..at(own.end))
            }
        };
        let x = self.x.floats(0);
        let pointwise = &self.map.pointwise;
        let pointwise = pointwise.bind(self.x, self.y.after, [channels, plane]);
        for channel in own {
            let (first, len) = (elements.start, elements.len());
            let run = Run {
                channel,
                first,
                len,
            };
            let start = channel * plane + first;
            let from = &x[start..start + len];
            // SAFETY: the run is this thread's own.
            #[allow(unsafe_code)]
            unsafe {
                let to = self.y.floats.part(start..start + len);
                pointwise.apply(simd, run, from.as_ptr(), to.as_mut_ptr());
            }
        }
    }
}
