//! Metrics of scores, and their confidence intervals: how well two sets are separated.

use crate::names::{MSP, ODIN};
use crate::{Detector, Error, ErrorKind, ScoredSet};
use odin_metrics::{Bootstrap, Interval, Metrics, PaperMetrics, PaperProtocol, Scores};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Which definition of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsMode {
    /// Exact, ties as ties.
    #[default]
    Exact,
    /// The procedure that the paper's tables were computed with.
    Paper,
}

impl MetricsMode {
    /// As options and reports spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricsMode::Exact => "exact",
            MetricsMode::Paper => "paper",
        }
    }
}

/// 95 % confidence intervals from a stratified bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Intervals {
    /// The number of resamples.
    pub resamples: usize,
    /// The seed of the resampling.
    pub seed: u64,
    /// The number of threads; the intervals do not depend on it.
    pub threads: usize,
}

impl Intervals {
    /// From so many resamples, starting from `seed`, by `threads` threads.
    pub fn new(resamples: usize, seed: u64, threads: usize) -> Self {
        Self {
            resamples,
            seed,
            threads,
        }
    }
}

/// The metrics of one score.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// The five metrics, fractions.
    pub metrics: Metrics,
    /// Which of them are the exact ones because [`MetricsMode::Paper`] does not define them
    /// for these scores.
    pub exact_instead: Metrics<bool>,
    /// How many scores of both sets lie outside the thresholds of [`MetricsMode::Paper`]; 0 in
    /// the other mode. Where many do, its values say little: the thresholds cannot tell these
    /// scores apart.
    pub outside_grid: usize,
    /// Confidence intervals, where asked for.
    pub ci95: Option<Metrics<Interval>>,
}

/// How well two scores tell two sets apart. Positive class: in-distribution.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The number of in-distribution scores.
    pub n_in: usize,
    /// The number of out-of-distribution scores.
    pub n_out: usize,
    /// The baseline, the maximum softmax probability.
    pub baseline: Measured,
    /// ODIN.
    pub odin: Measured,
    /// The other scores of the sets, by name.
    pub others: Vec<(String, Measured)>,
    /// Whether the baseline gives both sets the same scores.
    same_scores: bool,
}

/// Below this AUROC the two sets are probably swapped.
const SWAPPED: f64 = 0.35;

impl Evaluation {
    /// The score of this name.
    pub fn get(&self, name: &str) -> Option<&Measured> {
        self.named()
            .find(|(own, _)| *own == name)
            .map(|(_, measured)| measured)
    }

    /// Every score with its name: `msp`, `odin`, then the others.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Measured)> {
        let own = [(MSP, &self.baseline), (ODIN, &self.odin)];
        let others = self.others.iter();
        own.into_iter()
            .chain(others.map(|(name, measured)| (name.as_str(), measured)))
    }

    /// Warnings of likely mistakes: the sets are the same images, or are swapped.
    pub fn suspicion(&self) -> Option<&'static str> {
        let aurocs = || {
            self.named()
                .take(2)
                .map(|(_, measured)| measured.metrics.auroc)
        };
        if self.same_scores {
            return Some("both sets have exactly the same scores: are they the same images?");
        }
        let swapped = aurocs().all(|auroc| auroc < SWAPPED);
        swapped.then_some(
            "the out-of-distribution set scores higher than the in-distribution set: are they swapped, or are the normalisation or the labels wrong?",
        )
    }
}

/// How scores from anywhere are measured: exactly and without intervals, unless said otherwise.
#[derive(Debug, Clone, Default)]
#[must_use = "settings do nothing until `measure` is called"]
pub struct MeasureOptions {
    protocol: Option<PaperProtocol>,
    intervals: Option<Intervals>,
    stop: Arc<AtomicBool>,
}

