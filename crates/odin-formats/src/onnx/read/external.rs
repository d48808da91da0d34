//! Constant data that lies in files beside the model.

use crate::onnx::proto::TensorProto;
use crate::{Error, ErrorKind};
use odin_untrusted::file::{open_regular, read_regular};
use odin_untrusted::impostor;
use std::collections::HashSet;
use std::fs::Metadata;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Values of `TensorProto::data_location`.
const EXTERNAL: i32 = 1;

/// Where a tensor's data lies: a part of a file.
pub(super) struct Place {
    pub(super) path: PathBuf,
    offset: u64,
    /// Where it is said.
    length: Option<u64>,
}

impl Place {
    /// The place of a tensor whose data does not lie in the model itself.
    pub(super) fn of(tensor: &TensorProto, folder: Option<&Path>) -> Result<Option<Self>, Error> {
        if tensor.data_location != EXTERNAL {
            return Ok(None);
        }
        let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key);
        let number = |key: &str| match entry(key) {
            Some(e) => e.value.parse::<u64>().map(Some).map_err(|_| {
                Error::corrupt(format!("{key} of external data cannot be {:?}", e.value))
            }),
            None => Ok(None),
        };
        let location = entry("location").map_or("", |e| e.value.as_str());
        Ok(Some(Self {
            path: inside(location, folder)?,
            offset: number("offset")?.unwrap_or(0),
            length: number("length")?,
        }))
    }

    /// The data, which takes `expected` bytes.
    pub(super) fn read(&self, expected: usize) -> Result<Vec<u8>, Error> {
        let io =
            |e: std::io::Error| Error::new(ErrorKind::Io, e.to_string()).about(self.path.display());
        let mut file = open_regular(&self.path)?;
        self.check(expected as u64, file.metadata().map_err(io)?.len())?;
        let mut bytes = Vec::new();
        let reserved = bytes.try_reserve_exact(expected);
        reserved.map_err(|e| io(e.into()))?;
        file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        let read = file.take(expected as u64).read_to_end(&mut bytes);
        match read.map_err(io)? == expected {
            true => Ok(bytes),
            false => Err(io(std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Checks that a file of `available` bytes has the `expected` ones.
    fn check(&self, expected: u64, available: u64) -> Result<(), Error> {
        let Self {
            path,
            offset,
            length,
        } = self;
        if let Some(length) = length.filter(|&length| length != expected) {
            return Err(Error::corrupt(format!(
                "external data of {length} bytes stands for a tensor of {expected}"
            )));
        }
        match offset.checked_add(expected) {
            Some(end) if end <= available => Ok(()),
            _ if available < LARGEST_POINTER
                && let Ok(bytes) = read_regular(path, LARGEST_POINTER)
                && let Some(found) = impostor::recognise(&bytes) =>
            {
                let message = format!("expected the weights of the model, but this is {found}");
                Err(Error::new(ErrorKind::Io, message).about(path.display()))
            }
            _ => {
                let message =
                    format!("it has {available} bytes, data up to {offset} + {expected} is wanted");
                Err(Error::new(ErrorKind::Io, message).about(path.display()))
            }
        }
    }
}

/// A file in the model's folder or below; nowhere else.
fn inside(location: &str, folder: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(folder) = folder else {
        return Err(Error::unsupported(format!(
            "its data lies in the file {location:?}, which only a model opened by its path has at hand"
        )));
    };
    let inside = Path::new(location)
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    match inside && !location.is_empty() {
        true => Ok(folder.join(location)),
        false => Err(Error::corrupt(format!(
            "its data lies in {location:?}, outside of the model's folder"
        ))),
    }
}

/// More bytes than what Git LFS leaves in the place of a file.
const LARGEST_POINTER: u64 = 1024;

/// The files of external data that a graph's budget knows of.
#[derive(Debug, Default)]
pub(super) struct ExternalFiles(HashSet<PathBuf>);

impl ExternalFiles {
    /// Checks that the place has the `expected` bytes, before any is read. Of a file that was not
    /// known, the bytes that it has on the disk.
    pub(super) fn visit(&mut self, place: &Place, expected: usize) -> Result<u64, Error> {
        let metadata = open_regular(&place.path)?.metadata();
        let metadata = metadata
            .map_err(|e| Error::new(ErrorKind::Io, e.to_string()).about(place.path.display()))?;
        place.check(expected as u64, metadata.len())?;
        match self.0.insert(place.path.clone()) {
            true => Ok(size_on_disk(&metadata)),
            false => Ok(0),
        }
    }
}

/// The most bytes that a file counts for where it is not known how many are on the disk.
const UNKNOWN: u64 = 64 << 20;

/// A sparse file has little on the disk, whatever its length.
#[cfg(unix)]
fn size_on_disk(metadata: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;

    match metadata.blocks().saturating_mul(512) {
        0 => metadata.len().min(UNKNOWN),
        on_disk => metadata.len().min(on_disk),
    }
}

#[cfg(not(unix))]
fn size_on_disk(metadata: &Metadata) -> u64 {
    metadata.len().min(128 * UNKNOWN)
}
