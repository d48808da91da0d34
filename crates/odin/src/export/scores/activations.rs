//! Scores of the feature map before pooling, and AdaSCALE, which compares features with those of the
//! shifted image. Of equal activations at the border of the largest all count, where `odin-scores`
//! takes as many as there should be.

use super::shaping::{head, scaled, sharpening};
use super::terms::{Term, Terms};
use crate::Error;
use odin_graph::op::{Compare, ReduceKind, Unary};
use odin_graph::{Op, Shape, Tensor, ValueId};
use odin_scores::kept_features;

/// The matrix is squared so often: its 1024th power.
const SQUARINGS: usize = 10;

/// `W mean min(x, c) + b`.
pub(super) fn react(t: &mut Terms<'_>) -> Term {
    let clip = Unary::Clip {
        min: f32::NEG_INFINITY,
        max: t.number("react-map.threshold")? as f32,
    };
    let map = t.feature_map()?;
    let clipped = t.g.unary(clip, map)?;
    of_map(t, clipped)
}

pub(super) fn ash(t: &mut Terms<'_>) -> Term {
    let map = t.feature_map()?;
    let (flat, shape) = (t.g.flatten(map)?, t.g.shape(map).clone());
    let kept = kept_features(t.width(flat), t.number("ash-map.pruned")?);
    let (reaches, top) = largest(t, flat, kept)?;
    let zero = t.scalar(0.0)?;
    let pruned = t.g.select(reaches, flat, zero)?;
    let factor = sharpening(t, flat, top)?;
    let sharpened = t.g.mul(pruned, factor)?;
    let sharpened = t.g.reshape(sharpened, shape)?;
    of_map(t, sharpened)
}

pub(super) fn scale(t: &mut Terms<'_>) -> Term {
    let map = t.feature_map()?;
    let flat = t.g.flatten(map)?;
    let kept = kept_features(t.width(flat), t.number("scale-map.pruned")?);
    let top = t.g.top_k(flat, 1, kept)?;
    let factor = sharpening(t, flat, top)?;
    scaled(t, factor)
}

/// `X - σ u vᵀ`. The powers of the smaller Gram matrix, divided by their traces, tend to `v vᵀ` or
/// `u uᵀ`, of which σ u vᵀ is `X v vᵀ` or `u uᵀ X`.
pub(super) fn rank_feat(t: &mut Terms<'_>) -> Term {
    let map = t.feature_map()?;
    let (features, positions) = extents(t, map);
    let x = t.g.reshape(map, Shape::batched(&[features, positions]))?;
    let transposed = t.g.add(Op::Transpose(vec![0, 2, 1]), &[x])?;
    let leading = if positions <= features {
        let gram = t.g.mat_mul(transposed, x)?;
        let projection = projection(t, gram)?;
        t.g.mat_mul(x, projection)?
    } else {
        let gram = t.g.mat_mul(x, transposed)?;
        let projection = projection(t, gram)?;
        t.g.mat_mul(projection, x)?
    };
    let rest = t.g.sub(x, leading)?;
    of_map(t, rest)
}

/// The projection on the leading eigenvector of positive matrices `[N, K, K]`.
fn projection(t: &mut Terms<'_>, gram: ValueId) -> Term {
    let size = t.g.shape(gram).at(1)[1];
    let diagonal = (0..size * size).map(|i| f32::from(u8::from(i % (size + 1) == 0)));
    let diagonal = Tensor::new(vec![1, size, size], diagonal.collect::<Vec<f32>>())?;
    let diagonal = t.g.constant(diagonal)?;
    let mut power = of_trace_one(t, gram, diagonal)?;
    for _ in 0..SQUARINGS {
        let square = t.g.mat_mul(power, power)?;
        power = of_trace_one(t, square, diagonal)?;
    }
    Ok(power)
}

fn of_trace_one(t: &mut Terms<'_>, matrix: ValueId, diagonal: ValueId) -> Term {
    let entries = t.g.mul(matrix, diagonal)?;
    let trace = t.g.reduce(entries, ReduceKind::Sum, vec![1, 2], true)?;
    // Nothing is left of a map of zeros.
    let trace = t.at_least(trace, f64::from(f32::MIN_POSITIVE))?;
    Ok(t.g.div(matrix, trace)?)
}

/// The energy of the logits of a changed map.
fn of_map(t: &mut Terms<'_>, map: ValueId) -> Term {
    let axes = (2..t.g.shape(map).rank()).collect();
    let pooled = t.g.reduce(map, ReduceKind::Mean, axes, false)?;
    let logits = head(t, pooled)?;
    t.energy(logits)
}

