//! Random-access bytes of known length, in memory or in a file, and decompression into them.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use odin_untrusted::file::open_regular;
use odin_untrusted::inflate::{Budget, CopyError, gunzip};
use tempfile::SpooledData;

use crate::error::{Error, ErrorKind};

/// Unpacked data up to this size stays in memory.
const IN_MEMORY: u64 = 32 << 20;

/// Any archive may unpack to this size.
const FREE_SIZE: u64 = 256 << 20;

/// A larger result may be at most this many times the packed size.
const MAX_RATIO: u64 = 100;

/// Bytes in the memory of someone else, such as a NumPy array, which several threads read at any
/// offset.
pub trait SharedBytes: fmt::Debug + Send + Sync {
    /// Their number.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When so many bytes are not there, or can no longer be read.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Bytes of known length that several threads read at any offset.
#[derive(Debug)]
pub(crate) enum Blob {
    Memory(Cow<'static, [u8]>),
    Shared(Arc<dyn SharedBytes>),
    File { file: File, len: u64 },
}

impl Blob {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = open_regular(path).map_err(Error::unreadable_file)?;
        let len = file
            .metadata()
            .map_err(|e| Error::io("read", path, e))?
            .len();
        Ok(Self::File { file, len })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Shared(bytes) => bytes.len(),
            Self::File { len, .. } => *len,
        }
    }

    /// Fills `buffer` from `offset` on as far as there are bytes, and returns their number.
    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        match self {
            Self::Memory(bytes) if count > 0 => {
                let start = offset as usize;
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
            }
            Self::Shared(bytes) if count > 0 => {
                bytes.read_exact_at(&mut buffer[..count], offset)?;
            }
            Self::File { file, .. } if count > 0 => {
                read_exact_at(file, &mut buffer[..count], offset)?;
            }
            _ => {}
        }
        Ok(count)
    }

    /// `count` bytes from `offset` on. Nothing is allocated for bytes that are not there.
    pub(crate) fn read(&self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        match offset.checked_add(count) {
            Some(end) if end <= self.len() => {
                let mut bytes = vec![0; count as usize];
                self.read_some(offset, &mut bytes)?;
                Ok(bytes)
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The first bytes, at most `count`.
    pub(crate) fn head(&self, count: usize) -> io::Result<Vec<u8>> {
        self.read(0, self.len().min(count as u64))
    }
}

/// Fills `buffer` from `offset` on, whatever other threads read of the file meanwhile.
#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from `offset` on, whatever other threads read of the file meanwhile.
#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A cursor over a [`Blob`].
#[derive(Debug, Clone)]
pub(crate) struct BlobReader {
    blob: Arc<Blob>,
    position: u64,
}

impl BlobReader {
    pub(crate) fn new(blob: Arc<Blob>) -> Self {
        Self { blob, position: 0 }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.blob.read_some(self.position, buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.blob.len().checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// How compressed data is unpacked: once, into memory if it is small and into an anonymous
/// temporary file otherwise, up to a limit.
#[derive(Debug, Clone)]
pub(crate) struct Unpack {
    pub(crate) limit: u64,
    pub(crate) scratch: Option<PathBuf>,
}

impl Unpack {
    /// What a file of `packed` bytes may unpack to.
    pub(crate) fn budget(&self, packed: u64) -> Budget {
        Budget::of_packed(packed, MAX_RATIO, FREE_SIZE).at_most(self.limit)
    }

    /// Unpacks a gzip file.
    pub(crate) fn gunzip(&self, packed: Arc<Blob>, title: &str) -> Result<Blob, Error> {
        let len = packed.len();
        let source = BufReader::new(BlobReader::new(packed));
        self.run(gunzip(source, self.budget(len)), len, title)
    }

    /// Unpacks all of `source`, whose packed form is `packed` bytes long.
    pub(crate) fn run(&self, source: impl Read, packed: u64, title: &str) -> Result<Blob, Error> {
        let mut target = match &self.scratch {
            Some(folder) => tempfile::spooled_tempfile_in(IN_MEMORY as usize, folder),
            None => tempfile::spooled_tempfile(IN_MEMORY as usize),
        };
        let mut budget = self.budget(packed);
        let copied = budget.copy(source, |piece| target.write_all(piece));
        let len = copied.map_err(|error| match error {
            CopyError::Source(e) => {
                let message = format!("{title} does not unpack; it may be truncated or damaged");
                Error::malformed(message).because(e)
            }
            CopyError::Spent => Error::unsupported(format!(
                "{title} unpacks to more than {} bytes, the limit against decompression bombs; \
                     if you trust it, unpack it yourself",
                budget.limit()
            )),
            CopyError::Sink(e) => {
                let message = format!("cannot write the unpacked {title} to a temporary file");
                Error::new(ErrorKind::Io, message).because(e)
            }
        })?;
        Ok(match target.into_inner() {
            SpooledData::InMemory(bytes) => Blob::Memory(bytes.into_inner().into()),
            SpooledData::OnDisk(file) => Blob::File { file, len },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(limit: u64) -> Unpack {
        Unpack {
            limit,
            scratch: None,
        }
    }

    #[test]
    fn unpacking_stops_at_the_limit() {
        let error = unpack(1000).run(io::repeat(7), 10, "bomb.gz").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let blob = unpack(1000).run(io::repeat(7).take(1000), 10, "x").unwrap();
        assert_eq!(blob.len(), 1000);
        let error = unpack(u64::MAX)
            .run(io::repeat(0), 1, "bomb.gz")
            .unwrap_err();
        assert!(error.to_string().contains("268435456"), "{error}");
    }

    #[test]
    fn large_results_go_to_disk_and_read_back() {
        let size = IN_MEMORY + 5;
        let blob = unpack(u64::MAX)
            .run(io::repeat(9).take(size), size, "x")
            .unwrap();
        assert!(matches!(blob, Blob::File { .. }));
        assert_eq!(blob.read(size - 3, 3).unwrap(), [9; 3]);
        assert!(blob.read(size - 3, 4).is_err());
        assert!(blob.read(u64::MAX, 4).is_err());
    }
}
