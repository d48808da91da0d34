//! AdaSCALE's estimate of how unlike the training images an image is, from the change of its
//! largest activations under a shift of its pixels.

use crate::error::{Error, ErrorKind};
use crate::numeric::largest;
use crate::observation::Shift;
use crate::parameters::Parameters;

/// `Q' = λ Q + C_o`: Q sums `|h̃ - h|` over the share k₁ of the features h that are largest, C_o
/// sums `max(h̃, 0)` over the share k₂, where h̃ are the features of the shifted image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ActivationShift {
    pub(crate) shift: Shift,
    k1: f64,
    k2: f64,
    lambda: f64,
}

impl ActivationShift {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self {
            shift: parameters.shift(),
            k1: parameters.adascale_k1,
            k2: parameters.adascale_k2,
            lambda: parameters.adascale_lambda,
        }
    }

    /// Of an image's features and its shifted features.
    pub(crate) fn of(&self, features: &[f32], shifted: &[f32]) -> f64 {
        let pairs = |share: f64| {
            let largest = largest(features, count(features.len(), share)).into_iter();
            largest.map(|i| (f64::from(features[i]), f64::from(shifted[i])))
        };
        let shift: f64 = pairs(self.k1).map(|(h, shifted)| (shifted - h).abs()).sum();
        let correction: f64 = pairs(self.k2).map(|(_, shifted)| shifted.max(0.0)).sum();
        self.lambda * shift + correction
    }

    /// What is too few to be counted as the authors do, in a whole sentence.
    pub(crate) fn note(&self, features: usize) -> Option<String> {
        let few = [("k1", self.k1), ("k2", self.k2)];
        let few: Vec<&str> = few
            .into_iter()
            .filter(|&(_, share)| whole(features, share) == 0)
            .map(|(name, _)| name)
            .collect();
        (!few.is_empty()).then(|| {
            format!(
                "The share {} of {features} features is less than one: the largest one counts.",
                few.join(" and ")
            )
        })
    }

    pub(crate) const NUMBERS: usize = 5;

    pub(crate) fn numbers(&self) -> [f64; Self::NUMBERS] {
        let Shift { share, step } = self.shift;
        [share, step, self.k1, self.k2, self.lambda]
    }

    /// # Errors
    /// When one of them is out of its range.
    pub(crate) fn from_numbers(numbers: [f64; Self::NUMBERS]) -> Result<Self, Error> {
        let parameters = Parameters::default().with_activation_shift(numbers);
        parameters.check()?;
        Ok(Self::new(&parameters))
    }

    /// # Errors
    /// When the other is another: values of the two are not compared.
    pub(crate) fn check_same(&self, other: &Self) -> Result<(), Error> {
        if self == other {
            return Ok(());
        }
        let show = |one: &Self| {
            let [share, step, k1, k2, lambda] = one.numbers();
            format!("o = {share}, epsilon = {step}, k1 = {k1}, k2 = {k2}, lambda = {lambda}")
        };
        Err(Error::new(
            ErrorKind::Summary,
            format!(
                "the summary of training images was made with {}, and the score has {}; make one \
                 with the same parameters",
                show(other),
                show(self)
            ),
        ))
    }
}

/// The whole features that a share makes; room for shares such as 0.29, of which 100 times is just
/// below 29.
fn whole(features: usize, share: f64) -> usize {
    (features as f64 * share + 1e-9) as usize
}

/// As [`whole`], one at least.
fn count(features: usize, share: f64) -> usize {
    whole(features, share).clamp(1, features.max(1))
}
