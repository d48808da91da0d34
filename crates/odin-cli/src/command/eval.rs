//! `odin eval`: scores sets and measures how well the scores separate them.

use super::eval_page::{PageParts, Scored};
use super::scoring::{intervals, score};
use crate::args::{Eval, Magnitude, SettingOptions, UsageError};
use crate::output::progress::say;
use crate::output::report_files::ReportFiles;
use crate::output::score_files::ScoreFiles;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Spec, tell_apart};
use crate::resolve::setup::Setup;
use anyhow::{Result, bail};
use odin::{Detector, DetectorBuilder, NoAccuracy, ScoredSet, Setting, evaluate};
use odin_data::registry::NetworkEntry;
use odin_report::{Comparison, ComputedIn, EvaluationPage, Network, Report};
use std::time::Duration;

pub(crate) fn run(eval: &Eval, again: &str) -> Result<()> {
    check_out_datasets(eval)?;
    let mut setup = Setup::new(&eval.nn, &eval.run)?;
    setup.selection.split = eval.split;
    setup.selection.limit = eval.limit;
    let specs = setup.specs(eval.in_dataset.as_deref(), &eval.out_dataset)?;
    let setting = setup.setting(&asked_for(eval, None))?;
    let scores = setup.scores(&eval.scores_beside, setting.precision)?;
    let builder = scores.add_to(setup.builder().setting(setting));
    let files = report_files(eval, &setup, &specs)?;
    let (detector, built_in) = setup.prepare_timed(builder, DetectorBuilder::build)?;
    let experiment = Experiment {
        eval,
        setup: &setup,
        detector,
        built_in,
    };
    let mut parts = match files.are_wanted() {
        true => Some(PageParts::new(&experiment.detector, specs.1.len())?),
        false => None,
    };
    let magnitude =
        |out: &str| magnitude(eval.magnitude, &eval.nn.name, setup.network_entry(), out);
    let report = experiment.run(specs, magnitude, parts.as_mut())?;
    setup.tell_cache();
    if let Some(parts) = &parts {
        let page = EvaluationPage {
            report: &report,
            command: again,
            separations: &parts.separations,
            images: &parts.images,
        };
        files.write(|| page.to_html(), || page.plots())?;
    }
    for result in &report.results {
        if let (Some(suspicion), false) = (result.evaluation.suspicion(), eval.run.quiet.on) {
            let (in_set, out_set) = (&report.in_dataset, &result.out_dataset);
            say(&format!("warning: {in_set}, {out_set}: {suspicion}"));
        }
    }
    write_stdout(&eval.format.text(
        || report.to_table(),
        || report.to_json(),
        || report.to_csv(),
    ))
}

/// The setting asked for, at this magnitude.
fn asked_for(eval: &Eval, magnitude: Option<f64>) -> SettingOptions {
    SettingOptions {
        temperature: eval.temperature,
        magnitude,
        precision: eval.precision,
    }
}

/// Who has no out-of-distribution images is told what there is without them.
fn check_out_datasets(eval: &Eval) -> Result<()> {
    match eval.out_dataset.is_empty() {
        false => Ok(()),
        true => Err(UsageError(
            "--out-dataset is missing: name images that the network must not know, such as another data set. Without any there is Uniform (--out-dataset Uniform), which is synthetic noise; and `odin tune` measures against sets that it makes from the in-set: shuffled pixels, blends of two images, noise".into(),
        )
        .into()),
    }
}

/// The page and the plots, fit to be written before any work begins.
fn report_files(
    eval: &Eval,
    setup: &Setup<'_>,
    (in_spec, out_specs): &(Spec, Vec<Spec>),
) -> Result<ReportFiles> {
    let mut sources = setup.sources(&eval.scores_beside);
    let specs = std::iter::once(in_spec).chain(out_specs);
    sources.extend(specs.filter_map(Spec::source));
    ReportFiles::new(&eval.report, &sources, eval.run.quiet.on)
}

/// The magnitude for an out-set: the one that is given, or what the paper recommends for a network
/// of the registry; `None` where none is asked for.
fn magnitude(
    asked_for: Option<Magnitude>,
    nn: &str,
    network: Option<&NetworkEntry>,
    out: &str,
) -> Result<Option<f64>> {
    match asked_for {
        None => return Ok(None),
        Some(Magnitude::Fixed(magnitude)) => return Ok(Some(magnitude)),
        Some(Magnitude::Paper) => {}
    }
    let usage = |problem: String| anyhow::Error::from(UsageError(problem));
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
    setup: &'a Setup<'a>,
    detector: Detector,
    built_in: Option<Duration>,
}

