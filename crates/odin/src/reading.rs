//! Images are read and decoded while those before them are scored.

use odin_data::{DataSet, Error, Sample};
use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Images of a set, by their positions in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Positions {
    Range(Range<usize>),
    These(Vec<usize>),
}

impl Positions {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::These(positions) => positions.len(),
        }
    }

    /// The `i`-th of them.
    pub(crate) fn get(&self, i: usize) -> usize {
        match self {
            Self::Range(range) => range.start + i,
            Self::These(positions) => positions[i],
        }
    }
}

/// An image that was read, or why it was not.
pub(crate) struct Reading {
    /// Where it is in its set.
    pub(crate) position: usize,
    pub(crate) sample: Result<Sample, Error>,
}

/// Calls `each` with all images of these positions in their order, `batch` at a time, until it
/// fails. Another thread reads meanwhile; at most three batches are in memory.
pub(crate) fn read_ahead<E>(
    set: &dyn DataSet,
    positions: &Positions,
    batch: usize,
    mut each: impl FnMut(Vec<Reading>) -> Result<(), E>,
) -> Result<(), E> {
    let read = |start: usize| -> Vec<Reading> {
        let end = start.saturating_add(batch).min(positions.len());
        let readings = (start..end).map(|i| {
            let position = positions.get(i);
            let sample = set.get(position);
            Reading { position, sample }
        });
        readings.collect()
    };
    let mut starts = (0..positions.len()).step_by(batch);
    // A single batch leaves nothing to overlap.
    if positions.len() <= batch {
        return starts.try_for_each(|start| each(read(start)));
    }
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        let (read, ahead) = (&read, starts.clone());
        let reader = move || {
            for start in ahead {
                // Nobody listens any more when `each` has failed.
                if sender.send(read(start)).is_err() {
                    return;
                }
            }
        };
        match thread::Builder::new().spawn_scoped(scope, reader) {
            Ok(_) => receiver.iter().try_for_each(&mut each),
            // Without another thread it takes longer, no more.
            Err(_) => starts.try_for_each(|start| each(read(start))),
        }
    })
}
