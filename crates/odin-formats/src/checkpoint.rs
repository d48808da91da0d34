//! The weights of a trained classifier, whatever container they come from.

use std::fmt;

use indexmap::IndexMap;
use odin_graph::Tensor;

/// The weights of a trained classifier by name, in the order of the file.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(crate) name: String,
    pub(crate) container: Container,
    pub(crate) key: Option<String>,
    pub(crate) others: Vec<String>,
    pub(crate) part: Option<String>,
    pub(crate) tensors: IndexMap<String, Tensor>,
    pub(crate) set_aside: Vec<String>,
    pub(crate) metadata: IndexMap<String, String>,
}

impl Checkpoint {
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

    /// Where else in the saved object weights lie, such as `state_dict_ema`: those that
    /// [`ReadOptions::weights`] would take instead.
    pub fn others(&self) -> &[String] {
        &self.others
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

/// How a checkpoint is read. Start from `ReadOptions::default()` and set what matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Which weights, where there are several: the key that they lie under (`state_dict_ema`), or
    /// what their names begin with (`ema_model`), or a word of one of these (`ema`).
    pub weights: Option<String>,
}

/// The places of the names that are meant by `wanted`: the one that is the same, or else those of
/// which it is a word.
pub(crate) fn meant(wanted: &str, names: &[String]) -> Vec<usize> {
    let places = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..names.len()).filter(|&i| fits(&names[i])).collect()
    };
    let same = places(&|name| name == wanted);
    let is_word = |word: &str| word.eq_ignore_ascii_case(wanted);
    match same.is_empty() {
        false => same,
        true => places(&|name| name.split(['.', '_', '-']).any(is_word)),
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
