//! `odin eval`: scores sets and measures how well they are told apart.

use super::scoring::score;
use crate::args::{Eval, Format, Magnitude, UsageError};
use crate::output::score_files::{ScoreFile, ScoreFiles};
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Spec, tell_apart};
use crate::resolve::device::threads;
use crate::resolve::setup::Setup;
use anyhow::{Result, bail};
use odin::{Detector, DetectorBuilder, Intervals, NoAccuracy, ScoredSet, evaluate};
use odin_data::registry::NetworkEntry;
use odin_report::{Comparison, Network, Report};

const RESAMPLES: usize = 1000;

pub(crate) fn run(eval: &Eval) -> Result<()> {
    let mut setup = Setup::new(&eval.nn, &eval.run)?;
    setup.selection.split = eval.split;
    setup.selection.limit = eval.limit;
    let specs = setup.specs(eval.in_dataset.as_deref(), &eval.out_dataset)?;
    let detectors = setup.detectors(&eval.detectors)?;
    let builder = setup
        .builder()
        .temperature(setup.temperature(eval.temperature));
    let detector = setup.prepare(detectors.add_to(builder), DetectorBuilder::build)?;
    let asked_for = setup.magnitude(eval.magnitude);
    let experiment = Experiment {
        eval,
        setup: &setup,
        detector,
    };
    let report = experiment.run(specs, |out| {
        magnitude(asked_for, &eval.nn.name, setup.network_entry(), out)
    })?;
    write_stdout(&match eval.format {
        Format::Table => report.to_table(),
        Format::Json => report.to_json(),
        Format::Csv => report.to_csv(),
    })
}

/// The magnitude for an out-set, by what the registry says of the network.
fn magnitude(
    asked_for: Magnitude,
    nn: &str,
    network: Option<&NetworkEntry>,
    out: &str,
) -> Result<f64> {
    match (asked_for, network) {
        (Magnitude::Fixed(magnitude), _) => Ok(magnitude),
        (Magnitude::Paper, None) => Err(UsageError(
            "--magnitude paper: the paper recommends magnitudes for its own networks (densenet10, densenet100, wideresnet10, wideresnet100), named as --nn; give a number".into(),
        )
        .into()),
        (Magnitude::Paper, Some(network)) => network.recommended_magnitude(out).ok_or_else(|| {
            UsageError(format!(
                "--magnitude paper: nothing is recommended for {nn} and {out}; give a number"
            ))
            .into()
        }),
    }
}

/// Everything that does not depend on the sets.
struct Experiment<'a> {
    eval: &'a Eval,
    setup: &'a Setup<'a>,
    detector: Detector,
}

