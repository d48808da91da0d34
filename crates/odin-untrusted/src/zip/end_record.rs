//! Where the directory of a zip archive lies, by the record at its end.
//!
//! The zip crate looks at the zip64 end record only where the plain one overflows, and takes the
//! directory to end at the plain one. `torch.save` writes both always: a directory whose first
//! entry is as long as what lies between (76 bytes) then lost that entry.

use std::io::{self, Read, Seek, SeekFrom};

const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_LEN: usize = 20;
const END_64: [u8; 4] = *b"PK\x06\x06";
const END_64_LEN: usize = 56;
const ENTRY: [u8; 4] = *b"PK\x01\x02";

/// The longest comment behind the record.
const MAX_COMMENT: usize = u16::MAX as usize;

/// What the record at the end says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndRecord {
    /// The number of entries in the directory.
    pub(super) entries: u64,
    /// What offsets in the archive are counted from: the bytes in front of it. `None` where no
    /// directory lies at the place that follows from the record.
    pub(super) archive_start: Option<u64>,
}

impl EndRecord {
    /// The last record in a file; `None` where there is none.
    pub(super) fn find(source: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        let len = source.seek(SeekFrom::End(0))?;
        let tail = (MAX_COMMENT + END_LEN + LOCATOR_LEN + END_64_LEN) as u64;
        let tail_start = len.saturating_sub(tail);
        source.seek(SeekFrom::Start(tail_start))?;
        let mut bytes = Vec::new();
        source.take(tail).read_to_end(&mut bytes)?;
        let Some(Directory {
            place,
            end,
            size,
            entries,
        }) = Directory::described_in(&bytes)
        else {
            return Ok(None);
        };
        let start = (tail_start + end as u64).checked_sub(size);
        let archive_start = start.and_then(|start| start.checked_sub(place));
        let holds_entry = |&archive_start: &u64| {
            let mut signature = [0; 4];
            let read = source
                .seek(SeekFrom::Start(archive_start + place))
                .and_then(|_| source.read_exact(&mut signature));
            entries == 0 || (read.is_ok() && signature == ENTRY)
        };
        Ok(Some(Self {
            entries,
            archive_start: archive_start.filter(holds_entry),
        }))
    }
}

/// A directory as its end record describes it.
struct Directory {
    /// Where it begins, counted from the beginning of the archive.
    place: u64,
    /// Where it ends in the bytes that were looked at.
    end: usize,
    size: u64,
    entries: u64,
}

impl Directory {
    fn described_in(tail: &[u8]) -> Option<Self> {
        let at = (0..tail.len().checked_sub(END_LEN - 1)?)
            .rev()
            .find(|&at| tail[at..].starts_with(&END))?;
        Self::of_zip64(tail, at).or_else(|| {
            Some(Self {
                place: u32_at(tail, at + 16)?.into(),
                end: at,
                size: u32_at(tail, at + 12)?.into(),
                entries: u16_at(tail, at + 10)?.into(),
            })
        })
    }

    /// By the zip64 record, which lies with its locator in front of the plain one at `at`.
    fn of_zip64(tail: &[u8], at: usize) -> Option<Self> {
        let locator = at.checked_sub(LOCATOR_LEN)?;
        let record = locator.checked_sub(END_64_LEN)?;
        let there = tail[locator..].starts_with(&LOCATOR) && tail[record..].starts_with(&END_64);
        there.then_some(Self {
            place: u64_at(tail, record + 48)?,
            end: record,
            size: u64_at(tail, record + 40)?,
            entries: u64_at(tail, record + 32)?,
        })
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}
