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

use crate::checkpoint::{Checkpoint, Container, read_tensor, without_wrappers};
use crate::{Error, ErrorKind};
use object::{Objects, View};
use pickle::Pickle;
use storage::Storages;

/// The weights in a saved object. `budget` is the most elements that they may have together:
/// views can share a storage, so the storages alone do not bound them.
fn checkpoint(
    container: Container,
    pickle: &Pickle,
    storages: &mut dyn Storages,
    budget: usize,
) -> Result<Checkpoint, Error> {
    let found = weights::find(&Objects::new(pickle, storages))?;
    check_budget(&found.views, budget)?;
    let tensors = read_views(&found.views, storages)?;
    if tensors.is_empty() {
        let message = "the file holds no tensor of real numbers";
        return Err(Error::new(ErrorKind::NoWeights, message));
    }
    let set_aside = found.views.into_iter().filter(|(_, view)| !view.is_real());
    let set_aside = without_wrappers(set_aside.collect());
    Ok(Checkpoint {
        name: String::new(),
        container,
        key: found.key,
        set_aside: set_aside.into_keys().collect(),
        tensors: without_wrappers(tensors),
        metadata: found.metadata,
    })
}

fn check_budget(views: &IndexMap<String, View>, budget: usize) -> Result<(), Error> {
    let counts = views.values().map(|view| view.layout.count());
    match counts.fold(0, usize::saturating_add) {
        total if total <= budget => Ok(()),
        total => Err(Error::corrupt(format!(
            "the tensors have {total} elements together, more than the file can hold"
        ))),
    }
}

/// The tensors of real numbers, in the order of `views`. Each storage is fetched once.
fn read_views(
    views: &IndexMap<String, View>,
    storages: &mut dyn Storages,
) -> Result<IndexMap<String, odin_graph::Tensor>, Error> {
    let mut by_storage: IndexMap<&str, Vec<(usize, &str, &View)>> = IndexMap::new();
    for (place, (name, view)) in views.iter().enumerate() {
        if view.is_real() {
            let sharers = by_storage.entry(&view.storage).or_default();
            sharers.push((place, name, view));
        }
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
