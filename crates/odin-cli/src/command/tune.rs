//! `odin tune`: searches the temperature and the magnitude.

use super::scoring::or_skip_bad;
use crate::args::{Format, InOnly, Tune, UsageError};
use crate::output::atomic;
use crate::output::progress::{Meter, say};
use crate::output::stdout::write_stdout;
use crate::resolve::dataset::{OpenSet, Spec, tell_apart};
use crate::resolve::network::DEFAULT;
use crate::resolve::scores::Detectors;
use crate::resolve::setup::Setup;
use anyhow::{Context, Result, bail};
use odin::{Grid, Images, Setting, Sweep, SweepScores, choose, mean_scores, sweep_metrics};
use odin_data::{DataSet, NoiseKind, Synthetic, SyntheticKind, noise};
use odin_metrics::{Metrics, Scores};
use odin_report::{Network, Rule, Search, TuneReport, TuneTest, tune_plots};
use std::ops::Range;
use std::path::Path;

/// What tuning on synthetic sets is called.
const SYNTHETIC: &str = "sets made from the in-set: shuffled pixels, blends, noise";

pub(crate) fn run(args: &Tune) -> Result<()> {
    check_out(args)?;
    let mut setup = Setup::new(&args.nn, &args.run)?;
    setup.selection.limit = args.limit;
    let (in_spec, out_specs) = setup.specs(args.in_dataset.as_deref(), &args.out_dataset)?;
    let tune_on = args.tune_on.as_deref();
    let tune_on = tune_on.map(|name| setup.spec(name, "--tune-on"));
    let grid = grid(args)?;
    let tuning = Tuning {
        args,
        detectors: setup.detectors(&args.detectors)?,
        setup,
    };
    let report = tuning.run(in_spec, tune_on.transpose()?, out_specs, grid)?;
    if let Some(path) = &args.out {
        write_grid(&report, path, args.run.quiet.on)?;
    }
    write_stdout(&match args.format {
        Format::Table => report.to_table(),
        Format::Json => report.to_json(),
        Format::Csv => report.to_csv(),
    })?;
    suggest(args, &report);
    Ok(())
}

/// The extension says what is written.
fn check_out(args: &Tune) -> Result<()> {
    let Some(path) = &args.out else {
        return Ok(());
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv" | "json") => Ok(()),
        _ => Err(UsageError(format!(
            "--out: {} must end in .csv or .json",
            path.display()
        ))
        .into()),
    }
}

fn grid(args: &Tune) -> Result<Grid> {
    let by_mean = tunes_in_only(args) == Some(InOnly::MeanScore);
    let temperatures = match (&args.temperatures[..], by_mean) {
        ([], true) => &[DEFAULT.temperature],
        ([], false) => &Grid::PAPER_TEMPERATURES[..],
        (given, _) => given,
    };
    Grid::new(temperatures, &args.magnitudes.0)
        .map_err(|e| UsageError(format!("--temperatures, --magnitudes: {e}")).into())
}

/// The rule without out-of-distribution images, if there are none to tune on.
fn tunes_in_only(args: &Tune) -> Option<InOnly> {
    let has_out_set = args.tune_on.is_some() || args.transfer;
    (!has_out_set).then(|| args.in_only.unwrap_or(InOnly::MeanScore))
}

/// Everything that does not depend on the sets.
struct Tuning<'a> {
    args: &'a Tune,
    setup: Setup<'a>,
    detectors: Detectors,
}

/// A set of which a part tunes and another tests.
struct TwoParts {
    set: OpenSet,
    tests: Range<usize>,
}

