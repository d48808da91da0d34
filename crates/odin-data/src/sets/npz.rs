//! The `.npz` format: a zip archive of `.npy` files.

use std::sync::Arc;

use super::npy::Npy;
use super::recognise::Origin;
use super::{DataSet, array};
use crate::archive::{Store, Zip};
use crate::error::{Error, ErrorKind};

const LABELS: [&str; 5] = ["labels", "label", "y", "targets", "target"];

pub(super) fn is_npz(store: &dyn Store) -> bool {
    !store.entries().is_empty() && store.entries().iter().all(|e| e.name.ends_with(".npy"))
}

/// The one array with three or four axes, and labels from an array named like them.
pub(super) fn open(zip: &Zip, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_train_split()?;
    let mut images = Vec::new();
    let mut labels = None;
    let mut names = Vec::new();
    for (i, entry) in zip.entries().iter().enumerate() {
        let name = entry.name.trim_end_matches(".npy");
        let title = zip.title(i);
        let npy = Npy::parse(Arc::new(zip.unpack(i, &origin.unpack())?), &title)?;
        if LABELS.contains(&name) {
            labels = Some(npy.labels(&title)?);
        } else if matches!(npy.shape.len(), 3 | 4) {
            images.push(npy.clone().into_array(&title)?);
        }
        names.push(format!("{name} {:?}", npy.shape));
    }
    if let Some(blob) = &origin.labels {
        let title = format!("the labels of {}", origin.title);
        labels = Some(Npy::parse(Arc::clone(blob), &title)?.labels(&title)?);
    }
    match (images.pop(), images.is_empty()) {
        (Some(array), true) => array::open(array, labels, origin),
        (found, _) => Err(origin.error(
            ErrorKind::Unsupported,
            format!(
                "expected exactly one array of images with 3 or 4 axes (beside one named labels \
                 or y), found {}: {}",
                images.len() + usize::from(found.is_some()),
                names.join(", ")
            ),
        )),
    }
}
