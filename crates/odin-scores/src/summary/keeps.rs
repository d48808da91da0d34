//! What the scores to be fitted make a summary keep.

use super::sample::Draw;
use crate::linalg::MAX_FEATURES;
use crate::method::Method;
use crate::parameters::Parameters;

/// A set of parts of a summary, each a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Keeps(u16);

impl Keeps {
    /// Sums of the softmax over the images that are predicted to be of each class.
    pub(crate) const TYPICAL: Self = Self(1);
    /// The logits of labelled images that are drawn.
    pub(crate) const LOGITS: Self = Self(1 << 1);
    /// The sum of the features.
    pub(crate) const SUM: Self = Self(1 << 2);
    /// The sum of the features of each class, and products about the means of the classes.
    pub(crate) const PRODUCTS: Self = Self(1 << 3);
    /// The features and the largest logit of images that are drawn.
    pub(crate) const FEATURES: Self = Self(1 << 4);
    /// How often each activation occurs.
    pub(crate) const ACTIVATIONS: Self = Self(1 << 5);
    /// As [`PRODUCTS`](Self::PRODUCTS), of the features divided by their norm.
    pub(crate) const UNIT_PRODUCTS: Self = Self(1 << 6);
    /// The sum of the features of the correctly classified images of each class.
    pub(crate) const PATTERNS: Self = Self(1 << 7);
    /// How many features are negative. It is counted wherever features are read, and needed by none.
    pub(crate) const SIGNS: Self = Self(1 << 8);

    /// How often each activation of the feature maps occurs, rounded.
    pub(crate) const MAP_ACTIVATIONS: Self = Self(1 << 12);
    /// How far the largest activations of images that are drawn shift.
    pub(crate) const SHIFTS: Self = Self(1 << 13);
    /// As [`PRODUCTS`](Self::PRODUCTS), of each class by itself.
    pub(crate) const CLASS_PRODUCTS: Self = Self(1 << 14);

    /// All that are made of features.
    const OF_FEATURES: Self = Self(
        Self::SUM.0
            | Self::PRODUCTS.0
            | Self::FEATURES.0
            | Self::ACTIVATIONS.0
            | Self::UNIT_PRODUCTS.0
            | Self::PATTERNS.0
            | Self::SIGNS.0
            | Self::SHIFTS.0
            | Self::CLASS_PRODUCTS.0,
    );

    fn of_method(method: Method) -> Self {
        match method {
            Method::KlMatching => Self::TYPICAL,
            Method::TemperatureScaling => Self::LOGITS,
            Method::Mahalanobis | Method::RelativeMahalanobis => Self::SUM.and(Self::PRODUCTS),
            Method::MahalanobisPp | Method::RelativeMahalanobisPp => Self::UNIT_PRODUCTS,
            Method::Gmm => Self::CLASS_PRODUCTS,
            Method::Knn | Method::Vim | Method::NnGuide | Method::Vra | Method::WeiperKld => {
                Self::FEATURES
            }
            Method::React => Self::ACTIVATIONS,
            Method::AdaScaleA | Method::AdaScaleL => Self::SHIFTS,
            Method::ReactMap => Self::MAP_ACTIVATIONS,
            Method::Fdbd | Method::Nci | Method::Dice => Self::SUM,
            Method::She => Self::PATTERNS,
            Method::Ash | Method::Scale | Method::Lts | Method::GradNorm => Self::SIGNS,
            Method::Msp
            | Method::MaxLogit
            | Method::MaxMinusMean
            | Method::Energy
            | Method::JointEnergy
            | Method::Entropy
            | Method::Gen
            | Method::Mcm
            | Method::AshMap
            | Method::ScaleMap
            | Method::RankFeat => Self::default(),
        }
    }

    /// What these methods need, for a network of so many features. Products of more features than are
    /// fitted to are not made.
    pub(crate) fn of_methods(methods: &[Method], features: usize) -> Self {
        let needed = methods.iter().map(|&method| Self::of_method(method));
        let mut all = needed.fold(Self::default(), Self::and);
        if features > MAX_FEATURES {
            all = all.without(Self::PRODUCTS.and(Self::UNIT_PRODUCTS));
        }
        all
    }

    /// Whether `method` can be fitted from these to a network of so many features.
    pub(crate) fn suffice_for(self, method: Method, features: usize) -> bool {
        self.has(Self::of_methods(&[method], features).without(Self::SIGNS))
    }

    /// Whether `method` can be fitted from the features of all images.
    pub(crate) fn are_in_features(method: Method) -> bool {
        let needed = Self::of_method(method);
        needed == Self::FEATURES || needed == Self::ACTIVATIONS
    }

    /// Whether features are read at all.
    pub(crate) fn features(self) -> bool {
        self.0 & Self::OF_FEATURES.0 != 0
    }

    pub(crate) fn has(self, part: Self) -> bool {
        self.0 & part.0 == part.0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, part: Self) -> Self {
        Self(self.0 & !part.0)
    }
}

/// The images whose features a method reads.
pub(crate) fn draw_of(method: Method, parameters: &Parameters) -> Option<Draw> {
    let of_all = Draw::new(0, parameters.kept_images, 1.0);
    match method {
        Method::Vim | Method::Vra => Some(of_all),
        Method::Knn => Some(Draw::new(
            parameters.knn_seed,
            parameters.knn_images,
            parameters.knn_share,
        )),
        Method::NnGuide => Some(Draw::new(
            parameters.nn_guide_seed,
            parameters.nn_guide_images,
            parameters.nn_guide_share,
        )),
        Method::WeiperKld => Some(Draw::new(
            parameters.weiper_seed,
            parameters.weiper_images,
            1.0,
        )),
        _ => None,
    }
}

/// Those of several methods: one for each seed, rising.
pub(crate) fn draws_of(methods: &[Method], parameters: &Parameters) -> Vec<Draw> {
    let mut draws: Vec<Draw> = Vec::new();
    for draw in methods
        .iter()
        .filter_map(|&method| draw_of(method, parameters))
    {
        match draws.iter_mut().find(|other| other.seed == draw.seed) {
            Some(other) => *other = other.with(draw),
            None => draws.push(draw),
        }
    }
    draws.sort_unstable_by_key(|draw| draw.seed);
    draws
}
