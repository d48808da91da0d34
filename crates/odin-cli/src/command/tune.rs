//! `odin tune`: searches for the temperature and the magnitude.

use super::scoring::{or_skip_bad, tell_skipped};
use super::tune_score;
use crate::args::{SettingOptions, Tune, UsageError};
use crate::output::atomic::{Output, SourceFile};
use crate::output::command_line::{kept_options, option};
use crate::output::progress::{Meter, say};
use crate::output::report_files::ReportFiles;
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Spec, tell_apart};
use crate::resolve::scores::Scores;
use crate::resolve::setup::Setup;
use anyhow::{Context, Result, bail};
use odin::{
    DetectorBuilder, Grid, Images, InOnlyRule, MeasureOptions, Metrics, Objective, Progress,
    Search, Setting, Sweep, SweepScores, Tuned, Tuner, measure,
};
use odin_report::{ComputedIn, Network, TuneReport, TuneTest, tune_plots};
use std::path::Path;

pub(crate) fn run(args: &Tune, again: &str) -> Result<()> {
    let out = check_out(args)?;
    if let Some(grid) = &args.score_grid {
        return tune_score::run(args, grid, out, again);
    }
    let mut setup = Setup::new(&args.nn, &args.run)?;
    setup.selection.limit = args.limit;
    let (in_spec, out_specs) = setup.specs(args.in_dataset.as_deref(), &args.out_dataset)?;
    let tune_on = args.tune_on.as_deref();
    let tune_on = tune_on.map(|name| setup.spec(name, "--tune-on"));
    let precision = setup.precision(args.precision)?;
    let grid = grid(args)?.with_precision(precision);
    let tuning = Tuning {
        args,
        scores: setup.scores(&args.scores_beside, precision)?,
        setup,
    };
    let tune_on = tune_on.transpose()?;
    let mut sources = tuning.setup.sources(&args.scores_beside);
    let specs = [&in_spec].into_iter().chain(&tune_on).chain(&out_specs);
    sources.extend(specs.filter_map(Spec::source));
    if let Some(out) = &out {
        out.is_none_of(&sources)?;
    }
    let files = ReportFiles::new(&args.report, &sources, args.run.quiet.on)?;
    let usual = tuning.setup.setting(&SettingOptions::default())?;
    let (report, tuned) = tuning.run(in_spec, tune_on, out_specs, grid)?;
    let written = out.as_ref().map(|out| match is_toml(out.path()) {
        true => write_tuned(tuned.as_ref(), out, args.run.quiet.on),
        false => write_grid(&report, out, &sources, args.run.quiet.on),
    });
    written.transpose()?;
    files.write(|| report.to_html(again), || tune_plots(&report))?;
    write_stdout(&args.format.text(
        || report.to_table(),
        || report.to_json(),
        || report.to_csv(),
    ))?;
    suggest(args, &report, usual);
    Ok(())
}

pub(super) fn is_toml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml")
}

/// The extension determines the format.
fn check_out(args: &Tune) -> Result<Option<Output>> {
    let Some(path) = &args.out else {
        return Ok(None);
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv" | "json") => Output::new(path, "--out").map(Some),
        Some("toml") if !args.transfer => Output::new(path, "--out").map(Some),
        _ => Err(UsageError(format!(
            "--out: {} must end in .toml for the setting (not with --transfer), or in .csv or .json for the grid",
            path.display()
        ))
        .into()),
    }
}

/// What is said of the grid, and what suits the rule where nothing is.
fn grid(args: &Tune) -> Result<Grid> {
    let usual = Grid::for_rule(in_only(args));
    if in_only(args) == Some(InOnlyRule::Fixed) {
        return match args.temperatures.is_empty() && args.magnitudes.is_none() {
            true => Ok(usual),
            false => Err(UsageError(
                "--temperatures, --magnitudes: nothing is tuned without out-of-distribution images; --tune-on names some, or --in-only=synthetic makes them".into(),
            )
            .into()),
        };
    }
    let temperatures = match &args.temperatures[..] {
        [] => usual.temperatures(),
        given => given,
    };
    let magnitudes = args.magnitudes.as_ref().map(|given| &given.0[..]);
    Grid::new(temperatures, magnitudes.unwrap_or(usual.magnitudes()))
        .map_err(|e| UsageError(format!("--temperatures, --magnitudes: {e}")).into())
}

