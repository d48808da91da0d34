//! WeiPer+KLD: how values are distributed over bins.

use super::terms::{Term, Terms};
use crate::Error;
use odin_graph::op::{Compare, ReduceKind, Unary};
use odin_graph::{Shape, Tensor, ValueId};

/// `λ₂ mean max softmax(W̃ h + b) - D(h) - λ₁ D(W̃ h + b)`.
pub(super) fn weiper_kld(t: &mut Terms<'_>) -> Term {
    let weight = t.tensor("weiper-kld.weight")?;
    let [of_logits, of_largest] = t.pair("weiper-kld.lambdas")?;
    let (projections, classes) = (weight.shape()[0], t.classes());
    let bias: Vec<f32> = t.head()?.bias.data().to_vec();
    let bias: Vec<f32> = bias.iter().copied().cycle().take(projections).collect();
    let features = t.features()?;
    let [weight, bias] = [t.g.constant(weight)?, t.g.constant(Tensor::vector(bias))?];
    let logits = t.g.linear(features, weight, Some(bias))?;

    let layers =
        t.g.reshape(logits, Shape::batched(&[projections / classes, classes]))?;
    let p = t.g.softmax(layers, 2)?;
    let largest = t.g.reduce(p, ReduceKind::Max, vec![2], false)?;
    let largest = t.g.reduce(largest, ReduceKind::Mean, vec![1], false)?;
    let largest = t.times(largest, of_largest)?;
    let of_features = divergence(t, features, "feature")?;
    let logits = divergence(t, logits, "logit")?;
    let logits = t.times(logits, of_logits)?;
    let divergence = t.g.add_values(of_features, logits)?;
    Ok(t.g.sub(largest, divergence)?)
}

/// `Σ (p - q) (log p - log q)` of the training images' density p and that of each row of values.
fn divergence(t: &mut Terms<'_>, values: ValueId, of: &str) -> Term {
    let range = t.pair(&format!("weiper-kld.{of}_range"))?;
    let [width, floor] = t.pair(&format!("weiper-kld.{of}_smoothing"))?;
    let density = t.tensor(&format!("weiper-kld.{of}_density"))?;
    let p = raised(density.data(), floor);
    let q = smoothed_density(t, values, range, p.len(), width as usize)?;
    let floor = t.scalar(floor)?;
    let q = t.g.add_values(q, floor)?;
    let sum = t.sum(q)?;
    let sum = t.column(sum)?;
    let q = t.g.div(q, sum)?;
    let log_q = t.g.unary(Unary::Log, q)?;
    let log_p = vector(t, p.iter().map(|p| p.ln()))?;
    let p = vector(t, p.iter().copied())?;
    let [difference, of_logs] = [t.g.sub(p, q)?, t.g.sub(log_p, log_q)?];
    let terms = t.g.mul(difference, of_logs)?;
    t.sum(terms)
}

fn vector(t: &mut Terms<'_>, values: impl Iterator<Item = f64>) -> Term {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    Ok(t.g.constant(Tensor::vector(values))?)
}

/// With `floor` added to each, divided by their sum.
fn raised(density: &[f32], floor: f64) -> Vec<f64> {
    let raised: Vec<f64> = density.iter().map(|&d| f64::from(d) + floor).collect();
    let sum: f64 = raised.iter().sum();
    raised.iter().map(|d| d / sum).collect()
}

/// Which share of each row's values is in each bin, smoothed over `width` bins. The values that reach
/// each lower edge are counted; what reaches one and not the next is in its bin.
fn smoothed_density(
    t: &mut Terms<'_>,
    values: ValueId,
    [low, high]: [f64; 2],
    bins: usize,
    width: usize,
) -> Term {
    let count = t.width(values);
    let edge = |i: usize| low + (high - low) * i as f64 / bins as f64;
    let edges = vector(t, (0..bins).map(edge))?;
    let column = t.g.reshape(values, Shape::batched(&[count, 1]))?;
    let reached = t.g.compare(Compare::GreaterOrEqual, column, edges)?;
    let reached = share(t, reached)?;
    let top = t.scalar(high)?;
    let above = t.g.compare(Compare::Greater, column, top)?;
    let above = share(t, above)?;
    let [of_reached, of_above] = smoothing(bins, width)?;
    let reached = t.product(reached, of_reached)?;
    let above = t.product(above, of_above)?;
    Ok(t.g.add_values(reached, above)?)
}

/// Of a condition `[N, K, E]`, which share of K holds.
fn share(t: &mut Terms<'_>, holds: ValueId) -> Term {
    let [one, zero] = [t.scalar(1.0)?, t.scalar(0.0)?];
    let counted = t.g.select(holds, one, zero)?;
    Ok(t.g.reduce(counted, ReduceKind::Mean, vec![1], false)?)
}

/// The smoothed density from the shares that reach each lower edge, and from the share above the
/// last bin, as matrices `[bins, bins]` and `[bins, 1]`.
fn smoothing(bins: usize, width: usize) -> Result<[Tensor; 2], Error> {
    let (mut of_reached, mut of_above) = (vec![0.0; bins * bins], vec![0.0; bins]);
    for bin in 0..bins {
        for i in 0..width {
            let from = (bin + i).saturating_sub((width - 1) / 2).min(bins - 1);
            of_reached[bin * bins + from] += 1.0 / width as f32;
            match from + 1 {
                next if next < bins => of_reached[bin * bins + next] -= 1.0 / width as f32,
                _ => of_above[bin] -= 1.0 / width as f32,
            }
        }
    }
    Ok([
        Tensor::new(vec![bins, bins], of_reached)?,
        Tensor::new(vec![bins, 1], of_above)?,
    ])
}
