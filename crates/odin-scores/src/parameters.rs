//! The parameters of the scores.

use crate::error::{Error, ErrorKind};
use crate::observation::Shift;

/// Of single images so many are kept at most, unless a parameter says otherwise: half a gigabyte of
/// 2,048 features.
const KEPT_IMAGES: usize = 1 << 16;

/// The parameters of the scores. The defaults are those of the papers, as [`Method`] says of each.
///
/// [`Method`]: crate::Method
///
/// ```
/// let mut parameters = odin_scores::Parameters::default();
/// parameters.knn_k = Some(200);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Parameters {
    /// To how many training images at most ViM's α, VRA, temperature scaling and AdaSCALE are fitted,
    /// at least 1; 65,536. They are drawn by hashes of what the network says of them.
    pub kept_images: usize,
    /// γ of GEN, above 0; 0.1.
    pub gen_gamma: f64,
    /// M of GEN, how many of the largest probabilities count, at least 1; 100.
    pub gen_top: usize,
    /// k of KNN, at least 1; `None` stands for 50, but at most a tenth of the images of the
    /// smallest class that has any.
    pub knn_k: Option<usize>,
    /// The share of the training images that KNN keeps, in (0, 1]; 1.
    pub knn_share: f64,
    /// The seed by which KNN draws them, where it does not keep all; 0.
    pub knn_seed: u64,
    /// How many training images KNN keeps at most, at least 1; 65,536.
    pub knn_images: usize,
    /// k of NNGuide, at least 1; 10.
    pub nn_guide_k: usize,
    /// The share of the training images that NNGuide keeps, in (0, 1]; 1.
    pub nn_guide_share: f64,
    /// The seed by which NNGuide draws them, where it does not keep all; 0.
    pub nn_guide_seed: u64,
    /// How many training images NNGuide keeps at most, at least 1; 65,536.
    pub nn_guide_images: usize,
    /// δ of WeiPer+KLD, the length of perturbations in that of the weights, above 0; 1.8.
    pub weiper_distance: f64,
    /// r of WeiPer+KLD, how often the last layer is perturbed, from 1 to 1000; 100.
    pub weiper_repeats: usize,
    /// λ₁ of WeiPer+KLD, at least 0; 2.5.
    pub weiper_lambda1: f64,
    /// λ₂ of WeiPer+KLD, at least 0; 0.1.
    pub weiper_lambda2: f64,
    /// How many equal bins WeiPer+KLD counts values in, from 1 to 1000; 100.
    pub weiper_bins: usize,
    /// Over how many bins WeiPer+KLD smooths the density of an image's features, from 1 to `weiper_bins`;
    /// 4.
    pub weiper_feature_width: usize,
    /// The same of the logits; 15.
    pub weiper_logit_width: usize,
    /// What WeiPer+KLD adds to each bin of densities of features, above 0; 0.01.
    pub weiper_feature_floor: f64,
    /// The same of logits; 0.025.
    pub weiper_logit_floor: f64,
    /// How many training images WeiPer+KLD is fitted to at most, at least 1; 2000.
    pub weiper_images: usize,
    /// The seed of the perturbations and of the images of WeiPer+KLD; 0.
    pub weiper_seed: u64,
    /// Number of principal directions of ViM, d, from 1 to D - 1; `None` stands for the authors'
    /// rule.
    pub vim_dimension: Option<usize>,
    /// The quantile of training activations at which ReAct clips, in (0, 1]; 0.9.
    pub react_quantile: f64,
    /// The share of features that ASH sets to 0, in [0, 1); 0.9.
    pub ash_pruned: f64,
    /// The share of features that SCALE leaves out of the second sum, in [0, 1); 0.85.
    pub scale_pruned: f64,
    /// The share of features that LTS leaves out of the second sum, in [0, 1); 0.95.
    pub lts_pruned: f64,
    /// The quantile of each training feature below which VRA sets it to 0, in [0, 1]; 0.6.
    pub vra_lower: f64,
    /// The quantile of each training feature at which VRA clips it, from `vra_lower` to 1; 0.9.
    pub vra_upper: f64,
    /// The share of the last layer's weights that DICE sets to 0, in [0, 1); 0.9.
    pub dice_pruned: f64,
    /// The share of the entries of an image, pixels times channels, that AdaSCALE shifts (o), above
    /// 0 and at most 1; 0.05.
    pub adascale_o: f64,
    /// How far AdaSCALE shifts them (ε), above 0, in the units that the network reads; 0.5.
    pub adascale_epsilon: f64,
    /// The share of the largest features whose shift AdaSCALE sums (k₁), above 0 and at most 1;
    /// 0.01.
    pub adascale_k1: f64,
    /// The share of the largest features that AdaSCALE corrects it by (k₂), above 0 and at most 1;
    /// 0.05.
    pub adascale_k2: f64,
    /// The weight of the shift in AdaSCALE (λ), at least 0; 10.
    pub adascale_lambda: f64,
    /// The share of features that AdaSCALE leaves out of the second sum for the most shifted images
    /// (p_min), in [0, 1); 0.8.
    pub adascale_pmin: f64,
    /// The same for the least shifted images (p_max), from p_min and below 1; 0.85.
    pub adascale_pmax: f64,
    /// The quantile of activations before pooling at which ReAct clips those, in (0, 1]; 0.9.
    pub react_map_quantile: f64,
    /// The share of activations before pooling that ASH sets to 0, in [0, 1); 0.9.
    pub ash_map_pruned: f64,
    /// The share of activations before pooling that SCALE leaves out of the second sum, in [0, 1);
    /// 0.85.
    pub scale_map_pruned: f64,
    /// τ of MCM, above 0; 1.
    pub mcm_temperature: f64,
    /// α of NCI, at least 0; 0.0001.
    pub nci_alpha: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            kept_images: KEPT_IMAGES,
            gen_gamma: 0.1,
            gen_top: 100,
            knn_k: None,
            nn_guide_k: 10,
            knn_share: 1.0,
            knn_seed: 0,
            knn_images: KEPT_IMAGES,
            nn_guide_share: 1.0,
            nn_guide_seed: 0,
            nn_guide_images: KEPT_IMAGES,
            weiper_distance: 1.8,
            weiper_repeats: 100,
            weiper_lambda1: 2.5,
            weiper_lambda2: 0.1,
            weiper_bins: 100,
            weiper_feature_width: 4,
            weiper_logit_width: 15,
            weiper_feature_floor: 0.01,
            weiper_logit_floor: 0.025,
            weiper_images: 2000,
            weiper_seed: 0,
            vim_dimension: None,
            react_quantile: 0.9,
            ash_pruned: 0.9,
            scale_pruned: 0.85,
            lts_pruned: 0.95,
            vra_lower: 0.6,
            vra_upper: 0.9,
            dice_pruned: 0.9,
            adascale_o: 0.05,
            adascale_epsilon: 0.5,
            adascale_k1: 0.01,
            adascale_k2: 0.05,
            adascale_lambda: 10.0,
            adascale_pmin: 0.8,
            adascale_pmax: 0.85,
            react_map_quantile: 0.9,
            ash_map_pruned: 0.9,
            scale_map_pruned: 0.85,
            mcm_temperature: 1.0,
            nci_alpha: 1e-4,
        }
    }
}

