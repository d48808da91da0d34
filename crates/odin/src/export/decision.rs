//! The decision of a compiled detector as nodes of its graph: thresholds, percentile, conformal
//! p-value.

use crate::names::{IS_IN_DISTRIBUTION, P_VALUE, PERCENTILE};
use crate::{Error, ErrorKind, SavedScore};
use odin_graph::op::{Compare, ReduceKind, SliceAxis};
use odin_graph::{Graph, Op, Shape, Tensor, ValueId};
use odin_metrics::ReferenceScores;

/// By which score a file decides, and how.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    score: String,
    threshold: Option<f64>,
    /// For each class; empty where one threshold is for all.
    class_thresholds: Vec<f64>,
    reference: Option<ReferenceScores>,
}

impl Decision {
    /// Without a threshold.
    pub(super) fn by(score: &str) -> Self {
        Self {
            score: score.to_string(),
            threshold: None,
            class_thresholds: Vec::new(),
            reference: None,
        }
    }

    pub(super) fn of(calibrated: &SavedScore) -> Self {
        let thresholds = calibrated.classes.iter().map(|class| class.threshold);
        Self {
            score: calibrated.name.clone(),
            threshold: Some(calibrated.threshold),
            class_thresholds: thresholds.collect(),
            reference: Some(calibrated.reference.clone()),
        }
    }

    /// By this threshold for all classes.
    pub(super) fn at(self, threshold: f64) -> Self {
        Self {
            threshold: Some(threshold),
            class_thresholds: Vec::new(),
            ..self
        }
    }

    pub(super) fn score(&self) -> &str {
        &self.score
    }

    pub(super) fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    pub(super) fn class_thresholds(&self) -> &[f64] {
        &self.class_thresholds
    }

    pub(super) fn check(&self, classes: usize, p_values: bool) -> Result<(), Error> {
        let mut thresholds = self.threshold.iter().chain(&self.class_thresholds);
        if let Some(threshold) = thresholds.find(|threshold| !threshold.is_finite()) {
            return Err(invalid(format!(
                "the threshold must be a number, it is {threshold}"
            )));
        }
        let given = self.class_thresholds.len();
        if given > 0 && given != classes {
            return Err(invalid(format!(
                "there are thresholds for {given} classes, the network has {classes}"
            )));
        }
        match p_values && self.reference.is_none() {
            true => Err(invalid(
                "percentiles and p-values are those among the scores of a calibration: compile a calibrated detector".to_string(),
            )),
            false => Ok(()),
        }
    }

    /// Adds the outputs that this score `[N]` decides.
    pub(super) fn add(
        &self,
        g: &mut Graph,
        score: ValueId,
        prediction: ValueId,
        p_values: bool,
    ) -> Result<(), Error> {
        g.at("decision");
        if let (Some(reference), true) = (&self.reference, p_values) {
            let column = g.reshape(score, Shape::batched(&[1]))?;
            let (percentile, p_value) = ranks(g, column, reference)?;
            g.output(PERCENTILE, percentile);
            g.output(P_VALUE, p_value);
        }
        let Some(threshold) = self.threshold else {
            return Ok(());
        };
        let threshold = match &self.class_thresholds[..] {
            [] => g.scalar(threshold as f32)?,
            of_classes => of_prediction(g, of_classes, prediction)?,
        };
        let reached = g.compare(Compare::GreaterOrEqual, score, threshold)?;
        g.output(IS_IN_DISTRIBUTION, reached);
        Ok(())
    }
}

/// The value for the predicted class, `[N]`.
fn of_prediction(g: &mut Graph, of_classes: &[f64], prediction: ValueId) -> Result<ValueId, Error> {
    let one_hot = g.add(Op::OneHot(of_classes.len()), &[prediction])?;
    weighted(g, one_hot, of_classes)
}

/// `Σ w x` of each row, `[N, K]` to `[N]`.
fn weighted(g: &mut Graph, x: ValueId, weights: &[f64]) -> Result<ValueId, Error> {
    let weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    let weights = g.constant(Tensor::vector(weights))?;
    let products = g.mul(x, weights)?;
    Ok(g.reduce(products, ReduceKind::Sum, vec![1], false)?)
}

/// Percentile and p-value of a score `[N, 1]`, as [`ReferenceScores`] computes them: each kept score
/// that is not above it adds its rank's distance from the one before. Ranks are exact up to 2²⁴.
fn ranks(
    g: &mut Graph,
    score: ValueId,
    reference: &ReferenceScores,
) -> Result<(ValueId, ValueId), Error> {
    let (ranks, scores, images) = (reference.ranks(), reference.scores(), reference.images());
    let kept: Vec<f32> = scores.iter().map(|&s| s as f32).collect();
    let kept = g.constant(Tensor::vector(kept))?;
    let (one, zero) = (g.scalar(1.0)?, g.scalar(0.0)?);
    let reached = g.compare(Compare::GreaterOrEqual, score, kept)?;
    let reached = g.select(reached, one, zero)?;

    // The least rank above is 1 where no kept score is reached.
    let next = |i: usize| ranks.get(i + 1).copied().unwrap_or(images + 1);
    let steps = |to: &dyn Fn(usize) -> u64, from: &dyn Fn(usize) -> u64| -> Vec<f64> {
        (0..ranks.len()).map(|i| (to(i) - from(i)) as f64).collect()
    };
    let above = weighted(g, reached, &steps(&next, &|i| ranks[i]))?;
    let above = g.add_values(above, one)?;
    let all = g.scalar((images as f64 + 1.0) as f32)?;
    let p_value = g.div(above, all)?;

    let previous = |i: usize| i.checked_sub(1).map_or(0, |i| ranks[i]);
    let mut count = weighted(g, reached, &steps(&|i| ranks[i], &previous))?;
    if let Some(between) = between(g, score, reached, reference)? {
        count = g.add_values(count, between)?;
    }
    let percent = g.scalar((100.0 / images as f64) as f32)?;
    Ok((g.mul(count, percent)?, p_value))
}

/// The ranks between the two kept scores around each score, in proportion to its way from one to the
/// other; `None` where all scores were kept.
fn between(
    g: &mut Graph,
    score: ValueId,
    reached: ValueId,
    reference: &ReferenceScores,
) -> Result<Option<ValueId>, Error> {
    let (ranks, scores) = (reference.ranks(), reference.scores());
    let intervals = ranks.len() - 1;
    let open = |i: usize| (ranks[i + 1] - ranks[i] - 1) as f64;
    if (0..intervals).all(|i| open(i) == 0.0) {
        return Ok(None);
    }
    let per_score = |i: usize| match f64::from(scores[i + 1] as f32) - f64::from(scores[i] as f32) {
        gap if gap > 0.0 => open(i) / gap,
        _ => 0.0,
    };
    let starts: Vec<f32> = scores[..intervals].iter().map(|&s| s as f32).collect();
    let starts = g.constant(Tensor::vector(starts))?;
    let way = g.sub(score, starts)?;
    let part = |g: &mut Graph, start: usize| {
        let part = SliceAxis {
            axis: 1,
            start,
            end: start + intervals,
            step: 1,
        };
        g.slice(reached, vec![part])
    };
    let (lower, upper) = (part(g, 0)?, part(g, 1)?);
    let inside = g.sub(lower, upper)?;
    let way = g.mul(way, inside)?;
    let slopes: Vec<f64> = (0..intervals).map(per_score).collect();
    weighted(g, way, &slopes).map(Some)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
