//! The largest differences between a compiled detector and the detector that it should equal.

use super::compiled::{CompiledDetector, Outputs};
use crate::detect::RawOutputs;
use crate::names::{I_ODIN, MSP, ODIN};
use crate::{Detector, Error, ErrorKind, Precision, Score};
use odin_data::Image;

const WEIPER_KLD: &str = "weiper-kld";
/// What one value in another bin changes a score of WeiPer+KLD by, at most, for some tens of features.
const STEP: f64 = 0.01;
/// How much more ODIN scores may differ where directions are not exact.
const FLIPS: f64 = 10.0;

/// How far a compiled detector and a [`Detector`] are from each other: the largest differences over
/// all images compared.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Agreement {
    /// The number of images.
    pub images: usize,
    /// The largest difference of a logit.
    pub logits: f64,
    /// The largest absolute logit, at least 1: what the difference is to be seen beside.
    pub logit_scale: f64,
    /// The scores that both compute, `msp` first.
    pub scores: Vec<ScoreAgreement>,
    /// The scores in the file that the detector does not compute: they are not compared.
    pub not_compared: Vec<String>,
    /// The temperature T. A difference of an ODIN score is about that of logits divided by T.
    pub temperature: f64,
    /// Exact where both are.
    pub precision: Precision,
    /// The number of images whose predicted classes differ.
    pub disagreements: usize,
}

/// How far two detectors are from each other in a score.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoreAgreement {
    /// Its name.
    pub name: String,
    /// The largest difference.
    pub difference: f64,
    /// The largest absolute score.
    pub scale: f64,
}

impl Agreement {
    /// Compares a file with the detector that it should equal on these images, which have the
    /// network's shape; the detector's temperature and magnitude must be the file's.
    ///
    /// # Errors
    /// When an image has not the shape that the network takes, or the two have different classes
    /// or settings.
    pub fn of(
        file: &CompiledDetector,
        detector: &Detector,
        images: &[Image],
    ) -> Result<Self, Error> {
        let name = &file.network().file().name;
        let same = |what: &str, own: f64, other: f64| match own == other {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "{name} has {what} {own}, the model {other}: they are not the same detector"
                ),
            )),
        };
        let (own, other) = (file.network().classes(), detector.classifier().classes());
        same("a number of classes of", own as f64, other as f64)?;
        let (own, other) = (file.card().setting, detector.setting());
        same("temperature", own.temperature, other.temperature)?;
        same("magnitude", own.magnitude, other.magnitude)?;
        let known = |name: &String| detector.score_names().contains(name);
        let names = file.card().scores.iter().cloned();
        let (compared, not_compared): (Vec<_>, Vec<_>) = names.partition(known);
        let mut agreement = Self {
            logit_scale: 1.0,
            temperature: own.temperature,
            precision: match own.precision {
                Precision::Exact => other.precision,
                fast => fast,
            },
            scores: compared.into_iter().map(ScoreAgreement::new).collect(),
            not_compared,
            ..Self::default()
        };
        let expected = detector.run(images)?;
        let found = file.run(images)?;
        let scores = detector.scores_of(&expected);
        for ((found, expected), score) in found.iter().zip(&expected).zip(scores) {
            agreement.add(&file.card().scores, found, expected, &score?);
        }
        Ok(agreement)
    }

    /// Both, taken together.
    pub fn and(self, other: Self) -> Self {
        let scores = match self.images {
            0 => other.scores,
            _ => self
                .scores
                .into_iter()
                .zip(&other.scores)
                .map(|(a, b)| a.and(b))
                .collect(),
        };
        Self {
            images: self.images + other.images,
            logits: larger(self.logits, other.logits),
            logit_scale: larger(self.logit_scale, other.logit_scale),
            scores,
            not_compared: other.not_compared,
            temperature: other.temperature,
            precision: other.precision,
            disagreements: self.disagreements + other.disagreements,
        }
    }

    /// Whether all predictions agree and no difference exceeds the tolerance: that of logits
    /// relative to [`Agreement::logit_scale`], that of MSP as it is, that of ODIN scores times T
    /// like that of logits, that of another score relative to [`ScoreAgreement::scale`], at least 1.
    /// WeiPer+KLD counts values in bins, and may be off by the step of a value that rounding moves
    /// over an edge: by 0.01. Where one of them is not exact, other entries near zero change the sign
    /// of their gradient, and ODIN scores may be off by ten times as much.
    pub fn holds(&self, tolerance: f64) -> bool {
        let relative = tolerance * self.logit_scale.max(1.0);
        let of_odin = match self.precision {
            Precision::Exact => relative,
            Precision::Fast => FLIPS * relative,
        };
        let holds = |score: &ScoreAgreement| match score.name.as_str() {
            MSP => score.difference <= tolerance,
            ODIN | I_ODIN => score.difference * self.temperature <= of_odin,
            WEIPER_KLD => score.difference <= tolerance.max(STEP) * score.scale.max(1.0),
            _ => score.difference <= tolerance * score.scale.max(1.0),
        };
        self.disagreements == 0 && self.logits <= relative && self.scores.iter().all(holds)
    }

    /// The difference of a score.
    pub fn of_score(&self, name: &str) -> Option<f64> {
        let mut scores = self.scores.iter();
        scores
            .find(|score| score.name == name)
            .map(|score| score.difference)
    }

    fn add(&mut self, names: &[String], found: &Outputs, expected: &RawOutputs, score: &Score) {
        let pairs = found.logits.iter().zip(&expected.logits);
        for (&a, &b) in pairs {
            self.logits = larger(self.logits, (f64::from(a) - f64::from(b)).abs());
            self.logit_scale = larger(self.logit_scale, f64::from(b).abs());
        }
        for own in &mut self.scores {
            let place = names.iter().position(|name| *name == own.name);
            let found = place.and_then(|place| found.scores.get(place).copied());
            let (found, expected) = (found.unwrap_or(f64::NAN), score.get(&own.name));
            let expected = expected.unwrap_or(f64::NAN);
            own.difference = larger(own.difference, (found - expected).abs());
            own.scale = larger(own.scale, expected.abs());
        }
        self.images += 1;
        self.disagreements += usize::from(found.prediction != expected.prediction);
    }
}

impl ScoreAgreement {
    fn new(name: String) -> Self {
        Self {
            name,
            difference: 0.0,
            scale: 0.0,
        }
    }

    fn and(self, other: &Self) -> Self {
        Self {
            difference: larger(self.difference, other.difference),
            scale: larger(self.scale, other.scale),
            name: self.name,
        }
    }
}

/// The larger of two; NaN, which is no agreement, exceeds everything.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}
