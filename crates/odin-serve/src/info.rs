//! What a detector is, for those who send it images.

use odin::{CalibratedDetector, Detector, Error, Setting};
use serde::Serialize;
use utoipa::ToSchema;

/// The digits of a version.
const VERSION: usize = 16;

/// The bins of the histogram of the calibration's scores.
const BINS: usize = 64;

/// A detector, named as answers name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DetectorName {
    /// The stem of its file.
    #[schema(example = "detector")]
    pub(crate) name: String,
    /// The first 16 digits of its checksum, as score files have them.
    #[schema(example = "9645f0a47a59edd6")]
    pub(crate) version: String,
    /// The checksum that its file states and score files name, a SHA-256 in hexadecimal digits: two
    /// detectors of one checksum judge alike.
    pub(crate) checksum: String,
}

/// A detector that is served.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DetectorInfo {
    /// The stem of its file.
    #[schema(example = "detector")]
    pub(crate) name: String,
    /// The first 16 digits of its checksum, as score files have them.
    pub(crate) version: String,
    /// The checksum that its file states and score files name, a SHA-256 in hexadecimal digits: two
    /// detectors of one checksum judge alike.
    pub(crate) checksum: String,
    pub(crate) model: ModelInfo,
    pub(crate) setting: SettingInfo,
    pub(crate) input: InputInfo,
    /// Whether images are transformed to the size that the network takes; else they must have it.
    pub(crate) resizes: bool,
    /// Names of the classes, where the model has them.
    pub(crate) class_names: Option<Vec<String>>,
    /// The scores that are computed; all are high for in-distribution images.
    #[schema(example = json!(["odin", "msp"]))]
    pub(crate) scores: Vec<String>,
    /// The score that decides.
    #[schema(example = "odin")]
    pub(crate) decides_by: String,
    /// An image whose score reaches this is taken for in-distribution.
    pub(crate) threshold: f64,
    /// Whether classes have thresholds of their own instead.
    pub(crate) thresholds_by_class: bool,
    /// The share of new in-distribution images that the calibration expects to reach the threshold.
    pub(crate) expected_tpr: f64,
    pub(crate) calibrated_on: CalibratedOn,
    pub(crate) histogram: Histogram,
}

/// The network of a detector.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelInfo {
    #[schema(example = "DenseNet-BC-100-12")]
    pub(crate) architecture: String,
    /// The SHA-256 of the model file, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) classes: usize,
}

/// Temperature T, magnitude ε, and the precision that the thresholds were calibrated in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct SettingInfo {
    #[schema(example = 1000.0)]
    pub(crate) temperature: f64,
    /// On the [0, 1] pixel scale.
    #[schema(example = 0.0014)]
    pub(crate) magnitude: f64,
    /// `exact` or `fast`.
    #[schema(example = "exact")]
    pub(crate) precision: String,
    /// What the network's products are computed with; null where ONNX Runtime runs it.
    #[schema(example = "AVX-512")]
    pub(crate) instructions: Option<String>,
}

/// What the network takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct InputInfo {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// The in-distribution images of the calibration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CalibratedOn {
    pub(crate) in_dataset: String,
    pub(crate) in_images: usize,
}

/// How the in-distribution scores of the calibration are distributed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Histogram {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// Scores in bins of equal width from `lower` to `upper`.
    pub(crate) counts: Vec<u64>,
}

impl SettingInfo {
    pub(crate) fn of(setting: Setting, detector: &Detector) -> Self {
        Self {
            temperature: setting.temperature,
            magnitude: setting.magnitude,
            precision: setting.precision.to_string(),
            instructions: detector.instructions(),
        }
    }
}

impl DetectorInfo {
    /// # Errors
    /// When the detector has no score to decide by.
    pub(crate) fn of(name: &str, detector: &CalibratedDetector) -> Result<Self, Error> {
        let (record, classifier) = (detector.record(), detector.classifier());
        let checksum = record.checksum();
        let deciding = record.deciding()?;
        let [channels, height, width] = classifier.image_shape();
        Ok(Self {
            name: name.to_string(),
            version: checksum.chars().take(VERSION).collect(),
            checksum,
            model: ModelInfo {
                architecture: record.model.architecture.clone(),
                sha256: record.model.sha256.clone(),
                classes: record.model.classes,
            },
            setting: SettingInfo::of(record.setting, detector.detector()),
            input: InputInfo {
                channels,
                height,
                width,
            },
            resizes: classifier.transform().is_some() || classifier.takes_any_shape(),
            class_names: classifier.class_names().map(<[String]>::to_vec),
            scores: record.scores.iter().map(|s| s.name.clone()).collect(),
            decides_by: deciding.name.clone(),
            threshold: deciding.threshold,
            thresholds_by_class: !deciding.classes.is_empty(),
            expected_tpr: deciding.calibration.expected_tpr,
            calibrated_on: CalibratedOn {
                in_dataset: record.images.in_dataset.clone(),
                in_images: record.images.in_images,
            },
            histogram: Histogram::of(&deciding.reference.sample()),
        })
    }

    pub(crate) fn short(&self) -> DetectorName {
        DetectorName {
            name: self.name.clone(),
            version: self.version.clone(),
            checksum: self.checksum.clone(),
        }
    }

    /// The name of a class, where the model has names.
    pub(crate) fn class(&self, prediction: usize) -> Option<&str> {
        let names = self.class_names.as_ref()?;
        names.get(prediction).map(String::as_str)
    }
}

impl Histogram {
    /// `ascending` has at least one score.
    fn of(ascending: &[f64]) -> Self {
        let lower = ascending.first().copied().unwrap_or_default();
        let upper = ascending.last().copied().unwrap_or_default();
        let mut counts = vec![0; BINS];
        for score in ascending {
            let place = (score - lower) / (upper - lower) * BINS as f64;
            // Equal scores are all in the first bin: NaN becomes 0.
            counts[(place as usize).min(BINS - 1)] += 1;
        }
        Self {
            lower,
            upper,
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_count_every_score() {
        let scores: Vec<f64> = (0..=640).map(f64::from).collect();
        let histogram = Histogram::of(&scores);
        assert_eq!((histogram.lower, histogram.upper), (0.0, 640.0));
        assert_eq!(histogram.counts[..2], [10, 10]);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 641);
        assert_eq!(Histogram::of(&[0.5; 3]).counts[0], 3);
    }
}
