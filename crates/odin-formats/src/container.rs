//! Recognises containers by their first bytes and unwraps compressed files and archives.

use std::io::Read;

use flate2::bufread::GzDecoder;

use crate::checkpoint::Checkpoint;
use crate::{Error, ErrorKind, safetensors, torch};
use odin_error::{first_shown, shown};

/// Wrappers around wrappers that are followed: a gzipped tar is two.
const MAX_WRAPPERS: usize = 4;

/// Bytes of the allowance that a member of a gzip file takes beside its content: a decoder sets up
/// tables of about this size for each, and empty members take few bytes of the file.
const MEMBER_COST: u64 = 16 << 10;

/// What the file inside of an archive is called when it is a checkpoint.
const EXTENSIONS: [&str; 9] = [
    "pth",
    "pt",
    "th",
    "pkl",
    "ckpt",
    "bin",
    "model",
    "t7",
    "safetensors",
];

/// Files that get the name of a checkpoint by accident, by how they begin.
const IMPOSTORS: [(&[u8], &str); 6] = [
    (b"<!DOCTYPE", "a web page: the download went wrong"),
    (b"<!doctype", "a web page: the download went wrong"),
    (b"<html", "a web page: the download went wrong"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer: run `git lfs pull`",
    ),
    (
        b"\x80",
        "a pickle that torch.save did not write: save the state_dict with torch.save",
    ),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras?)"),
];

pub(crate) fn read(bytes: &[u8]) -> Result<Checkpoint, Error> {
    read_wrapped(bytes, MAX_WRAPPERS, Inflation::of(bytes.len()))
}

fn read_wrapped(
    bytes: &[u8],
    wrappers_left: usize,
    mut inflation: Inflation,
) -> Result<Checkpoint, Error> {
    if bytes.starts_with(b"PK\x03\x04") {
        return torch::read_zip(bytes, inflation);
    }
    if bytes.starts_with(b"\x1f\x8b") {
        let inner = gunzip(bytes, &mut inflation).map_err(|e| e.about("gzip"))?;
        return read_wrapped(&inner, one_less(wrappers_left)?, inflation);
    }
    if is_tar(bytes) {
        return match TarContents::of(bytes)? {
            TarContents::Torch => torch::read_tar(bytes, inflation),
            TarContents::One { name, content } => {
                let result = read_wrapped(content, one_less(wrappers_left)?, inflation);
                result
                    .map_err(|e| e.about(format_args!("`{}` inside of the archive", shown(&name))))
            }
        };
    }
    if safetensors::recognises(bytes) {
        return safetensors::read(bytes);
    }
    if torch::recognises_legacy(bytes) {
        return torch::read_legacy(bytes, inflation);
    }
    Err(unknown(bytes))
}

/// The content of all members of a gzip file.
fn gunzip(mut bytes: &[u8], inflation: &mut Inflation) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    while !bytes.is_empty() {
        let mut member = GzDecoder::new(bytes);
        content.extend(inflation.read(&mut member)?);
        let left = inflation.left.checked_sub(MEMBER_COST);
        inflation.left = left.ok_or_else(|| Error::unsupported("too many parts; unpack it"))?;
        bytes = member.into_inner();
    }
    Ok(content)
}

fn one_less(wrappers_left: usize) -> Result<usize, Error> {
    let too_deep = || Error::unsupported("too many archives inside of each other; unpack them");
    wrappers_left.checked_sub(1).ok_or_else(too_deep)
}

fn unknown(bytes: &[u8]) -> Error {
    let impostor = IMPOSTORS.iter().find(|(begin, _)| bytes.starts_with(begin));
    let found = match impostor {
        Some((_, what)) => format!("this is {what}"),
        None if bytes.is_empty() => "the file is empty".to_owned(),
        None => "the content is neither".to_owned(),
    };
    Error::new(
        ErrorKind::UnknownContainer,
        format!("expected a PyTorch checkpoint (torch.save) or a safetensors file, but {found}"),
    )
}

