//! `odin eval`.

use crate::args::{Eval, Format, Magnitude, UsageError};
use crate::network;
use crate::progress::{Meter, say};
use crate::score_files::ScoreFiles;
use crate::spec::{self, Selection, Spec};
use anyhow::{Context, Result};
use odin::{Classifier, Detector, Images, Intervals, ScoredSet, evaluate};
use odin_data::DataSet;
use odin_data::registry::Registry;
use odin_report::{Comparison, Network, Report};
use std::io::Write;

const RESAMPLES: usize = 1000;

pub(crate) fn run(eval: &Eval) -> Result<()> {
    if let Some(gpu) = &eval.gpu {
        return Err(UsageError(format!(
            "--gpu {gpu}: this build has no GPU engine; leave the option out to run on the CPU, whose cores --threads counts"
        ))
        .into());
    }
    let registry = spec::registry(&eval.network.registry)?;
    let classifier = network::open(&eval.nn, "--nn", &eval.network, &registry)?;
    let selection = Selection {
        data_dir: eval.network.data_dir.clone(),
        split: eval.split,
        limit: eval.limit,
        seed: eval.seed,
        transform: eval.transform.clone(),
        of_model: network::transform(&classifier),
        image_shape: classifier.image_shape(),
        any_shape: network::takes_any_shape(&classifier),
    };
    let in_spec = in_spec(eval, &selection, &registry)?;
    let out_specs = out_specs(eval, &selection, &registry)?;
    let asked_for = network::magnitude(eval.magnitude, &classifier, eval.quiet);
    let magnitudes: Vec<f64> = out_specs
        .iter()
        .map(|out| magnitude(asked_for, &eval.nn, &registry, out))
        .collect::<Result<_>>()?;
    let experiment = Experiment::new(eval, selection, &classifier)?;
    let report = experiment.run(&in_spec, &out_specs, &magnitudes)?;
    print(&report, eval.format)
}

/// The in-set named, or the one that the registry says the network was trained on.
fn in_spec(eval: &Eval, selection: &Selection, registry: &Registry) -> Result<Spec> {
    let of_network = || registry.get(&eval.nn)?.network()?.in_dataset.clone();
    match eval.in_dataset.clone().or_else(of_network) {
        Some(text) => Spec::resolve(&text, "--in-dataset", selection, registry),
        None => Err(UsageError(
            "--in-dataset is missing: name the set that the network was trained on".into(),
        )
        .into()),
    }
}

fn out_specs(eval: &Eval, selection: &Selection, registry: &Registry) -> Result<Vec<Spec>> {
    let names = eval
        .out_dataset
        .iter()
        .flat_map(|text| match text.as_str() {
            "all" => registry
                .paper_out_datasets()
                .iter()
                .map(|e| e.name.clone())
                .collect(),
            text => vec![text.to_string()],
        });
    names
        .map(|name| Spec::resolve(&name, "--out-dataset", selection, registry))
        .collect()
}

