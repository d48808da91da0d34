//! GradNorm: the norm of the gradient of the last layer's weight, in closed form.

use super::Score;
use crate::numeric::{norm_l1, softmax};
use crate::observation::Observation;

/// The gradient of `KL(u ‖ p)` with respect to the last layer's weight is `(p - u) hᵀ`, whose
/// L1 norm is the product of the norms of its factors.
#[derive(Debug)]
pub(super) struct GradNorm;

impl Score for GradNorm {
    fn score(&self, observation: &Observation<'_>) -> f64 {
        let uniform = (observation.logits.len() as f64).recip();
        let p = softmax(observation.logits, 1.0);
        let of_logits: f64 = p.iter().map(|p| (p - uniform).abs()).sum();
        norm_l1(observation.features) * of_logits
    }
}
