//! The largest differences between a compiled detector and the detector that it should equal.

use super::compiled::{CompiledDetector, Outputs};
use crate::detect::{RawOutputs, max_softmax};
use crate::{Detector, Error, ErrorKind};
use odin_data::Image;

/// How far a compiled detector and a [`Detector`] are from each other: the largest differences over
/// all images compared.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Agreement {
    /// The number of images.
    pub images: usize,
    /// The largest difference of a logit.
    pub logits: f64,
    /// The largest absolute logit, at least 1: what the difference is to be seen beside.
    pub logit_scale: f64,
    /// The largest difference of a maximum softmax probability.
    pub msp: f64,
    /// The largest difference of an ODIN score.
    pub odin: f64,
    /// The temperature T. A difference of an ODIN score is about that of logits divided by T.
    pub temperature: f64,
    /// The number of images whose predicted classes differ.
    pub disagreements: usize,
}

impl Agreement {
    /// Compares a file with the detector that it should equal on these images, which have the
    /// network's shape; the detector's setting must be the file's.
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
        let expected = detector.run(images)?;
        let found = file.run(images)?;
        let mut agreement = Agreement {
            logit_scale: 1.0,
            temperature: own.temperature,
            ..Self::default()
        };
        for (found, expected) in found.iter().zip(&expected) {
            agreement.add(found, &of_detector(expected, own.temperature));
        }
        Ok(agreement)
    }

    /// Both, taken together.
    pub fn and(self, other: Self) -> Self {
        Self {
            images: self.images + other.images,
            logits: larger(self.logits, other.logits),
            logit_scale: larger(self.logit_scale, other.logit_scale),
            msp: larger(self.msp, other.msp),
            odin: larger(self.odin, other.odin),
            temperature: other.temperature,
            disagreements: self.disagreements + other.disagreements,
        }
    }

    /// Whether all predictions agree and no difference exceeds the tolerance: that of logits
    /// relative to [`Agreement::logit_scale`], that of MSP as it is, that of ODIN scores times T
    /// like that of logits.
    pub fn holds(&self, tolerance: f64) -> bool {
        let relative = tolerance * self.logit_scale.max(1.0);
        self.disagreements == 0
            && self.logits <= relative
            && self.msp <= tolerance
            && self.odin * self.temperature <= relative
    }

    fn add(&mut self, found: &Outputs, expected: &Outputs) {
        let pairs = found.logits.iter().zip(&expected.logits);
        for (&a, &b) in pairs {
            self.logits = larger(self.logits, (f64::from(a) - f64::from(b)).abs());
            self.logit_scale = larger(self.logit_scale, f64::from(b).abs());
        }
        self.images += 1;
        self.msp = larger(self.msp, (found.msp - expected.msp).abs());
        self.odin = larger(self.odin, (found.odin - expected.odin).abs());
        self.disagreements += usize::from(found.prediction != expected.prediction);
    }
}

/// What the file should give.
fn of_detector(outputs: &RawOutputs, temperature: f64) -> Outputs {
    Outputs {
        prediction: outputs.prediction,
        msp: max_softmax(&outputs.logits, 1.0),
        odin: max_softmax(&outputs.perturbed_logits, temperature),
        logits: outputs.logits.clone(),
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
