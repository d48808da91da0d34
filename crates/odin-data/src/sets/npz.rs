//! The `.npz` format: a zip archive of `.npy` files.

use std::sync::Arc;

use super::npy::Npy;
use super::recognise::Origin;
use super::{DataSet, array};
use crate::archive::{Store, Zip};
use crate::error::{Error, ErrorKind};

/// What all arrays together may unpack to: this much, or this many times the archive's size, as
/// for a single compressed file. Members of a zip archive may share their packed bytes, so a limit
/// for each of them would be none.
const FREE_SIZE: u64 = 256 << 20;
const MAX_RATIO: u64 = 100;

/// The most arrays that a message lists.
const MAX_LISTED: usize = 8;

const LABELS: [&str; 5] = ["labels", "label", "y", "targets", "target"];

pub(super) fn is_npz(store: &dyn Store) -> bool {
    !store.entries().is_empty() && store.entries().iter().all(|e| e.name.ends_with(".npy"))
}

/// The one array with three or four axes, and labels from an array named like them, in an archive
/// of `packed` bytes. Of the other arrays none is kept.
pub(super) fn open(zip: &Zip, packed: u64, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_train_split()?;
    let mut unpack = origin.unpack();
    let allowed = packed.saturating_mul(MAX_RATIO).max(FREE_SIZE);
    unpack.limit = unpack.limit.min(allowed);
    let mut images = None;
    let mut labels = None;
    let mut seen = Vec::new();
    for (i, entry) in zip.entries().iter().enumerate() {
        let name = entry.name.trim_end_matches(".npy");
        let title = zip.title(i);
        let blob = zip.unpack(i, &unpack)?;
        unpack.limit = unpack.limit.saturating_sub(blob.len());
        let npy = Npy::parse(Arc::new(blob), &title)?;
        if seen.len() < MAX_LISTED {
            seen.push(format!("{name} {:?}", npy.shape));
        }
        if LABELS.contains(&name) {
            labels = Some(npy.labels(&title)?);
        } else if matches!(npy.shape.len(), 3 | 4) {
            if images.is_some() {
                return Err(not_one("at least 2", &seen, origin));
            }
            images = Some(npy.into_array(&title)?);
        }
    }
    if let Some(blob) = &origin.labels {
        let title = format!("the labels of {}", origin.title);
        labels = Some(Npy::parse(Arc::clone(blob), &title)?.labels(&title)?);
    }
    match images {
        Some(array) => array::open(array, labels, origin),
        None => Err(not_one("none", &seen, origin)),
    }
}

fn not_one(found: &str, seen: &[String], origin: &Origin) -> Error {
    origin.error(
        ErrorKind::Unsupported,
        format!(
            "expected exactly one array of images with 3 or 4 axes (beside one named labels or \
             y), found {found} in: {}",
            seen.join(", ")
        ),
    )
}
