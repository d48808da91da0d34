//! The content of a `detector.toml` as typed values.

use crate::model::sha256;
use crate::{Error, ErrorKind, ModelConfig, Setting};
use odin_metrics::{Calibration, Interval, OperatingPoint, Rate, ReferenceScores};
use odin_untrusted::file::read_regular;
use odin_untrusted::impostor;
use std::path::{Path, PathBuf};

/// Everything that a calibrated detector decides by, but for the network itself and what was
/// fitted: the content of a `detector.toml`, which `docs/detector_toml.md` describes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetectorRecord {
    /// The version of this library that wrote it.
    pub version: String,
    /// The network.
    pub model: SavedModel,
    /// The temperature, the magnitude and the precision.
    pub setting: Setting,
    /// The in-distribution images that it was calibrated on.
    pub images: CalibrationImages,
    /// The scores; the first of them decides.
    pub scores: Vec<SavedScore>,
    /// What was fitted for scores that are fitted.
    pub statistics: Option<Statistics>,
}

/// The network of a [`DetectorRecord`].
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
    /// 95 % interval of the share of new ones that do; none in files of earlier versions.
    pub fpr_interval: Option<Interval>,
    /// `0.5 (1 - tpr) + 0.5 fpr`.
    pub detection_error: f64,
}

impl SavedPoint {
    /// What `out_images` out-of-distribution images say of a threshold.
    ///
    /// # Errors
    /// Without images, or with more than a rate may be of.
    pub(super) fn new(point: OperatingPoint, out_images: usize) -> Result<Self, Error> {
        let passed = (point.fpr * out_images as f64).round() as u64;
        let rate = Rate::new(passed, out_images as u64)?;
        Ok(Self {
            tpr: point.tpr,
            fpr: point.fpr,
            fpr_interval: Some(rate.exact_interval()),
            detection_error: point.detection_error,
        })
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

    /// Those of the statistics of a detector whose file has this stem. The name holds the hash, so
    /// that no detector's statistics are ever written over by another's.
    pub(super) fn beside(stem: &str, bytes: &[u8]) -> Self {
        let statistics = Self::of("", bytes);
        let short = &statistics.sha256[..12];
        Self {
            file: format!("{stem}.{short}.statistics.safetensors"),
            ..statistics
        }
    }

    /// The bytes of the file, which lies at this path.
    ///
    /// # Errors
    /// When it is not there, or is another one.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let about = |e: Error| {
            e.about(format_args!(
                "the statistics {} of the detector",
                path.display()
            ))
        };
        let unreadable = |e: odin_untrusted::Error| {
            let kind = match e.kind() {
                odin_untrusted::ErrorKind::Io => ErrorKind::Io,
                _ => ErrorKind::Saved,
            };
            about(Error::from_cause(kind, e))
        };
        let bytes = read_regular(path, MAX_STATISTICS).map_err(unreadable)?;
        if let Some(found) = impostor::recognise(&bytes) {
            return Err(about(damaged(format!("this is {found}"))));
        }
        let found = sha256(&bytes);
        match found == self.sha256 {
            true => Ok(bytes),
            false => Err(about(damaged(format!(
                "the SHA-256 is {found} instead of {}; calibrating again writes both files anew",
                self.sha256
            )))),
        }
    }

    /// Removes the file of a detector that is no more from the folder, unless it is another file by
    /// now, or a detector there names it: a copy of the one that is no more, or the one in its
    /// place. Where it cannot be removed it does no harm.
    pub(super) fn remove_if_unused(&self, folder: &Path) {
        let path = folder.join(&self.file);
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        let names_it = |path: PathBuf| {
            let is_toml = path.extension().is_some_and(|e| e == "toml");
            let named = || DetectorRecord::open(&path).ok()?.statistics;
            is_toml && named().is_some_and(|named| named.file == self.file)
        };
        let mut detectors = entries.flatten().map(|entry| entry.path());
        if !detectors.any(names_it) && self.read(&path).is_ok() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl DetectorRecord {
    /// The score that decides.
    ///
    /// # Errors
    /// When [`DetectorRecord::scores`] was emptied: reading and calibrating refuse such a detector.
    pub fn deciding(&self) -> Result<&SavedScore, Error> {
        let none = || Error::new(ErrorKind::Scores, "the detector has no score to decide by");
        self.scores.first().ok_or_else(none)
    }

    /// Keeps the scores of these names, in this order; the first decides.
    ///
    /// # Errors
    /// When one was not calibrated.
    pub(super) fn keep(&mut self, names: &[String]) -> Result<(), Error> {
        let kept = names.iter().map(|name| {
            let score = self.scores.iter().find(|score| score.name == *name);
            score.cloned().ok_or_else(|| {
                let known: Vec<&str> = self.scores.iter().map(|s| s.name.as_str()).collect();
                let known = known.join(", ");
                let problem = format!("{name} was not calibrated; the detector has {known}");
                Error::new(ErrorKind::Scores, problem)
            })
        });
        self.scores = kept.collect::<Result<_, _>>()?;
        Ok(())
    }
}

pub(super) fn damaged(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::Saved, problem)
}
