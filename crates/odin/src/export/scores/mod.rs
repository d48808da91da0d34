//! Scores as nodes of a compiled detector's graph: the formulas of `odin-scores` in standard
//! operators and f32, with what was fitted as constants. Each gives `[N]`, high for in-distribution
//! images.

mod activations;
mod distances;
mod histograms;
mod logits;
mod shaping;
mod terms;

use crate::{Error, ErrorKind};
use distances::Space;
use odin_graph::{Graph, LinearHead, ValueId};
use odin_scores::{Fitted, Method};
use terms::Terms;

/// What scores are computed from.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    /// `[N, C]`.
    pub(super) logits: ValueId,
    /// `[N]`, argmax of the logits.
    pub(super) prediction: ValueId,
    /// The last linear layer, whose input `[N, D, 1...]` is the features; where a score needs it.
    pub(super) head: Option<LinearHead>,
    /// What the features are pooled from, `[N, D, ...]`; where a score needs it.
    pub(super) feature_map: Option<ValueId>,
    /// As the features, of the shifted images; where a score needs them.
    pub(super) shifted_features: Option<ValueId>,
}

/// Adds a score to the graph.
pub(super) fn add(g: &mut Graph, ends: &Ends, fitted: &Fitted) -> Result<ValueId, Error> {
    let (method, tensors) = (fitted.method(), fitted.tensors());
    g.at(method.name());
    let t = &mut Terms::new(g, ends, &tensors);
    match method {
        Method::Msp => logits::msp(t),
        Method::MaxLogit => logits::max_logit(t),
        Method::MaxMinusMean => logits::max_minus_mean(t),
        Method::Energy => logits::energy(t),
        Method::JointEnergy => logits::joint_energy(t),
        Method::Entropy => logits::entropy(t),
        Method::Gen => logits::generalised_entropy(t),
        Method::KlMatching => logits::kl_matching(t),
        Method::TemperatureScaling => logits::temperature_scaling(t),
        Method::Mahalanobis => distances::mahalanobis(t, Space::Plain),
        Method::RelativeMahalanobis => distances::relative_mahalanobis(t, Space::Plain),
        Method::MahalanobisPp => distances::mahalanobis(t, Space::Unit),
        Method::RelativeMahalanobisPp => distances::relative_mahalanobis(t, Space::Unit),
        Method::Gmm => distances::gmm(t),
        Method::Knn => distances::knn(t),
        Method::NnGuide => distances::nn_guide(t),
        Method::She => distances::she(t),
        Method::WeiperKld => histograms::weiper_kld(t),
        Method::Vim => distances::vim(t),
        Method::Mcm => distances::mcm(t),
        Method::Fdbd => distances::fdbd(t),
        Method::Nci => distances::nci(t),
        Method::GradNorm => shaping::grad_norm(t),
        Method::React => shaping::react(t),
        Method::Ash => shaping::ash(t),
        Method::Scale => shaping::scale(t),
        Method::Lts => shaping::lts(t),
        Method::Vra => shaping::vra(t),
        Method::Dice => shaping::dice(t),
        Method::AdaScaleA => activations::adascale_a(t),
        Method::AdaScaleL => activations::adascale_l(t),
        Method::ReactMap => activations::react(t),
        Method::AshMap => activations::ash(t),
        Method::ScaleMap => activations::scale(t),
        Method::RankFeat => activations::rank_feat(t),
        other => Err(Error::new(
            ErrorKind::Scores,
            format!(
                "the score {other} cannot be compiled; leave it out or run the detector itself"
            ),
        )),
    }
}
