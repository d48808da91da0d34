//! Search for the parameters of a score, with or without out-of-distribution images.

use super::objective::Objective;
use super::search::{SYNTHETIC, mean_by_place, synthetic_sets};
use crate::{Detector, DetectorBuilder, Error, ErrorKind, Images, Progress, Setting};
use odin_metrics::{Metrics, Scores};
use odin_scores::{Fitted, Method, Needs, Observation, ParameterGrid, Parameters, Scorer};
use std::sync::Arc;

/// A score at one point of its grid, or at its defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScoreCandidate {
    /// As options spell it, such as `knn:k=5`; the name alone at the defaults.
    pub spec: String,
    /// The parameters.
    pub parameters: Parameters,
    /// The score.
    pub fitted: Fitted,
}

/// It is computed beside others of the same score, and its name says which it is.
impl Scorer for ScoreCandidate {
    fn name(&self) -> &str {
        &self.spec
    }

    fn needs(&self) -> Needs {
        self.fitted.needs()
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        self.fitted.score(observation)
    }

    fn score_batch(&self, observations: &[Observation<'_>]) -> Vec<f64> {
        self.fitted.score_batch(observations)
    }
}

/// A network prepared for a search for the parameters of one score. What all points of the grid
/// share is run once: the forward pass, and for AdaSCALE the second one where the points shift
/// images alike.
#[derive(Debug)]
pub struct ScoreTuner {
    method: Method,
    candidates: Vec<Arc<ScoreCandidate>>,
    /// Where the defaults are among them, unless they cannot be fitted.
    default: Option<usize>,
    left_out: Vec<(String, Error)>,
    /// One for all candidates that read the same outputs of the network.
    detectors: Vec<Detector>,
    seed: u64,
}

impl ScoreTuner {
    /// Fits the score at every point of the grid, and at its defaults, to `training` images where
    /// it needs them; `seed` is that of synthetic sets. Points that cannot be fitted to them are
    /// [left out](ScoreTuner::left_out).
    ///
    /// # Errors
    /// As [`DetectorBuilder::fit`], and where no point of the grid can be fitted.
    pub fn new(
        builder: DetectorBuilder,
        grid: &ParameterGrid,
        training: Option<&Images>,
        seed: u64,
        mut progress: impl FnMut(Progress),
    ) -> Result<Self, Error> {
        let method = grid.method();
        let mut points: Vec<(String, Parameters)> = (0..)
            .zip(grid.points())
            .map(|(i, point)| (grid.spec(i), *point))
            .collect();
        let usual = Parameters::default();
        if !grid.points().contains(&usual) {
            points.push((method.to_string(), usual));
        }
        let (mut candidates, mut left_out) = (Vec::new(), Vec::new());
        for group in groups(&points, |a, b| a.1.fits_same_summary(&b.1)) {
            let fitting = Fitting::new(&builder, method, training, &group[0].1, &mut progress)?;
            for (spec, parameters) in group {
                match fitting.fit(&parameters) {
                    Ok(fitted) => candidates.push(Arc::new(ScoreCandidate {
                        spec,
                        parameters,
                        fitted,
                    })),
                    Err(error) => left_out.push((spec, error)),
                }
            }
        }
        if !candidates
            .iter()
            .any(|c| grid.points().contains(&c.parameters))
        {
            let first = left_out.into_iter().next().map(|(spec, e)| e.about(spec));
            return Err(first.unwrap_or_else(|| invalid("there is nothing to choose from")));
        }
        let detectors = groups(&candidates, |a, b| a.needs() == b.needs());
        let detectors = detectors.into_iter().map(|group| {
            let scorers = group.into_iter().map(|c| c as Arc<dyn Scorer>);
            builder.clone().odin(false).scorers(scorers).build()
        });
        Ok(Self {
            method,
            default: candidates.iter().position(|c| c.parameters == usual),
            detectors: detectors.collect::<Result<_, _>>()?,
            candidates,
            left_out,
            seed,
        })
    }

    /// The score.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What is chosen from.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = &ScoreCandidate> {
        self.candidates.iter().map(|candidate| &**candidate)
    }

    /// Where the defaults are among them; `None` where they cannot be fitted to the images.
    pub fn default_candidate(&self) -> Option<usize> {
        self.default
    }

    /// The setting that all candidates are computed at, of which only the precision plays a part.
    pub fn setting(&self) -> Setting {
        let detector = self.detectors.first();
        detector.map_or(Setting::PAPER, Detector::setting)
    }

    /// What the built-in engine computes products with; `None` of another engine.
    pub fn instructions(&self) -> Option<String> {
        self.detectors.first()?.instructions()
    }

    /// Points that could not be fitted, and why.
    pub fn left_out(&self) -> &[(String, Error)] {
        &self.left_out
    }

    /// Scores images by every candidate. The scores are in the order of the candidates.
    ///
    /// # Errors
    /// As [`Detector::score_set`].
    pub fn score(
        &self,
        images: &Images,
        mut progress: impl FnMut(Progress),
    ) -> Result<CandidateScores, Error> {
        let sets = self.detectors.iter();
        let sets = sets.map(|detector| detector.score_set(images, &mut progress));
        let sets: Vec<_> = sets.collect::<Result<_, _>>()?;
        let columns = self.candidates().map(|candidate| {
            let mut sets = sets.iter();
            let set = sets.find(|set| set.score_names.contains(&candidate.spec));
            let set = set.ok_or_else(|| invalid("a point of the grid was not scored"))?;
            set.scores(&candidate.spec)
        });
        let columns = columns.collect::<Result<Vec<Vec<f64>>, Error>>()?;
        let skipped = sets.into_iter().next().map(|set| set.skipped);
        Ok(CandidateScores {
            name: images.name().to_string(),
            columns,
            skipped: skipped.unwrap_or_default(),
        })
    }

