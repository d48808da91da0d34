//! The page of an evaluation.

use super::footnotes::footnotes;
use super::heat_maps::heat_maps;
use super::report::{Comparison, Report, SetInfo};
use super::shown_image::{ImageGroup, groups};
use crate::html::{Markup, Page, Slider, Table, again, element, facts, figure, text};
use crate::measured::cells;
use crate::published::{Published, published};
use crate::separation::Separation;
use crate::separation_plots::{MARKED, Sets, curves, histogram};
use crate::terms::{LABELS, POSITIVE_CLASS, counted, percent, score_label};
use serde_json::{Value, json};

/// All that one page shows of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationPage<'a> {
    /// The results.
    pub report: &'a Report,
    /// The command that gives them again.
    pub command: &'a str,
    /// For each result, every score that it was measured by, in the same order.
    pub separations: &'a [Vec<Separation>],
    /// Images to show.
    pub images: &'a [ImageGroup],
}

/// Whether small or large values of the five metrics are good.
const BETTER: [&str; 5] = ["↓", "↓", "↑", "↑", "↑"];

/// The temperature that values were published for.
const PUBLISHED_AT: f64 = 1000.0;

impl EvaluationPage<'_> {
    /// The page: one file that loads nothing.
    pub fn to_html(&self) -> String {
        let report = self.report;
        let outs: Vec<&str> = report
            .results
            .iter()
            .map(|r| r.out_dataset.as_str())
            .collect();
        let title = format!("{} against {}", report.in_dataset, outs.join(", "));
        let lead = format!(
            "How well {} tells out-of-distribution images from those of {}: the baseline (maximum softmax probability) and ODIN. Positive class: {POSITIVE_CLASS}.",
            report.network.architecture, report.in_dataset
        );
        let mut page = Page::new(&title, &lead);
        page.section("Metrics", self.metrics());
        page.section("Ranking of the scores", self.ranking());
        page.section("All sets", self.overview());
        let mut sliders = Vec::new();
        for (result, separations) in report.results.iter().zip(self.separations) {
            let heading = format!("Scores of {}", result.out_dataset);
            let content = self.scores(result, separations, &mut sliders);
            page.section(&heading, content);
        }
        page.section("Images", groups(self.images));
        page.section("What was evaluated", self.what());
        page.data(json!({ "sliders": sliders }));
        page.to_html()
    }

    /// Every plot as SVG, with a name for its file.
    pub fn plots(&self) -> Vec<(String, String)> {
        let mut plots: Vec<(String, String)> = Vec::new();
        for (result, separations) in self.report.results.iter().zip(self.separations) {
            let sets = self.sets(result);
            for separation in separations {
                let name = format!("{}-{}-histogram", result.out_dataset, separation.score);
                plots.push((name, histogram(separation, sets).to_svg()));
            }
            let curves = curves(separations, sets).into_iter();
            plots.extend(curves.map(|(name, svg)| (format!("{}-{name}", result.out_dataset), svg)));
        }
        plots.extend(heat_maps(self.report));
        plots
    }

    fn sets<'b>(&'b self, result: &'b Comparison) -> Sets<'b> {
        Sets {
            in_dataset: &self.report.in_dataset,
            out_dataset: &result.out_dataset,
        }
    }

    /// The five metrics of each score of each set, and below them what was published.
    fn metrics(&self) -> Markup {
        let labels = LABELS.iter().zip(BETTER);
        let labels: Vec<String> = labels
            .map(|((label, _), better)| format!("{label} {better}"))
            .collect();
        let mut head = vec!["out-of-distribution set", "score"];
        head.extend(labels.iter().map(String::as_str));
        let mut table = Table::new(
            "The five metrics; ↓ lower is better, ↑ higher is better",
            &head,
            2,
        );
        let mut sources = Vec::new();
        for result in &self.report.results {
            let set = result.out_dataset.as_str();
            for (name, measured) in result.evaluation.named() {
                let cells = cells(measured);
                let names = [set.to_string(), score_label(name).to_string()];
                table.row("", &names.into_iter().chain(cells).collect::<Vec<_>>());
            }
            if let Some(published) = self.published(result) {
                published_rows(&mut table, set, published);
                sources.push(published);
            }
        }
        let mut notes = footnotes(self.report);
        if !sources.is_empty() {
            notes.push(source(&sources));
        }
        let notes = notes.iter();
        let notes = notes.map(|note| element("p", &[("class", "note")], text(note)));
        table.to_markup().then(notes.collect())
    }

    fn published(&self, result: &Comparison) -> Option<&'static Published> {
        let (report, set) = (self.report, &result.out_dataset);
        let network = &report.network.architecture;
        let found = published(network, &report.in_dataset, set, result.magnitude);
        found.filter(|_| report.temperature == PUBLISHED_AT)
    }

    /// The scores by their mean over the sets, where there are others than two.
    fn ranking(&self) -> Markup {
        let results = &self.report.results;
        let Some(first) = results.iter().find(|r| !r.evaluation.others.is_empty()) else {
            return Markup::default();
        };
        let mean = |name: &str| {
            let measured = results.iter().filter_map(|r| r.evaluation.get(name));
            let values = measured.map(|m| (m.metrics.auroc, m.metrics.fpr_at_95_tpr));
            let (auroc, fpr) = values.fold((0.0, 0.0), |sum, v| (sum.0 + v.0, sum.1 + v.1));
            (auroc / results.len() as f64, fpr / results.len() as f64)
        };
        let names = first.evaluation.named();
        let mut ranked: Vec<(&str, (f64, f64))> =
            names.map(|(name, _)| (name, mean(name))).collect();
        ranked.sort_by(|(_, a), (_, b)| b.0.total_cmp(&a.0));
        let caption = match results.len() {
            1 => "Best AUROC first".to_string(),
            sets => format!("Best AUROC first; mean over {}", counted(sets, "set")),
        };
        let mut table = Table::new(&caption, &["rank", "score", LABELS[2].0, LABELS[0].0], 2);
        for (rank, (name, (auroc, fpr))) in (1_usize..).zip(ranked) {
            let cells = [rank.to_string(), score_label(name).to_string()];
            let values = [percent(auroc), percent(fpr)];
            table.row("", &cells.into_iter().chain(values).collect::<Vec<_>>());
        }
        table.to_markup()
    }

    fn overview(&self) -> Markup {
        let maps = heat_maps(self.report).into_iter();
        let caption = "Every score against every out-of-distribution set; the brighter, the better";
        maps.map(|(_, svg)| figure(&svg, caption)).collect()
    }

    /// Histograms with their sliders, ODIN's first, and the curves.
    fn scores(
        &self,
        result: &Comparison,
        separations: &[Separation],
        sliders: &mut Vec<Value>,
    ) -> Markup {
        let sets = self.sets(result);
        let e = &result.evaluation;
        let counts = format!(
            "{} of {}, {} of {}; T = {}, ε = {}.",
            counted(e.n_in, "image"),
            self.report.in_dataset,
            counted(e.n_out, "image"),
            result.out_dataset,
            self.report.temperature,
            result.magnitude
        );
        let mut content = element("p", &[], text(&counts));
        for separation in separations.iter().take(2).rev() {
            let histogram = &histogram(separation, sets);
            let slider = Slider {
                separation,
                histogram,
                start: "95 % TPR",
            };
            content = content.then(slider.to_markup(sliders.len()));
            sliders.push(slider.data());
        }
        let curves = curves(separations, sets).into_iter();
        content.then(curves.map(|(_, svg)| figure(&svg, MARKED)).collect())
    }

    /// Model, sets, settings, and how to do it again.
    fn what(&self) -> Markup {
        let report = self.report;
        let line = |name: &str, value: &str| (name.to_string(), value.to_string());
        let mut lines = report.network.facts();
        let first = report.results.first();
        let n_in = first.map_or(0, |result| result.evaluation.n_in);
        let in_set = set(&report.in_dataset, &report.in_set, n_in);
        lines.push(line("in-distribution (positive)", &in_set));
        lines.extend(report.results.iter().map(|result| {
            let about = set(
                &result.out_dataset,
                &result.out_set,
                result.evaluation.n_out,
            );
            let about = format!("{about}; ε = {}", result.magnitude);
            line("out-of-distribution", &about)
        }));
        let accuracy = match &report.accuracy {
            Ok(accuracy) => percent(*accuracy),
            Err(reason) => format!("unknown: {reason}"),
        };
        lines.push(line("accuracy on in-distribution", &accuracy));
        lines.push(line("temperature T", &report.temperature.to_string()));
        lines.push(line("precision", &report.computed_in.to_string()));
        lines.push(line("metrics", report.mode.as_str()));
        lines.push(line("seed", &report.seed.to_string()));
        lines.push(line(
            "device",
            &format!("{}, {}", report.device, report.engine),
        ));
        lines.push(line("ODIN", env!("CARGO_PKG_VERSION")));
        facts(&lines).then(again(self.command))
    }
}

fn published_rows(table: &mut Table, set: &str, published: &Published) {
    let magnitude = published.magnitude;
    for (label, values) in [
        ("baseline, published".to_string(), published.baseline),
        (format!("ODIN, published (ε = {magnitude})"), published.odin),
    ] {
        let values = values.map(|value| format!("{value:.1}%"));
        let names = [set.to_string(), label];
        table.row(
            "published",
            &names.into_iter().chain(values).collect::<Vec<_>>(),
        );
    }
}

/// Where published values are from.
fn source(rows: &[&Published]) -> String {
    let mut sources: Vec<&str> = rows.iter().map(|row| row.source).collect();
    sources.dedup();
    format!(
        "Published values, in italics, are for this architecture and whole test sets of these names at T = 1000: {}.",
        sources.join("; ")
    )
}

/// Which images of a set took part.
fn set(name: &str, info: &SetInfo, used: usize) -> String {
    let of = match info.images == used {
        true => counted(used, "image"),
        false => format!("{used} of {}", counted(info.images, "image")),
    };
    let skipped = match info.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} left out because they cannot be read"),
    };
    let path = info.path.as_ref();
    let path = path.map_or(String::new(), |path| format!(" ({path})"));
    format!("{name}{path}: {of}{skipped}")
}
