use super::{SavedDetector, SavedScore};
use crate::{Error, Score};

/// What a calibrated detector makes of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Judgement {
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
    /// Judges a value of this score, of an image that the network takes for `prediction`.
    pub fn judge(&self, score: f64, prediction: usize) -> Judgement {
        let of_class = self.classes.get(prediction);
        let threshold = of_class.map_or(self.threshold, |class| class.threshold);
        Judgement {
            score,
            percentile: self.reference.percentile(score),
            p_value: self.reference.p_value(score),
            threshold,
            is_in_distribution: score >= threshold,
        }
    }
}

impl SavedDetector {
    /// Judges an image by the score that decides. `others` are the names of [`Score::others`].
    ///
    /// # Errors
    /// When the scores do not hold the one that decides.
    pub fn judge(&self, score: &Score, others: &[String]) -> Result<Judgement, Error> {
        let deciding = self.deciding()?;
        let value = score.named(&deciding.name, others).ok_or_else(|| {
            super::saved(format!(
                "the detector decides by {}, which was not computed",
                deciding.name
            ))
        })?;
        Ok(deciding.judge(value, score.prediction))
    }
}

impl Score {
    /// The score of this name; `others` are the names of [`Score::others`].
    pub fn named(&self, name: &str, others: &[String]) -> Option<f64> {
        match name {
            "odin" => Some(self.odin),
            "msp" => Some(self.msp),
            name => {
                let place = others.iter().position(|other| other == name)?;
                self.others.get(place).copied()
            }
        }
    }
}
