//! The decision of a calibrated detector about an image: threshold, percentile, conformal p-value.

use super::record::{DetectorRecord, SavedScore};
use crate::{Error, ErrorKind, Score};

/// The decision of a calibrated detector about an image.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// The score that decides.
    pub score: f64,
    /// The percentage of the calibration's in-distribution scores that are not above it.
    pub percentile: f64,
    /// The conformal p-value: of in-distribution images, at most the share p has a p-value of p
    /// or less.
    pub p_value: f64,
    /// The threshold for the predicted class.
    pub threshold: f64,
    /// Whether the score reaches the threshold.
    pub is_in_distribution: bool,
}

impl SavedScore {
    /// Decides by a value of this score, of an image that the network takes for `prediction`.
    pub fn decide(&self, score: f64, prediction: usize) -> Decision {
        let of_class = self.classes.get(prediction);
        let threshold = of_class.map_or(self.threshold, |class| class.threshold);
        Decision {
            score,
            percentile: self.reference.percentile(score),
            p_value: self.reference.p_value(score),
            threshold,
            is_in_distribution: score >= threshold,
        }
    }
}

impl DetectorRecord {
    /// Decides by the score that decides.
    ///
    /// # Errors
    /// When it is not among these scores, or there is none.
    pub fn decide(&self, score: &Score) -> Result<Decision, Error> {
        let deciding = self.deciding()?;
        let value = score.get(&deciding.name).ok_or_else(|| {
            let name = &deciding.name;
            let problem = format!("the detector decides by {name}, which was not computed");
            Error::new(ErrorKind::Scores, problem)
        })?;
        Ok(deciding.decide(value, score.prediction))
    }
}