impl Tuning<'_> {
    fn run(
        &self,
        in_spec: Spec,
        tune_on: Option<Spec>,
        out_specs: Vec<Spec>,
        grid: Grid,
    ) -> Result<TuneReport> {
        let tune_on_one = tune_on.is_some();
        let sets = self.open(in_spec, tune_on.into_iter().chain(out_specs))?;
        let Some((in_set, out_sets)) = sets.split_first() else {
            bail!("there is no set to tune on");
        };
        let sweep = self.sweep(&grid.settings(), false)?;
        let in_scores = self.score(&sweep, &in_set.set, in_set.set.range.clone())?;
        let tuned_on = match (tune_on_one, self.args.transfer) {
            (true, _) => &out_sets[..1],
            (false, true) => out_sets,
            (false, false) => &[],
        };
        let mut searches = Vec::new();
        for out_set in tuned_on {
            let range = out_set.set.range.clone();
            let out_scores = self.score(&sweep, &out_set.set, range)?;
            searches.push(self.search(&out_set.set.name, &in_scores, &out_scores)?);
        }
        match tunes_in_only(self.args) {
            None => {}
            Some(InOnly::MeanScore) => searches.push(by_mean_score(&grid, &in_scores)?),
            Some(InOnly::Synthetic) => {
                let synthetic = self.synthetic(&sweep, &in_set.set)?;
                searches.push(self.search(SYNTHETIC, &in_scores, &synthetic)?);
            }
        }
        let tested = &out_sets[usize::from(tune_on_one)..];
        let tests = self.tests(in_set, tested, &searches)?;
        Ok(TuneReport {
            model: self.args.nn.name.clone(),
            network: Network::from(&self.setup.classifier),
            in_dataset: in_set.set.name.clone(),
            n_in: in_scores.msp.len(),
            grid,
            searches,
            passes: sweep.passes(),
            passes_apart: sweep.passes_apart(),
            seed: self.args.run.seed,
            tests,
        })
    }

    /// The in-set, the set to tune on and the others.
    fn open(
        &self,
        in_spec: Spec,
        out_specs: impl IntoIterator<Item = Spec>,
    ) -> Result<Vec<TwoParts>> {
        let (in_set, tests) = self.setup.open_in_two(in_spec, [1000, 9000])?;
        let noise = [in_set.range.len(), tests.len()];
        let (mut sets, mut rest) = (vec![in_set], vec![tests]);
        for spec in out_specs {
            let (set, tests) = self.setup.open_in_two(spec, noise)?;
            sets.push(set);
            rest.push(tests);
        }
        tell_apart(&mut sets);
        self.setup.announce(None, &sets)?;
        let sets = sets.into_iter().zip(rest);
        Ok(sets.map(|(set, tests)| TwoParts { set, tests }).collect())
    }

    fn sweep(&self, settings: &[Setting], with_others: bool) -> Result<Sweep> {
        let mut builder = self.setup.builder();
        if with_others {
            builder = builder.scorers(self.detectors.scorers());
        }
        self.setup
            .prepare(builder, |builder| builder.sweep(settings))
    }

    fn score(&self, sweep: &Sweep, set: &OpenSet, range: Range<usize>) -> Result<SweepScores> {
        let images = Images::all(&*set.set).range(range);
        self.score_images(sweep, &set.name, images)
    }

    fn score_images(&self, sweep: &Sweep, name: &str, images: Images<'_>) -> Result<SweepScores> {
        let run = &self.args.run;
        let images = images.skip_bad(run.skip_bad);
        let mut meter = Meter::new(name, run.quiet.on);
        let scores = sweep.score_set(&images, |p| meter.update(p));
        drop(meter);
        let mut scores = or_skip_bad(scores, run.skip_bad)?;
        scores.name = name.to_string();
        if !run.quiet.on {
            for skipped in &scores.skipped {
                say(&format!(
                    "{name}: left out {}: {}",
                    skipped.name, skipped.reason
                ));
            }
        }
        Ok(scores)
    }

    /// Sets made from the in-set's validation images, as one.
    fn synthetic(&self, sweep: &Sweep, in_set: &OpenSet) -> Result<SweepScores> {
        let (seed, range) = (self.args.run.seed, in_set.range.clone());
        let of_in_set = |kind| Synthetic::new(&*in_set.set, range.clone(), kind, seed);
        let [channels, height, width] = self.setup.classifier.image_shape();
        let uniform = NoiseKind::Uniform;
        let made: [Box<dyn DataSet + '_>; 3] = [
            Box::new(of_in_set(SyntheticKind::PixelShuffle)?),
            Box::new(of_in_set(SyntheticKind::Blend)?),
            Box::new(noise(uniform, channels, height, width, range.len(), seed)?),
        ];
        let mut all: Option<SweepScores> = None;
        for set in &made {
            let scores = self.score_images(sweep, set.name(), Images::all(&**set))?;
            match &mut all {
                None => all = Some(scores),
                Some(all) => all.append(scores)?,
            }
        }
        all.context("there is no kind of synthetic set")
    }

    fn search(&self, name: &str, in_set: &SweepScores, out_set: &SweepScores) -> Result<Search> {
        let objective = self.args.objective;
        let metrics = sweep_metrics(in_set, out_set)?;
        let values: Vec<f64> = metrics.iter().map(|m| objective.of(m)).collect();
        Ok(Search {
            tuned_on: name.to_string(),
            n_out: out_set.msp.len(),
            rule: Rule::Metric(objective),
            choice: choose(&in_set.settings, &values, objective.is_larger_better())?,
            metrics: Some(metrics),
            mean_scores: mean_scores(in_set),
        })
    }

    /// What the choices are worth on images that took no part in them.
    fn tests(
        &self,
        in_set: &TwoParts,
        out_sets: &[TwoParts],
        searches: &[Search],
    ) -> Result<Vec<TuneTest>> {
        if out_sets.is_empty() {
            return Ok(Vec::new());
        }
        let mut settings = vec![DEFAULT];
        for search in searches {
            if !settings.contains(&search.choice.setting) {
                settings.push(search.choice.setting);
            }
        }
        let sweep = self.sweep(&settings, true)?;
        let in_scores = self.score(&sweep, &in_set.set, in_set.tests.clone())?;
        let mut tests = Vec::new();
        for out_set in out_sets {
            let out_scores = self.score(&sweep, &out_set.set, out_set.tests.clone())?;
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
        let n_in = match out_set.spec.shortens_in_set() {
            true => in_scores.msp.len().min(n_out),
            false => in_scores.msp.len(),
        };
        let measure = |in_scores: &[f64], out_scores: &[f64]| -> Result<Metrics> {
            Ok(Scores::new(&in_scores[..n_in], out_scores)?.exact())
        };
        let names = self.detectors.scorers().map(|s| s.name().to_string());
        let columns = in_scores.others.iter().zip(&out_scores.others);
        let mut others = vec![("msp".to_string(), measure(&in_scores.msp, &out_scores.msp)?)];
        for (name, (in_scores, out_scores)) in names.zip(columns) {
            others.push((name, measure(in_scores, out_scores)?));
        }
        let at = |setting: Setting| -> Result<Metrics> {
            let place = in_scores.settings.iter().position(|s| *s == setting);
            let place = place.context("a setting was not scored")?;
            measure(&in_scores.odin[place], &out_scores.odin[place])
        };
        let tuned = searches.iter().map(|search| at(search.choice.setting));
        Ok(TuneTest {
            out_dataset: out_set.name.clone(),
            n_in,
            n_out,
            others,
            default: at(DEFAULT)?,
            tuned: tuned.collect::<Result<_>>()?,
        })
    }
}

