//! Scores of the logits.

use super::terms::{Term, Terms};
use odin_graph::op::{Axis, ReduceKind, Unary};
use odin_graph::{Op, Tensor, odin};

pub(super) fn msp(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    Ok(odin::max_softmax(t.g, logits, 1.0)?)
}

/// `max softmax(z / T)`.
pub(super) fn temperature_scaling(t: &mut Terms<'_>) -> Term {
    let (logits, temperature) = (t.logits(), t.number("temperature-scaling.temperature")?);
    Ok(odin::max_softmax(t.g, logits, temperature as f32)?)
}

pub(super) fn max_logit(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    t.largest(logits)
}

pub(super) fn max_minus_mean(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    let max = t.largest(logits)?;
    let mean = t.g.reduce(logits, ReduceKind::Mean, vec![1], false)?;
    Ok(t.g.sub(max, mean)?)
}

pub(super) fn energy(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    t.energy(logits)
}

/// `Σ log(1 + exp z)`.
pub(super) fn joint_energy(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    let of_labels = t.g.unary(Unary::Softplus, logits)?;
    t.sum(of_labels)
}

/// `Σ p log p`.
pub(super) fn entropy(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    let log_p = t.g.add(Op::LogSoftmax(Axis(1)), &[logits])?;
    let p = t.g.unary(Unary::Exp, log_p)?;
    let terms = t.g.mul(p, log_p)?;
    t.sum(terms)
}

/// `-Σ (p (1 - p))^γ`, as `exp(γ (log p + log(1 - p)))`: in f32 neither a small p nor `1 - p` of a
/// confident one would survive otherwise. `1 - p` of the largest p is the sum of the others.
pub(super) fn generalised_entropy(t: &mut Terms<'_>) -> Term {
    let (gamma, top) = (t.number("gen.gamma")?, t.number("gen.top")? as usize);
    let (logits, classes) = (t.logits(), t.classes());
    let predicted = t.predicted()?;
    let lowest = t.scalar(f32::MIN.into())?;
    let others = t.where_positive(predicted, lowest, logits)?;
    let [all, others] = [t.energy(logits)?, t.energy(others)?];
    let [all, others] = [t.column(all)?, t.column(others)?];
    let (kept, first) = match top < classes {
        true => {
            let first = (0..top).map(|i| f32::from(i == 0)).collect::<Vec<_>>();
            (
                t.g.top_k(logits, 1, top)?,
                t.g.constant(Tensor::new(vec![1, top], first)?)?,
            )
        }
        false => (logits, predicted),
    };
    let log_p = t.g.sub(kept, all)?;
    let p = t.g.unary(Unary::Exp, log_p)?;
    let one = t.scalar(1.0)?;
    let rest = t.g.sub(one, p)?;
    let log_rest = t.g.unary(Unary::Log, rest)?;
    let log_others = t.g.sub(others, all)?;
    let log_rest = t.where_positive(first, log_others, log_rest)?;
    let log_term = t.g.add_values(log_p, log_rest)?;
    let log_term = t.times(log_term, gamma)?;
    let terms = t.g.unary(Unary::Exp, log_term)?;
    let sum = t.sum(terms)?;
    t.negative(sum)
}

/// `-min_k KL(p ‖ d_k)`, as `max_k Σ p log d_k - Σ p log p`.
pub(super) fn kl_matching(t: &mut Terms<'_>) -> Term {
    let logits = t.logits();
    let log_typical = t.tensor("kl-matching.log_typical")?;
    let p = t.g.softmax(logits, 1)?;
    let products = t.product(p, log_typical)?;
    let nearest = t.largest(products)?;
    let negative_entropy = entropy(t)?;
    Ok(t.g.sub(nearest, negative_entropy)?)
}
