//! A tuned setting, and its file `tuned.toml`.

use super::search::{Rule, Search};
use crate::files::write_atomically;
use crate::model::read_text_of;
use crate::{Classifier, Error, ErrorKind, Precision, Setting, SweepScores};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The setting that tuning chose, for which model, and on what.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Tuned {
    /// The setting.
    pub setting: Setting,
    /// The SHA-256 of the model file, in hexadecimal digits; `None` for one that is no file.
    pub model_sha256: Option<String>,
    /// The rule that chose it, such as `fpr95` or `mean-score`.
    pub rule: String,
    /// The in-distribution set.
    pub in_dataset: String,
    /// How many of its images took part.
    pub in_images: usize,
    /// What it was told from, such as the name of an out-of-distribution set.
    pub tuned_on: String,
    /// How many of its images took part.
    pub out_images: usize,
    /// The version of this library that chose it.
    pub version: String,
}

/// The version of the keys of a `tuned.toml`. The second knows `precision`, and is written only where
/// this is another than the exact one that the first takes for granted.
const FORMATS: [u32; 2] = [1, 2];
const MAX_FILE: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    odin_tuned: u32,
    version: String,
    temperature: f64,
    magnitude: f64,
    /// Missing where it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_sha256: Option<String>,
    rule: String,
    in_dataset: String,
    in_images: usize,
    tuned_on: String,
    out_images: usize,
}

impl Tuned {
    /// What a search over these scores chose for the network.
    pub fn new(classifier: &Classifier, search: &Search, in_set: &SweepScores) -> Self {
        Self {
            setting: search.choice.setting,
            model_sha256: classifier.file().sha256.clone(),
            rule: match search.rule {
                Rule::Metric(objective) => objective.to_string(),
                Rule::MeanScore { .. } => "mean-score".to_string(),
                Rule::Fixed => "fixed".to_string(),
            },
            in_dataset: in_set.name.clone(),
            in_images: in_set.msp.len(),
            tuned_on: match search.rule {
                Rule::Fixed => "nothing".to_string(),
                _ => search.tuned_on.clone(),
            },
            out_images: match search.rule {
                Rule::Fixed => 0,
                _ => search.n_out,
            },
            version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }

    /// Reads a `tuned.toml`.
    ///
    /// # Errors
    /// When it cannot be read, or is none; the message names file and key.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = read_text_of(path, MAX_FILE, ErrorKind::Saved)?;
        let tuned = read(&text);
        tuned.map_err(|problem| Error::new(ErrorKind::Saved, problem).about(path.display()))
    }

    /// Writes a `tuned.toml`, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_atomically(path, self.to_toml().as_bytes())
    }

    /// The text of the `tuned.toml`.
    pub fn to_toml(&self) -> String {
        let Setting {
            temperature,
            magnitude,
            precision,
        } = self.setting;
        let raw = Raw {
            odin_tuned: FORMATS[usize::from(precision != Precision::Exact)],
            version: self.version.clone(),
            temperature,
            magnitude,
            precision: (precision != Precision::Exact).then(|| precision.to_string()),
            model_sha256: self.model_sha256.clone(),
            rule: self.rule.clone(),
            in_dataset: self.in_dataset.clone(),
            in_images: self.in_images,
            tuned_on: self.tuned_on.clone(),
            out_images: self.out_images,
        };
        // Every value of the struct has a form in TOML.
        let body = toml::to_string(&raw).unwrap_or_default();
        format!(
            "# A setting of ODIN that tuning chose, for one model.\n#   odin calibrate --tuned THIS_FILE ...\n{body}"
        )
    }

    /// Whether this is the network that the setting was tuned for.
    ///
    /// # Errors
    /// [`ErrorKind::OtherModel`] where it is not.
    pub fn check_model(&self, classifier: &Classifier) -> Result<(), Error> {
        let file = classifier.file();
        match (&self.model_sha256, &file.sha256) {
            (Some(own), Some(found)) if own != found => Err(Error::new(
                ErrorKind::OtherModel,
                format!(
                    "{} is not the model that the setting was tuned for: its SHA-256 is {found} instead of {own}; tune again",
                    file.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Errors are texts without the name of the file.
fn read(text: &str) -> Result<Tuned, String> {
    let problem = |e: toml::de::Error| e.to_string().trim_end().to_string();
    let table: toml::Table = toml::from_str(text).map_err(problem)?;
    match table.get("odin_tuned").and_then(toml::Value::as_integer) {
        None => {
            return Err(
                "this is no tuned setting (it has no `odin_tuned`); tuning writes one".to_string(),
            );
        }
        Some(format) if FORMATS.iter().any(|&known| i64::from(known) == format) => {}
        Some(format) => {
            return Err(format!(
                "the setting has format {format}, this version reads those up to {}; use a newer version, or tune again",
                FORMATS[1]
            ));
        }
    }
    let raw: Raw = toml::from_str(text).map_err(problem)?;
    let precision = raw.precision.map(|text| text.parse());
    let precision: Option<Precision> = precision
        .transpose()
        .map_err(|e: Error| format!("`precision`: {e}"))?;
    let setting = Setting::new(raw.temperature, raw.magnitude).map_err(|e| e.to_string())?;
    Ok(Tuned {
        setting: setting.with_precision(precision.unwrap_or_default()),
        model_sha256: raw.model_sha256,
        rule: raw.rule,
        in_dataset: raw.in_dataset,
        in_images: raw.in_images,
        tuned_on: raw.tuned_on,
        out_images: raw.out_images,
        version: raw.version,
    })
}
