//! `odin eval`.

use super::scoring::score;
use crate::args::{Eval, Format, Magnitude, UsageError};
use crate::output::score_files::{ScoreFile, ScoreFiles};
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Selection, Spec, specs, tell_apart};
use crate::resolve::device::{self, threads};
use crate::resolve::network;
use crate::resolve::registry::{self, named};
use crate::resolve::scores::Detectors;
use anyhow::{Result, bail};
use odin::{Classifier, Detector, Device, Intervals, NoAccuracy, ScoredSet, evaluate};
use odin_data::registry::Registry;
use odin_report::{Comparison, Network, Report};

const RESAMPLES: usize = 1000;

pub(crate) fn run(eval: &Eval) -> Result<()> {
    let device = device::chosen(&eval.run.compute.device)?;
    let registry = registry::open(&eval.run.network.registry)?;
    let classifier = network::open(&eval.nn.name, "--nn", &eval.run.network, &registry)?;
    let selection = Selection::new(&eval.run, &classifier, eval.split, eval.limit);
    let specs = specs(
        &eval.nn.name,
        eval.in_dataset.as_deref(),
        &eval.out_dataset,
        &selection,
        &registry,
    )?;
    let detectors = Detectors::new(
        &eval.detectors,
        &eval.run,
        &classifier,
        &selection,
        &registry,
    )?;
    let experiment = Experiment::new(eval, selection, &classifier, device, &detectors)?;
    let asked_for = network::magnitude(eval.magnitude, &classifier, eval.run.quiet.on);
    let report = experiment.run(specs, |out| {
        magnitude(asked_for, &eval.nn.name, &registry, out)
    })?;
    write_stdout(&match eval.format {
        Format::Table => report.to_table(),
        Format::Json => report.to_json(),
        Format::Csv => report.to_csv(),
    })
}

fn magnitude(asked_for: Magnitude, nn: &str, registry: &Registry, out: &str) -> Result<f64> {
    let network = named(nn, registry).and_then(|e| e.network());
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
    selection: Selection,
    classifier: &'a Classifier,
    detector: Detector,
}

impl<'a> Experiment<'a> {
    fn new(
        eval: &'a Eval,
        selection: Selection,
        classifier: &'a Classifier,
        device: Device,
        detectors: &Detectors,
    ) -> Result<Self> {
        let temperature = network::temperature(eval.temperature, classifier, eval.run.quiet.on);
        let builder = device::builder(classifier, &eval.run.compute).temperature(temperature);
        let detector = device::build(detectors.add_to(builder), device, &eval.run.compute.device)?;
        Ok(Self {
            eval,
            selection,
            classifier,
            detector,
        })
    }

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
        self.announce(&sets)?;
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
            network: Network::from(self.classifier),
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
        let (selection, skip_bad) = (&self.selection, self.eval.run.skip_bad);
        let open = |spec: Spec, noise_count: usize| {
            let count = Spec::noise_count(selection, noise_count);
            OpenSet::open(spec, selection, count, self.classifier, skip_bad)
        };
        let in_set = open(in_spec, 10_000)?;
        let count = in_set.range.len();
        let mut sets = vec![in_set];
        for spec in out_specs {
            sets.push(open(spec, count)?);
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
        let classifier = self.classifier.classes();
        match (&scored.class_names, in_set.spec.expected_classes()) {
            (None, Some(set)) if set != classifier => {
                Err(NoAccuracy::OtherClasses { set, classifier })
            }
            _ => scored.accuracy(self.classifier),
        }
    }

    fn measure(&self, in_set: &ScoredSet, out_set: &ScoredSet) -> Result<odin::Evaluation> {
        let run = &self.eval.run;
        let intervals = || Intervals::new(RESAMPLES, run.seed, threads(run.compute.threads));
        let intervals = self.eval.ci.then(intervals);
        let classes = self.classifier.classes();
        let (t, mode) = (self.detector.temperature(), self.eval.metrics.into());
        Ok(evaluate(in_set, out_set, classes, t, mode, intervals)?)
    }

    /// What goes into the run, for whoever reads the log.
    fn announce(&self, sets: &[OpenSet]) -> Result<()> {
        if self.eval.run.quiet.on {
            return Ok(());
        }
        network::announce(self.classifier, false);
        device::announce(&self.detector, self.classifier, false);
        for set in sets {
            set.announce(&self.selection)?;
        }
        Ok(())
    }
}