impl MeasureOptions {
    /// The procedure that the paper's tables were computed with ([`MetricsMode::Paper`]), with the
    /// thresholds that it has for these scores.
    pub fn paper(mut self, protocol: PaperProtocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// 95 % intervals, too.
    pub fn intervals(mut self, intervals: impl Into<Option<Intervals>>) -> Self {
        self.intervals = intervals.into();
        self
    }

    /// Ends the computation of intervals with an error once this is true.
    pub fn stopped_by(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = stop;
        self
    }

    /// Which definition of the metrics.
    pub fn mode(&self) -> MetricsMode {
        match self.protocol {
            None => MetricsMode::Exact,
            Some(_) => MetricsMode::Paper,
        }
    }

    fn bootstrap(&self) -> Result<Option<Bootstrap>, Error> {
        let bootstrap = self.intervals.map(|i| {
            let bootstrap = Bootstrap::new(i.resamples, i.seed, i.threads);
            bootstrap.map(|bootstrap| bootstrap.stopped_by(Arc::clone(&self.stop)))
        });
        Ok(bootstrap.transpose()?)
    }
}

/// The five metrics of scores from anywhere, and 95 % intervals where asked for: how well they
/// tell out-of-distribution images from in-distribution ones, which are positive and have high
/// scores.
///
/// ```
/// use odin::metrics::PaperProtocol;
/// use odin::{Intervals, MeasureOptions, measure};
///
/// let in_scores = [0.9, 0.8, 0.7, 0.6];
/// let out_scores = [0.65, 0.5, 0.4];
/// let options = MeasureOptions::default().intervals(Intervals::new(1000, 0, 1));
/// let measured = measure(&in_scores, &out_scores, &options)?;
/// assert!(measured.metrics.auroc > 0.9);
/// assert!(measured.ci95.is_some_and(|ci| ci.auroc.upper == 1.0));
///
/// // As in the paper's tables, for the baseline of a network of ten classes.
/// let paper = MeasureOptions::default().paper(PaperProtocol::baseline(10));
/// let measured = measure(&in_scores, &out_scores, &paper)?;
/// assert!(measured.exact_instead.fpr_at_95_tpr);
/// # Ok::<(), odin::Error>(())
/// ```
///
/// # Errors
/// When a side is empty, a score is not finite, the number of resamples is out of range, or the
/// intervals were stopped.
pub fn measure(
    in_scores: &[f64],
    out_scores: &[f64],
    options: &MeasureOptions,
) -> Result<Measured, Error> {
    let bootstrap = options.bootstrap()?;
    let bootstrap = bootstrap.as_ref();
    let scores = Scores::new(in_scores, out_scores)?;
    let Some(protocol) = &options.protocol else {
        let ci95 = bootstrap.map(|b| scores.exact_intervals(b));
        return Ok(Measured {
            metrics: scores.exact(),
            exact_instead: Metrics::default(),
            outside_grid: 0,
            ci95: ci95.transpose()?,
        });
    };
    let PaperMetrics {
        values: metrics,
        exact_instead,
        outside_grid,
        ..
    } = scores.paper(protocol);
    let ci95 = bootstrap.map(|b| scores.paper_intervals(protocol, b));
    Ok(Measured {
        metrics,
        exact_instead,
        outside_grid,
        ci95: ci95.transpose()?,
    })
}

/// Measures how well the scores tell `out_set` from `in_set`, which `detector` scored.
///
/// # Errors
/// When a set is empty, or the sets have other scores than each other.
pub fn evaluate(
    detector: &Detector,
    in_set: &ScoredSet,
    out_set: &ScoredSet,
    mode: MetricsMode,
    intervals: Option<Intervals>,
) -> Result<Evaluation, Error> {
    if in_set.score_names != out_set.score_names {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{} and {} were not scored alike: they have the scores {:?} and {:?}",
                in_set.name, out_set.name, in_set.score_names, out_set.score_names
            ),
        ));
    }
    let classes = detector.classifier().classes();
    let temperature = detector.setting().temperature;
    let measured = |name: &str| -> Result<Measured, Error> {
        let options = MeasureOptions::default().intervals(intervals);
        let options = match (mode, name) {
            (MetricsMode::Exact, _) => options,
            (MetricsMode::Paper, MSP) => options.paper(PaperProtocol::baseline(classes)),
            (MetricsMode::Paper, ODIN) => options.paper(PaperProtocol::odin(classes, temperature)),
            (MetricsMode::Paper, _) => options.paper(PaperProtocol::other()),
        };
        measure(&in_set.scores(name)?, &out_set.scores(name)?, &options)
    };
    let others = in_set.score_names.iter().skip(2);
    let others = others.map(|name| Ok((name.clone(), measured(name)?)));
    Ok(Evaluation {
        n_in: in_set.rows.len(),
        n_out: out_set.rows.len(),
        baseline: measured(MSP)?,
        odin: measured(ODIN)?,
        others: others.collect::<Result<_, Error>>()?,
        same_scores: sorted(in_set.scores(MSP)?) == sorted(out_set.scores(MSP)?),
    })
}

fn sorted(mut scores: Vec<f64>) -> Vec<f64> {
    scores.sort_by(f64::total_cmp);
    scores
}
