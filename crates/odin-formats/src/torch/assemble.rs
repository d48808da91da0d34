//! Builds a checkpoint from an unpickled object and the storages beside it.

use indexmap::IndexMap;

use super::object::Objects;
use super::storage::{Storages, View};
use super::weights;
use crate::allowance::Allowance;
use crate::checkpoint::{Checkpoint, Container};
use crate::weights::{is_counter, read_tensor, without_wrappers};
use crate::{Error, ErrorKind};
use odin_untrusted::pickle::Pickle;

/// The checkpoint that a saved object is; `wanted` says which of several.
pub(super) fn checkpoint(
    container: Container,
    pickle: &Pickle<'_>,
    storages: &mut dyn Storages,
    allowance: Allowance,
    wanted: Option<&str>,
) -> Result<Checkpoint, Error> {
    let found = weights::find(&Objects::new(pickle, storages), wanted)?;
    let is_weight = |(name, view): &(String, View)| view.is_real() && !is_counter(name);
    let (weights, set_aside): (IndexMap<_, _>, IndexMap<_, _>) =
        found.views.into_iter().partition(is_weight);
    check_size(&weights, allowance)?;
    let tensors = read_views(&weights, storages)?;
    if tensors.is_empty() {
        let message = "the file holds no tensor of real numbers";
        return Err(Error::new(ErrorKind::NoWeights, message));
    }
    Ok(Checkpoint {
        name: String::new(),
        container,
        key: found.key,
        others: found.others,
        part: found.part,
        set_aside: without_wrappers(set_aside).into_keys().collect(),
        tensors: without_wrappers(tensors),
        metadata: found.metadata,
    })
}

/// Views share storages and repeat their elements, so the storages do not bound them; the file's
/// size does, as for compressed content.
fn check_size(views: &IndexMap<String, View>, allowance: Allowance) -> Result<(), Error> {
    let counts = views.values().map(|view| view.layout.count() as u64);
    let elements = counts.fold(0, u64::saturating_add);
    let bytes = elements.saturating_mul(size_of::<f32>() as u64);
    let (file_len, limit) = (allowance.file_len(), allowance.limit());
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
