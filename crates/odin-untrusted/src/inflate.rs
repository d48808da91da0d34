//! Decompression within a budget of bytes.

use std::io::{self, BufRead, Read};

use flate2::bufread::{GzDecoder, ZlibDecoder};

use crate::error::Error;
use crate::guard::Contained;

/// Bytes of the budget that a member of a gzip file stands for beside its content: a decoder sets
/// up tables of about this size for each, and an empty member takes few bytes of the file.
const MEMBER_COST: u64 = 16 << 10;

/// How many bytes may still be decompressed from a file. All its parts share one budget; otherwise
/// each layer of compression would increase the budget of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    limit: u64,
    left: u64,
}

/// Why [`Budget::copy`] ended early.
#[derive(Debug)]
pub enum CopyError<E> {
    /// The source failed; a decoder does at damaged data.
    Source(io::Error),
    /// There is more than the budget allows.
    Spent,
    /// The sink failed.
    Sink(E),
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, left: limit }
    }

    /// The budget of a file of `packed` bytes: `ratio` times as many, and at least `free`.
    pub fn of_packed(packed: u64, ratio: u64, free: u64) -> Self {
        Self::new(packed.saturating_mul(ratio).max(free))
    }

    /// The smaller of this budget and another one, neither of which has been spent from.
    pub fn at_most(self, limit: u64) -> Self {
        Self::new(self.limit.min(limit))
    }

    /// All bytes of the budget, spent or not.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes that are left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Takes bytes out; whether there were as many.
    #[must_use]
    pub fn spend(&mut self, bytes: u64) -> bool {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Reads a decoder to its end.
    ///
    /// # Errors
    /// `Damaged` when the decoder fails, `TooLarge` when it gives more than the budget has left.
    pub fn read(&mut self, decoder: impl Read) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let mut decoder = decoder.take(self.left.saturating_add(1));
        match decoder.read_to_end(&mut content) {
            Ok(count) if self.spend(count as u64) => Ok(content),
            Err(error) if !is_spent(&error) => {
                Err(Error::from_cause(crate::ErrorKind::Damaged, error))
            }
            _ => Err(self.spent()),
        }
    }

    /// Copies a decoder's output to a sink and returns its length.
    ///
    /// # Errors
    /// When the decoder or the sink fails, or there is more than the budget has left; the sink has
    /// then seen what came before.
    pub fn copy<E>(
        &mut self,
        mut decoder: impl Read,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, CopyError<E>> {
        let mut buffer = vec![0; 1 << 16];
        let mut total = 0;
        loop {
            let piece = match decoder.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => &buffer[..count],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_spent(&error) => return Err(CopyError::Spent),
                Err(error) => return Err(CopyError::Source(error)),
            };
            if !self.spend(piece.len() as u64) {
                return Err(CopyError::Spent);
            }
            sink(piece).map_err(CopyError::Sink)?;
            total += piece.len() as u64;
        }
    }

    fn spent(&self) -> Error {
        Error::too_large(format!("more than {} bytes", self.limit))
    }
}

/// The content of all members of a gzip file, of which there may be as many as the budget has
/// room for.
pub fn gunzip<R: BufRead>(source: R, budget: Budget) -> Gunzip<R> {
    Gunzip {
        member: Some(GzDecoder::new(source)),
        members_left: budget.left / MEMBER_COST,
    }
}

/// See [`gunzip`].
#[derive(Debug)]
pub struct Gunzip<R> {
    /// `None` after the last one.
    member: Option<GzDecoder<R>>,
    members_left: u64,
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = Contained(member).read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            if source.fill_buf()?.is_empty() {
                break;
            }
            let left = self.members_left.checked_sub(1);
            self.members_left = left.ok_or_else(|| io::Error::other(Spent))?;
            self.member = Some(GzDecoder::new(source));
        }
        Ok(0)
    }
}

/// The content of a zlib stream.
pub fn zlib<R: BufRead>(source: R) -> impl Read {
    Contained(ZlibDecoder::new(source))
}

/// More members than the budget has room for.
#[derive(Debug)]
struct Spent;

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many members")
    }
}

impl std::error::Error for Spent {}

fn is_spent(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Spent>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
        let mut budget = Budget::new(limit);
        budget.read(gunzip(bytes, budget))
    }

    #[test]
    fn parts_share_one_budget() {
        let mut budget = Budget::of_packed(10, 100, 5).at_most(2000);
        assert_eq!(budget.limit(), 1000);
        assert_eq!(budget.read(io::repeat(7).take(600)).unwrap(), [7; 600]);
        assert_eq!(budget.left(), 400);
        let error = budget.read(io::repeat(7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(budget.left(), 0);
    }

    #[test]
    fn copying_stops_at_the_budget() {
        let mut seen = 0;
        let mut sink = |piece: &[u8]| {
            seen += piece.len();
            Ok::<(), ()>(())
        };
        let mut budget = Budget::new(100_000);
        let all = budget.copy(io::repeat(1).take(70_000), &mut sink);
        assert!(matches!(all, Ok(70_000)));
        let more = budget.copy(io::repeat(1), &mut sink);
        assert!(matches!(more, Err(CopyError::Spent)));
        assert!(seen <= 100_000, "{seen}");
        let refused = Budget::new(9).copy(&b"abc"[..], |_| Err("full"));
        assert!(matches!(refused, Err(CopyError::Sink("full"))));
    }

    #[test]
    fn members_follow_each_other_and_are_counted() {
        let two = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(read(&two, 1 << 20).unwrap(), b"one two");
        let many = gzip(b"").repeat(100);
        assert_eq!(
            read(&many, 1 << 20).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
        let mut budget = Budget::new(1 << 20);
        let copied = budget.copy(gunzip(&many[..], budget), |_| Ok::<(), ()>(()));
        assert!(matches!(copied, Err(CopyError::Spent)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_was_packed_comes_back(content in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(&read(&gzip(&content), 1 << 20).unwrap(), &content);
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&content).unwrap();
            let packed = encoder.finish().unwrap();
            prop_assert_eq!(Budget::new(3000).read(zlib(&packed[..])).unwrap(), content);
        }

        #[test]
        fn arbitrary_bytes_give_an_error_or_no_more_than_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            limit in 0_u64..5000,
        ) {
            for bytes in [bytes.clone(), [b"\x1f\x8b\x08\0\0\0\0\0\0\0", &bytes[..]].concat()] {
                if let Ok(content) = read(&bytes, limit) {
                    prop_assert!(content.len() as u64 <= limit);
                }
                if let Ok(content) = Budget::new(limit).read(zlib(&bytes[..])) {
                    prop_assert!(content.len() as u64 <= limit);
                }
            }
        }

        #[test]
        fn damage_gives_an_error_or_no_more_than_the_limit(
            content in prop::collection::vec(0_u8..4, 0..3000),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = gzip(&content);
            let place = at.index(bytes.len());
            bytes[place] = value;
            let cut = cut.index(bytes.len());
            for bytes in [&bytes[..], &bytes[..cut]] {
                if let Ok(content) = read(bytes, 100_000) {
                    prop_assert!(content.len() <= 100_000);
                }
            }
        }
    }
}
