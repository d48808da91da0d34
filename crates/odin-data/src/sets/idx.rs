//! MNIST-style idx files (Y. LeCun, C. Cortes, C. Burges): grey images and their labels, plain
//! or gzipped.

use std::path::Path;
use std::sync::Arc;

use super::array::{self, Array, Element, MAX_IMAGES};
use super::origin::{Origin, sibling};
use super::{DataSet, Split};
use crate::archive::{Blob, Store};
use crate::error::{Error, ErrorKind};

/// Zero, zero, unsigned bytes, three axes.
const IMAGES: [u8; 4] = [0, 0, 8, 3];
/// Zero, zero, unsigned bytes, one axis.
const LABELS: [u8; 4] = [0, 0, 8, 1];

pub(super) fn is_idx(head: &[u8]) -> bool {
    head.starts_with(&IMAGES) || head.starts_with(&LABELS)
}

/// An unpacked file of images, with the labels that lie beside it under the usual name.
pub(super) fn open(blob: &Arc<Blob>, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_splits()?;
    let images = images(blob, &origin.title)?;
    let labels = match (&origin.labels, origin.path.and_then(labels_beside)) {
        (Some(blob), _) => Some(labels(blob, &format!("the labels of {}", origin.title))?),
        (None, Some(path)) => {
            let title = path.display().to_string();
            let blob = unpacked(Blob::open(&path)?, &title, origin)?;
            Some(labels(&blob, &title)?)
        }
        (None, None) => None,
    };
    array::open(images, labels, Vec::new(), origin)
}

/// The set in a folder or archive with the names of MNIST's files, if there is one.
pub(super) fn open_store(
    store: &dyn Store,
    origin: &Origin,
) -> Result<Option<Box<dyn DataSet>>, Error> {
    let find = |split| find_images(store, split);
    let (entry, other) = match origin.split() {
        Split::Test => (find("t10k"), find("train")),
        Split::Train => (find("train"), find("t10k")),
        Split::Validation => (None, find("t10k").or_else(|| find("train"))),
    };
    let Some(entry) = entry else {
        return match other {
            None => Ok(None),
            Some(other) => Err(origin.error(
                ErrorKind::NotFound,
                format!(
                    "it holds {}, but not the images of the {} split",
                    store.entries()[other].name,
                    origin.split().as_str()
                ),
            )),
        };
    };
    let load = |entry: usize| {
        let title = store.title(entry);
        let blob = Blob::Memory(store.read(entry)?.into());
        unpacked(blob, &title, origin).map(|blob| (blob, title))
    };
    let (blob, title) = load(entry)?;
    let images = images(&blob, &title)?;
    let names = label_names(&store.entries()[entry].name);
    let labels = match names.iter().find_map(|name| store.find(name)) {
        Some(entry) => {
            let (blob, title) = load(entry)?;
            Some(labels(&blob, &title)?)
        }
        None => None,
    };
    array::open(images, labels, Vec::new(), origin).map(Some)
}

fn find_images(store: &dyn Store, split: &str) -> Option<usize> {
    store.entries().iter().position(|entry| {
        let name = entry.name.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(name);
        name.strip_prefix(split)
            .is_some_and(|rest| matches!(rest, "-images-idx3-ubyte" | "-images.idx3-ubyte"))
    })
}

/// The names that the labels of an images file may have.
fn label_names(images: &str) -> Vec<String> {
    let (folder, file) = match images.rsplit_once('/') {
        Some((folder, file)) => (format!("{folder}/"), file),
        None => (String::new(), images),
    };
    let plain = file.strip_suffix(".gz").unwrap_or(file);
    if !plain.contains("images") || !plain.contains("idx3") {
        return Vec::new();
    }
    let labels = plain.replace("images", "labels").replace("idx3", "idx1");
    vec![format!("{folder}{labels}"), format!("{folder}{labels}.gz")]
}

fn labels_beside(path: &Path) -> Option<std::path::PathBuf> {
    let file = path.file_name()?.to_string_lossy().into_owned();
    label_names(&file)
        .iter()
        .find_map(|name| sibling(path, name))
}

fn unpacked(blob: Blob, title: &str, origin: &Origin) -> Result<Arc<Blob>, Error> {
    let head = blob.head(2).map_err(|e| origin.io_error(e))?;
    if head != [0x1f, 0x8b] {
        return Ok(Arc::new(blob));
    }
    let unpacked = origin.unpack().gunzip(Arc::new(blob), title);
    unpacked.map(Arc::new)
}

fn images(blob: &Arc<Blob>, title: &str) -> Result<Array, Error> {
    let shape = shape(blob, title, IMAGES)?;
    Ok(Array {
        blob: Arc::clone(blob),
        start: 4 + 4 * shape.len() as u64,
        element: Element::U8,
        shape,
    })
}

fn labels(blob: &Blob, title: &str) -> Result<Vec<usize>, Error> {
    let count = shape(blob, title, LABELS)?[0];
    if count > MAX_IMAGES {
        let message = format!("{title} holds {count} labels, more than {MAX_IMAGES}");
        return Err(Error::unsupported(message));
    }
    let bytes = blob
        .read(8, count as u64)
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot read {title}")).because(e))?;
    Ok(bytes.into_iter().map(usize::from).collect())
}

/// The sizes in the header, which fit the length of the file.
fn shape(blob: &Blob, title: &str, magic: [u8; 4]) -> Result<Vec<usize>, Error> {
    let malformed = |problem: String| {
        let message = format!("{title} is no whole idx file: {problem}");
        Error::malformed(message)
    };
    let axes = usize::from(magic[3]);
    let header_len = 4 + 4 * axes as u64;
    let header = blob
        .read(0, header_len)
        .map_err(|e| malformed("it ends within its header".into()).because(e))?;
    if header[..4] != magic {
        return Err(malformed(format!(
            "it starts with {:?}, expected {magic:?} ({axes} axes of bytes)",
            &header[..4]
        )));
    }
    let (sizes, _) = header[4..].as_chunks();
    let shape: Vec<usize> = sizes
        .iter()
        .map(|&size| u32::from_be_bytes(size) as usize)
        .collect();
    let expected = shape
        .iter()
        .try_fold(1_u64, |bytes, &side| bytes.checked_mul(side as u64));
    let found = blob.len() - header_len;
    if expected != Some(found) {
        return Err(malformed(format!(
            "its header says {shape:?}, but {found} bytes follow"
        )));
    }
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_looked_for_beside_the_images() {
        for (images, labels) in [
            ("t10k-images-idx3-ubyte.gz", Some("t10k-labels-idx1-ubyte")),
            (
                "raw/train-images.idx3-ubyte",
                Some("raw/train-labels.idx1-ubyte"),
            ),
            ("digits.idx", None),
        ] {
            let names = label_names(images);
            assert_eq!(names.first().map(String::as_str), labels);
        }
    }
}
