//! PyTorch checkpoints in all the containers that `torch.save` has written.
//!
//! Each container ([`zip`], [`legacy`], [`tar`]) holds one pickle with the saved object, and
//! the tensors' storages outside of it, to which the pickle refers by persistent ids. The
//! pickle is read by [`pickle`] without executing anything, [`object`] tells which of its
//! values are tensors and modules, [`weights`] finds the weights among them, and a container's
//! [`Storages`] hold the elements.

mod legacy;
mod machine;
mod object;
mod opcode;
mod pickle;
mod storage;
mod tar;
mod weights;
mod zip;

pub(crate) use legacy::{read as read_legacy, recognises as recognises_legacy};
pub(crate) use tar::{PARTS as TAR_PARTS, read as read_tar};
pub(crate) use zip::read as read_zip;

use indexmap::IndexMap;

use crate::checkpoint::{Checkpoint, Container, is_counter, read_tensor, without_wrappers};
use crate::container::Inflation;
use crate::{Error, ErrorKind};
use object::{Objects, View};
use pickle::Pickle;
use storage::Storages;

/// The weights in a saved object.
fn checkpoint(
    container: Container,
    pickle: &Pickle,
    storages: &mut dyn Storages,
    inflation: Inflation,
) -> Result<Checkpoint, Error> {
    let found = weights::find(&Objects::new(pickle, storages))?;
    let is_weight = |(name, view): &(String, View)| view.is_real() && !is_counter(name);
    let (weights, set_aside): (IndexMap<_, _>, IndexMap<_, _>) =
        found.views.into_iter().partition(is_weight);
    check_size(&weights, inflation)?;
    let tensors = read_views(&weights, storages)?;
    if tensors.is_empty() {
        let message = "the file holds no tensor of real numbers";
        return Err(Error::new(ErrorKind::NoWeights, message));
    }
    Ok(Checkpoint {
        name: String::new(),
        container,
        key: found.key,
        set_aside: without_wrappers(set_aside).into_keys().collect(),
        tensors: without_wrappers(tensors),
        metadata: found.metadata,
    })
}

/// Views share storages and repeat their elements, so the storages do not bound them; the file's
/// size does, as for compressed content.
fn check_size(views: &IndexMap<String, View>, inflation: Inflation) -> Result<(), Error> {
    let counts = views.values().map(|view| view.layout.count() as u64);
    let elements = counts.fold(0, u64::saturating_add);
    let bytes = elements.saturating_mul(size_of::<f32>() as u64);
    let (file_len, limit) = (inflation.file_len(), inflation.limit());
    if bytes > limit {
        return Err(Error::unsupported(format!(
            "the tensors have {elements} elements together, {bytes} bytes as f32; a file of \
             {file_len} bytes may unfold to {limit}. Save expanded tensors with .contiguous()"
        )));
    }
    Ok(())
}

/// The tensors in the order of `views`. Each storage is fetched once.
fn read_views(
    views: &IndexMap<String, View>,
    storages: &mut dyn Storages,
) -> Result<IndexMap<String, odin_graph::Tensor>, Error> {
    let mut by_storage: IndexMap<&str, Vec<(usize, &str, &View)>> = IndexMap::new();
    for (place, (name, view)) in views.iter().enumerate() {
        let sharers = by_storage.entry(&view.storage).or_default();
        sharers.push((place, name, view));
    }
    let mut tensors = Vec::new();
    for (key, sharers) in by_storage {
        let storage = storages.bytes(key)?;
        for (place, name, view) in sharers {
            let tensor = read_tensor(name, &view.layout, &storage, view.element)?;
            tensors.push((place, name.to_owned(), tensor));
        }
    }
    tensors.sort_unstable_by_key(|(place, ..)| *place);
    Ok(tensors.into_iter().map(|(_, n, t)| (n, t)).collect())
}
