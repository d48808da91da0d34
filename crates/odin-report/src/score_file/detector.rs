//! The columns that say which detector decided, by the first hex digits of its checksum, and by
//! which score.

use std::collections::BTreeSet;
use std::fmt;

/// The first hex digits of a detector's checksum, enough to tell detectors apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DetectorId(String);

/// The name of the column of the detector.
pub(super) const COLUMN: &str = "detector";

/// The name of the column before it, of the score that decides.
pub(super) const DECIDED_BY: &str = "decided_by";

/// What each record of a file says of the detector that decided.
#[derive(Debug, Clone)]
pub(super) struct Signature {
    pub(super) decided_by: String,
    pub(super) detector: DetectorId,
}

const DIGITS: usize = 16;

impl DetectorId {
    /// That of a detector with this checksum; `None` where it is none.
    pub(super) fn of_checksum(checksum: &str) -> Option<Self> {
        Self::read(checksum.get(..DIGITS)?)
    }

    /// What a cell holds; `None` where it is something else, for other programs may use a column of
    /// this name.
    pub(super) fn read(cell: &str) -> Option<Self> {
        let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let is_id = cell.len() == DIGITS && cell.bytes().all(is_digit);
        is_id.then(|| Self(cell.to_string()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DetectorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A warning where two files name different detectors.
pub(crate) fn other_detector(
    one: &BTreeSet<DetectorId>,
    other: &BTreeSet<DetectorId>,
) -> Option<String> {
    let differ = !one.is_empty() && !other.is_empty() && one != other;
    differ.then(|| {
        format!(
            "the files are of different detectors ({}, {}): what differs may be the detector",
            names(one),
            names(other)
        )
    })
}

/// The one detector of a file, as files have it that one run wrote, or the first of them.
fn names(detectors: &BTreeSet<DetectorId>) -> String {
    match (detectors.first(), detectors.len()) {
        (None, _) => "none".to_string(),
        (Some(only), 1) => only.to_string(),
        (Some(first), count) => format!("{first} and {} others", count - 1),
    }
}