/// Channels, and positions of each.
fn extents(t: &Terms<'_>, map: ValueId) -> (usize, usize) {
    let extents = t.g.shape(map).at(1);
    let positions = extents.iter().skip(2).product();
    (extents.get(1).copied().unwrap_or(1), positions)
}

/// Where the rows reach the last of their `count` largest entries, and those.
fn largest(t: &mut Terms<'_>, rows: ValueId, count: usize) -> Result<(ValueId, ValueId), Error> {
    let top = t.g.top_k(rows, 1, count)?;
    let least = t.entry(top, count - 1)?;
    let reaches = t.g.compare(Compare::GreaterOrEqual, rows, least)?;
    Ok((reaches, top))
}

/// `exp(r) h`.
pub(super) fn adascale_a(t: &mut Terms<'_>) -> Term {
    let (all, top) = adascale_sums(t)?;
    let factor = sharpening(t, all, top)?;
    scaled(t, factor)
}

/// `r² z`.
pub(super) fn adascale_l(t: &mut Terms<'_>) -> Term {
    let (all, top) = adascale_sums(t)?;
    let [all, rest] = [t.sum(all)?, t.sum(top)?];
    let (ratio, one) = (t.g.div(all, rest)?, t.scalar(1.0)?);
    let ratio = t.where_positive(rest, ratio, one)?;
    let squared = t.g.mul(ratio, ratio)?;
    let (factor, logits) = (t.column(squared)?, t.logits());
    let logits = t.g.mul(logits, factor)?;
    t.energy(logits)
}

/// `max(h, 0)`, and the largest of them, as many as the image's percentile says, with zeros after.
fn adascale_sums(t: &mut Terms<'_>) -> Result<(ValueId, ValueId), Error> {
    let features = t.features()?;
    let width = t.width(features);
    let percentile = percentile(t, features)?;
    let positive = t.g.relu(features)?;
    let [least, _] = t.vector("adascale.percentiles")?;
    let most = kept_features(width, least);
    let top = t.g.top_k(positive, 1, most)?;
    // Entry j is summed where j < D - round(D p), the first one always.
    let bounds = (0..most).map(|j| match j {
        0 => f32::MAX,
        _ => (width - j) as f32 - 0.5,
    });
    let bounds = Tensor::new(vec![1, most], bounds.collect::<Vec<f32>>())?;
    let bounds = t.g.constant(bounds)?;
    let left_out = t.times(percentile, width as f64)?;
    let is_summed = t.g.compare(Compare::Greater, bounds, left_out)?;
    let zero = t.scalar(0.0)?;
    let summed = t.g.select(is_summed, top, zero)?;
    Ok((positive, summed))
}

/// `p_min + (1 - F(Q')) (p_max - p_min)` as `[N, 1]`.
fn percentile(t: &mut Terms<'_>, features: ValueId) -> Term {
    let shift = activation_shift(t, features)?;
    let shift = t.column(shift)?;
    let shifts = t.tensor("adascale.shifts")?;
    let shifts = Tensor::new(vec![1, shifts.data().len()], shifts.data())?;
    let shifts = t.g.constant(shifts)?;
    let is_above = t.g.compare(Compare::Greater, shifts, shift)?;
    let (zero, one) = (t.scalar(0.0)?, t.scalar(1.0)?);
    let above = t.g.select(is_above, one, zero)?;
    let share = t.g.reduce(above, ReduceKind::Mean, vec![1], true)?;
    let [low, high] = t.vector("adascale.percentiles")?;
    let range = t.times(share, high - low)?;
    let low = t.scalar(low)?;
    Ok(t.g.add_values(range, low)?)
}

/// `Q' = λ Q + C_o`.
fn activation_shift(t: &mut Terms<'_>, features: ValueId) -> Term {
    let [_, _, k1, k2, lambda] = t.vector("adascale.shift")?;
    let shifted = t.shifted_features()?;
    let width = t.width(features);
    // As `odin-scores` counts.
    let count = |share: f64| ((width as f64 * share + 1e-9) as usize).clamp(1, width);
    let difference = t.g.sub(shifted, features)?;
    let difference = t.magnitude(difference)?;
    let shift = sum_of_largest(t, features, count(k1), difference)?;
    let shift = t.times(shift, lambda)?;
    let positive = t.g.relu(shifted)?;
    let correction = sum_of_largest(t, features, count(k2), positive)?;
    Ok(t.g.add_values(shift, correction)?)
}

/// The sum of `values` where `features` are among the largest.
fn sum_of_largest(t: &mut Terms<'_>, features: ValueId, count: usize, values: ValueId) -> Term {
    let (reaches, _) = largest(t, features, count)?;
    let zero = t.scalar(0.0)?;
    let values = t.g.select(reaches, values, zero)?;
    t.sum(values)
}
