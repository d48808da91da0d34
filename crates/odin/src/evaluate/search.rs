//! Grid search for a setting, with or without out-of-distribution images.

use super::objective::{Choice, Objective, choose};
use crate::{
    DetectorBuilder, Error, ErrorKind, Grid, Images, Passes, Progress, Setting, Sweep, SweepScores,
};
use odin_data::{NoiseKind, SyntheticKind};
use odin_metrics::{Metrics, Scores};
use std::fmt;
use std::str::FromStr;

/// How a setting is chosen without out-of-distribution images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InOnlyRule {
    /// [`Setting::PAPER`], whatever the images: no rule that was tried was shown to be better
    /// (`docs/tuning.md`).
    #[default]
    Fixed,
    /// Tunes on sets made from the in-distribution images (shuffled pixels, blends of two images,
    /// noise), by the mean of the objective over them. Only settings of the largest temperature and
    /// of an ε up to 0.002 take part: others are too often chosen for artefacts of such sets.
    Synthetic,
    /// The ε of the largest mean ODIN score at the largest T (Hsu et al., *Generalized ODIN*, CVPR
    /// 2020, section 3.3).
    MeanScore,
}

impl InOnlyRule {
    /// As options spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Synthetic => "synthetic",
            Self::MeanScore => "mean-score",
        }
    }
}

impl fmt::Display for InOnlyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InOnlyRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = [Self::Fixed, Self::Synthetic, Self::MeanScore];
        let rule = known.into_iter().find(|rule| rule.as_str() == text);
        rule.ok_or_else(|| {
            let all = known.map(Self::as_str).join(", ");
            let problem = format!("there is no rule {text:?}; they are {all}");
            Error::new(ErrorKind::Invalid, problem)
        })
    }
}

/// What a setting was chosen by.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// None: the setting is the paper's.
    Fixed,
    /// A metric against out-of-distribution images.
    Metric(Objective),
    /// The largest mean ODIN score of in-distribution images at this temperature.
    MeanScore {
        /// The temperature.
        temperature: f64,
    },
}

/// The search of one setting.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Search {
    /// What it was tuned on, such as the name of an out-of-distribution set.
    pub tuned_on: String,
    /// How many out-of-distribution images there were.
    pub n_out: usize,
    /// What the setting was chosen by.
    pub rule: Rule,
    /// For each setting of the grid, the exact metrics, in-distribution being positive, where there
    /// were out-of-distribution images.
    pub metrics: Option<Vec<Metrics>>,
    /// The metrics of the baseline and of the other scores, by name, on the same images.
    pub others: Vec<(String, Metrics)>,
    /// For each setting of the grid, the mean ODIN score of the in-distribution images.
    pub mean_scores: Vec<f64>,
    /// The setting chosen.
    pub choice: Choice,
}

/// The name of the synthetic sets in results.
pub(super) const SYNTHETIC: &str = "sets made from the in-set: shuffled pixels, blends, noise";

/// Larger ε are chosen on synthetic sets for artefacts that other sets lack (`docs/tuning.md`).
const LARGEST_MODERATE: f64 = 0.002;

/// A network prepared for a search over a grid.
#[derive(Debug)]
pub struct Tuner {
    sweep: Sweep,
    grid: Grid,
    objective: Objective,
    seed: u64,
}

impl Tuner {
    /// Prepares a search by `objective`; `seed` is that of synthetic sets.
    ///
    /// # Errors
    /// As [`DetectorBuilder::build`].
    pub fn new(
        builder: DetectorBuilder,
        grid: Grid,
        objective: Objective,
        seed: u64,
    ) -> Result<Self, Error> {
        Ok(Self {
            sweep: builder.sweep(&grid.settings())?,
            grid,
            objective,
            seed,
        })
    }

    /// What is searched.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// What an image takes, and what it would take if each setting was a run of its own.
    pub fn passes(&self) -> [Passes; 2] {
        [self.sweep.passes(), self.sweep.passes_apart()]
    }

    /// What the network's products are computed with, such as `AVX-512`; `None` where ONNX Runtime
    /// runs it.
    pub fn instructions(&self) -> Option<String> {
        self.sweep.instructions()
    }

    /// Why scores of the builder are not to be trusted, as [`Detector::warnings`] says.
    ///
    /// [`Detector::warnings`]: crate::Detector::warnings
    pub fn warnings(&self) -> Vec<String> {
        self.sweep.warnings()
    }

