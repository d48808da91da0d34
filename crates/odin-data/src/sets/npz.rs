//! The `.npz` format: a zip archive of `.npy` files.

use std::sync::Arc;

use super::npy::{Header, Npy};
use super::origin::Origin;
use super::{DataSet, array};
use crate::archive::{Store, Zip};
use crate::error::{Error, ErrorKind};

/// The most arrays that a message lists.
const MAX_LISTED: usize = 8;

const LABELS: [&str; 5] = ["labels", "label", "y", "targets", "target"];

pub(super) fn is_npz(store: &dyn Store) -> bool {
    !store.entries().is_empty() && store.entries().iter().all(|e| e.name.ends_with(".npy"))
}

/// The images and labels of an archive of `packed` bytes: the one array with three or four axes,
/// or else the one with two, and labels from an array named like them. Of the other arrays only
/// the headers are read.
pub(super) fn open(zip: &Zip, packed: u64, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_train_split()?;
    let mut unpack = origin.unpack();
    // Members of a zip archive may share their packed bytes, so a limit for each of them would be
    // none: all arrays together may unpack to as much as a single compressed file.
    unpack.limit = unpack.budget(packed).limit();
    let mut images = Vec::new();
    let mut vectors = Vec::new();
    let mut labels = None;
    let mut seen = Vec::new();
    for (i, entry) in zip.entries().iter().enumerate() {
        let name = entry.name.trim_end_matches(".npy");
        let header = zip.with_member(i, |member, _| Header::read(member, &zip.title(i)))?;
        unpack.limit = unpack.limit.saturating_sub(header.len());
        if unpack.limit == 0 {
            return Err(origin.error(ErrorKind::Unsupported, "it holds too many arrays"));
        }
        if seen.len() < MAX_LISTED {
            seen.push(format!("{name} {:?}", header.shape));
        }
        match header.shape.len() {
            _ if LABELS.contains(&name) => labels = Some(i),
            3 | 4 => images.push(i),
            2 => vectors.push(i),
            _ => {}
        }
    }
    let images = match (&images[..], &vectors[..]) {
        (&[one], _) | (&[], &[one]) => one,
        (&[], &[]) => return Err(not_one("none", &seen, origin)),
        _ => return Err(not_one("at least 2", &seen, origin)),
    };
    let mut array = |i: usize| {
        let blob = zip.unpack(i, &unpack)?;
        unpack.limit = unpack.limit.saturating_sub(blob.len());
        Npy::parse(Arc::new(blob), &zip.title(i))
    };
    let labels = match (&origin.labels, labels) {
        (Some(blob), _) => {
            let title = format!("the labels of {}", origin.title);
            Some(Npy::parse(Arc::clone(blob), &title)?.labels(&title)?)
        }
        (None, Some(i)) => Some(array(i)?.labels(&zip.title(i))?),
        (None, None) => None,
    };
    let images = array(images)?.into_array(&zip.title(images))?;
    array::open(images, labels, Vec::new(), origin)
}

fn not_one(found: &str, seen: &[String], origin: &Origin) -> Error {
    origin.error(
        ErrorKind::Unsupported,
        format!(
            "expected exactly one array of images with 3 or 4 axes, or of vectors with 2 (beside \
             one named labels or y), found {found} in: {}",
            seen.join(", ")
        ),
    )
}