/// The ε of the largest mean score at the largest temperature.
fn by_mean_score(grid: &Grid, in_scores: &SweepScores) -> Result<Search> {
    let mean_scores = mean_scores(in_scores);
    let temperature = grid.temperatures().last().copied();
    let temperature = temperature.context("the grid has no temperature")?;
    // The largest temperature comes last.
    let first = mean_scores.len() - grid.magnitudes().len();
    let mut choice = choose(&in_scores.settings[first..], &mean_scores[first..], true)?;
    choice.index += first;
    Ok(Search {
        tuned_on: "in-distribution images alone".to_string(),
        n_out: 0,
        rule: Rule::MeanScore { temperature },
        metrics: None,
        mean_scores,
        choice,
    })
}

/// The grid, and beside it the plots of the first search.
fn write_grid(report: &TuneReport, path: &Path, quiet: bool) -> Result<()> {
    let text = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => report.to_json(),
        _ => report.to_csv(),
    };
    atomic::write(path, "--out", text.as_bytes())?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for (name, svg) in tune_plots(report) {
        let plot = path.with_file_name(format!("{stem}-{name}.svg"));
        atomic::write(&plot, "--out", svg.as_bytes())?;
        if !quiet {
            say(&format!("wrote {}", plot.display()));
        }
    }
    if !quiet {
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// What to do next.
fn suggest(args: &Tune, report: &TuneReport) {
    if let ([search], false) = (&report.searches[..], args.run.quiet.on) {
        let Setting {
            temperature,
            magnitude,
        } = search.choice.setting;
        say(&format!(
            "Next, a threshold: odin calibrate --nn {} --in-dataset {} --temperature {temperature} --magnitude {magnitude} -o detector.toml",
            args.nn.name,
            args.in_dataset.as_deref().unwrap_or(&report.in_dataset)
        ));
    }
}
