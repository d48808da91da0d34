//! A calibrated detector as a file that a person can read: `detector.toml`.

mod format;
mod judgement;

pub use judgement::Judgement;

use crate::detector::I_ODIN;
use crate::model_file::sha256;
use crate::{Classifier, ClassifierOptions, Error, ErrorKind, ModelConfig, restore_statistics};
use odin_metrics::{Calibration, Interval, OperatingPoint, ReferenceScores};
use odin_scores::{Fitted, Method};
use std::path::{Path, PathBuf};

/// What `odin calibrate` found, and what `odin score` judges images by. `docs/detector_toml.md`
/// describes the file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SavedDetector {
    /// The version of this library that wrote it.
    pub version: String,
    /// The network.
    pub model: SavedModel,
    /// The temperature T.
    pub temperature: f64,
    /// The magnitude ε, on the [0, 1] pixel scale.
    pub magnitude: f64,
    /// The in-distribution images that it was calibrated on.
    pub images: CalibrationImages,
    /// The scores; the first of them decides.
    pub scores: Vec<SavedScore>,
    /// What was fitted for scores that are fitted.
    pub statistics: Option<Statistics>,
}

/// The network of a [`SavedDetector`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SavedModel {
    /// Where the model file lies: relative to the folder of the `detector.toml`, or absolute.
    pub path: PathBuf,
    /// The SHA-256 of the model file, in hexadecimal digits.
    pub sha256: String,
    /// Such as `DenseNet-BC-100-12`.
    pub architecture: String,
    /// The number of classes.
    pub classes: usize,
    /// How images become its input, and the names of its classes.
    pub config: ModelConfig,
}

/// The images of a calibration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalibrationImages {
    /// The name of the in-distribution set.
    pub in_dataset: String,
    /// How many of its images were scored.
    pub in_images: usize,
    /// How many were left out because they do not decode.
    pub in_skipped: usize,
    /// The name of the out-of-distribution set, where there was one.
    pub out_dataset: Option<String>,
    /// How many of its images were scored.
    pub out_images: usize,
}

/// One calibrated score.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SavedScore {
    /// Its name: `odin`, `msp`, `i-odin` or that of a scorer.
    pub name: String,
    /// An image whose score reaches this is taken for in-distribution.
    pub threshold: f64,
    /// How the threshold was chosen.
    pub rule: ThresholdRule,
    /// What in-distribution images alone say of the threshold for a true-positive rate.
    pub calibration: SavedCalibration,
    /// What out-of-distribution images say of the threshold in force.
    pub against_out: Option<SavedPoint>,
    /// A threshold for each class, where asked for. It holds for images that the network takes
    /// for the class.
    pub classes: Vec<ClassThreshold>,
    /// The in-distribution scores.
    pub reference: ReferenceScores,
}

/// How a threshold is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ThresholdRule {
    /// The largest that keeps this share of the in-distribution images.
    Tpr(f64),
    /// The smallest that lets at most this share of the out-of-distribution images pass.
    Fpr(f64),
    /// The smallest detection error; this is also the largest Youden's J.
    DetectionError,
}

/// What [`odin_metrics::Calibration`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SavedCalibration {
    /// The true-positive rate asked for.
    pub target_tpr: f64,
    /// The threshold for it.
    pub threshold: f64,
    /// The share of the calibration images that reach the threshold.
    pub tpr: f64,
    /// The share of new images that is to be expected to.
    pub expected_tpr: f64,
    /// 95 % interval of that share.
    pub tpr_interval: Interval,
    /// 95 % interval of the threshold; an end is missing where there are too few images.
    pub threshold_interval: [Option<f64>; 2],
}

impl From<Calibration> for SavedCalibration {
    fn from(calibration: Calibration) -> Self {
        let interval = calibration.threshold_interval;
        Self {
            target_tpr: calibration.target_tpr,
            threshold: calibration.threshold,
            tpr: calibration.tpr,
            expected_tpr: calibration.expected_tpr,
            tpr_interval: calibration.tpr_interval,
            threshold_interval: [interval.lower, interval.upper],
        }
    }
}

/// Rates at a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SavedPoint {
    /// The share of in-distribution images that reach the threshold.
    pub tpr: f64,
    /// The share of out-of-distribution images that do.
    pub fpr: f64,
    /// `0.5 (1 - tpr) + 0.5 fpr`.
    pub detection_error: f64,
}

impl From<OperatingPoint> for SavedPoint {
    fn from(point: OperatingPoint) -> Self {
        Self {
            tpr: point.tpr,
            fpr: point.fpr,
            detection_error: point.detection_error,
        }
    }
}

/// The threshold of a class.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ClassThreshold {
    /// The threshold in force for the class.
    pub threshold: f64,
    /// How many calibration images the network took for the class.
    pub images: usize,
    /// Whether these were enough for a threshold of its own; the other is that of all classes.
    pub own: bool,
}

/// The file beside a `detector.toml` that holds what was fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Its name, in the same folder.
    pub file: String,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// A file of statistics larger than this is not read.
const MAX_STATISTICS: u64 = 8 << 30;

