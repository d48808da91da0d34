use std::fmt;
use std::path::Path;

use indexmap::IndexMap;
use odin_graph::Tensor;

use crate::element::{Element, Layout};
use crate::{Error, ErrorKind, container};
use odin_error::shown;

/// The weights of a trained classifier by name, in the order of the file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(crate) name: String,
    pub(crate) container: Container,
    pub(crate) key: Option<String>,
    pub(crate) tensors: IndexMap<String, Tensor>,
    pub(crate) set_aside: Vec<String>,
    pub(crate) metadata: IndexMap<String, String>,
}

impl Checkpoint {
    /// Reads a checkpoint, recognising its container by content and not by file name.
    ///
    /// # Errors
    /// When the file cannot be read, is no checkpoint, is damaged, holds no weights, or holds
    /// weights that are NaN or infinite. Nothing in the file is ever executed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let io = |e: std::io::Error| Error::new(ErrorKind::Io, e.to_string()).about(&name);
        if !path.metadata().map_err(io)?.is_file() {
            let message = "not a regular file; give the checkpoint file itself";
            return Err(Error::new(ErrorKind::Io, message).about(&name));
        }
        let bytes = std::fs::read(path).map_err(io)?;
        Self::from_bytes(&bytes, &name)
    }

    /// Reads a checkpoint that is in memory already; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, Error> {
        let mut checkpoint = container::read(bytes).map_err(|e| e.about(name))?;
        checkpoint.name = name.to_owned();
        Ok(checkpoint)
    }

    /// What errors call this checkpoint: its path, or the name given to
    /// [`Checkpoint::from_bytes`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The container that the weights were stored in.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Where in the saved object the weights were found, such as `state_dict`; keys inside of
    /// each other are joined by a dot. `None` when the saved object itself holds them.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// All weights with their names, in the order of the file. Components `module` (of
    /// `DataParallel`) and `_orig_mod` (of `torch.compile`) are gone from the names.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, t)| (name.as_str(), t))
    }

    /// The weight of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Names of tensors that are no weights: those whose elements are no real numbers, and
    /// `num_batches_tracked` of whatever type.
    pub fn set_aside(&self) -> &[String] {
        &self.set_aside
    }

    /// Numbers and texts saved beside the weights, such as `epoch`; of a safetensors file, its
    /// `__metadata__`. Of what `torch.save` wrote, texts of more than 64 KiB are left out, and
    /// all that follows when it is 1 MiB together. The file's author chose these texts: escape
    /// control characters before they are printed.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// A file format that holds weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// What `torch.save` writes since PyTorch 1.6.
    TorchZip,
    /// What it wrote from 0.1.10 to 1.5.
    TorchLegacy,
    /// What it wrote before 0.1.10.
    TorchTar,
    /// A safetensors file.
    Safetensors,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::TorchZip => "PyTorch (zip)",
            Container::TorchLegacy => "PyTorch (legacy, before 1.6)",
            Container::TorchTar => "PyTorch (tar, before 0.1.10)",
            Container::Safetensors => "safetensors",
        })
    }
}

/// Whether a tensor counts the batches that a batch normalisation saw in training. Programs that
/// convert all of a state dict save it as a real number, and as infinity in f16.
pub(crate) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

/// The tensor of this name and layout, its values checked to be finite.
pub(crate) fn read_tensor(
    name: &str,
    layout: &Layout,
    storage: &[u8],
    element: Element,
) -> Result<Tensor, Error> {
    let data = layout.read(storage, element).ok_or_else(|| {
        Error::corrupt(format!(
            "tensor `{}` reaches past the end of its data",
            shown(name)
        ))
    })?;
    if let Some(at) = data.iter().position(|v| !v.is_finite()) {
        let message = format!(
            "tensor `{}` holds {} at element {at} (as f32); a classifier needs finite weights",
            shown(name),
            data[at]
        );
        return Err(Error::new(ErrorKind::NotFinite, message));
    }
    Tensor::new(layout.shape().to_vec(), data)
        .map_err(|e| Error::corrupt(e.to_string()).about(format_args!("tensor `{}`", shown(name))))
}

/// Names without the components that wrappers of modules put into them, unless two would
/// become one.
pub(crate) fn without_wrappers<V>(named: IndexMap<String, V>) -> IndexMap<String, V> {
    let unwrapped: IndexMap<String, ()> = named
        .keys()
        .map(|name| (without_wrapper_components(name), ()))
        .collect();
    if unwrapped.len() < named.len() {
        return named;
    }
    let values = named.into_values();
    unwrapped.into_keys().zip(values).collect()
}

fn without_wrapper_components(name: &str) -> String {
    let own = name.split('.').filter(|c| !WRAPPERS.contains(c));
    own.collect::<Vec<_>>().join(".")
}

/// What `DataParallel` and `torch.compile` call the module inside of them.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_leave_no_trace_in_names() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["conv1.weight", "fc.bias"], &["conv1.weight", "fc.bias"]),
            (&["module.a.weight", "module.b"], &["a.weight", "b"]),
            (&["module._orig_mod.module.a", "f.module.b"], &["a", "f.b"]),
            (&["module.a", "a"], &["module.a", "a"]),
        ];
        for (names, expected) in cases {
            let named = names.iter().map(|n| (n.to_string(), ())).collect();
            let found: Vec<String> = without_wrappers(named).into_keys().collect();
            assert_eq!(found, expected);
        }
    }
}