/// How far the compressed parts of a file may unfold. What is inside of a compressed part shares
/// the allowance of the file, or each layer would earn the next one more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inflation {
    file_len: usize,
    left: u64,
}

impl Inflation {
    /// The allowance of a file of `file_len` bytes. Trained weights hardly compress; a factor of
    /// 16 leaves room for momentum buffers that are all zero.
    pub(crate) fn of(file_len: usize) -> Self {
        Self {
            file_len,
            left: (64 << 20) + 16 * file_len as u64,
        }
    }

    /// Bytes of the file itself.
    pub(crate) fn file_len(&self) -> usize {
        self.file_len
    }

    /// The whole allowance in bytes.
    pub(crate) fn limit(&self) -> u64 {
        Self::of(self.file_len).left
    }

    /// All that a decoder gives.
    pub(crate) fn read(&mut self, decoder: impl Read) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        decoder
            .take(self.left + 1)
            .read_to_end(&mut content)
            .map_err(|e| Error::corrupt(format!("{e}; the file is truncated or damaged")))?;
        let left = self.left.checked_sub(content.len() as u64);
        self.left = left.ok_or_else(|| {
            Error::unsupported(format!(
                "a file of {} bytes unfolds to more than {}, which weights do not",
                self.file_len,
                self.limit()
            ))
        })?;
        Ok(content)
    }
}

/// Whether the first 512 bytes are the header of a tar archive, by its checksum.
fn is_tar(bytes: &[u8]) -> bool {
    let Some(header) = bytes.first_chunk::<512>() else {
        return false;
    };
    let header = tar::Header::from_byte_slice(header);
    let bytes = header.as_bytes();
    let sum: u32 = bytes.iter().map(|&b| u32::from(b)).sum();
    let own: u32 = bytes[148..156].iter().map(|&b| u32::from(b)).sum();
    header.cksum().is_ok_and(|c| c == sum - own + 8 * 32)
}

enum TarContents<'a> {
    /// The parts that PyTorch before 0.1.10 wrote.
    Torch,
    /// A single checkpoint.
    One { name: String, content: &'a [u8] },
}

impl<'a> TarContents<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Error> {
        let files = tar_files(bytes)?;
        let has = |part: &str| files.iter().any(|(name, _)| name == part);
        if torch::TAR_PARTS.iter().all(|part| has(part)) {
            return Ok(Self::Torch);
        }
        let checkpoint = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or(name);
            let extension = file.rsplit_once('.').map_or("", |(_, e)| e);
            EXTENSIONS.contains(&extension) && !file.starts_with("._")
        };
        let mut candidates: Vec<_> = files.iter().filter(|(name, _)| checkpoint(name)).collect();
        if candidates.is_empty() {
            candidates = files.iter().collect();
        }
        match candidates[..] {
            [(name, content)] => Ok(Self::One {
                name: name.clone(),
                content,
            }),
            _ => {
                let names = first_shown(files.iter().map(|(name, _)| name.as_str()));
                Err(Error::new(
                    ErrorKind::NoWeights,
                    format!(
                        "an archive of {} files, among them {names:?}; expected exactly one \
                         checkpoint: unpack it and give the file",
                        files.len()
                    ),
                ))
            }
        }
    }
}

/// The regular files of a tar archive that is in memory, with their contents.
pub(crate) fn tar_files(bytes: &[u8]) -> Result<Vec<(String, &[u8])>, Error> {
    let damaged = |e: std::io::Error| Error::corrupt(format!("tar: {e}; the file is damaged"));
    let mut files = Vec::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let start = usize::try_from(entry.raw_file_position()).ok();
        let size = usize::try_from(entry.size()).ok();
        let range = start.and_then(|s| Some(s..s.checked_add(size?)?));
        let content = range.and_then(|r| bytes.get(r)).ok_or_else(|| {
            Error::corrupt("tar: an entry reaches past the end; the file is truncated")
        })?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        files.push((name.trim_start_matches("./").to_owned(), content));
    }
    Ok(files)
}
