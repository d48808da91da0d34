//! The report of `odin tune --for`.

mod page;
mod plots;

use crate::columns::{aligned, entry};
use crate::csv::Line;
use crate::json;
use crate::network::Network;
use crate::precision::ComputedIn;
use crate::terms::{LABELS, POSITIVE_CLASS, counted, percent};
use odin::ScoreSearch;
use odin_metrics::Metrics;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The search for the parameters of a score, and what became of those that it chose.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreTuneReport {
    /// The model as the user named it.
    pub model: String,
    /// What is known of it.
    pub network: Network,
    /// The score.
    pub score: String,
    /// The in-distribution set.
    pub in_dataset: String,
    /// How many of its images tuned the parameters.
    pub n_in: usize,
    /// The training images that it was fitted to, and how many.
    pub fitted_to: Option<(String, usize)>,
    /// What was chosen from, as options spell it.
    pub candidates: Vec<String>,
    /// Where the defaults are among them.
    pub default: Option<usize>,
    /// The precision.
    pub computed_in: ComputedIn,
    /// Why the score that was chosen is not to be trusted.
    pub warnings: Vec<String>,
    /// What could not be fitted, and why.
    pub left_out: Vec<(String, String)>,
    /// Whether the other images were made from the in-set.
    pub synthetic: bool,
    /// The search.
    pub search: ScoreSearch,
    /// The seed of noise and synthetic sets.
    pub seed: u64,
    /// On images that tuned nothing.
    pub tests: Vec<ScoreTuneTest>,
}

/// The test images of one out-of-distribution set.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreTuneTest {
    /// The out-of-distribution set.
    pub out_dataset: String,
    /// The number of in-distribution images.
    pub n_in: usize,
    /// The number of out-of-distribution images.
    pub n_out: usize,
    /// The metrics of each candidate.
    pub metrics: Vec<Metrics>,
}

impl ScoreTuneReport {
    /// What was chosen, as options spell it.
    pub fn chosen(&self) -> &str {
        let chosen = self.candidates.get(self.search.chosen);
        chosen.map_or(&self.score, String::as_str)
    }

    /// As text for a terminal.
    pub fn to_table(&self) -> String {
        let mut text = self.header();
        let _ = write!(text, "\n{}", self.search_text());
        if !self.tests.is_empty() {
            let _ = write!(text, "\n{}", self.tests_text());
        }
        text
    }

    fn header(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| entry(&mut text, name, value);
        line("Neural network architecture", &self.network.architecture);
        line("Score", &self.score);
        if let Some((name, images)) = &self.fitted_to {
            let value = format!("{name} ({})", counted(*images, "image"));
            line("Fitted to", &value);
        }
        line("In-distribution dataset", &self.in_dataset);
        line("In-distribution images", &self.n_in.to_string());
        line("Precision", &self.computed_in.to_string());
        line("Tried", &self.candidates.len().to_string());
        line("Positive class", POSITIVE_CLASS);
        text
    }

    fn search_text(&self) -> String {
        let (search, name) = (&self.search, self.search.objective.as_str());
        let mut text = String::new();
        let (on, images) = (&search.tuned_on, counted(search.n_out, "image"));
        let _ = writeln!(text, "Tuned on {on} ({images})");
        let _ = writeln!(text, "  rule    {}", self.rule());
        let _ = writeln!(
            text,
            "  chosen  {}: {name} {}",
            self.chosen(),
            percent(search.value)
        );
        let default = self.default.filter(|&default| default != search.chosen);
        if let Some(metrics) = default.and_then(|default| search.metrics.get(default)) {
            let value = percent(search.objective.of(metrics));
            let _ = writeln!(text, "  default {name} {value}");
        }
        for note in self.notes() {
            let _ = writeln!(text, "  note    {note}");
        }
        text
    }

    fn rule(&self) -> String {
        let extreme = match self.search.objective.is_larger_better() {
            true => "largest",
            false => "smallest",
        };
        let name = self.search.objective.as_str();
        format!("{extreme} {name}; ties: the defaults, then the first of the grid")
    }

