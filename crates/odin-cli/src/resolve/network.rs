//! The network that `--nn` names, opened as a classifier.

use super::registry::{self, located};
use crate::args::{ImageSize, NetworkOptions, SettingOptions, UsageError};
use crate::output::atomic::SourceFile;
use crate::output::progress::say;
use anyhow::{Result, bail};
use odin::{
    Classifier, ClassifierOptions, DetectorRecord, ErrorKind, ModelConfig, Normalization,
    Precision, Provenance, Setting, Transform,
};
use odin_data::registry::{NetworkEntry, Registry};
use odin_report::Network;
use std::path::{Path, PathBuf};

/// Opens what `--nn` names: a registry name, or else a file. `transform` is what the user asks to
/// be done to every image.
pub(crate) fn open(
    nn: &str,
    network: &NetworkOptions,
    transform: Option<&Transform>,
    registry: &Registry,
) -> Result<Classifier> {
    let mut options = ClassifierOptions::default();
    options.given = given(network)?;
    options.given.transform = transform.cloned();
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
                bail!("there is no network {nn}: there is no such file, and {unknown}");
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

/// What was read of a network: its files, and those of the registry.
pub(crate) fn sources(classifier: &Classifier, network: &NetworkOptions) -> Vec<SourceFile> {
    let model = model_sources(classifier);
    let registries = network.registry.files.iter().cloned();
    let registries = registries.map(|file| ("a registry file", file));
    model.into_iter().chain(registries).collect()
}

/// The model file, and what belongs to it.
pub(crate) fn model_sources(classifier: &Classifier) -> Vec<SourceFile> {
    let is_toml = |file: &Path| file.extension().is_some_and(|e| e == "toml");
    let files = classifier.file().files.iter().enumerate();
    let named = files.map(|(place, file)| match place {
        0 => ("the model", file.clone()),
        _ if is_toml(file) => ("the configuration of the model", file.clone()),
        _ => ("a file of the model", file.clone()),
    });
    named.collect()
}

/// The names of the options about the network that were given.
pub(crate) fn given_options(network: &NetworkOptions) -> String {
    let options = [
        ("--mean, --std", !network.mean.is_empty()),
        ("--scale", network.scale.is_some()),
        ("--channels", network.channels.is_some()),
        ("--image-size", network.image_size.is_some()),
        ("--layout", network.layout.is_some()),
        ("--output", network.output.is_some()),
        ("--weights", network.weights.is_some()),
        ("--multi-label", network.multi_label.is_some()),
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
    if classifier.file().outputs.len() > 1 && classifier.detector_card().is_none() {
        say("  --output NAME takes another output.");
    }
    let normalization = &classifier.preprocessing().normalization;
    if matches!(normalization.from, Provenance::Assumed(_)) {
        say("  If it was trained with another normalisation, give --mean and --std.");
    }
}

/// The setting asked for; the rest of it is that of a compiled detector, or the paper's.
pub(crate) fn setting(asked_for: &SettingOptions, classifier: &Classifier) -> Result<Setting> {
    let own = classifier.detector_card().map(|card| card.setting);
    let own = own.unwrap_or_default();
    let temperature = asked_for.temperature.unwrap_or(own.temperature);
    let magnitude = asked_for.magnitude.unwrap_or(own.magnitude);
    let precision = asked_for.precision.given.unwrap_or(own.precision);
    Ok(Setting::new(temperature, magnitude)?.with_precision(precision))
}

/// Refuses a precision that is not the one that a detector was calibrated in.
pub(crate) fn check_precision(
    asked_for: Option<Precision>,
    record: &DetectorRecord,
    detector: &Path,
) -> Result<()> {
    let own = record.setting.precision;
    match asked_for {
        Some(other) if other != own => Err(UsageError(format!(
            "--precision {other}: {} was calibrated in the precision {own}, and its thresholds hold for no other; leave the option out, or calibrate another detector with --precision {other}",
            detector.display()
        ))
        .into()),
        _ => Ok(()),
    }
}

/// Says where the setting is not that of the compiled detector that the network is taken from.
pub(crate) fn announce_setting(setting: Setting, classifier: &Classifier, quiet: bool) {
    let of_detector = classifier.detector_card().map(|card| card.setting);
    if let Some(own) = of_detector.filter(|own| *own != setting && !quiet) {
        let name = &classifier.file().name;
        say(&format!(
            "{name} was compiled with {own}; {setting} is used"
        ));
    }
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
    given.weights = network.weights.clone();
    given.multi_label = network.multi_label;
    given.scale = network.scale;
    given.channels = network.channels;
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