/// The rule without out-of-distribution images, if there are none to tune on.
fn in_only(args: &Tune) -> Option<InOnlyRule> {
    let has_out_set = args.tune_on.is_some() || args.transfer;
    // Where settings to try are given, one of them must be chosen.
    let usual = match args.temperatures.is_empty() && args.magnitudes.is_none() {
        true => InOnlyRule::Fixed,
        false => InOnlyRule::Synthetic,
    };
    (!has_out_set).then(|| args.in_only.unwrap_or(usual))
}

/// Everything that does not depend on the sets.
struct Tuning<'a> {
    args: &'a Tune,
    setup: Setup<'a>,
    scores: Scores,
}

/// A set of which a part tunes and another tests.
pub(super) struct TwoParts {
    pub(super) set: OpenSet,
    pub(super) tests: Images,
}

/// The in-set, the set to tune on and the others.
pub(super) fn open(
    setup: &Setup<'_>,
    in_spec: Spec,
    out_specs: impl IntoIterator<Item = Spec>,
) -> Result<Vec<TwoParts>> {
    let (in_set, tests) = setup.open_in_two(in_spec, [1000, 9000])?;
    let noise = [in_set.images.len(), tests.len()];
    let (mut sets, mut rest) = (vec![in_set], vec![tests]);
    for spec in out_specs {
        let (set, tests) = setup.open_in_two(spec, noise)?;
        sets.push(set);
        rest.push(tests);
    }
    tell_apart(&mut sets);
    setup.announce(None, None, &sets);
    let sets = sets.into_iter().zip(rest);
    Ok(sets.map(|(set, tests)| TwoParts { set, tests }).collect())
}

/// How many in-distribution images a set is compared with.
pub(super) fn compared_with(out_set: &OpenSet, n_in: usize, n_out: usize) -> usize {
    match out_set.spec.shortens_in_set() {
        true => n_in.min(n_out),
        false => n_in,
    }
}

