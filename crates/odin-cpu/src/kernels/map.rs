//! What is done to each element of a value, where no heavier operator comes before or after.

use super::{Share, Shared, Written};
use crate::pointwise::{Pointwise, Runs, Strided};
use crate::simd::{Isa, LONGEST};
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
    /// Threads share the channels where there are enough, else groups of elements.
    fn run(&self, x: &Operands<'_>, y: Written<'_>, _: &mut Scratch, share: Share) {
        let Map {
            channels, plane, ..
        } = *self;
        let (own, elements) = match channels >= share.count {
            true => (share.of(channels), 0..plane),
            false => {
                let own = share.of(plane.div_ceil(LONGEST));
                let at = |group: usize| plane.min(group * LONGEST);
                (0..channels, at(own.start)..at(own.end))
            }
        };
        let pointwise = self.pointwise.bind(self.isa, x, y.after, [channels, plane]);
        let from = &x.floats(0)[..channels * plane];
        assert!(y.floats.len() == channels * plane);
        let first = own.start * plane + elements.start;
        let runs = Runs {
            channels: own,
            first: elements.start,
            len: elements.len(),
        };
        // SAFETY: both hold all channels, by the assertion and the slice; the runs are this
        // thread's own.
        #[allow(unsafe_code)]
        unsafe {
            let from = from.as_ptr().wrapping_add(first);
            let to = y.floats.start().wrapping_add(first);
            pointwise.apply(runs, Strided::new(from, plane), Strided::new(to, plane));
        }
    }
}
