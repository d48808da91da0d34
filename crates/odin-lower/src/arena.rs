//! The slots of an arena.

use std::ops::Range;

/// The range of a value in an arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The first element.
    pub offset: usize,
    /// The number of elements.
    pub len: usize,
}

impl Slot {
    /// The elements.
    pub fn range(self) -> Range<usize> {
        self.offset..self.offset + self.len
    }

    /// Whether two slots of an arena share an element.
    pub fn overlaps(self, other: Self) -> bool {
        self.offset < other.offset + other.len && other.offset < self.offset + self.len
    }
}

/// The slots of an arena: each is the lowest that is free for the whole live range.
#[derive(Debug, Default)]
pub struct ArenaPlanner {
    /// By offset.
    allocated: Vec<(Range<usize>, Slot)>,
    len: usize,
}

impl ArenaPlanner {
    /// A slot of `len` elements, aligned to `grain`, for a live range that includes its end.
    pub fn allocate(&mut self, live_range: Range<usize>, len: usize, grain: usize) -> Slot {
        self.allocated
            .retain(|(other, _)| other.end >= live_range.start);
        let mut offset = 0_usize;
        for (_, slot) in &self.allocated {
            if slot.offset >= offset.saturating_add(len) {
                break;
            }
            offset = offset.max(round_up(slot.offset.saturating_add(slot.len), grain));
        }
        let slot = Slot { offset, len };
        self.len = self.len.max(round_up(offset.saturating_add(len), grain));
        let behind = self.allocated.partition_point(|(_, s)| s.offset <= offset);
        self.allocated.insert(behind, (live_range, slot));
        slot
    }

    /// The length of the arena that holds all slots so far; [`usize::MAX`] if no memory does.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The next multiple of `grain`; the largest number, which no memory holds, if that overflows.
fn round_up(len: usize, grain: usize) -> usize {
    len.checked_next_multiple_of(grain).unwrap_or(usize::MAX)
}