impl Tuning<'_> {
    fn run(
        &self,
        in_spec: Spec,
        tune_on: Option<Spec>,
        out_specs: Vec<Spec>,
        grid: Grid,
    ) -> Result<(TuneReport, Option<Tuned>)> {
        let tune_on_one = tune_on.is_some();
        let sets = open(&self.setup, in_spec, tune_on.into_iter().chain(out_specs))?;
        let Some((in_set, out_sets)) = sets.split_first() else {
            bail!("there is no set to tune on");
        };
        let objective = self.args.objective;
        let objective = objective.unwrap_or_else(|| Objective::for_rule(in_only(self.args)));
        let tuner = self
            .prepare(|builder| Tuner::new(builder, grid.clone(), objective, self.args.run.seed))?;
        let in_scores = self.score(&in_set.set.images, |images, p| tuner.score(images, p))?;
        let tuned_on = match (tune_on_one, self.args.transfer) {
            (true, _) => &out_sets[..1],
            (false, true) => out_sets,
            (false, false) => &[],
        };
        let mut searches = Vec::new();
        for out_set in tuned_on {
            let out_scores = self.score(&out_set.set.images, |images, p| tuner.score(images, p))?;
            searches.push(tuner.against(&in_scores, &out_scores)?);
        }
        if let Some(rule) = in_only(self.args) {
            searches.push(self.in_only(&tuner, rule, &in_set.set.images, &in_scores)?);
        }
        let tested = &out_sets[usize::from(tune_on_one)..];
        let tests = self.tests(in_set, tested, &searches)?;
        let tuned = match &searches[..] {
            [search] => Some(Tuned::new(&self.setup.classifier, search, &in_scores)),
            _ => None,
        };
        let [passes, passes_apart] = tuner.passes();
        let report = TuneReport {
            model: self.args.nn.name.clone(),
            network: Network::from(&self.setup.classifier),
            in_dataset: in_set.set.name().to_string(),
            n_in: in_scores.msp.len(),
            accuracy: in_scores.accuracy(&self.setup.classifier),
            computed_in: ComputedIn::from(&tuner),
            grid,
            searches,
            passes,
            passes_apart,
            seed: self.args.run.seed,
            warnings: tuner.warnings(),
            tests,
        };
        Ok((report, tuned))
    }

    /// The search of a rule that makes its own sets, each with its progress.
    fn in_only(
        &self,
        tuner: &Tuner,
        rule: InOnlyRule,
        images: &Images,
        in_scores: &SweepScores,
    ) -> Result<Search> {
        let mut meter: Option<(String, Meter)> = None;
        let search = tuner.in_only(rule, images, in_scores, |set, progress| {
            if meter.as_ref().is_none_or(|(name, _)| name != set) {
                meter = Some((set.to_string(), Meter::new(set, self.args.run.quiet.on)));
            }
            if let Some((_, meter)) = &mut meter {
                meter.update(progress);
            }
        });
        drop(meter);
        or_skip_bad(search, self.args.run.skip_bad)
    }

    /// The paper's setting in the precision of the search.
    fn paper(&self) -> Result<Setting> {
        let precision = self.setup.precision(self.args.precision)?;
        Ok(Setting::PAPER.with_precision(precision))
    }

    /// Finishes a builder of ODIN, the scores asked for and those that cost nothing.
    fn prepare<T>(
        &self,
        finish: impl FnOnce(DetectorBuilder) -> Result<T, odin::Error>,
    ) -> Result<T> {
        let builder = self.scores.add_to(self.setup.builder());
        self.setup.prepare(builder.free_scores()?, finish)
    }

    /// Scores images at many settings, with progress on standard error.
    fn score(
        &self,
        images: &Images,
        score: impl FnOnce(&Images, &mut dyn FnMut(Progress)) -> Result<SweepScores, odin::Error>,
    ) -> Result<SweepScores> {
        let run = &self.args.run;
        let mut meter = Meter::new(images.name(), run.quiet.on);
        let scores = score(images, &mut |p| meter.update(p));
        drop(meter);
        let scores = or_skip_bad(scores, run.skip_bad)?;
        tell_skipped(&scores.name, &scores.skipped, run.quiet.on);
        Ok(scores)
    }

    /// Evaluates the chosen settings on images that took no part in the choice.
    fn tests(
        &self,
        in_set: &TwoParts,
        out_sets: &[TwoParts],
        searches: &[Search],
    ) -> Result<Vec<TuneTest>> {
        if out_sets.is_empty() {
            return Ok(Vec::new());
        }
        let paper = self.paper()?;
        let mut settings = vec![paper];
        for search in searches {
            if !settings.contains(&search.choice.setting) {
                settings.push(search.choice.setting);
            }
        }
        let sweep: Sweep = self.prepare(|builder| builder.sweep(&settings))?;
        let score = |images: &Images| self.score(images, |images, p| sweep.score_set(images, p));
        let in_scores = score(&in_set.tests)?;
        let mut tests = Vec::new();
        for out_set in out_sets {
            let out_scores = score(&out_set.tests)?;
            tests.push(self.test(&out_set.set, &in_scores, &out_scores, searches)?);
        }
        Ok(tests)
    }

    fn test(
        &self,
        out_set: &OpenSet,
        in_scores: &SweepScores,
        out_scores: &SweepScores,
        searches: &[Search],
    ) -> Result<TuneTest> {
        let n_out = out_scores.msp.len();
        let n_in = compared_with(out_set, in_scores.msp.len(), n_out);
        let exact = MeasureOptions::default();
        let measure = |in_scores: &[f64], out_scores: &[f64]| -> Result<Metrics> {
            Ok(measure(&in_scores[..n_in], out_scores, &exact)?.metrics)
        };
        let columns = in_scores.others.iter().zip(&out_scores.others);
        let mut others = vec![("msp".to_string(), measure(&in_scores.msp, &out_scores.msp)?)];
        for (name, (in_scores, out_scores)) in in_scores.other_names.iter().zip(columns) {
            others.push((name.clone(), measure(in_scores, out_scores)?));
        }
        let at = |setting: Setting| -> Result<Metrics> {
            let place = in_scores.settings.iter().position(|s| *s == setting);
            let place = place.context("a setting was not scored")?;
            measure(&in_scores.odin[place], &out_scores.odin[place])
        };
        let tuned = searches.iter().map(|search| at(search.choice.setting));
        Ok(TuneTest {
            out_dataset: out_set.name().to_string(),
            n_in,
            n_out,
            others,
            default: at(self.paper()?)?,
            tuned: tuned.collect::<Result<_>>()?,
        })
    }
}

