//! Recognises containers by their first bytes and unwraps compressed files and archives.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::checkpoint::Checkpoint;
use crate::{Error, ErrorKind, safetensors, torch};

/// Wrappers around wrappers that are followed: a gzipped tar is two.
const MAX_WRAPPERS: usize = 4;

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
    read_wrapped(bytes, MAX_WRAPPERS)
}

fn read_wrapped(bytes: &[u8], wrappers_left: usize) -> Result<Checkpoint, Error> {
    if bytes.starts_with(b"PK\x03\x04") {
        return torch::read_zip(bytes);
    }
    if bytes.starts_with(b"\x1f\x8b") {
        let inner = gunzip(bytes)?;
        return read_wrapped(&inner, one_less(wrappers_left)?);
    }
    if is_tar(bytes) {
        return match TarContents::of(bytes)? {
            TarContents::Torch => torch::read_tar(bytes),
            TarContents::One { name, content } => {
                let result = read_wrapped(content, one_less(wrappers_left)?);
                result.map_err(|e| e.about(format_args!("`{name}` inside of the archive")))
            }
        };
    }
    if safetensors::recognises(bytes) {
        return safetensors::read(bytes);
    }
    if torch::recognises_legacy(bytes) {
        return torch::read_legacy(bytes);
    }
    Err(unknown(bytes))
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

/// Most bytes that a compressed file of `len` bytes may unfold to. Trained weights hardly
/// compress; a factor of 16 leaves room for momentum buffers that are all zero.
pub(crate) fn inflation_limit(len: usize) -> u64 {
    (64 << 20) + 16 * len as u64
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let limit = inflation_limit(bytes.len());
    let mut inner = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit + 1)
        .read_to_end(&mut inner)
        .map_err(|e| Error::corrupt(format!("gzip: {e}; the file is truncated or damaged")))?;
    if inner.len() as u64 > limit {
        return Err(Error::unsupported(format!(
            "gzip: unfolds to more than {limit} bytes, which weights do not"
        )));
    }
    Ok(inner)
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
                let names: Vec<&str> = files.iter().map(|(n, _)| n.as_str()).take(8).collect();
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
