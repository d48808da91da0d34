//! The scores, one file each or one for a family, and what they share.

mod adascale;
mod dice;
mod fdbd;
mod feature_map;
mod gaussian;
mod gmm;
mod grad_norm;
mod kl_matching;
mod knn;
mod logits;
mod lts;
mod mcm;
mod nci;
mod nn_guide;
mod quantile;
mod shaping;
mod she;
mod temperature;
mod vim;
mod vra;
mod weiper;

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::head::Head;
use crate::matrix::Matrix;
use crate::method::Method;
use crate::observation::{Observation, Shift};
use crate::parameters::Parameters;
use crate::summary::TrainingSummary;
use crate::tensor::{Reader, Writer};

use adascale::{AdaScale, Scaled};
use gaussian::{Space, Within};

pub(crate) use knn::{kept_share, neighbours};

pub use shaping::kept_features;

/// A score with what was fitted.
pub(crate) trait Score: fmt::Debug + Send + Sync {
    /// The observation has the lengths below, and finite values.
    fn score(&self, observation: &Observation<'_>) -> f64;

    /// As [`Score::score`] of each, to the same bits.
    fn score_batch(&self, observations: &[&Observation<'_>]) -> Vec<f64> {
        observations.iter().map(|o| self.score(o)).collect()
    }

    /// Number of logits, where the score depends on it.
    fn classes(&self) -> Option<usize> {
        None
    }

    /// Number of features, where the score depends on it.
    fn features(&self) -> Option<usize> {
        None
    }

    /// What a user should know of the fit that only the fit shows.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How images are shifted whose features it compares.
    fn shift(&self) -> Option<Shift> {
        None
    }

    fn save(&self, _writer: &mut Writer) {}
}

/// What scores are fitted from. Statistics that several use are computed when first asked for.
pub(crate) struct Fitting<'a> {
    parameters: &'a Parameters,
    head: Option<&'a Head>,
    summary: Option<&'a TrainingSummary>,
    mean: Shared<Vec<f64>>,
    within: Shared<Within>,
    unit_within: Shared<Within>,
    columns: Shared<Matrix>,
}

impl<'a> Fitting<'a> {
    pub(crate) fn new(
        parameters: &'a Parameters,
        head: Option<&'a Head>,
        summary: Option<&'a TrainingSummary>,
    ) -> Self {
        Self {
            parameters,
            head,
            summary,
            mean: Shared::default(),
            within: Shared::default(),
            unit_within: Shared::default(),
            columns: Shared::default(),
        }
    }

    fn head(&self) -> Result<&'a Head, Error> {
        self.head.ok_or_else(missing_head)
    }

    fn summary(&self) -> Result<&'a TrainingSummary, Error> {
        self.summary
            .ok_or_else(|| Error::new(ErrorKind::Missing, "there are no training images"))
    }

    /// The mean of the training features.
    fn mean(&self) -> Result<Arc<Vec<f64>>, Error> {
        self.mean.get_or(|| Ok(self.summary()?.mean()))
    }

    fn within(&self, space: Space) -> Result<Arc<Within>, Error> {
        match space {
            Space::Plain => self
                .within
                .get_or(|| Within::fit(space, self.summary()?, &self.mean()?)),
            Space::Unit => self.unit_within.get_or(|| {
                let summary = self.summary()?;
                let mean = space.moments(summary)?.mean(summary.images());
                Within::fit(space, summary, &mean)
            }),
        }
    }

    fn columns(&self) -> Result<Arc<Matrix>, Error> {
        self.columns
            .get_or(|| Ok(self.head()?.weight().transposed()))
    }
}

/// What scores are restored from. What several use is read when first asked for.
pub(crate) struct Restoring<'a> {
    head: Option<&'a Head>,
    reader: Reader<'a>,
    within: Shared<Within>,
    unit_within: Shared<Within>,
    columns: Shared<Matrix>,
}