/// What was chosen, for `odin calibrate --tuned`.
pub(super) fn write_tuned(tuned: Option<&Tuned>, out: &Output, quiet: bool) -> Result<()> {
    let tuned = tuned.context("--out: several settings were chosen, which no file holds")?;
    out.write(tuned.to_toml().as_bytes())?;
    if !quiet {
        say(&format!("wrote {}", out.path().display()));
    }
    Ok(())
}

/// The grid, and beside it the plots of the first search.
fn write_grid(
    report: &TuneReport,
    out: &Output,
    sources: &[SourceFile],
    quiet: bool,
) -> Result<()> {
    let path = out.path();
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => report.to_json(),
        _ => report.to_csv(),
    };
    out.write(text.as_bytes())?;
    for (name, svg) in tune_plots(report) {
        let mut file = path.file_stem().unwrap_or_default().to_os_string();
        file.push(format!("-{name}.svg"));
        let plot = path.with_file_name(file);
        let of_plot = Output::new(&plot, "--out")?;
        of_plot.is_none_of(sources)?;
        of_plot.write(svg.as_bytes())?;
        if !quiet {
            say(&format!("wrote {}", plot.display()));
        }
    }
    if !quiet {
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// What to do next; `usual` is the setting of `odin calibrate` where none is given.
fn suggest(args: &Tune, report: &TuneReport, usual: Setting) {
    let ([search], false) = (&report.searches[..], args.run.quiet.on) else {
        return;
    };
    let setting = match &args.out {
        Some(path) if is_toml(path) => option("--tuned", path.display()),
        _ => differing(search.choice.setting, usual),
    };
    let in_dataset = args.in_dataset.as_deref().unwrap_or(&report.in_dataset);
    say(&format!(
        "Next, a threshold: {}{setting} -o detector.toml",
        calibrate(args, in_dataset)
    ));
}

/// The command that finds the threshold, with what the user said of network and images.
pub(super) fn calibrate(args: &Tune, in_dataset: &str) -> String {
    let (nn, kept) = (option("--nn", &args.nn.name), kept_options(&args.run));
    let in_dataset = option("--in-dataset", in_dataset);
    format!("odin calibrate{nn}{in_dataset}{kept}")
}

/// The options for a setting where it is not what `odin calibrate` takes anyway.
fn differing(setting: Setting, usual: Setting) -> String {
    let options = [
        ("--temperature", setting.temperature, usual.temperature),
        ("--magnitude", setting.magnitude, usual.magnitude),
    ];
    let options = options.into_iter().filter(|(_, own, usual)| own != usual);
    let mut options: String = options
        .map(|(name, own, _)| format!(" {name} {own}"))
        .collect();
    if setting.precision != usual.precision {
        options.push_str(&format!(" --precision {}", setting.precision));
    }
    options
}