impl Experiment<'_> {
    /// Opens and checks everything, then scores the in-set once for each setting that occurs,
    /// however many out-sets there are. `magnitude` is that for an out-set of this name.
    fn run(
        &self,
        (in_spec, out_specs): (Spec, Vec<Spec>),
        magnitude: impl Fn(&str) -> Result<Option<f64>>,
        mut parts: Option<&mut PageParts>,
    ) -> Result<Report> {
        let mut sets = self.open(in_spec, out_specs)?;
        let settings = sets.iter().skip(1).map(|out| {
            let magnitude = magnitude(out.name())?;
            self.setup.setting(&asked_for(self.eval, magnitude))
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
        let mut place = 0..;
        let mut score = |detector: &Detector, set: &OpenSet| {
            self.score(detector, set, files.as_ref().zip(place.next()))
        };
        self.setup
            .announce(of_in_set.first().copied(), Some(&self.detector), &sets);
        let mut scored_in: Vec<(Detector, ScoredSet)> = Vec::new();
        for setting in of_in_set {
            let detector = self.detector.with_setting(setting)?;
            let scored = score(&detector, in_set)?;
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
            let out_scored = score(detector, out_set)?;
            let longer = in_scored.rows.len() > out_scored.rows.len();
            let in_set_shortened = out_set.spec.shortens_in_set() && longer;
            let shortened = in_set_shortened.then(|| in_scored.truncated(out_scored.rows.len()));
            let in_scored = shortened.as_ref().unwrap_or(in_scored);
            let evaluation = self.measure(detector, in_scored, &out_scored)?;
            if let Some(parts) = &mut parts {
                let (in_images, out_images) = (&in_set.images, &out_set.images);
                parts.add(
                    detector,
                    Scored {
                        images: in_images,
                        set: in_scored,
                    },
                    Scored {
                        images: out_images,
                        set: &out_scored,
                    },
                )?;
            }
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
            network: Network::from(&self.setup.classifier),
            in_dataset: in_set.name().to_string(),
            in_set: in_set.info(in_skipped),
            accuracy,
            temperature: self.detector.setting().temperature,
            computed_in: ComputedIn::from(&self.detector),
            device: self.detector.device().to_string(),
            engine: self.detector.engine(),
            built_in: self.built_in,
            mode: self.eval.metrics.into(),
            seed: self.eval.run.seed,
            warnings: self.detector.warnings(),
            results,
        })
    }

    /// The in-set, and behind it the out-sets.
    fn open(&self, in_spec: Spec, out_specs: Vec<Spec>) -> Result<Vec<OpenSet>> {
        let in_set = self.setup.open(in_spec, 10_000)?;
        let count = in_set.images.len();
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
        of_in_set: &[Setting],
        out_sets: &[OpenSet],
    ) -> Result<Option<ScoreFiles>> {
        let Some(folder) = &self.eval.scores else {
            return Ok(None);
        };
        let mut sources = self.setup.sources(&self.eval.scores_beside);
        sources.extend(
            [in_set]
                .into_iter()
                .chain(out_sets)
                .filter_map(OpenSet::source),
        );
        let mut files = ScoreFiles::in_folder(folder)?;
        let in_names = of_in_set.iter().map(|setting| match of_in_set.len() {
            1 => in_set.name().to_string(),
            _ => format!("{}.eps{}", in_set.name(), setting.magnitude),
        });
        let out_names = out_sets.iter().map(|set| set.name().to_string());
        for name in in_names.chain(out_names) {
            files.reserve(&name, &sources)?;
        }
        Ok(Some(files))
    }

    fn score(
        &self,
        detector: &Detector,
        set: &OpenSet,
        file: Option<(&ScoreFiles, usize)>,
    ) -> Result<ScoredSet> {
        let scored = score(detector, &set.images, &self.eval.run)?;
        if let Some((files, place)) = file {
            files.write(place, &scored)?;
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

    fn measure(
        &self,
        detector: &Detector,
        in_set: &ScoredSet,
        out_set: &ScoredSet,
    ) -> Result<odin::Evaluation> {
        let run = &self.eval.run;
        let intervals = || intervals(run.seed, run.compute.threads);
        let intervals = self.eval.ci.then(intervals);
        let mode = self.eval.metrics.into();
        Ok(evaluate(detector, in_set, out_set, mode, intervals)?)
    }
}
