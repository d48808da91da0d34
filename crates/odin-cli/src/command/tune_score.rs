//! `odin tune --for`: searches for the parameters of a score.

use super::scoring::{or_skip_bad, tell_skipped};
use super::tune::{TwoParts, calibrate, compared_with, is_toml, open, write_tuned};
use crate::args::{Tune, UsageError};
use crate::output::atomic::Output;
use crate::output::command_line::{fit_options, option};
use crate::output::progress::{Meter, say};
use crate::output::report_files::ReportFiles;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::Spec;
use crate::resolve::setup::Setup;
use anyhow::{Result, bail};
use odin::{
    CandidateScores, Images, InOnlyRule, MeasureOptions, Objective, ParameterGrid, Precision,
    ScoreSearch, ScoreTuner, Setting, Tuned, measure,
};
use odin_report::{ComputedIn, Network, ScoreTuneReport, ScoreTuneTest};

pub(super) fn run(
    args: &Tune,
    grid: &ParameterGrid,
    out: Option<Output>,
    again: &str,
) -> Result<()> {
    check(args, grid)?;
    let mut setup = Setup::new(&args.nn, &args.run)?;
    setup.selection.limit = args.limit;
    let (in_spec, out_specs) = setup.specs(args.in_dataset.as_deref(), &args.out_dataset)?;
    let tune_on = args.tune_on.as_deref();
    let tune_on = tune_on
        .map(|name| setup.spec(name, "--tune-on"))
        .transpose()?;
    let precision = setup.precision(args.precision)?;
    let mut sources = setup.sources(&args.scores_beside);
    let specs = [&in_spec].into_iter().chain(&tune_on).chain(&out_specs);
    sources.extend(specs.filter_map(Spec::source));
    if let Some(out) = &out {
        out.is_none_of(&sources)?;
    }
    let files = ReportFiles::new(&args.report, &sources, args.run.quiet.on)?;
    let has_out = tune_on.is_some();
    let sets = open(&setup, in_spec, tune_on.into_iter().chain(out_specs))?;
    let search = Search {
        args,
        setup,
        precision,
    };
    let (report, tuned) = search.run(grid, &sets, has_out)?;
    search.setup.tell_cache();
    match &out {
        Some(out) if is_toml(out.path()) => write_tuned(Some(&tuned), out, args.run.quiet.on)?,
        Some(out) => write_grid(&report, out, args.run.quiet.on)?,
        None => {}
    }
    files.write(|| report.to_html(again), || report.plots())?;
    write_stdout(&args.format.text(
        || report.to_table(),
        || report.to_json(),
        || report.to_csv(),
    ))?;
    suggest(args, &report);
    Ok(())
}

fn check(args: &Tune, grid: &ParameterGrid) -> Result<()> {
    let method = grid.method();
    let problem = match args.in_only {
        Some(rule) if rule != InOnlyRule::Synthetic => format!(
            "--in-only={rule}: this rule is for T and ε; the parameters of a score are tuned with --tune-on, or on synthetic sets"
        ),
        _ if method.needs_training() && args.scores_beside.fit_on.is_none() => format!(
            "--for: {method} is fitted to images that the network was trained on; --fit-on names them"
        ),
        _ => return Ok(()),
    };
    Err(UsageError(problem).into())
}

struct Search<'a> {
    args: &'a Tune,
    setup: Setup<'a>,
    precision: Precision,
}