    /// The metrics of every candidate, telling one set from the other.
    ///
    /// # Errors
    /// When the sets were not scored alike.
    pub fn metrics(
        &self,
        in_set: &CandidateScores,
        out_set: &CandidateScores,
    ) -> Result<Vec<Metrics>, Error> {
        let pairs = in_set.columns.iter().zip(&out_set.columns);
        let metrics = pairs.map(|(inside, outside)| Ok(Scores::new(inside, outside)?.exact()));
        metrics.collect()
    }

    /// The parameters that tell the out-of-distribution images best from the others.
    ///
    /// # Errors
    /// When the sets were not scored alike.
    pub fn against(
        &self,
        objective: Objective,
        in_set: &CandidateScores,
        out_set: &CandidateScores,
    ) -> Result<ScoreSearch, Error> {
        let metrics = self.metrics(in_set, out_set)?;
        self.search(objective, out_set.name.clone(), out_set.images(), metrics)
    }

    /// The parameters of the best mean objective against sets that are made from the images: shuffled
    /// pixels, means of two images, uniform noise. `in_set` are the scores of `images`; `progress`
    /// is that of a set of this name.
    ///
    /// # Errors
    /// When there are fewer than two images, and as [`ScoreTuner::score`].
    pub fn synthetic(
        &self,
        objective: Objective,
        images: &Images,
        in_set: &CandidateScores,
        mut progress: impl FnMut(&str, Progress),
    ) -> Result<ScoreSearch, Error> {
        let made = synthetic_sets(images, self.seed)?;
        let (mut metrics, mut count) = (Vec::new(), 0);
        for made in &made {
            let scores = self.score(made, |p| progress(made.name(), p))?;
            count += scores.images();
            metrics.push(self.metrics(in_set, &scores)?);
        }
        let name = SYNTHETIC.to_string();
        self.search(objective, name, count, mean_by_place(metrics))
    }

    fn search(
        &self,
        objective: Objective,
        tuned_on: String,
        n_out: usize,
        metrics: Vec<Metrics>,
    ) -> Result<ScoreSearch, Error> {
        // Rounded, so that the order of summation does not break ties.
        let rounded = |m: &Metrics| (objective.of(m) * 1e12).round() / 1e12;
        let values: Vec<f64> = metrics.iter().map(rounded).collect();
        let better = match objective.is_larger_better() {
            true => f64::max,
            false => f64::min,
        };
        let best = values.iter().copied().reduce(better).unwrap_or(f64::NAN);
        let equals: Vec<usize> = (0..values.len()).filter(|&i| values[i] == best).collect();
        let default = self.default.filter(|default| equals.contains(default));
        let chosen = default.or(equals.first().copied());
        Ok(ScoreSearch {
            tuned_on,
            n_out,
            objective,
            chosen: chosen.ok_or_else(|| invalid("there is nothing to choose from"))?,
            value: best,
            equals,
            metrics,
        })
    }
}

/// The scores of a set by every candidate.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CandidateScores {
    /// The name of the set.
    pub name: String,
    /// For each candidate, that of every image.
    pub columns: Vec<Vec<f64>>,
    /// The images left out.
    pub skipped: Vec<crate::ImageError>,
}

impl CandidateScores {
    /// How many images were scored.
    pub fn images(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }
}

/// The search for the parameters of a score.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ScoreSearch {
    /// What it was tuned on, such as the name of an out-of-distribution set.
    pub tuned_on: String,
    /// How many out-of-distribution images there were.
    pub n_out: usize,
    /// What the parameters were chosen by.
    pub objective: Objective,
    /// The exact metrics of each candidate; against synthetic sets their means.
    pub metrics: Vec<Metrics>,
    /// The candidate chosen: of several that reach the same, the defaults, or else the first.
    pub chosen: usize,
    /// What it reaches.
    pub value: f64,
    /// All candidates that reach the same.
    pub equals: Vec<usize>,
}

/// What several points are fitted from.
struct Fitting<'a> {
    builder: &'a DetectorBuilder,
    method: Method,
    training: Option<&'a Images>,
    summary: Option<odin_scores::TrainingSummary>,
}

impl<'a> Fitting<'a> {
    fn new(
        builder: &'a DetectorBuilder,
        method: Method,
        training: Option<&'a Images>,
        parameters: &Parameters,
        progress: impl FnMut(Progress),
    ) -> Result<Self, Error> {
        let of_images = training.filter(|_| method.needs_training()).map(|images| {
            let builder = builder.clone().parameters(*parameters);
            builder.summarize(&[method], images, progress)
        });
        Ok(Self {
            builder,
            method,
            training,
            summary: of_images.transpose()?,
        })
    }

    fn fit(&self, parameters: &Parameters) -> Result<Fitted, Error> {
        let (builder, methods) = (self.builder.clone().parameters(*parameters), [self.method]);
        let fitted = match &self.summary {
            Some(summary) => builder.fit_summary(&methods, summary)?,
            None => builder.fit(&methods, self.training, |_| {})?,
        };
        let fitted = fitted.into_iter().next();
        fitted.ok_or_else(|| invalid("a score was left out of the fit"))
    }
}

/// Items that are alike, in the order of the first of each group.
fn groups<T: Clone>(items: &[T], alike: impl Fn(&T, &T) -> bool) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|group| alike(&group[0], item)) {
            Some(group) => group.push(item.clone()),
            None => groups.push(vec![item.clone()]),
        }
    }
    groups
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
