//! Options of a calibration, and the choice of thresholds.

use super::detector::CalibratedDetector;
use super::record::{
    CalibrationImages, ClassThreshold, DetectorRecord, SavedCalibration, SavedModel, SavedPoint,
    SavedScore, ThresholdRule,
};
use crate::{Classifier, Detector, Error, ErrorKind, ScoredSet};
use odin_metrics::{
    Calibration, OperatingPoint, ReferenceScores, Scores, calibrate, calibrate_classes,
    minimum_images,
};
use std::path::PathBuf;

/// How a detector is calibrated.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "settings do nothing until `calibrate` is called"]
pub struct CalibrationOptions {
    scores: Vec<String>,
    rule: ThresholdRule,
    target_tpr: f64,
    per_class: bool,
}

impl Default for CalibrationOptions {
    /// ODIN, with the threshold that keeps 95 % of the in-distribution images.
    fn default() -> Self {
        Self {
            scores: vec!["odin".to_string()],
            rule: ThresholdRule::Tpr(0.95),
            target_tpr: 0.95,
            per_class: false,
        }
    }
}

impl CalibrationOptions {
    /// The names of the scores to calibrate, of those that [`Detector::score_names`] gives. The
    /// first decides; `odin` alone unless set.
    pub fn scores(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scores = names.into_iter().map(Into::into).collect();
        self
    }

    /// How the thresholds are chosen. All but [`ThresholdRule::Tpr`] need out-of-distribution
    /// images.
    pub fn rule(mut self, rule: ThresholdRule) -> Self {
        self.rule = rule;
        self
    }

    /// The true-positive rate that the file tells the threshold for where the rule is another one;
    /// 0.95 unless set. [`ThresholdRule::Tpr`] brings its own.
    pub fn target_tpr(mut self, target_tpr: f64) -> Self {
        self.target_tpr = target_tpr;
        self
    }

    /// Whether each class gets a threshold of its own at the true-positive rate, where the
    /// network takes enough of the images for it ([`odin_metrics::minimum_images`]).
    pub fn per_class(mut self, per_class: bool) -> Self {
        self.per_class = per_class;
        self
    }

    /// Calibrates a detector by what it said of `in_set`, and perhaps of `out_set`.
    ///
    /// # Errors
    /// When a score is unknown, the images do not admit the rule, or the classifier does not come
    /// from a file.
    pub fn calibrate(
        &self,
        detector: Detector,
        in_set: &ScoredSet,
        out_set: Option<&ScoredSet>,
    ) -> Result<CalibratedDetector, Error> {
        let classes = detector.classifier().classes();
        let scores = self.scores.iter();
        let scores = scores.map(|name| self.score(name, classes, in_set, out_set));
        let scores = scores.collect::<Result<Vec<_>, _>>()?;
        if scores.is_empty() {
            return Err(invalid("there is no score to calibrate".to_string()));
        }
        let record = DetectorRecord {
            version: env!("CARGO_PKG_VERSION").to_string(),
            model: model(detector.classifier())?,
            setting: detector.setting(),
            images: CalibrationImages {
                in_dataset: in_set.name.clone(),
                in_images: in_set.rows.len(),
                in_skipped: in_set.skipped.len(),
                out_dataset: out_set.map(|set| set.name.clone()),
                out_images: out_set.map_or(0, |set| set.rows.len()),
            },
            scores,
            statistics: None,
        };
        Ok(CalibratedDetector::new(record, detector))
    }

    fn score(
        &self,
        name: &str,
        classes: usize,
        in_set: &ScoredSet,
        out_set: Option<&ScoredSet>,
    ) -> Result<SavedScore, Error> {
        let in_scores = in_set.scores(name)?;
        let target_tpr = match self.rule {
            ThresholdRule::Tpr(tpr) => tpr,
            _ => self.target_tpr,
        };
        let calibration = calibrate(&in_scores, target_tpr)?;
        let against_out = match out_set {
            Some(out_set) => Some(Scores::new(&in_scores, &out_set.scores(name)?)?),
            None => None,
        };
        let point = match (self.rule, &against_out) {
            (ThresholdRule::Tpr(tpr), Some(scores)) => Some(scores.operating_point(tpr)?),
            (ThresholdRule::Tpr(_), None) => None,
            (ThresholdRule::Fpr(fpr), Some(scores)) => Some(scores.operating_point_at_fpr(fpr)?),
            (ThresholdRule::DetectionError, Some(scores)) => Some(scores.lowest_error()),
            (_, None) => {
                return Err(invalid(
                    "this rule for the threshold needs out-of-distribution images".to_string(),
                ));
            }
        };
        let n_out = against_out.as_ref().map_or(0, Scores::n_out);
        let of_out = point.map(|point| SavedPoint::new(point, n_out));
        Ok(SavedScore {
            name: name.to_string(),
            threshold: point.map_or(calibration.threshold, |p: OperatingPoint| p.threshold),
            rule: self.rule,
            calibration: SavedCalibration::from(calibration),
            against_out: of_out.transpose()?,
            classes: match self.per_class {
                true => self.classes(classes, in_set, &in_scores)?,
                false => Vec::new(),
            },
            reference: ReferenceScores::new(&in_scores)?,
        })
    }

    /// A threshold for each class that the network predicts.
    fn classes(
        &self,
        classes: usize,
        in_set: &ScoredSet,
        in_scores: &[f64],
    ) -> Result<Vec<ClassThreshold>, Error> {
        let ThresholdRule::Tpr(tpr) = self.rule else {
            let problem = "thresholds for each class are chosen by the true-positive rate only";
            return Err(invalid(problem.to_string()));
        };
        let Some(minimum) = minimum_images(tpr)? else {
            let problem = "no number of images establishes a threshold that keeps all of a class";
            return Err(invalid(problem.to_string()));
        };
        let mut of_classes = vec![Vec::new(); classes];
        for (row, &score) in in_set.rows.iter().zip(in_scores) {
            of_classes[row.score.prediction].push(score);
        }
        let calibrations = calibrate_classes(&of_classes, tpr, minimum)?;
        let each = of_classes.iter().zip(&calibrations.classes).enumerate();
        Ok(each
            .map(
                |(class, (scores, own)): (_, (&Vec<f64>, &Option<Calibration>))| ClassThreshold {
                    threshold: calibrations.of(class).threshold,
                    images: scores.len(),
                    own: own.is_some(),
                },
            )
            .collect())
    }
}

fn model(classifier: &Classifier) -> Result<SavedModel, Error> {
    let file = classifier.file();
    let sha256 = file.sha256.clone().ok_or_else(|| {
        invalid(format!(
            "{} is no single file, so that nothing says later whether it is the same",
            file.name
        ))
    })?;
    Ok(SavedModel {
        path: PathBuf::from(&file.name),
        sha256,
        architecture: classifier.architecture().to_string(),
        classes: classifier.classes(),
        config: classifier.config(),
    })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