    /// Warnings about the choice.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (equal, all) = (self.search.equals.len(), self.candidates.len());
        if equal > 1 {
            notes.push(format!("{equal} of {all} reach the same"));
        }
        if self.synthetic {
            notes.push("the parameters tell images from others that were made of them, which was not shown to help with real ones; authors choose theirs with out-of-distribution images, as --tune-on does (docs/tuning.md)".to_string());
        }
        let left_out = self.left_out.iter();
        notes.extend(left_out.map(|(spec, reason)| format!("left out: {spec}: {reason}")));
        notes
    }

    /// The candidates that tests show: the defaults and what was chosen.
    fn shown(&self) -> Vec<(String, usize)> {
        let default = self
            .default
            .map(|i| (format!("{}, default", self.score), i));
        let chosen = (self.chosen().to_string(), self.search.chosen);
        let tuned = (self.default != Some(self.search.chosen)).then_some(chosen);
        default.into_iter().chain(tuned).collect()
    }

    fn tests_text(&self) -> String {
        let short = LABELS.map(|(_, short)| short.to_string());
        let head: Vec<String> = std::iter::once("On test images".to_string())
            .chain(short)
            .collect();
        let mut rows = Vec::new();
        for test in &self.tests {
            rows.push(vec![format!(
                "{} ({} in, {} out)",
                test.out_dataset, test.n_in, test.n_out
            )]);
            for (name, place) in self.shown() {
                let Some(metrics) = test.metrics.get(place) else {
                    continue;
                };
                let cells = metrics.named().map(|(_, value)| percent(value));
                rows.push(std::iter::once(format!("  {name}")).chain(cells).collect());
            }
        }
        aligned(&head, &rows)
    }

    /// As a JSON object; rates are fractions.
    pub fn to_json(&self) -> String {
        let rows = |all: &[Metrics]| -> Vec<Value> {
            let named = self.candidates.iter().zip(all);
            named.map(|(spec, m)| cell(spec, m)).collect()
        };
        let tests = self.tests.iter().map(|test| {
            json!({
                "out_dataset": test.out_dataset,
                "n_in": test.n_in,
                "n_out": test.n_out,
                "grid": rows(&test.metrics),
            })
        });
        let search = &self.search;
        let equals = search.equals.iter();
        let equals: Vec<&String> = equals.filter_map(|&i| self.candidates.get(i)).collect();
        let fitted_to = self.fitted_to.as_ref();
        let value = json!({
            "odin_version": env!("CARGO_PKG_VERSION"),
            "model": self.model,
            "architecture": self.network.architecture,
            "network": self.network.to_json(),
            "score": self.score,
            "in_dataset": self.in_dataset,
            "n_in": self.n_in,
            "fitted_to": fitted_to.map(|(name, images)| json!({"set": name, "images": images})),
            "positive_class": POSITIVE_CLASS,
            "seed": self.seed,
            "precision": self.computed_in.precision.as_str(),
            "instructions": self.computed_in.instructions,
            "warnings": self.warnings,
            "tuned_on": search.tuned_on,
            "n_out": search.n_out,
            "rule": self.rule(),
            "chosen": {
                "score": self.chosen(),
                "value": search.value,
                "equally_good": equals,
            },
            "default": self.default.and_then(|i| self.candidates.get(i)),
            "notes": self.notes(),
            "grid": rows(&search.metrics),
            "tests": tests.collect::<Vec<Value>>(),
        });
        json::indented(&value)
    }

    /// The whole grid as CSV with a header; rates are fractions.
    pub fn to_csv(&self) -> String {
        let names = Metrics::<f64>::default().named().map(|(name, _)| name);
        let mut csv = Line::default()
            .cells(["tuned_on", "score"])
            .cells(names)
            .cells(["n_in", "n_out", "chosen", "positive_class"])
            .end();
        let rows = self.candidates.iter().zip(&self.search.metrics);
        for (i, (spec, metrics)) in rows.enumerate() {
            let line = Line::default()
                .text(&self.search.tuned_on)
                .text(spec)
                .cells(metrics.named().map(|(_, value)| value))
                .cells([self.n_in, self.search.n_out])
                .cell(i == self.search.chosen)
                .cell(POSITIVE_CLASS);
            csv.push_str(&line.end());
        }
        csv
    }
}

fn cell(spec: &str, metrics: &Metrics) -> Value {
    let mut object = Map::new();
    object.insert("score".to_string(), json!(spec));
    let named = metrics.named().into_iter();
    object.extend(named.map(|(name, value)| (name.to_string(), json!(value))));
    Value::Object(object)
}