    /// Scores images at every setting of the grid.
    ///
    /// # Errors
    /// As [`Detector::score_set`](crate::Detector::score_set).
    pub fn score(
        &self,
        images: &Images,
        progress: impl FnMut(Progress),
    ) -> Result<SweepScores, Error> {
        self.sweep.score_set(images, progress)
    }

    /// The setting that tells the out-of-distribution images best from the others.
    ///
    /// # Errors
    /// When the sets were not scored alike.
    pub fn against(&self, in_set: &SweepScores, out_set: &SweepScores) -> Result<Search, Error> {
        let metrics = metrics(in_set, out_set)?;
        let values: Vec<f64> = metrics.iter().map(|m| self.objective.of(m)).collect();
        let larger = self.objective.is_larger_better();
        Ok(Search {
            tuned_on: out_set.name.clone(),
            n_out: out_set.msp.len(),
            rule: Rule::Metric(self.objective),
            choice: choose(&in_set.settings, &values, larger)?,
            metrics: Some(metrics),
            others: other_metrics(in_set, out_set)?,
            mean_scores: mean_scores(in_set),
        })
    }

    /// The setting that a rule chooses which needs no out-of-distribution images. `in_set` are the
    /// scores of `images`; `progress` is that of a set of this name.
    ///
    /// # Errors
    /// When there are too few images for it, and as [`Tuner::score`].
    pub fn in_only(
        &self,
        rule: InOnlyRule,
        images: &Images,
        in_set: &SweepScores,
        progress: impl FnMut(&str, Progress),
    ) -> Result<Search, Error> {
        if rule == InOnlyRule::MeanScore {
            return self.by_mean_score(in_set);
        }
        let made = self.synthetic(images, progress)?;
        let metrics = made.iter().map(|made| metrics(in_set, made));
        let metrics = mean_by_place(metrics.collect::<Result<Vec<_>, _>>()?);
        let others = made.iter().map(|made| other_metrics(in_set, made));
        let (names, others): (Vec<_>, Vec<_>) = others
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .map(unzip)
            .unzip();
        let names: Vec<String> = names.into_iter().next().unwrap_or_default();
        let settings = &in_set.settings;
        let choice = match rule {
            InOnlyRule::Fixed => self.fixed(settings, &metrics)?,
            _ => self.among_moderate(settings, &metrics)?,
        };
        Ok(Search {
            tuned_on: SYNTHETIC.to_string(),
            n_out: made.iter().map(|made| made.msp.len()).sum(),
            rule: match rule {
                InOnlyRule::Fixed => Rule::Fixed,
                _ => Rule::Metric(self.objective),
            },
            choice,
            metrics: Some(metrics),
            others: names.into_iter().zip(mean_by_place(others)).collect(),
            mean_scores: mean_scores(in_set),
        })
    }

    /// The paper's setting, which must be in the grid.
    fn fixed(&self, settings: &[Setting], metrics: &[Metrics]) -> Result<Choice, Error> {
        let paper = Setting::PAPER.with_precision(self.grid.precision());
        let index = settings.iter().position(|setting| *setting == paper);
        let index = index.ok_or_else(|| {
            let problem = format!("the grid does not hold {paper}, which the rule takes");
            Error::new(ErrorKind::Invalid, problem)
        })?;
        let value = self.objective.of(&metrics[index]);
        let mut choice = choose(&settings[index..=index], &[value], true)?;
        choice.index = index;
        Ok(choice)
    }

    /// The best setting of the largest temperature and a moderate ε.
    fn among_moderate(&self, settings: &[Setting], metrics: &[Metrics]) -> Result<Choice, Error> {
        let largest = self.grid.temperatures().last().copied().unwrap_or(f64::NAN);
        let takes_part = |s: &Setting| s.temperature == largest && s.magnitude <= LARGEST_MODERATE;
        let places = (0..settings.len()).filter(|&i| takes_part(&settings[i]));
        let places: Vec<usize> = places.collect();
        if places.is_empty() {
            let problem = format!(
                "the grid has no ε up to {LARGEST_MODERATE} at its largest T, of which the rule chooses one"
            );
            return Err(Error::new(ErrorKind::Invalid, problem));
        }
        // Rounded, so that the order of summation does not break ties.
        let rounded = |value: f64| (value * 1e12).round() / 1e12;
        let value = |&i: &usize| rounded(self.objective.of(&metrics[i]));
        let values: Vec<f64> = places.iter().map(value).collect();
        let candidates: Vec<Setting> = places.iter().map(|&i| settings[i]).collect();
        let mut choice = choose(&candidates, &values, self.objective.is_larger_better())?;
        choice.index = places[choice.index];
        // The rule excludes larger ones, so they are not to be recommended.
        choice.at_largest_magnitude = false;
        Ok(choice)
    }