impl Search<'_> {
    /// The first of the sets is the in-set, and the second tunes if `has_out`; the others test.
    fn run(
        &self,
        grid: &ParameterGrid,
        sets: &[TwoParts],
        has_out: bool,
    ) -> Result<(ScoreTuneReport, Tuned)> {
        let (Some((in_set, out_sets)), args) = (sets.split_first(), self.args) else {
            bail!("there is no set to tune on");
        };
        let training = self.setup.training(&args.scores_beside)?;
        let tuner = self.tuner(grid, training.as_ref())?;
        let in_scores = self.score(&tuner, &in_set.set.images)?;
        let in_only = (!has_out).then_some(InOnlyRule::Synthetic);
        let objective = args.objective;
        let objective = objective.unwrap_or_else(|| Objective::for_rule(in_only));
        let search = match out_sets.first().filter(|_| has_out) {
            Some(out_set) => {
                let out_scores = self.score(&tuner, &out_set.set.images)?;
                tuner.against(objective, &in_scores, &out_scores)?
            }
            None => self.synthetic(&tuner, objective, &in_set.set.images, &in_scores)?,
        };
        self.warn(&tuner, &search);
        let tests = self.tests(&tuner, in_set, &out_sets[usize::from(has_out)..])?;
        let classifier = &self.setup.classifier;
        let tuned = Tuned::of_score(classifier, &tuner, &search, &in_scores)?;
        let left_out = tuner.left_out().iter();
        let report = ScoreTuneReport {
            model: args.nn.name.clone(),
            network: Network::from(classifier),
            score: tuner.method().to_string(),
            in_dataset: in_set.set.name().to_string(),
            n_in: in_scores.images(),
            fitted_to: training
                .filter(|_| tuner.method().needs_training())
                .map(|images| (images.name().to_string(), images.len())),
            candidates: tuner.candidates().map(|c| c.spec.clone()).collect(),
            default: tuner.default_candidate(),
            computed_in: ComputedIn::from(&tuner),
            warnings: warnings(&tuner, &search),
            left_out: left_out
                .map(|(spec, error)| (spec.clone(), error.to_string()))
                .collect(),
            synthetic: !has_out,
            search,
            seed: args.run.seed,
            tests,
        };
        Ok((report, tuned))
    }

    fn tuner(&self, grid: &ParameterGrid, training: Option<&Images>) -> Result<ScoreTuner> {
        let run = &self.args.run;
        let label = format!("fitting to {}", training.map_or("", Images::name));
        let mut meter = Meter::new(&label, run.quiet.on);
        let setting = Setting::PAPER.with_precision(self.precision);
        let builder = self.setup.builder().setting(setting);
        self.setup.prepare(builder, |builder| {
            ScoreTuner::new(builder, grid, training, run.seed, |p| meter.update(p))
        })
    }

    /// Scores images by every candidate, with progress on standard error.
    fn score(&self, tuner: &ScoreTuner, images: &Images) -> Result<CandidateScores> {
        let run = &self.args.run;
        let mut meter = Meter::new(images.name(), run.quiet.on);
        let scores = tuner.score(images, |p| meter.update(p));
        drop(meter);
        let scores = or_skip_bad(scores, run.skip_bad)?;
        tell_skipped(&scores.name, &scores.skipped, run.quiet.on);
        Ok(scores)
    }

    fn synthetic(
        &self,
        tuner: &ScoreTuner,
        objective: Objective,
        images: &Images,
        in_scores: &CandidateScores,
    ) -> Result<ScoreSearch> {
        let run = &self.args.run;
        let mut meter: Option<(String, Meter)> = None;
        let search = tuner.synthetic(objective, images, in_scores, |set, progress| {
            if meter.as_ref().is_none_or(|(name, _)| name != set) {
                meter = Some((set.to_string(), Meter::new(set, run.quiet.on)));
            }
            if let Some((_, meter)) = &mut meter {
                meter.update(progress);
            }
        });
        drop(meter);
        or_skip_bad(search, run.skip_bad)
    }

    /// Why what was chosen is not to be trusted.
    fn warn(&self, tuner: &ScoreTuner, search: &ScoreSearch) {
        let Some(chosen) = tuner.candidates().nth(search.chosen) else {
            return;
        };
        for warning in chosen.fitted.warnings() {
            say(&format!("warning: {}: {warning}", chosen.spec));
        }
        if !self.args.run.quiet.on {
            for note in chosen.fitted.notes() {
                say(&format!("{}: {note}", chosen.spec));
            }
        }
    }

    /// Evaluates every candidate on images that took no part in the choice.
    fn tests(
        &self,
        tuner: &ScoreTuner,
        in_set: &TwoParts,
        out_sets: &[TwoParts],
    ) -> Result<Vec<ScoreTuneTest>> {
        if out_sets.is_empty() {
            return Ok(Vec::new());
        }
        let in_scores = self.score(tuner, &in_set.tests)?;
        let mut tests = Vec::new();
        for out_set in out_sets {
            let out_scores = self.score(tuner, &out_set.tests)?;
            let (n_in, n_out) = (in_scores.images(), out_scores.images());
            let n_in = compared_with(&out_set.set, n_in, n_out);
            let pairs = in_scores.columns.iter().zip(&out_scores.columns);
            let exact = MeasureOptions::default();
            let metrics = pairs
                .map(|(inside, outside)| Ok(measure(&inside[..n_in], outside, &exact)?.metrics));
            tests.push(ScoreTuneTest {
                out_dataset: out_set.set.name().to_string(),
                n_in,
                n_out,
                metrics: metrics.collect::<Result<_>>()?,
            });
        }
        Ok(tests)
    }
}

/// Of what was chosen.
fn warnings(tuner: &ScoreTuner, search: &ScoreSearch) -> Vec<String> {
    let chosen = tuner.candidates().nth(search.chosen);
    chosen.map_or(Vec::new(), |chosen| chosen.fitted.warnings().to_vec())
}

fn write_grid(report: &ScoreTuneReport, out: &Output, quiet: bool) -> Result<()> {
    let path = out.path();
    let text = match path.extension().is_some_and(|e| e == "json") {
        true => report.to_json(),
        false => report.to_csv(),
    };
    out.write(text.as_bytes())?;
    if !quiet {
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The option for a precision that `odin calibrate` does not take anyway.
fn precision_option(precision: Precision) -> String {
    match precision {
        Precision::Exact => String::new(),
        other => format!(" --precision {other}"),
    }
}

/// What to do next.
fn suggest(args: &Tune, report: &ScoreTuneReport) {
    if args.run.quiet.on {
        return;
    }
    let in_dataset = args.in_dataset.as_deref().unwrap_or(&report.in_dataset);
    let command = calibrate(args, in_dataset);
    let chosen = match &args.out {
        Some(path) if is_toml(path) => option("--tuned", path.display()),
        _ => option("--score", report.chosen()) + &precision_option(report.computed_in.precision),
    };
    let fitting = match report.fitted_to {
        Some(_) => fit_options(&args.scores_beside),
        None => String::new(),
    };
    say(&format!(
        "Next, a threshold: {command}{chosen}{fitting} -o detector.toml"
    ));
}
