//! `odin eval`.

use super::scoring::score;
use crate::args::{Eval, Format, Magnitude, SettingOptions, UsageError};
use crate::output::progress::say;
use crate::output::score_files::{ScoreFile, ScoreFiles};
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Selection, Spec, specs, tell_apart};
use crate::resolve::device::{self, threads};
use crate::resolve::network;
use crate::resolve::registry::{self, named};
use crate::resolve::scores::Scores;
use anyhow::{Result, bail};
use odin::{Classifier, Detector, Device, Intervals, NoAccuracy, ScoredSet, Setting, evaluate};
use odin_data::registry::Registry;
use odin_report::{Comparison, Network, Report};

const RESAMPLES: usize = 1000;

pub(crate) fn run(eval: &Eval) -> Result<()> {
    let device = device::chosen(&eval.run.compute.device)?;
    let registry = registry::open(&eval.run.network.registry)?;
    let classifier = network::open(
        &eval.nn.name,
        &eval.run.network,
        eval.run.transform.as_ref(),
        &registry,
    )?;
    let selection = Selection::new(&eval.run, &classifier, eval.split, eval.limit);
    let specs = specs(
        &eval.nn.name,
        eval.in_dataset.as_deref(),
        &eval.out_dataset,
        &selection,
        &registry,
    )?;
    let detectors = Scores::new(
        &eval.scores_beside,
        &eval.run,
        &classifier,
        &selection,
        &registry,
    )?;
    let experiment = Experiment::new(eval, selection, &classifier, device, &detectors)?;
    let report = experiment.run(specs, |out| {
        let asked_for = eval.magnitude;
        magnitude(asked_for, &eval.nn.name, &registry, out)
    })?;
    for result in &report.results {
        if let (Some(suspicion), false) = (result.evaluation.suspicion(), eval.run.quiet.on) {
            let (in_set, out_set) = (&report.in_dataset, &result.out_dataset);
            say(&format!("warning: {in_set}, {out_set}: {suspicion}"));
        }
    }
    write_stdout(&match eval.format {
        Format::Table => report.to_table(),
        Format::Json => report.to_json(),
        Format::Csv => report.to_csv(),
    })
}