impl Statistics {
    /// The name and the hash of a file with this content.
    pub fn of(file: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            file: file.into(),
            sha256: sha256(bytes),
        }
    }

    fn read(&self, folder: &Path) -> Result<Vec<u8>, Error> {
        let path = folder.join(&self.file);
        let about = |problem: String| {
            saved(format!(
                "the statistics {} of the detector: {problem}",
                path.display()
            ))
        };
        let metadata = path.metadata().map_err(|e| about(e.to_string()))?;
        if !metadata.is_file() || metadata.len() > MAX_STATISTICS {
            return Err(about(
                "no regular file of a few gigabytes at most".to_string(),
            ));
        }
        let bytes = std::fs::read(&path).map_err(|e| about(e.to_string()))?;
        let found = sha256(&bytes);
        match found == self.sha256 {
            true => Ok(bytes),
            false => Err(about(format!(
                "the SHA-256 is {found} instead of {}; `odin calibrate` writes both files anew",
                self.sha256
            ))),
        }
    }
}

/// A `detector.toml` larger than this is none.
const MAX_FILE: u64 = 64 << 20;

impl SavedDetector {
    /// Reads a `detector.toml`.
    ///
    /// # Errors
    /// When the file cannot be read, is of a newer format, was changed after it was written, or
    /// contradicts itself; the message names the file and the key.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let about = |problem: String| {
            Error::new(ErrorKind::Saved, format!("{}: {problem}", path.display()))
        };
        let text = crate::model_config::read_text_of(path, MAX_FILE).map_err(about)?;
        format::read(&text).map_err(about)
    }

    /// Whether a file says of itself that it is a `detector.toml`.
    pub(crate) fn is_one(path: &Path) -> bool {
        let text = crate::model_config::read_text_of(path, MAX_FILE);
        text.is_ok_and(|text| text.lines().any(|line| line.starts_with(format::MARK)))
    }

    /// Reads the text of a `detector.toml`.
    ///
    /// # Errors
    /// Those of [`SavedDetector::open`]; the message names the key.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        format::read(text).map_err(saved)
    }

    /// The text of the `detector.toml`.
    pub fn to_toml(&self) -> String {
        format::write(self)
    }

    /// The checksum of [`SavedDetector::to_toml`]: two detectors of one checksum judge alike.
    pub fn checksum(&self) -> String {
        format::checksum_of(self)
    }

    /// Opens the network: the file that the detector names, or `model` in its place. `folder` is
    /// where the `detector.toml` lies.
    ///
    /// # Errors
    /// When the file is not there, is not the one that the detector was calibrated with, or cannot
    /// be read; the message says what differs.
    pub fn open_classifier(
        &self,
        folder: &Path,
        model: Option<&Path>,
    ) -> Result<Classifier, Error> {
        let path = match model {
            Some(path) => path.to_path_buf(),
            None => folder.join(&self.model.path),
        };
        if !path.exists() {
            return Err(saved(format!(
                "the model {} of the detector is not there; --nn names it where it lies now",
                path.display()
            )));
        }
        let options = ClassifierOptions::from(self.model.config.clone());
        let classifier = Classifier::open(&path, options)?;
        self.check(&classifier)?;
        Ok(classifier)
    }

    /// Whether this is the network that the detector was calibrated with.
    fn check(&self, classifier: &Classifier) -> Result<(), Error> {
        let file = classifier.file();
        let (own, found) = (&self.model, file.sha256.as_deref().unwrap_or("unknown"));
        if found == own.sha256 {
            return Ok(());
        }
        let mut differences = vec![format!("SHA-256 {found} instead of {}", own.sha256)];
        if classifier.architecture() != own.architecture {
            let found = classifier.architecture();
            differences.push(format!("{found} instead of {}", own.architecture));
        }
        if classifier.classes() != own.classes {
            let found = classifier.classes();
            differences.push(format!("{found} classes instead of {}", own.classes));
        }
        Err(saved(format!(
            "{} is not the model that the detector was calibrated with: {}; thresholds hold for one model only: calibrate again, or give the right file",
            file.name,
            differences.join(", ")
        )))
    }

    /// The scorers for the scores that are neither ODIN, i-ODIN nor the baseline. `folder` is
    /// where the `detector.toml` lies, and its statistics beside it.
    ///
    /// # Errors
    /// When a score is unknown, or the file of statistics is not there, is not the one that was
    /// written with the detector, or is damaged.
    pub fn scorers(&self, folder: &Path, classifier: &Classifier) -> Result<Vec<Fitted>, Error> {
        let names = self.scores.iter().map(|score| score.name.as_str());
        let names = names.filter(|name| !matches!(*name, "odin" | "msp" | I_ODIN));
        let methods = names.map(|name| name.parse::<Method>().map_err(Error::from));
        let methods = methods.collect::<Result<Vec<_>, _>>()?;
        if methods.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = match &self.statistics {
            Some(statistics) => statistics.read(folder)?,
            None => Vec::new(),
        };
        restore_statistics(classifier, &methods, &bytes)
    }

    /// Whether i-ODIN is among the scores.
    pub fn needs_i_odin(&self) -> bool {
        self.scores.iter().any(|score| score.name == I_ODIN)
    }

    /// The score that decides.
    ///
    /// # Errors
    /// When there is none.
    pub fn deciding(&self) -> Result<&SavedScore, Error> {
        let first = self.scores.first();
        first.ok_or_else(|| saved("the detector has no score to decide by".to_string()))
    }
}

fn saved(message: String) -> Error {
    Error::new(ErrorKind::Saved, message)
}
