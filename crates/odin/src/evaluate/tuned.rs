//! A tuned setting, and its file `tuned.toml`.

use super::score_tune::{CandidateScores, ScoreSearch, ScoreTuner};
use super::search::{Rule, Search};
use crate::files::write_atomically;
use crate::model::read_text_of;
use crate::{Classifier, Error, ErrorKind, Parameters, Precision, Setting, SweepScores};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The setting that tuning chose, for which model, and on what.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Tuned {
    /// The setting; [`Setting::PAPER`] where a score was tuned.
    pub setting: Setting,
    /// The score whose parameters were tuned, with them, such as `ash:pruned=0.8`; `None` where the
    /// setting was.
    pub score: Option<String>,
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

/// The version of the keys of a `tuned.toml`.
const FORMAT: u32 = 1;
/// The same of files that know `precision`, which are written only where this is another than the exact
/// one that the first takes for granted, or a score, which have no setting.
const SECOND_FORMAT: u32 = 2;
const MAX_FILE: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    odin_tuned: u32,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    magnitude: Option<f64>,
    /// Missing where it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<String>,
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
            score: None,
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

    /// What a search among parameters of a score chose for the network.
    ///
    /// # Errors
    /// When the search is of another tuner.
    pub fn of_score(
        classifier: &Classifier,
        tuner: &ScoreTuner,
        search: &ScoreSearch,
        in_set: &CandidateScores,
    ) -> Result<Self, Error> {
        let chosen = tuner.candidates().nth(search.chosen);
        let chosen = chosen.ok_or_else(|| {
            let problem = "the search is of other parameters than the tuner's";
            Error::new(ErrorKind::Invalid, problem)
        })?;
        Ok(Self {
            setting: Setting::PAPER.with_precision(tuner.setting().precision),
            score: Some(chosen.spec.clone()),
            model_sha256: classifier.file().sha256.clone(),
            rule: search.objective.to_string(),
            in_dataset: in_set.name.clone(),
            in_images: in_set.images(),
            tuned_on: search.tuned_on.clone(),
            out_images: search.n_out,
            version: env!("CARGO_PKG_VERSION").to_string(),
        })
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
        let setting = self.score.is_none().then_some(self.setting);
        let precision = Some(self.setting.precision).filter(|&p| p != Precision::Exact);
        let (format, what) = match (&self.score, precision) {
            (None, None) => (FORMAT, "A setting of ODIN"),
            (None, Some(_)) => (SECOND_FORMAT, "A setting of ODIN"),
            (Some(_), _) => (SECOND_FORMAT, "Parameters of a score"),
        };
        let raw = Raw {
            odin_tuned: format,
            version: self.version.clone(),
            temperature: setting.map(|setting| setting.temperature),
            magnitude: setting.map(|setting| setting.magnitude),
            precision: precision.map(|precision| precision.to_string()),
            score: self.score.clone(),
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
            "# {what} that tuning chose, for one model.\n#   odin calibrate --tuned THIS_FILE ...\n{body}"
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

/// The setting of the file, or where it tells of a score the paper's.
fn setting(raw: &Raw) -> Result<Setting, String> {
    let precision = raw.precision.as_deref().map(str::parse::<Precision>);
    let precision = precision.transpose();
    let precision = precision.map_err(|e| format!("`precision`: {e}"))?;
    let setting = match (&raw.score, raw.temperature, raw.magnitude) {
        (None, Some(temperature), Some(magnitude)) => {
            Setting::new(temperature, magnitude).map_err(|e| e.to_string())?
        }
        (Some(score), None, None) => {
            let read = Parameters::default().read(score);
            read.map_err(|e| format!("score: {e}"))?;
            Setting::PAPER
        }
        _ => {
            return Err("there must be `temperature` and `magnitude`, or else `score`".to_string());
        }
    };
    Ok(setting.with_precision(precision.unwrap_or_default()))
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
        Some(format) if (FORMAT..=SECOND_FORMAT).any(|known| format == i64::from(known)) => {}
        Some(format) => {
            return Err(format!(
                "the setting has format {format}, this version reads {FORMAT} and {SECOND_FORMAT}; use a newer version, or tune again"
            ));
        }
    }
    let raw: Raw = toml::from_str(text).map_err(problem)?;
    Ok(Tuned {
        setting: setting(&raw)?,
        score: raw.score,
        model_sha256: raw.model_sha256,
        rule: raw.rule,
        in_dataset: raw.in_dataset,
        in_images: raw.in_images,
        tuned_on: raw.tuned_on,
        out_images: raw.out_images,
        version: raw.version,
    })
}