/// The magnitude that `paper` stands for, or the one that is given; `None` where nothing is said.
fn magnitude(
    asked_for: Option<Magnitude>,
    nn: &str,
    registry: &Registry,
    out: &str,
) -> Result<Option<f64>> {
    match asked_for {
        None => return Ok(None),
        Some(Magnitude::Fixed(magnitude)) => return Ok(Some(magnitude)),
        Some(Magnitude::Paper) => {}
    }
    let usage = |problem: String| anyhow::Error::from(UsageError(problem));
    let network = named(nn, registry).and_then(|e| e.network());
    let network = network.ok_or_else(|| {
        usage("--magnitude paper: the paper recommends magnitudes for its own networks (densenet10, densenet100, wideresnet10, wideresnet100), named as --nn; give a number".into())
    })?;
    let recommended = network.recommended_magnitude(out).ok_or_else(|| {
        usage(format!(
            "--magnitude paper: nothing is recommended for {nn} and {out}; give a number"
        ))
    })?;
    Ok(Some(recommended))
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
        detectors: &Scores,
    ) -> Result<Self> {
        let setting = network::setting(&SettingOptions::temperature(eval.temperature), classifier)?;
        let builder = device::builder(classifier, &eval.run.compute).setting(setting);
        let detector = device::build(detectors.add_to(builder), device, &eval.run.compute.device)?;
        Ok(Self {
            eval,
            selection,
            classifier,
            detector,
        })
    }

    /// Opens and checks everything, then scores the in-set once for each setting that occurs,
    /// however many out-sets there are. `magnitude` is that for an out-set of this name.
    fn run(
        &self,
        (in_spec, out_specs): (Spec, Vec<Spec>),
        magnitude: impl Fn(&str) -> Result<Option<f64>>,
    ) -> Result<Report> {
        let mut sets = self.open(in_spec, out_specs)?;
        let settings = sets.iter().skip(1).map(|out| {
            let asked_for = SettingOptions {
                temperature: self.eval.temperature,
                magnitude: magnitude(out.name())?,
            };
            network::setting(&asked_for, self.classifier)
        });
        let settings = settings.collect::<Result<Vec<Setting>>>()?;
        tell_apart(&mut sets);
        let Some((in_set, out_sets)) = sets.split_first() else {
            bail!("there is no set to evaluate");
        };
        let mut of_in_set: Vec<Setting> = Vec::new();
        for &setting in &settings {
            if !of_in_set.contains(&setting) {
                of_in_set.push(setting);
            }
        }
        let files = self.files(in_set, &of_in_set, out_sets)?;
        self.announce(&sets, of_in_set.first());
        let mut files = files.iter();
        let mut scored_in: Vec<(Detector, ScoredSet)> = Vec::new();
        for setting in of_in_set {
            let detector = self.detector.with_setting(setting)?;
            let scored = self.score(&detector, in_set, files.next())?;
            scored_in.push((detector, scored));
        }
        let in_skipped = scored_in
            .first()
            .map_or(0, |(_, in_set)| in_set.skipped.len());
        let accuracy = match scored_in.first() {
            Some((_, scored)) => self.accuracy(in_set, scored),
            None => Err(NoAccuracy::Unlabelled),
        };
        let mut results = Vec::new();
        for (out_set, &setting) in out_sets.iter().zip(&settings) {
            let at_setting = |(detector, _): &&(Detector, _)| detector.setting() == setting;
            let Some((detector, in_scored)) = scored_in.iter().find(at_setting) else {
                continue;
            };
            let out_scored = self.score(detector, out_set, files.next())?;
            let longer = in_scored.rows.len() > out_scored.rows.len();
            let in_set_shortened = out_set.spec.shortens_in_set() && longer;
            let evaluation = match in_set_shortened {
                true => {
                    let in_scored = in_scored.truncated(out_scored.rows.len());
                    self.measure(detector, &in_scored, &out_scored)?
                }
                false => self.measure(detector, in_scored, &out_scored)?,
            };
            results.push(Comparison {
                out_dataset: out_set.name().to_string(),
                out_set: out_set.info(out_scored.skipped.len()),
                in_set_shortened,
                magnitude: setting.magnitude,
                evaluation,
            });
        }
        Ok(Report {
            model: self.eval.nn.name.clone(),
            network: Network::from(self.classifier),
            in_dataset: in_set.name().to_string(),
            in_set: in_set.info(in_skipped),
            accuracy,
            temperature: self.detector.setting().temperature,
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
            OpenSet::open(spec, selection, count, skip_bad)
        };
        let in_set = open(in_spec, 10_000)?;
        let count = in_set.images.len();
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
        of_in_set: &[Setting],
        out_sets: &[OpenSet],
    ) -> Result<Vec<ScoreFile>> {
        let Some(folder) = &self.eval.scores else {
            return Ok(Vec::new());
        };
        let mut files = ScoreFiles::in_folder(folder)?;
        let in_names = of_in_set.iter().map(|setting| match of_in_set.len() {
            1 => in_set.name().to_string(),
            _ => format!("{}.eps{}", in_set.name(), setting.magnitude),
        });
        let out_names = out_sets.iter().map(|set| set.name().to_string());
        let names = in_names.chain(out_names);
        names.map(|name| files.reserve(&name)).collect()
    }

    fn score(
        &self,
        detector: &Detector,
        set: &OpenSet,
        file: Option<&ScoreFile>,
    ) -> Result<ScoredSet> {
        let scored = score(detector, &set.images, &self.eval.run)?;
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

    fn measure(
        &self,
        detector: &Detector,
        in_set: &ScoredSet,
        out_set: &ScoredSet,
    ) -> Result<odin::Evaluation> {
        let run = &self.eval.run;
        let intervals = || Intervals::new(RESAMPLES, run.seed, threads(run.compute.threads));
        let intervals = self.eval.ci.then(intervals);
        let mode = self.eval.metrics.into();
        Ok(evaluate(detector, in_set, out_set, mode, intervals)?)
    }

    /// What goes into the run, for whoever reads the log.
    fn announce(&self, sets: &[OpenSet], first: Option<&Setting>) {
        if self.eval.run.quiet.on {
            return;
        }
        network::announce(self.classifier, false);
        if let Some(setting) = first {
            network::announce_setting(*setting, self.classifier, false);
        }
        device::announce(&self.detector, self.classifier, false);
        for set in sets {
            set.announce(&self.selection);
        }
    }
}
