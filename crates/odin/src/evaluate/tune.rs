//! Tuning in one call: from validation images to the setting to calibrate with.

use super::objective::Objective;
use super::search::{InOnlyRule, Tuner};
use super::tuned::Tuned;
use crate::{DetectorBuilder, Error, Grid, Images, Progress, Setting};

/// How a setting is tuned.
///
/// ```
/// # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
/// use odin::{Classifier, ClassifierOptions, Detector, Grid, TuneOptions};
///
/// let model = demo.join("model.safetensors");
/// let classifier = Classifier::open(model, ClassifierOptions::default())?;
/// let validation = classifier.open_images(demo.join("in.npy"))?.at_most(50, 0);
/// let tuned = TuneOptions::default()
///     .grid(Grid::new(&[1.0, 1000.0], &[0.0, 0.0014])?)
///     .tune(Detector::builder(&classifier), &validation, None, |_, _| {})?;
/// let detector = Detector::builder(&classifier).setting(tuned.setting).build()?;
/// # Ok::<(), odin::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "settings do nothing until `tune` is called"]
pub struct TuneOptions {
    grid: Option<Grid>,
    objective: Option<Objective>,
    in_only: Option<InOnlyRule>,
    seed: u64,
}

impl Default for TuneOptions {
    /// The grid that suits the rule ([`Grid::for_rule`]); by the false-positive rate at 95 %
    /// true-positive rate against out-of-distribution images, by the AUROC against synthetic sets.
    fn default() -> Self {
        Self {
            grid: None,
            objective: None,
            in_only: None,
            seed: 0,
        }
    }
}

impl Grid {
    /// The settings to try by a rule: the grid of the paper against out-of-distribution images, of
    /// it only T = 1000 where there are none, and only [`Setting::PAPER`] where nothing is tuned.
    pub fn for_rule(in_only: Option<InOnlyRule>) -> Self {
        let Setting {
            temperature,
            magnitude,
            ..
        } = Setting::PAPER;
        let paper = Self::paper();
        match in_only {
            None => paper,
            Some(InOnlyRule::Fixed) => Self::each_with_each(&[temperature], &[magnitude]),
            Some(_) => Self::each_with_each(&[temperature], paper.magnitudes()),
        }
    }
}

impl Objective {
    /// The default objective.
    pub fn for_rule(in_only: Option<InOnlyRule>) -> Self {
        match in_only {
            None => Self::FprAt95Tpr,
            Some(_) => Self::Auroc,
        }
    }
}

impl TuneOptions {
    /// The settings to try; unless set, those of [`Grid::for_rule`] in the precision of the builder's
    /// setting.
    pub fn grid(mut self, grid: Grid) -> Self {
        self.grid = Some(grid);
        self
    }

    /// The objective.
    pub fn objective(mut self, objective: Objective) -> Self {
        self.objective = Some(objective);
        self
    }

    /// The rule without out-of-distribution images; [`InOnlyRule::Fixed`] unless set, or
    /// [`InOnlyRule::Synthetic`] where a grid is.
    pub fn in_only(mut self, rule: InOnlyRule) -> Self {
        self.in_only = Some(rule);
        self
    }

    /// The seed of synthetic sets.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Chooses the setting on validation images, and on out-of-distribution images where there are
    /// some; `progress` is that of a set of this name.
    ///
    /// # Errors
    /// When an image cannot be read or has the wrong shape, there are too few for the rule, or as
    /// [`DetectorBuilder::build`].
    pub fn tune(
        &self,
        builder: DetectorBuilder,
        images: &Images,
        out_images: Option<&Images>,
        mut progress: impl FnMut(&str, Progress),
    ) -> Result<Tuned, Error> {
        let classifier = builder.classifier().clone();
        let usual = match self.grid {
            None => InOnlyRule::Fixed,
            Some(_) => InOnlyRule::Synthetic,
        };
        let rule = self.in_only.unwrap_or(usual);
        let in_only = out_images.is_none().then_some(rule);
        let precision = builder.setting.precision;
        let usual = || Grid::for_rule(in_only).with_precision(precision);
        let grid = self.grid.clone().unwrap_or_else(usual);
        let objective = self
            .objective
            .unwrap_or_else(|| Objective::for_rule(in_only));
        let tuner = Tuner::new(builder, grid, objective, self.seed)?;
        let in_set = tuner.score(images, |p| progress(images.name(), p))?;
        let search = match out_images {
            Some(out) => {
                let out_set = tuner.score(out, |p| progress(out.name(), p))?;
                tuner.against(&in_set, &out_set)?
            }
            None => tuner.in_only(rule, images, &in_set, progress)?,
        };
        Ok(Tuned::new(&classifier, &search, &in_set))
    }
}
