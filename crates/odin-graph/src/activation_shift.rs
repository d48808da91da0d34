//! The second pass of AdaSCALE: Regmi, *AdaSCALE: Adaptive Scaling for OOD Detection*, 2025, arXiv
//! 2503.08023.
//!
//! The entries of the image that the predicted logit depends on least are moved up its gradient; the
//! features of in-distribution images hardly notice, those of others do.

use crate::op::{Axis, Binary, Compare, SliceAxis};
use crate::{Error, Graph, Op, Shape, ValueId, vjp};

/// How images are moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The share o of the entries of an image (pixels times channels) that move, from 0 to 1;
    /// rounded down to whole entries, but one at least.
    pub share: f64,
    /// How far they move, ε, in the units of the graph's input.
    pub step: f32,
}

impl Shift {
    fn entries(self, extent: usize) -> usize {
        // A share of a number of entries that fits a usize.
        let entries = (self.share * extent as f64).floor() as usize;
        entries.clamp(1, extent.max(1))
    }
}

/// Extends a classifier from its input `x` to its `logits` by the features of the shifted images,
/// `features` of `x + ε m sign(∂z_ŷ/∂x)`. The mask m is 1 at the share of entries of each image
/// where `|∂z_ŷ/∂x|` is least, and where it equals the largest of those; entries without a gradient
/// stay where they are, as the sign of 0 is 0.
///
/// # Errors
/// If an operator between input and logits has no gradient.
pub fn shifted_features(
    g: &mut Graph,
    x: ValueId,
    logits: ValueId,
    features: ValueId,
    shift: Shift,
) -> Result<ValueId, Error> {
    g.at("AdaSCALE");
    let gradient = predicted_logit_gradient(g, logits, x)?;
    let least = least_entries(g, gradient, shift)?;
    let movement = signed(g, gradient, shift.step)?;
    let zero = g.scalar(0.0)?;
    let movement = g.select(least, movement, zero)?;
    let shifted = g.add_values(x, movement)?;
    g.replay(features, x, shifted)
}

/// `∂z_ŷ/∂x`, where ŷ is the class of the largest logit.
fn predicted_logit_gradient(g: &mut Graph, logits: ValueId, x: ValueId) -> Result<ValueId, Error> {
    let classes = g.shape(logits).dims()[1].at(1);
    let prediction = g.add(Op::ArgMax(Axis(1)), &[logits])?;
    let one_hot = g.add(Op::OneHot(classes), &[prediction])?;
    let gradient = vjp(g, logits, one_hot, x)?;
    g.at("AdaSCALE");
    Ok(gradient)
}

/// Where `|x|` is among the least of its image: where `-|x|` is at least the last of the largest.
fn least_entries(g: &mut Graph, x: ValueId, shift: Shift) -> Result<ValueId, Error> {
    let shape = g.shape(x).clone();
    let extent = shape.at(1).iter().product();
    let zero = g.scalar(0.0)?;
    let negative = g.sub(zero, x)?;
    let closeness = g.add(Op::Binary(Binary::Min), &[x, negative])?;
    let flat = g.reshape(closeness, Shape::batched(&[extent]))?;
    let k = shift.entries(extent);
    let closest = g.top_k(flat, 1, k)?;
    let last = SliceAxis {
        axis: 1,
        start: k - 1,
        end: k,
        step: 1,
    };
    let bound = g.slice(closest, vec![last])?;
    let bound = g.reshape(bound, Shape::batched(&vec![1; shape.rank() - 1]))?;
    g.compare(Compare::GreaterOrEqual, closeness, bound)
}

/// `step · sign(x)`, 0 where x is 0.
fn signed(g: &mut Graph, x: ValueId, step: f32) -> Result<ValueId, Error> {
    let (zero, up, down) = (g.scalar(0.0)?, g.scalar(step)?, g.scalar(-step)?);
    let negative = g.compare(Compare::Greater, zero, x)?;
    let positive = g.compare(Compare::Greater, x, zero)?;
    let not_up = g.select(negative, down, zero)?;
    g.select(positive, up, not_up)
}