impl Parameters {
    /// How AdaSCALE shifts images.
    pub fn shift(&self) -> Shift {
        Shift {
            share: self.adascale_o,
            step: self.adascale_epsilon,
        }
    }

    /// With o, ε, k₁, k₂ and λ of AdaSCALE.
    pub(crate) fn with_activation_shift(self, numbers: [f64; 5]) -> Self {
        let [
            adascale_o,
            adascale_epsilon,
            adascale_k1,
            adascale_k2,
            adascale_lambda,
        ] = numbers;
        Self {
            adascale_o,
            adascale_epsilon,
            adascale_k1,
            adascale_k2,
            adascale_lambda,
            ..self
        }
    }

    /// Whether a [`TrainingSummary`] that is made for one of them serves the other as well, so that
    /// the training images need not be gone through again: they differ only in what is applied when
    /// a score is fitted.
    ///
    /// [`TrainingSummary`]: crate::TrainingSummary
    pub fn fits_same_summary(&self, other: &Self) -> bool {
        let usual = Self::default();
        let before_fitting = |parameters: &Self| Self {
            gen_gamma: usual.gen_gamma,
            gen_top: usual.gen_top,
            knn_k: usual.knn_k,
            nn_guide_k: usual.nn_guide_k,
            weiper_distance: usual.weiper_distance,
            weiper_repeats: usual.weiper_repeats,
            weiper_lambda1: usual.weiper_lambda1,
            weiper_lambda2: usual.weiper_lambda2,
            weiper_bins: usual.weiper_bins,
            weiper_feature_width: usual.weiper_feature_width,
            weiper_logit_width: usual.weiper_logit_width,
            weiper_feature_floor: usual.weiper_feature_floor,
            weiper_logit_floor: usual.weiper_logit_floor,
            react_quantile: usual.react_quantile,
            ash_pruned: usual.ash_pruned,
            scale_pruned: usual.scale_pruned,
            lts_pruned: usual.lts_pruned,
            dice_pruned: usual.dice_pruned,
            adascale_pmin: usual.adascale_pmin,
            adascale_pmax: usual.adascale_pmax,
            react_map_quantile: usual.react_map_quantile,
            ash_map_pruned: usual.ash_map_pruned,
            scale_map_pruned: usual.scale_map_pruned,
            mcm_temperature: usual.mcm_temperature,
            nci_alpha: usual.nci_alpha,
            ..*parameters
        };
        before_fitting(self) == before_fitting(other)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let weight = |value: f64| value >= 0.0 && value.is_finite();
        let part = |value: f64| value > 0.0 && value <= 1.0;
        let added = |value: f64| value > 0.0 && value.is_finite();
        let width = |width: usize| (1..=self.weiper_bins).contains(&width);
        let checks = [
            ("kept_images", self.kept_images >= 1, "at least 1"),
            (
                "gen_gamma",
                self.gen_gamma > 0.0 && self.gen_gamma.is_finite(),
                "above 0",
            ),
            ("gen_top", self.gen_top >= 1, "at least 1"),
            ("knn_k", self.knn_k != Some(0), "at least 1"),
            ("knn_share", part(self.knn_share), "above 0 and at most 1"),
            ("knn_images", self.knn_images >= 1, "at least 1"),
            ("nn_guide_k", self.nn_guide_k >= 1, "at least 1"),
            ("nn_guide_images", self.nn_guide_images >= 1, "at least 1"),
            (
                "nn_guide_share",
                self.nn_guide_share > 0.0 && self.nn_guide_share <= 1.0,
                "above 0 and at most 1",
            ),
            (
                "weiper_distance",
                self.weiper_distance > 0.0 && self.weiper_distance.is_finite(),
                "above 0",
            ),
            (
                "weiper_repeats",
                (1..=1000).contains(&self.weiper_repeats),
                "from 1 to 1000",
            ),
            ("weiper_lambda1", weight(self.weiper_lambda1), "at least 0"),
            ("weiper_lambda2", weight(self.weiper_lambda2), "at least 0"),
            (
                "weiper_bins",
                (1..=1000).contains(&self.weiper_bins),
                "from 1 to 1000",
            ),
            (
                "weiper_feature_width",
                width(self.weiper_feature_width),
                "at least 1 and at most weiper_bins",
            ),
            (
                "weiper_logit_width",
                width(self.weiper_logit_width),
                "at least 1 and at most weiper_bins",
            ),
            (
                "weiper_feature_floor",
                added(self.weiper_feature_floor),
                "above 0",
            ),
            (
                "weiper_logit_floor",
                added(self.weiper_logit_floor),
                "above 0",
            ),
            ("weiper_images", self.weiper_images >= 1, "at least 1"),
            ("vim_dimension", self.vim_dimension != Some(0), "at least 1"),
            (
                "react_quantile",
                self.react_quantile > 0.0 && self.react_quantile <= 1.0,
                "above 0 and at most 1",
            ),
            (
                "ash_pruned",
                share(self.ash_pruned),
                "at least 0 and below 1",
            ),
            (
                "scale_pruned",
                share(self.scale_pruned),
                "at least 0 and below 1",
            ),
            ("adascale_o", part(self.adascale_o), "above 0 and at most 1"),
            (
                "adascale_epsilon",
                self.adascale_epsilon > 0.0 && self.adascale_epsilon <= f64::from(f32::MAX),
                "above 0",
            ),
            (
                "adascale_k1",
                part(self.adascale_k1),
                "above 0 and at most 1",
            ),
            (
                "adascale_k2",
                part(self.adascale_k2),
                "above 0 and at most 1",
            ),
            (
                "adascale_lambda",
                self.adascale_lambda >= 0.0 && self.adascale_lambda.is_finite(),
                "at least 0",
            ),
            (
                "adascale_pmin",
                share(self.adascale_pmin),
                "at least 0 and below 1",
            ),
            (
                "adascale_pmax",
                share(self.adascale_pmax) && self.adascale_pmin <= self.adascale_pmax,
                "at least adascale_pmin and below 1",
            ),
            (
                "react_map_quantile",
                part(self.react_map_quantile),
                "above 0 and at most 1",
            ),
            (
                "ash_map_pruned",
                share(self.ash_map_pruned),
                "at least 0 and below 1",
            ),
            (
                "scale_map_pruned",
                share(self.scale_map_pruned),
                "at least 0 and below 1",
            ),
            (
                "lts_pruned",
                share(self.lts_pruned),
                "at least 0 and below 1",
            ),
            (
                "vra_lower",
                self.vra_lower >= 0.0 && self.vra_lower <= self.vra_upper,
                "at least 0 and at most vra_upper",
            ),
            ("vra_upper", self.vra_upper <= 1.0, "at most 1"),
            (
                "dice_pruned",
                share(self.dice_pruned),
                "at least 0 and below 1",
            ),
            (
                "mcm_temperature",
                self.mcm_temperature > 0.0 && self.mcm_temperature.is_finite(),
                "above 0",
            ),
            (
                "nci_alpha",
                self.nci_alpha >= 0.0 && self.nci_alpha.is_finite(),
                "at least 0",
            ),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((name, _, expected)) => Err(Error::new(
                ErrorKind::Invalid,
                format!("the parameter {name} must be {expected}"),
            )),
            None => Ok(()),
        }
    }
}