impl Experiment<'_> {
    /// Opens and checks everything, then scores the in-set once for each magnitude that occurs,
    /// however many out-sets there are. `magnitude` is that for an out-set of this name.
    fn run(
        &self,
        (in_spec, out_specs): (Spec, Vec<Spec>),
        magnitude: impl Fn(&str) -> Result<f64>,
    ) -> Result<Report> {
        let mut sets = self.open(in_spec, out_specs)?;
        let out_sets = sets.iter().skip(1);
        let magnitudes: Vec<f64> = out_sets
            .map(|out| magnitude(&out.name))
            .collect::<Result<_>>()?;
        tell_apart(&mut sets);
        let Some((in_set, out_sets)) = sets.split_first() else {
            bail!("there is no set to evaluate");
        };
        let mut of_in_set: Vec<f64> = Vec::new();
        for &magnitude in &magnitudes {
            if !of_in_set.contains(&magnitude) {
                of_in_set.push(magnitude);
            }
        }
        let files = self.files(in_set, &of_in_set, out_sets)?;
        self.setup.announce(Some(&self.detector), &sets)?;
        let mut files = files.iter();
        let mut scored_in: Vec<(f64, ScoredSet)> = Vec::new();
        for magnitude in of_in_set {
            let scored = self.score(in_set, magnitude, files.next())?;
            scored_in.push((magnitude, scored));
        }
        let in_skipped = scored_in
            .first()
            .map_or(0, |(_, in_set)| in_set.skipped.len());
        let accuracy = match scored_in.first() {
            Some((_, scored)) => self.accuracy(in_set, scored),
            None => Err(NoAccuracy::Unlabelled),
        };
        let mut results = Vec::new();
        for (out_set, &magnitude) in out_sets.iter().zip(&magnitudes) {
            let Some((_, in_scored)) = scored_in.iter().find(|(known, _)| *known == magnitude)
            else {
                continue;
            };
            let out_scored = self.score(out_set, magnitude, files.next())?;
            let longer = in_scored.rows.len() > out_scored.rows.len();
            let in_set_shortened = out_set.spec.shortens_in_set() && longer;
            let mut in_scored = in_scored.clone();
            if in_set_shortened {
                in_scored.rows.truncate(out_scored.rows.len());
            }
            results.push(Comparison {
                out_dataset: out_set.name.clone(),
                out_set: out_set.info(out_scored.skipped.len()),
                in_set_shortened,
                magnitude,
                evaluation: self.measure(&in_scored, &out_scored)?,
            });
        }
        Ok(Report {
            model: self.eval.nn.name.clone(),
            network: Network::from(&self.setup.classifier),
            in_dataset: in_set.name.clone(),
            in_set: in_set.info(in_skipped),
            accuracy,
            temperature: self.detector.temperature(),
            device: self.detector.device().to_string(),
            engine: self.detector.engine(),
            mode: self.eval.metrics.into(),
            seed: self.eval.run.seed,
            results,
        })
    }

    /// The in-set, and behind it the out-sets.
    fn open(&self, in_spec: Spec, out_specs: Vec<Spec>) -> Result<Vec<OpenSet>> {
        let in_set = self.setup.open(in_spec, 10_000)?;
        let count = in_set.range.len();
        let mut sets = vec![in_set];
        for spec in out_specs {
            sets.push(self.setup.open(spec, count)?);
        }
        Ok(sets)
    }

    /// Where scores go, if they are asked for: those of the in-set for each magnitude, then those
    /// of the out-sets.
    fn files(
        &self,
        in_set: &OpenSet,
        of_in_set: &[f64],
        out_sets: &[OpenSet],
    ) -> Result<Vec<ScoreFile>> {
        let Some(folder) = &self.eval.scores else {
            return Ok(Vec::new());
        };
        let mut files = ScoreFiles::in_folder(folder)?;
        let in_names = of_in_set.iter().map(|magnitude| match of_in_set.len() {
            1 => in_set.name.clone(),
            _ => format!("{}.eps{magnitude}", in_set.name),
        });
        let out_names = out_sets.iter().map(|set| set.name.clone());
        let names = in_names.chain(out_names);
        names.map(|name| files.reserve(&name)).collect()
    }

    fn score(&self, set: &OpenSet, magnitude: f64, file: Option<&ScoreFile>) -> Result<ScoredSet> {
        let scored = score(&self.detector, set, magnitude, &self.eval.run)?;
        if let Some(file) = file {
            file.write(&scored)?;
        }
        Ok(scored)
    }

    /// The accuracy on the in-set. Where the set does not know its classes, the registry may.
    fn accuracy(&self, in_set: &OpenSet, scored: &ScoredSet) -> Result<f64, NoAccuracy> {
        let classifier = self.setup.classifier.classes();
        match (&scored.class_names, in_set.spec.expected_classes()) {
            (None, Some(set)) if set != classifier => {
                Err(NoAccuracy::OtherClasses { set, classifier })
            }
            _ => scored.accuracy(&self.setup.classifier),
        }
    }

    fn measure(&self, in_set: &ScoredSet, out_set: &ScoredSet) -> Result<odin::Evaluation> {
        let run = &self.eval.run;
        let intervals = || Intervals::new(RESAMPLES, run.seed, threads(run.compute.threads));
        let intervals = self.eval.ci.then(intervals);
        let classes = self.setup.classifier.classes();
        let (t, mode) = (self.detector.temperature(), self.eval.metrics.into());
        Ok(evaluate(in_set, out_set, classes, t, mode, intervals)?)
    }
}