impl<'a> Restoring<'a> {
    pub(crate) fn new(head: Option<&'a Head>, reader: Reader<'a>) -> Self {
        Self {
            head,
            reader,
            within: Shared::default(),
            unit_within: Shared::default(),
            columns: Shared::default(),
        }
    }

    fn head(&self) -> Result<&'a Head, Error> {
        self.head.ok_or_else(missing_head)
    }

    fn within(&self, space: Space) -> Result<Arc<Within>, Error> {
        let shared = match space {
            Space::Plain => &self.within,
            Space::Unit => &self.unit_within,
        };
        shared.get_or(|| Within::restore(space, &self.reader))
    }

    fn columns(&self) -> Result<Arc<Matrix>, Error> {
        self.columns
            .get_or(|| Ok(self.head()?.weight().transposed()))
    }

    /// The mean of the training features, which the last layer says the length of.
    fn mean(&self) -> Result<Vec<f64>, Error> {
        Ok(self.reader.vector(MEAN, self.head()?.features())?.to_vec())
    }
}

/// The tensor of the mean of the training features.
const MEAN: &str = "features.mean";

fn missing_head() -> Error {
    Error::new(
        ErrorKind::Missing,
        "it needs the weight and bias of the last linear layer",
    )
}

/// A value that is computed at most once.
struct Shared<T>(OnceCell<Arc<T>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T> Shared<T> {
    fn get_or(&self, compute: impl FnOnce() -> Result<T, Error>) -> Result<Arc<T>, Error> {
        if let Some(value) = self.0.get() {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(compute()?);
        Ok(Arc::clone(self.0.get_or_init(|| value)))
    }
}

pub(crate) fn fit_score(method: Method, fitting: &Fitting<'_>) -> Result<Arc<dyn Score>, Error> {
    Ok(match method {
        Method::Msp => Arc::new(logits::MSP),
        Method::MaxLogit => Arc::new(logits::MAX_LOGIT),
        Method::MaxMinusMean => Arc::new(logits::MAX_MINUS_MEAN),
        Method::Energy => Arc::new(logits::ENERGY),
        Method::JointEnergy => Arc::new(logits::JOINT_ENERGY),
        Method::Entropy => Arc::new(logits::ENTROPY),
        Method::Gen => Arc::new(logits::Gen::fit(fitting)),
        Method::KlMatching => Arc::new(kl_matching::KlMatching::fit(fitting)?),
        Method::TemperatureScaling => Arc::new(temperature::Temperature::fit(fitting)?),
        Method::Mahalanobis => Arc::new(gaussian::Mahalanobis::fit(Space::Plain, fitting)?),
        Method::RelativeMahalanobis => Arc::new(gaussian::Relative::fit(Space::Plain, fitting)?),
        Method::MahalanobisPp => Arc::new(gaussian::Mahalanobis::fit(Space::Unit, fitting)?),
        Method::RelativeMahalanobisPp => Arc::new(gaussian::Relative::fit(Space::Unit, fitting)?),
        Method::Gmm => Arc::new(gmm::Gmm::fit(fitting)?),
        Method::Knn => Arc::new(knn::Knn::fit(fitting)?),
        Method::NnGuide => Arc::new(nn_guide::NnGuide::fit(fitting)?),
        Method::She => Arc::new(she::She::fit(fitting)?),
        Method::WeiperKld => Arc::new(weiper::WeiperKld::fit(fitting)?),
        Method::Vim => Arc::new(vim::Vim::fit(fitting)?),
        Method::React => Arc::new(shaping::React::fit(fitting)?),
        Method::Ash => Arc::new(shaping::Ash::fit(fitting)?),
        Method::Scale => Arc::new(shaping::Scale::fit(fitting)?),
        Method::Lts => Arc::new(lts::Lts::fit(fitting)?),
        Method::Vra => Arc::new(vra::Vra::fit(fitting)?),
        Method::Dice => Arc::new(dice::Dice::fit(fitting)?),
        Method::AdaScaleA => Arc::new(AdaScale::fit(fitting, Scaled::Activations)?),
        Method::AdaScaleL => Arc::new(AdaScale::fit(fitting, Scaled::Logits)?),
        Method::ReactMap => Arc::new(feature_map::ReactMap::fit(fitting)?),
        Method::AshMap => Arc::new(feature_map::AshMap::fit(fitting)?),
        Method::ScaleMap => Arc::new(feature_map::ScaleMap::fit(fitting)?),
        Method::RankFeat => Arc::new(feature_map::RankFeat::fit(fitting)?),
        Method::Mcm => Arc::new(mcm::Mcm::fit(fitting)?),
        Method::Fdbd => Arc::new(fdbd::Fdbd::fit(fitting)?),
        Method::Nci => Arc::new(nci::Nci::fit(fitting)?),
        Method::GradNorm => Arc::new(grad_norm::GradNorm),
    })
}

pub(crate) fn restore_score(
    method: Method,
    source: &Restoring<'_>,
) -> Result<Arc<dyn Score>, Error> {
    Ok(match method {
        Method::Msp => Arc::new(logits::MSP),
        Method::MaxLogit => Arc::new(logits::MAX_LOGIT),
        Method::MaxMinusMean => Arc::new(logits::MAX_MINUS_MEAN),
        Method::Energy => Arc::new(logits::ENERGY),
        Method::JointEnergy => Arc::new(logits::JOINT_ENERGY),
        Method::Entropy => Arc::new(logits::ENTROPY),
        Method::Gen => Arc::new(logits::Gen::restore(source)?),
        Method::KlMatching => Arc::new(kl_matching::KlMatching::restore(source)?),
        Method::TemperatureScaling => Arc::new(temperature::Temperature::restore(source)?),
        Method::Mahalanobis => Arc::new(gaussian::Mahalanobis::restore(Space::Plain, source)?),
        Method::RelativeMahalanobis => Arc::new(gaussian::Relative::restore(Space::Plain, source)?),
        Method::MahalanobisPp => Arc::new(gaussian::Mahalanobis::restore(Space::Unit, source)?),
        Method::RelativeMahalanobisPp => {
            Arc::new(gaussian::Relative::restore(Space::Unit, source)?)
        }
        Method::Gmm => Arc::new(gmm::Gmm::restore(source)?),
        Method::Knn => Arc::new(knn::Knn::restore(source)?),
        Method::NnGuide => Arc::new(nn_guide::NnGuide::restore(source)?),
        Method::She => Arc::new(she::She::restore(source)?),
        Method::WeiperKld => Arc::new(weiper::WeiperKld::restore(source)?),
        Method::Vim => Arc::new(vim::Vim::restore(source)?),
        Method::React => Arc::new(shaping::React::restore(source)?),
        Method::Ash => Arc::new(shaping::Ash::restore(source)?),
        Method::Scale => Arc::new(shaping::Scale::restore(source)?),
        Method::Lts => Arc::new(lts::Lts::restore(source)?),
        Method::Vra => Arc::new(vra::Vra::restore(source)?),
        Method::Dice => Arc::new(dice::Dice::restore(source)?),
        Method::AdaScaleA => Arc::new(AdaScale::restore(source, Scaled::Activations)?),
        Method::AdaScaleL => Arc::new(AdaScale::restore(source, Scaled::Logits)?),
        Method::ReactMap => Arc::new(feature_map::ReactMap::restore(source)?),
        Method::AshMap => Arc::new(feature_map::AshMap::restore(source)?),
        Method::ScaleMap => Arc::new(feature_map::ScaleMap::restore(source)?),
        Method::RankFeat => Arc::new(feature_map::RankFeat::restore(source)?),
        Method::Mcm => Arc::new(mcm::Mcm::restore(source)?),
        Method::Fdbd => Arc::new(fdbd::Fdbd::restore(source)?),
        Method::Nci => Arc::new(nci::Nci::restore(source)?),
        Method::GradNorm => Arc::new(grad_norm::GradNorm),
    })
}
