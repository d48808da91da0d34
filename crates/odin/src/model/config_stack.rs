//! The precedence of settings: the caller, a `model.toml`, the model file, a registry.

use super::{Layout, ModelConfig, Normalization};
use odin_data::Transform;
use std::fmt;
use std::path::PathBuf;

/// Where a setting of a classifier comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provenance {
    /// The caller said so.
    Given,
    /// The `detector.toml` that is opened says so.
    Detector,
    /// A `model.toml` says so.
    Config(PathBuf),
    /// The model file says so.
    File,
    /// The caller's defaults for this model say so, such as those of a registry.
    Registry,
    /// It was read off the graph; how.
    Network(String),
    /// No source states it; what was assumed.
    Assumed(String),
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provenance::Given => f.write_str("given"),
            Provenance::Detector => f.write_str("from the detector"),
            Provenance::Config(path) => write!(f, "from {}", path.display()),
            Provenance::File => f.write_str("from the file"),
            Provenance::Registry => f.write_str("from the registry"),
            Provenance::Network(how) => f.write_str(how),
            Provenance::Assumed(what) => write!(f, "assumed: {what}"),
        }
    }
}

/// A setting, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    /// The setting.
    pub value: T,
    /// Where it comes from.
    pub from: Provenance,
}

/// How images become the input of a network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Preprocessing {
    /// The shape of the images, `[C, H, W]`.
    pub image_shape: Sourced<[usize; 3]>,
    /// The order of the input's axes.
    pub layout: Sourced<Layout>,
    /// Mean and standard deviation of each channel.
    pub normalization: Sourced<Normalization>,
    /// What every image goes through first, where the model asks for it.
    pub transform: Option<Sourced<Transform>>,
}

/// Configurations from several places, the first of which wins.
#[derive(Debug)]
pub(super) struct ConfigStack(Vec<(Provenance, ModelConfig)>);

impl ConfigStack {
    pub(super) fn new(configs: impl IntoIterator<Item = (Provenance, ModelConfig)>) -> Self {
        Self(configs.into_iter().collect())
    }

    /// The same with what the model file says, which comes after a `model.toml`.
    pub(super) fn with_file(self, config: ModelConfig) -> Self {
        self.insert_before(config, |from| *from == Provenance::Registry)
    }

    /// The same with what a detector file says. It comes before a `model.toml`, which is about
    /// the network that the detector was made of: the detector may contain the preprocessing.
    pub(super) fn with_detector(self, config: ModelConfig) -> Self {
        self.insert_before(config, |from| {
            !matches!(from, Provenance::Given | Provenance::Detector)
        })
    }

    fn insert_before(mut self, config: ModelConfig, other: impl Fn(&Provenance) -> bool) -> Self {
        let place = self.0.iter().position(|(from, _)| other(from));
        let place = place.unwrap_or(self.0.len());
        self.0.insert(place, (Provenance::File, config));
        self
    }

    /// The first setting that `pick` finds.
    pub(super) fn first<T: Clone>(
        &self,
        pick: impl Fn(&ModelConfig) -> Option<&T>,
    ) -> Option<Sourced<T>> {
        self.0.iter().find_map(|(from, config)| {
            let (value, from) = (pick(config)?.clone(), from.clone());
            Some(Sourced { value, from })
        })
    }
}
