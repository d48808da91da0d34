//! The column that identifies the detector, by the first hex digits of its checksum.

use std::fmt;

/// The first hex digits of a detector's checksum, enough to tell detectors apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DetectorId(String);

/// The name of the column.
pub(super) const COLUMN: &str = "detector";

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
