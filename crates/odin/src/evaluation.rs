use crate::{Error, ErrorKind, ScoredSet};
use odin_metrics::{Bootstrap, Interval, Metrics, PaperMetrics, PaperProtocol, Scores};

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
    /// Where the resampling starts from.
    pub seed: u64,
    /// How many threads may work on it; the intervals do not depend on it.
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
    /// The maximum softmax probability.
    pub baseline: Measured,
    /// ODIN.
    pub odin: Measured,
    /// The other scores of the sets, by name.
    pub others: Vec<(String, Measured)>,
}

impl Evaluation {
    /// Every score with its name: `msp`, `odin`, then the others.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Measured)> {
        let own = [("msp", &self.baseline), ("odin", &self.odin)];
        let others = self.others.iter();
        own.into_iter()
            .chain(others.map(|(name, measured)| (name.as_str(), measured)))
    }
}

/// Measures how well the scores tell `out_set` from `in_set`, scored by a classifier
/// of so many classes at temperature `temperature`.
///
/// # Errors
/// When a set is empty, a score is not finite, or the sets have other scores than each other.
pub fn evaluate(
    in_set: &ScoredSet,
    out_set: &ScoredSet,
    classes: usize,
    temperature: f64,
    mode: MetricsMode,
    intervals: Option<Intervals>,
) -> Result<Evaluation, Error> {
    let bootstrap = match intervals {
        Some(i) => Some(Bootstrap::new(i.resamples, i.seed, i.threads)?),
        None => None,
    };
    if in_set.others != out_set.others {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{} and {} were not scored alike: they have the further scores {:?} and {:?}",
                in_set.name, out_set.name, in_set.others, out_set.others
            ),
        ));
    }
    let measure = |pick: &dyn Fn(&crate::Score) -> f64, protocol: PaperProtocol| {
        let (in_scores, out_scores) = (in_set.scores(pick), out_set.scores(pick));
        let scores = Scores::new(&in_scores, &out_scores)?;
        let bootstrap = bootstrap.as_ref();
        Ok::<Measured, Error>(match mode {
            MetricsMode::Exact => Measured {
                metrics: scores.exact(),
                exact_instead: Metrics::default(),
                outside_grid: 0,
                ci95: bootstrap.map(|b| scores.exact_intervals(b)),
            },
            MetricsMode::Paper => {
                let PaperMetrics {
                    values: metrics,
                    exact_instead,
                    outside_grid,
                    ..
                } = scores.paper(&protocol);
                Measured {
                    metrics,
                    exact_instead,
                    outside_grid,
                    ci95: bootstrap.map(|b| scores.paper_intervals(&protocol, b)),
                }
            }
        })
    };
    let others = in_set.others.iter().enumerate().map(|(i, name)| {
        let measured = measure(&|s| s.others[i], PaperProtocol::other())?;
        Ok((name.clone(), measured))
    });
    let others = others.collect::<Result<_, Error>>()?;
    Ok(Evaluation {
        n_in: in_set.rows.len(),
        n_out: out_set.rows.len(),
        baseline: measure(&|s| s.msp, PaperProtocol::baseline(classes))?,
        odin: measure(&|s| s.odin, PaperProtocol::odin(classes, temperature))?,
        others,
    })
}
