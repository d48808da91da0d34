//! `odin eval`.

use crate::args::{Eval, Format, Magnitude, UsageError};
use crate::detectors::Detectors;
use crate::open_set::{OpenSet, tell_apart};
use crate::score_files::{ScoreFile, ScoreFiles};
use crate::scoring::score;
use crate::spec::{self, Selection, Spec};
use crate::{device, network};
use anyhow::{Context, Result, bail};
use odin::{Classifier, Detector, Device, Intervals, NoAccuracy, ScoredSet, evaluate};
use odin_data::registry::Registry;
use odin_report::{Comparison, Network, Report};
use std::io::Write;

const RESAMPLES: usize = 1000;

pub(crate) fn run(eval: &Eval) -> Result<()> {
    let device = device::chosen(&eval.run.device)?;
    let registry = spec::registry(&eval.run.network.registry)?;
    let classifier = network::open(&eval.nn, "--nn", &eval.run.network, &registry)?;
    let selection = Selection::new(&eval.run, &classifier, eval.split, eval.limit);
    let specs = specs(
        &eval.nn,
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
    let asked_for = network::magnitude(eval.magnitude, &classifier, eval.run.quiet);
    let report = experiment.run(specs, |out| magnitude(asked_for, &eval.nn, &registry, out))?;
    print(&report, eval.format)
}

/// The in-set and the out-sets. All that are not here are named at once.
pub(crate) fn specs(
    nn: &str,
    in_dataset: Option<&str>,
    out_datasets: &[String],
    selection: &Selection,
    registry: &Registry,
) -> Result<(Spec, Vec<Spec>)> {
    let in_spec = in_spec(nn, in_dataset, selection, registry);
    let mut errors = Vec::new();
    let mut out_specs = Vec::new();
    for name in out_names(out_datasets, registry) {
        match Spec::resolve(&name, "--out-dataset", selection, registry) {
            Ok(spec) => out_specs.push(spec),
            Err(error) => errors.push(error),
        }
    }
    match (in_spec, errors.pop()) {
        (Ok(in_spec), None) => Ok((in_spec, out_specs)),
        (Err(error), None) => Err(error),
        (Ok(_), Some(only)) if errors.is_empty() => Err(only),
        (in_spec, last) => {
            let errors = in_spec.err().into_iter().chain(errors).chain(last);
            let errors: Vec<String> = errors.map(|error| format!("{error:#}")).collect();
            bail!(
                "{} sets cannot be used\n{}",
                errors.len(),
                errors.join("\n")
            )
        }
    }
}

/// The in-set named, or the one that the registry says the network was trained on.
pub(crate) fn in_spec(
    nn: &str,
    in_dataset: Option<&str>,
    selection: &Selection,
    registry: &Registry,
) -> Result<Spec> {
    let of_network = || spec::named(nn, registry)?.network()?.in_dataset.clone();
    match in_dataset.map(str::to_string).or_else(of_network) {
        Some(text) => Spec::resolve(&text, "--in-dataset", selection, registry),
        None => Err(UsageError(
            "--in-dataset is missing: name the set that the network was trained on".into(),
        )
        .into()),
    }
}

fn out_names(out_datasets: &[String], registry: &Registry) -> Vec<String> {
    let of_paper = || registry.paper_out_datasets().into_iter();
    let names = out_datasets.iter();
    let names = names.flat_map(|text| match text.as_str() {
        "all" => of_paper().map(|entry| entry.name.clone()).collect(),
        text => vec![text.to_string()],
    });
    names.collect()
}

fn magnitude(asked_for: Magnitude, nn: &str, registry: &Registry, out: &str) -> Result<f64> {
    let network = spec::named(nn, registry).and_then(|e| e.network());
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
    threads: usize,
}

impl<'a> Experiment<'a> {
    fn new(
        eval: &'a Eval,
        selection: Selection,
        classifier: &'a Classifier,
        device: Device,
        detectors: &Detectors,
    ) -> Result<Self> {
        let threads = threads(eval.run.threads);
        let builder = Detector::builder(classifier)
            .temperature(network::temperature(
                eval.temperature,
                classifier,
                eval.run.quiet,
            ))
            .threads(threads)
            .batch_size(eval.run.batch_size);
        let detector = device::build(detectors.add_to(builder), device, &eval.run.device)?;
        Ok(Self {
            eval,
            selection,
            classifier,
            detector,
            threads,
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
            model: self.eval.nn.clone(),
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
        let intervals = self
            .eval
            .ci
            .then(|| Intervals::new(RESAMPLES, self.eval.run.seed, self.threads));
        let classes = self.classifier.classes();
        let (t, mode) = (self.detector.temperature(), self.eval.metrics.into());
        Ok(evaluate(in_set, out_set, classes, t, mode, intervals)?)
    }

    /// What goes into the run, for whoever reads the log.
    fn announce(&self, sets: &[OpenSet]) -> Result<()> {
        if self.eval.run.quiet {
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

/// As many as asked for, or as there are cores.
pub(crate) fn threads(asked_for: Option<usize>) -> usize {
    asked_for.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Writes the results to standard output.
pub(crate) fn print(report: &Report, format: Format) -> Result<()> {
    let text = match format {
        Format::Table => report.to_table(),
        Format::Json => report.to_json(),
        Format::Csv => report.to_csv(),
    };
    write_stdout(&text)
}

pub(crate) fn write_stdout(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}
