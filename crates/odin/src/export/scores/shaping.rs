//! Activation shaping: the energy of the logits of changed features; and GradNorm, which is a
//! product of their norm.

use super::terms::{Term, Terms};
use odin_graph::op::{Binary, Compare, Unary};
use odin_graph::{Op, ValueId};
use odin_scores::kept_features;

/// `W min(h, c) + b`.
pub(super) fn react(t: &mut Terms<'_>) -> Term {
    let clip = Unary::Clip {
        min: f32::NEG_INFINITY,
        max: t.number("react.threshold")? as f32,
    };
    let features = t.features()?;
    let clipped = t.g.unary(clip, features)?;
    let logits = head(t, clipped)?;
    t.energy(logits)
}

/// The largest features are multiplied by `exp(s₁ / s₂)`, the others are 0. Of equal features at the
/// border all are kept, where `odin-scores` keeps as many as there should be.
pub(super) fn ash(t: &mut Terms<'_>) -> Term {
    let features = t.features()?;
    let kept = kept_features(t.width(features), t.number("ash.pruned")?);
    let top = t.g.top_k(features, 1, kept)?;
    let least = t.entry(top, kept - 1)?;
    let reaches = t.g.compare(Compare::GreaterOrEqual, features, least)?;
    let zero = t.scalar(0.0)?;
    let pruned = t.g.select(reaches, features, zero)?;
    let factor = sharpening(t, features, top)?;
    let sharpened = t.g.mul(pruned, factor)?;
    let logits = head(t, sharpened)?;
    t.energy(logits)
}

/// `W (s h) + b = s (z - b) + b`.
pub(super) fn scale(t: &mut Terms<'_>) -> Term {
    let features = t.features()?;
    let kept = kept_features(t.width(features), t.number("scale.pruned")?);
    let top = t.g.top_k(features, 1, kept)?;
    let factor = sharpening(t, features, top)?;
    scaled(t, factor)
}

/// The energy of `s (z - b) + b`.
pub(super) fn scaled(t: &mut Terms<'_>, factor: ValueId) -> Term {
    let (logits, bias) = (t.logits(), t.head()?.bias.clone());
    let bias = t.g.constant(bias)?;
    let without_bias = t.g.sub(logits, bias)?;
    let scaled = t.g.mul(without_bias, factor)?;
    let logits = t.g.add_values(scaled, bias)?;
    t.energy(logits)
}

/// `exp(s₁ / s₂)` as `[N, 1]`; 1 where s₂ is 0.
pub(super) fn sharpening(t: &mut Terms<'_>, all: ValueId, kept: ValueId) -> Term {
    let [all, kept] = [t.sum(all)?, t.sum(kept)?];
    let ratio = t.g.div(all, kept)?;
    let (size, zero) = (t.magnitude(kept)?, t.scalar(0.0)?);
    let ratio = t.where_positive(size, ratio, zero)?;
    let factor = t.g.unary(Unary::Exp, ratio)?;
    t.column(factor)
}

/// `(s₁ / s₂)² z` for sums of features that count as 0 where they are negative; z where s₂ is 0.
pub(super) fn lts(t: &mut Terms<'_>) -> Term {
    let features = t.features()?;
    let kept = kept_features(t.width(features), t.number("lts.pruned")?);
    let rectified = t.at_least(features, 0.0)?;
    let top = t.g.top_k(rectified, 1, kept)?;
    let [all, kept] = [t.sum(rectified)?, t.sum(top)?];
    let ratio = t.g.div(all, kept)?;
    let one = t.scalar(1.0)?;
    let ratio = t.where_positive(kept, ratio, one)?;
    let factor = t.g.mul(ratio, ratio)?;
    let factor = t.column(factor)?;
    let logits = t.logits();
    let scaled = t.g.mul(logits, factor)?;
    t.energy(scaled)
}

/// Features below their lower threshold are 0, those above their upper one clipped.
pub(super) fn vra(t: &mut Terms<'_>) -> Term {
    let (lower, upper) = (t.tensor("vra.lower")?, t.tensor("vra.upper")?);
    let features = t.features()?;
    let [lower, upper] = [t.g.constant(lower)?, t.g.constant(upper)?];
    let clipped = t.g.add(Op::Binary(Binary::Min), &[features, upper])?;
    let reaches = t.g.compare(Compare::GreaterOrEqual, features, lower)?;
    let zero = t.scalar(0.0)?;
    let kept = t.g.select(reaches, clipped, zero)?;
    let logits = head(t, kept)?;
    t.energy(logits)
}

/// `(M ∘ W) h + b`.
pub(super) fn dice(t: &mut Terms<'_>) -> Term {
    let (features, weight) = (t.features()?, t.tensor("dice.weight")?);
    let bias = t.head()?.bias.clone();
    let [weight, bias] = [t.g.constant(weight)?, t.g.constant(bias)?];
    let logits = t.g.linear(features, weight, Some(bias))?;
    t.energy(logits)
}

/// The logits of features.
pub(super) fn head(t: &mut Terms<'_>, features: ValueId) -> Term {
    let head = t.head()?;
    let weight = t.g.constant(head.weight.clone())?;
    let bias = t.g.constant(head.bias.clone())?;
    Ok(t.g.linear(features, weight, Some(bias))?)
}

/// `‖h‖₁ · Σ |p - 1 / C|`.
pub(super) fn grad_norm(t: &mut Terms<'_>) -> Term {
    let (logits, classes) = (t.logits(), t.classes());
    let p = t.g.softmax(logits, 1)?;
    let uniform = t.scalar(1.0 / classes as f64)?;
    let difference = t.g.sub(p, uniform)?;
    let difference = t.l1_norm(difference)?;
    let features = t.features()?;
    let size = t.l1_norm(features)?;
    Ok(t.g.mul(size, difference)?)
}