    /// The ε of the largest mean score at the largest temperature.
    fn by_mean_score(&self, in_set: &SweepScores) -> Result<Search, Error> {
        let mean_scores = mean_scores(in_set);
        let temperatures = self.grid.temperatures();
        let temperature = temperatures.last().copied().unwrap_or(f64::NAN);
        // The largest temperature comes last.
        let first = mean_scores.len() - self.grid.magnitudes().len();
        let mut choice = choose(&in_set.settings[first..], &mean_scores[first..], true)?;
        choice.index += first;
        Ok(Search {
            tuned_on: "in-distribution images alone".to_string(),
            n_out: 0,
            rule: Rule::MeanScore { temperature },
            metrics: None,
            others: Vec::new(),
            mean_scores,
            choice,
        })
    }

    /// The scores of sets made from the images.
    fn synthetic(
        &self,
        images: &Images,
        mut progress: impl FnMut(&str, Progress),
    ) -> Result<Vec<SweepScores>, Error> {
        let sets = synthetic_sets(images, self.seed)?;
        let scored = sets
            .iter()
            .map(|made| self.sweep.score_set(made, |p| progress(made.name(), p)));
        scored.collect()
    }
}

/// Out-of-distribution sets made from images: their pixels shuffled, blends of two, and noise of
/// their shape.
///
/// # Errors
/// When there are fewer than two images, or the first cannot be read.
pub(super) fn synthetic_sets(images: &Images, seed: u64) -> Result<[Images; 3], Error> {
    Ok([
        images.synthetic(SyntheticKind::PixelShuffle, seed)?,
        images.synthetic(SyntheticKind::Blend, seed)?,
        images.noise_like(NoiseKind::Uniform, seed)?,
    ])
}

/// The exact metrics of every setting, telling one set from the other; in-distribution is
/// positive.
fn metrics(in_set: &SweepScores, out_set: &SweepScores) -> Result<Vec<Metrics>, Error> {
    if in_set.settings != out_set.settings || in_set.other_names != out_set.other_names {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{} and {} were not scored alike", in_set.name, out_set.name),
        ));
    }
    let pairs = in_set.odin.iter().zip(&out_set.odin);
    pairs
        .map(|(in_scores, out_scores)| exact(in_scores, out_scores))
        .collect()
}

/// The metrics of the baseline and of the other scores.
fn other_metrics(
    in_set: &SweepScores,
    out_set: &SweepScores,
) -> Result<Vec<(String, Metrics)>, Error> {
    let columns = in_set.others.iter().zip(&out_set.others);
    let named = in_set.other_names.iter().zip(columns);
    let baseline = ("msp", (&in_set.msp, &out_set.msp));
    let all = std::iter::once(baseline).chain(named.map(|(name, pair)| (name.as_str(), pair)));
    all.map(|(name, (in_scores, out_scores))| Ok((name.to_string(), exact(in_scores, out_scores)?)))
        .collect()
}

fn unzip(named: Vec<(String, Metrics)>) -> (Vec<String>, Vec<Metrics>) {
    named.into_iter().unzip()
}

/// For each place, the mean of the metrics that the lists have there.
pub(super) fn mean_by_place(lists: Vec<Vec<Metrics>>) -> Vec<Metrics> {
    let places = lists.iter().map(Vec::len).min().unwrap_or(0);
    let mean = |place: usize, pick: fn(&Metrics) -> f64| {
        lists.iter().map(|list| pick(&list[place])).sum::<f64>() / lists.len() as f64
    };
    let means = (0..places).map(|place| Metrics {
        fpr_at_95_tpr: mean(place, |m| m.fpr_at_95_tpr),
        detection_error: mean(place, |m| m.detection_error),
        auroc: mean(place, |m| m.auroc),
        aupr_in: mean(place, |m| m.aupr_in),
        aupr_out: mean(place, |m| m.aupr_out),
    });
    means.collect()
}

fn exact(in_scores: &[f64], out_scores: &[f64]) -> Result<Metrics, Error> {
    Ok(Scores::new(in_scores, out_scores)?.exact())
}

fn mean_scores(in_set: &SweepScores) -> Vec<f64> {
    let mean = |scores: &Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
    in_set.odin.iter().map(mean).collect()
}
