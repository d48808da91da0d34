//! The network that the user names, opened as a classifier.

use super::registry::{self, located};
use crate::args::{ImageSize, Magnitude, NetworkOptions, UsageError};
use crate::output::progress::say;
use anyhow::{Result, bail};
use odin::{
    Classifier, ClassifierOptions, ErrorKind, Layout, ModelConfig, Normalization, Provenance,
    Setting,
};
use odin_data::registry::{NetworkEntry, Registry};
use odin_data::{OpenOptions, Transform};
use odin_report::Network;
use std::path::PathBuf;

/// Opens what `--nn` (or another option) names: a registry name, or else a file.
pub(crate) fn open(
    nn: &str,
    option: &str,
    network: &NetworkOptions,
    registry: &Registry,
) -> Result<Classifier> {
    let mut options = ClassifierOptions::default();
    options.given = given(network)?;
    options.config_file = network.model_config.clone();
    let entry = registry::named(nn, registry).and_then(|entry| Some((entry, entry.network()?)));
    let path = match entry {
        Some((entry, network_entry)) => {
            options.defaults = of_registry(network_entry)?;
            located(entry, &network.registry.data_dir)?
        }
        None => {
            let path = PathBuf::from(nn);
            if !path.exists() {
                let unknown = registry::unknown(nn, registry, registry.network(nn));
                bail!("{option}: there is no file {nn}, and {unknown}");
            }
            path
        }
    };
    let classifier = match Classifier::open(&path, options) {
        Err(error) if error.kind() == ErrorKind::Options => {
            return Err(UsageError(format!("{}: {error}", given_options(network))).into());
        }
        other => other?,
    };
    match entry {
        Some((entry, described)) if described.classes != classifier.classes() => bail!(
            "{} has {} classes, the registry {} says {} of {}",
            path.display(),
            classifier.classes(),
            entry.origin,
            described.classes,
            entry.name
        ),
        _ => Ok(classifier),
    }
}

/// The names of the options about the network that were given.
pub(crate) fn given_options(network: &NetworkOptions) -> String {
    let options = [
        ("--mean, --std", !network.mean.is_empty()),
        ("--image-size", network.image_size.is_some()),
        ("--layout", network.layout.is_some()),
        ("--output", network.output.is_some()),
    ];
    let given = options.into_iter().filter(|(_, given)| *given);
    given.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// Prints what the network is and how images become its input.
pub(crate) fn announce(classifier: &Classifier, quiet: bool) {
    if quiet {
        return;
    }
    for line in Network::from(classifier).to_lines() {
        say(&line);
    }
    let normalization = &classifier.preprocessing().normalization;
    if matches!(normalization.from, Provenance::Assumed(_)) {
        say("  If it was trained with another normalisation, give --mean and --std.");
    }
}

/// The paper's setting: that of a network where no other is asked for.
pub(crate) const DEFAULT: Setting = Setting {
    temperature: 1000.0,
    magnitude: 0.0014,
};

/// The temperature asked for, or that of a compiled detector, or the paper's.
pub(crate) fn temperature(asked_for: Option<f64>, classifier: &Classifier, quiet: bool) -> f64 {
    let of_detector = classifier.detector_card().map(|card| card.temperature);
    if let (Some(asked_for), Some(own)) = (asked_for, of_detector)
        && asked_for != own
        && !quiet
    {
        let name = &classifier.file().name;
        say(&format!(
            "{name} was compiled with T = {own}; --temperature {asked_for} is used"
        ));
    }
    asked_for.or(of_detector).unwrap_or(DEFAULT.temperature)
}

/// The magnitude asked for, or that of a compiled detector, or the paper's.
pub(crate) fn magnitude(
    asked_for: Option<Magnitude>,
    classifier: &Classifier,
    quiet: bool,
) -> Magnitude {
    let of_detector = classifier.detector_card().map(|card| card.magnitude);
    if let (Some(asked_for), Some(own)) = (asked_for, of_detector)
        && asked_for != Magnitude::Fixed(own)
        && !quiet
    {
        let name = &classifier.file().name;
        say(&format!(
            "{name} was compiled with ε = {own}; --magnitude {asked_for} is used"
        ));
    }
    let own = of_detector.unwrap_or(DEFAULT.magnitude);
    asked_for.unwrap_or(Magnitude::Fixed(own))
}

/// The transform that the model asks for.
pub(crate) fn transform(classifier: &Classifier) -> Option<Transform> {
    let transform = classifier.preprocessing().transform.as_ref();
    transform.map(|transform| transform.value.clone())
}

/// Whether the network takes vectors, so that images of any shape with as many values fit.
fn takes_any_shape(classifier: &Classifier) -> bool {
    classifier.layout() == Layout::Nf && matches!(classifier.image_shape(), [1, 1, _])
}

/// Whether inputs are signals, vectors or images of other than 1 or 3 channels, whose values are
/// not bound to [0, 1].
fn takes_measurements(any_shape: bool, channels: usize, height: usize) -> bool {
    any_shape || height == 1 || !matches!(channels, 1 | 3)
}

/// The options that images for this network are opened with.
pub(crate) fn open_options(classifier: &Classifier) -> OpenOptions {
    let [channels, height, _] = classifier.image_shape();
    let any_shape = takes_any_shape(classifier);
    let mut options = OpenOptions::default();
    if !any_shape {
        options.channels = Some(channels);
        options.shape = Some(classifier.image_shape());
    }
    options.measurements = takes_measurements(any_shape, channels, height);
    options
}

/// The configuration that the options give.
fn given(network: &NetworkOptions) -> Result<ModelConfig> {
    let mut given = ModelConfig::default();
    if !network.mean.is_empty() {
        let normalization = Normalization::new(&network.mean, &network.std);
        given.normalization =
            Some(normalization.map_err(|e| UsageError(format!("--mean and --std: {e}")))?);
    }
    let sides = |size: ImageSize| [size.height, size.width];
    given.size = network.image_size.map(sides);
    given.layout = network.layout;
    given.output = network.output.clone();
    Ok(given)
}

/// The configuration that the registry gives.
fn of_registry(entry: &NetworkEntry) -> Result<ModelConfig> {
    let f32s = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let normalization = Normalization::new(&f32s(&entry.mean), &f32s(&entry.std))?;
    let [_, height, width] = entry.shape;
    let mut config = ModelConfig::from(normalization);
    config.size = Some([height, width]);
    Ok(config)
}