fn magnitude(asked_for: Magnitude, nn: &str, registry: &Registry, out: &Spec) -> Result<f64> {
    let network = registry.get(nn).and_then(|e| e.network());
    match (asked_for, network) {
        (Magnitude::Fixed(magnitude), _) => Ok(magnitude),
        (Magnitude::Paper, None) => Err(UsageError(
            "--magnitude paper: the paper recommends magnitudes for its own networks (densenet10, densenet100, wideresnet10, wideresnet100), named as --nn; give a number".into(),
        )
        .into()),
        (Magnitude::Paper, Some(network)) => network.recommended_magnitude(&out.name).ok_or_else(|| {
            UsageError(format!(
                "--magnitude paper: nothing is recommended for {nn} and {}; give a number",
                out.name
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
    fn new(eval: &'a Eval, selection: Selection, classifier: &'a Classifier) -> Result<Self> {
        let threads = threads(eval.threads);
        let detector = Detector::builder(classifier)
            .temperature(network::temperature(
                eval.temperature,
                classifier,
                eval.quiet,
            ))
            .threads(threads)
            .batch_size(eval.batch_size)
            .build()?;
        Ok(Self {
            eval,
            selection,
            classifier,
            detector,
            threads,
        })
    }

    /// Scores the in-set once for each magnitude that occurs, however many out-sets there are.
    fn run(&self, in_spec: &Spec, out_specs: &[Spec], magnitudes: &[f64]) -> Result<Report> {
        let (eval, selection) = (self.eval, &self.selection);
        let mut files = match &eval.scores {
            Some(folder) => Some(ScoreFiles::in_folder(folder)?),
            None => None,
        };
        let in_set = in_spec.open(selection, Spec::noise_count(selection, 10_000))?;
        self.announce(in_spec, &*in_set, out_specs)?;
        let mut scored_in: Vec<(f64, ScoredSet)> = Vec::new();
        for &magnitude in magnitudes {
            if !scored_in.iter().any(|(known, _)| *known == magnitude) {
                let scored = self.score(in_spec, &*in_set, magnitude)?;
                scored_in.push((magnitude, scored));
            }
        }
        if let Some(files) = &mut files {
            for (magnitude, scored) in &scored_in {
                let name = match scored_in.len() {
                    1 => in_spec.name.clone(),
                    _ => format!("{}.eps{magnitude}", in_spec.name),
                };
                files.write(&name, scored)?;
            }
        }
        let mut results = Vec::new();
        let mut accuracy = None;
        for (out_spec, &magnitude) in out_specs.iter().zip(magnitudes) {
            let Some((_, in_scored)) = scored_in.iter().find(|(known, _)| *known == magnitude)
            else {
                continue;
            };
            accuracy = accuracy.or(in_scored.accuracy(self.classifier.classes()));
            let count = Spec::noise_count(selection, in_scored.rows.len());
            let out_set = out_spec.open(selection, count)?;
            let out_scored = self.score(out_spec, &*out_set, magnitude)?;
            if let Some(files) = &mut files {
                files.write(&out_spec.name, &out_scored)?;
            }
            let mut in_scored = in_scored.clone();
            if out_spec.shortens_in_set() {
                in_scored.rows.truncate(out_scored.rows.len());
            }
            results.push(Comparison {
                out_dataset: out_spec.name.clone(),
                magnitude,
                evaluation: self.measure(&in_scored, &out_scored)?,
            });
        }
        Ok(Report {
            model: eval.nn.clone(),
            network: Network::from(self.classifier),
            in_dataset: in_spec.name.clone(),
            accuracy,
            temperature: self.detector.temperature(),
            mode: eval.metrics.into(),
            seed: eval.seed,
            results,
        })
    }

    fn score(&self, spec: &Spec, set: &dyn DataSet, magnitude: f64) -> Result<ScoredSet> {
        let range = spec.range(&self.selection, set.len())?;
        if !self.eval.quiet {
            for note in set.notes() {
                say(&format!("{}: {note}", spec.name));
            }
        }
        let images = Images::all(set).range(range).skip_bad(self.eval.skip_bad);
        let mut meter = Meter::new(&spec.name, self.eval.quiet);
        let scored = self
            .detector
            .score_set(&images, magnitude, |p| meter.update(p))?;
        drop(meter);
        if !scored.skipped.is_empty() {
            say(&format!(
                "{}: {} images were left out because they do not decode:",
                spec.name,
                scored.skipped.len()
            ));
            for skipped in &scored.skipped {
                say(&format!("  {}: {}", skipped.name, skipped.reason));
            }
        }
        Ok(scored)
    }

    fn measure(&self, in_set: &ScoredSet, out_set: &ScoredSet) -> Result<odin::Evaluation> {
        let intervals = self.eval.ci.then_some(Intervals {
            resamples: RESAMPLES,
            seed: self.eval.seed,
            threads: self.threads,
        });
        let classes = self.classifier.classes();
        let (t, mode) = (self.detector.temperature(), self.eval.metrics.into());
        Ok(evaluate(in_set, out_set, classes, t, mode, intervals)?)
    }

    /// What goes into the run, for whoever reads the log.
    fn announce(&self, in_spec: &Spec, in_set: &dyn DataSet, out_specs: &[Spec]) -> Result<()> {
        if self.eval.quiet {
            return Ok(());
        }
        network::announce(self.classifier, false);
        say(&format!("{}: {} images", in_spec.name, in_set.len()));
        for spec in std::iter::once(in_spec).chain(out_specs) {
            if let Some(transform) = spec.transform(&self.selection)? {
                say(&format!("{}, every image: {transform}", spec.name));
            }
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
