//! The report of `odin tune`.

mod page;

use crate::columns::{aligned, entry};
use crate::csv::Line;
use crate::json;
use crate::network::Network;
use crate::precision::ComputedIn;
use crate::terms::{LABELS, POSITIVE_CLASS, counted, percent};
use odin::{Grid, NoAccuracy, Objective, Passes, Rule, Search, Setting};
use odin_metrics::Metrics;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// One or more searches over a grid, and what became of the settings that they chose.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneReport {
    /// The model as the user named it.
    pub model: String,
    /// What is known of it.
    pub network: Network,
    /// The in-distribution set.
    pub in_dataset: String,
    /// How many of its images tuned the settings.
    pub n_in: usize,
    /// The share of them that the network classifies rightly.
    pub accuracy: Result<f64, NoAccuracy>,
    /// The grid that was searched.
    pub grid: Grid,
    /// The precision.
    pub computed_in: ComputedIn,
    /// One search, or one for each set that was tuned on.
    pub searches: Vec<Search>,
    /// Passes per image.
    pub passes: Passes,
    /// Passes per image that separate runs would have taken.
    pub passes_apart: Passes,
    /// The seed of noise and synthetic sets.
    pub seed: u64,
    /// Why scores beside ODIN are not to be trusted.
    pub warnings: Vec<String>,
    /// On images that tuned nothing: the baseline, other scores, ODIN at the paper's setting, and
    /// as tuned.
    pub tests: Vec<TuneTest>,
}

/// What a setting was chosen by, in words.
fn describe(rule: &Rule) -> String {
    match rule {
        Rule::Metric(objective) => {
            let (end, name) = (extreme(*objective), objective.as_str());
            format!("{end} {name}; ties: smaller ε, then smaller T")
        }
        Rule::Fixed => "none: without out-of-distribution images the paper's setting is kept, which no other rule was shown to beat (docs/tuning.md); --tune-on names a set to tune on".to_string(),
        Rule::MeanScore { temperature } => format!(
            "largest mean ODIN score of in-distribution images at T = {temperature} (Hsu et al. 2020)"
        ),
        _ => "another rule".to_string(),
    }
}

/// What the setting reached, for people.
fn reached(rule: &Rule, value: f64) -> String {
    match rule {
        Rule::Metric(objective) => format!("{} {}", objective.as_str(), percent(value)),
        Rule::MeanScore { .. } => format!("mean score {value:.8}"),
        _ => format!("auroc {}", percent(value)),
    }
}

fn extreme(objective: Objective) -> &'static str {
    match objective.is_larger_better() {
        true => "largest",
        false => "smallest",
    }
}

/// The test images of one out-of-distribution set.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneTest {
    /// The out-of-distribution set.
    pub out_dataset: String,
    /// The number of in-distribution images.
    pub n_in: usize,
    /// The number of out-of-distribution images.
    pub n_out: usize,
    /// The baseline, and other scores, by name.
    pub others: Vec<(String, Metrics)>,
    /// ODIN at the paper's T = 1000 and ε = 0.0014.
    pub default: Metrics,
    /// ODIN as each search chose, in their order.
    pub tuned: Vec<Metrics>,
}

impl TuneReport {
    /// As text for a terminal.
    pub fn to_table(&self) -> String {
        let mut text = self.header();
        for search in &self.searches {
            let _ = write!(text, "\n{}", self.search_text(search));
        }
        if !self.tests.is_empty() {
            let _ = write!(text, "\n{}", self.tests_text());
        }
        if self.searches.len() > 1 {
            let _ = write!(text, "\n{}", self.transfer_text());
        }
        text
    }

    fn header(&self) -> String {
        let mut text = String::new();
        let (t, e) = (self.grid.temperatures(), self.grid.magnitudes());
        let (together, apart) = (self.passes.total(), self.passes_apart.total());
        let mut line = |name: &str, value: &str| entry(&mut text, name, value);
        line("Neural network architecture", &self.network.architecture);
        line("In-distribution dataset", &self.in_dataset);
        line("In-distribution images", &self.n_in.to_string());
        line(
            "Accuracy on them",
            &match &self.accuracy {
                Ok(accuracy) => percent(*accuracy),
                Err(reason) => format!("unknown: {reason}"),
            },
        );
        line(
            "Grid",
            &format!("{} x {} ε", counted(t.len(), "temperature"), e.len()),
        );
        line("Precision", &self.computed_in.to_string());
        line(
            "Passes per image",
            &format!("{together} instead of {apart}"),
        );
        line("Positive class", POSITIVE_CLASS);
        text
    }

    fn search_text(&self, search: &Search) -> String {
        let mut text = String::new();
        let images = match search.n_out {
            0 => String::new(),
            count => format!(" ({})", counted(count, "image")),
        };
        let what = match search.rule {
            Rule::Fixed => "Not tuned, but measured against",
            _ => "Tuned on",
        };
        let _ = writeln!(text, "{what} {}{images}", search.tuned_on);
        let _ = writeln!(text, "  rule    {}", describe(&search.rule));
        let choice = &search.choice;
        let Setting {
            temperature,
            magnitude,
            ..
        } = choice.setting;
        let value = reached(&search.rule, choice.value);
        let _ = writeln!(
            text,
            "  chosen  T = {temperature}, ε = {magnitude}: {value}"
        );
        if !search.others.is_empty() {
            let _ = writeln!(text, "  beside  {}", self.beside(search));
        }
        for note in self.notes(search) {
            let _ = writeln!(text, "  note    {note}");
        }
        text
    }

    /// The scores beside ODIN on the images of a search.
    fn beside(&self, search: &Search) -> String {
        let objective = self.objective_of(search);
        let others = search.others.iter();
        let others = others.map(|(name, m)| format!("{name} {}", percent(objective.of(m))));
        format!(
            "{}: {}",
            objective.as_str(),
            others.collect::<Vec<_>>().join(", ")
        )
    }

    /// The scores that are as good as ODIN or better, so that ODIN gains nothing.
    fn as_good(others: &[(String, Metrics)], odin: &Metrics, objective: Objective) -> Vec<String> {
        let odin = objective.of(odin);
        let as_good = |value: f64| match objective.is_larger_better() {
            true => value >= odin,
            false => value <= odin,
        };
        let others = others.iter().filter(|(_, m)| as_good(objective.of(m)));
        others.map(|(name, _)| name.clone()).collect()
    }

    fn objective_of(&self, search: &Search) -> Objective {
        match search.rule {
            Rule::Metric(objective) => objective,
            _ => Objective::Auroc,
        }
    }

    /// Warnings about the choice.
    fn notes(&self, search: &Search) -> Vec<String> {
        let choice = &search.choice;
        let mut notes = Vec::new();
        if choice.equals.len() > 1 {
            let count = match search.rule {
                Rule::Metric(_) => self.grid.settings().len(),
                _ => self.grid.magnitudes().len(),
            };
            let range = |pick: fn(&Setting) -> f64| {
                let values = || choice.equals.iter().map(pick);
                let low = values().fold(f64::INFINITY, f64::min);
                let high = values().fold(f64::NEG_INFINITY, f64::max);
                match low == high {
                    true => format!("= {low}"),
                    false => format!("from {low} to {high}"),
                }
            };
            notes.push(format!(
                "the optimum is flat: {} of {count} settings reach the same, T {}, ε {}",
                choice.equals.len(),
                range(|s| s.temperature),
                range(|s| s.magnitude)
            ));
        }
        if choice.at_largest_magnitude && matches!(search.rule, Rule::MeanScore { .. }) {
            notes.push("this is the largest ε of the grid, as is usual by this rule: the mean score keeps growing, whether or not sets are separated better (docs/tuning.md)".to_string());
        } else if choice.at_largest_magnitude {
            notes.push("this is the largest ε of the grid: a larger one may be better".to_string());
        }
        let chosen = search
            .metrics
            .as_ref()
            .and_then(|metrics| metrics.get(choice.index));
        if let Some(chosen) = chosen {
            let as_good = Self::as_good(&search.others, chosen, self.objective_of(search));
            if !as_good.is_empty() {
                notes.push(format!(
                    "as good as ODIN or better on these images, at a third of the cost: {}",
                    as_good.join(", ")
                ));
            }
        }
        if let Rule::Metric(objective) = search.rule
            && choice.value == worst(objective)
        {
            notes.push("no setting tells the two sets apart".to_string());
        }
        notes
    }

    fn tests_text(&self) -> String {
        let short = LABELS.map(|(_, short)| short.to_string());
        let head: Vec<String> = std::iter::once("On test images".to_string())
            .chain(short)
            .collect();
        let mut rows = Vec::new();
        let row = |name: String, metrics: &Metrics| {
            let cells = metrics.named().map(|(_, value)| percent(value));
            std::iter::once(name).chain(cells).collect::<Vec<String>>()
        };
        for test in &self.tests {
            rows.push(vec![format!(
                "{} ({} in, {} out)",
                test.out_dataset, test.n_in, test.n_out
            )]);
            for (name, metrics) in &test.others {
                rows.push(row(format!("  {name}"), metrics));
            }
            rows.push(row(
                "  odin, T = 1000, ε = 0.0014".to_string(),
                &test.default,
            ));
            for (search, metrics) in self.searches.iter().zip(&test.tuned) {
                let name = match &self.searches[..] {
                    [_] => "  odin, tuned".to_string(),
                    _ => format!("  odin, tuned on {}", search.tuned_on),
                };
                rows.push(row(name, metrics));
            }
        }
        let mut text = aligned(&head, &rows);
        for test in &self.tests {
            let Some(odin) = test.tuned.first() else {
                continue;
            };
            let objective = self.objective();
            let as_good = Self::as_good(&test.others, odin, objective);
            if !as_good.is_empty() {
                let (set, names) = (&test.out_dataset, as_good.join(", "));
                let objective = objective.as_str();
                let _ = writeln!(
                    text,
                    "{set}: as good as tuned ODIN or better by {objective}, at a third of the cost: {names}"
                );
            }
        }
        text
    }

    /// The searches against the sets.
    fn transfer_text(&self) -> String {
        let objective = self.objective();
        let name = objective.as_str();
        let mut head = vec![format!("{name}: tuned on, by evaluated on")];
        head.extend(self.tests.iter().map(|test| test.out_dataset.clone()));
        let searches = self.searches.iter().enumerate();
        let rows: Vec<Vec<String>> = searches
            .map(|(i, search)| {
                let Setting {
                    temperature,
                    magnitude,
                    ..
                } = search.choice.setting;
                let name = format!("{} (T = {temperature}, ε = {magnitude})", search.tuned_on);
                let cells = self.tests.iter().filter_map(|test| test.tuned.get(i));
                let cells = cells.map(|metrics| percent(objective.of(metrics)));
                std::iter::once(name).chain(cells).collect()
            })
            .collect();
        aligned(&head, &rows)
    }

    fn objective(&self) -> Objective {
        let objectives = self.searches.iter().filter_map(|search| match search.rule {
            Rule::Metric(objective) => Some(objective),
            _ => None,
        });
        objectives.into_iter().next().unwrap_or_default()
    }

    /// As a JSON object; rates are fractions.
    pub fn to_json(&self) -> String {
        let searches: Vec<Value> = self.searches.iter().map(|s| self.search_json(s)).collect();
        let tests: Vec<Value> = self.tests.iter().map(|t| self.test_json(t)).collect();
        let passes = |p: &Passes| json!({"forward": p.forward, "backward": p.backward});
        let value = json!({
            "odin_version": env!("CARGO_PKG_VERSION"),
            "model": self.model,
            "architecture": self.network.architecture,
            "network": self.network.to_json(),
            "in_dataset": self.in_dataset,
            "n_in": self.n_in,
            "accuracy": self.accuracy.as_ref().ok(),
            "positive_class": POSITIVE_CLASS,
            "seed": self.seed,
            "warnings": self.warnings,
            "precision": self.computed_in.precision.as_str(),
            "instructions": self.computed_in.instructions,
            "temperatures": self.grid.temperatures(),
            "magnitudes": self.grid.magnitudes(),
            "passes_per_image": passes(&self.passes),
            "passes_per_image_in_separate_runs": passes(&self.passes_apart),
            "searches": searches,
            "tests": tests,
        });
        json::indented(&value)
    }

    fn search_json(&self, search: &Search) -> Value {
        let cells = self.cells(search).map(|(setting, metrics, mean_score)| {
            let mut cell = setting_json(&setting);
            if let Some(metrics) = metrics {
                cell.extend(metrics_json(metrics));
            }
            cell.insert("mean_score".to_string(), json!(mean_score));
            Value::Object(cell)
        });
        let choice = &search.choice;
        let equals = choice.equals.iter();
        let equals: Vec<Value> = equals.map(|s| Value::Object(setting_json(s))).collect();
        json!({
            "tuned_on": search.tuned_on,
            "n_out": search.n_out,
            "rule": describe(&search.rule),
            "chosen": {
                "temperature": choice.setting.temperature,
                "magnitude": choice.setting.magnitude,
                "value": choice.value,
                "at_largest_magnitude": choice.at_largest_magnitude,
                "equally_good": equals,
            },
            "others": search.others.iter().map(|(name, metrics)| {
                (name.clone(), Value::Object(metrics_json(metrics)))
            }).collect::<Map<String, Value>>(),
            "notes": self.notes(search),
            "grid": cells.collect::<Vec<Value>>(),
        })
    }

    fn test_json(&self, test: &TuneTest) -> Value {
        let named = |metrics: &Metrics| Value::Object(metrics_json(metrics));
        let others = test.others.iter();
        let others: Map<String, Value> = others.map(|(n, m)| (n.clone(), named(m))).collect();
        let tuned = self.searches.iter().zip(&test.tuned);
        let tuned: Vec<Value> = tuned
            .map(|(search, metrics)| {
                let mut object = Map::new();
                object.insert("tuned_on".to_string(), json!(search.tuned_on));
                object.extend(setting_json(&search.choice.setting));
                object.extend(metrics_json(metrics));
                Value::Object(object)
            })
            .collect();
        json!({
            "out_dataset": test.out_dataset,
            "n_in": test.n_in,
            "n_out": test.n_out,
            "others": others,
            "odin_default": named(&test.default),
            "odin_tuned": tuned,
        })
    }

    /// The whole grid as CSV with a header, a line for each setting of each search; rates are
    /// fractions.
    pub fn to_csv(&self) -> String {
        let names = Metrics::<f64>::default().named().map(|(name, _)| name);
        let mut csv = Line::default()
            .cells(["tuned_on", "temperature", "magnitude", "precision"])
            .cells(names)
            .cells(["mean_score", "n_in", "n_out", "chosen", "positive_class"])
            .end();
        for search in &self.searches {
            for (setting, metrics, mean_score) in self.cells(search) {
                let value = |i: usize| metrics.map(|metrics| metrics.named()[i].1.to_string());
                let line = Line::default()
                    .text(&search.tuned_on)
                    .cells([setting.temperature, setting.magnitude])
                    .cell(setting.precision)
                    .cells((0..names.len()).map(|i| value(i).unwrap_or_default()))
                    .cell(mean_score)
                    .cells([self.n_in, search.n_out])
                    .cell(setting == search.choice.setting)
                    .cell(POSITIVE_CLASS);
                csv.push_str(&line.end());
            }
        }
        csv
    }

    /// Every setting of a search, its metrics and its mean score.
    fn cells<'a>(
        &self,
        search: &'a Search,
    ) -> impl Iterator<Item = (Setting, Option<&'a Metrics>, f64)> {
        let settings = self.grid.settings().into_iter().enumerate();
        settings
            .zip(&search.mean_scores)
            .map(|((i, setting), &mean)| {
                let metrics = search.metrics.as_ref().and_then(|metrics| metrics.get(i));
                (setting, metrics, mean)
            })
    }
}

/// The worst value of the objective.
fn worst(objective: Objective) -> f64 {
    match objective {
        Objective::FprAt95Tpr => 1.0,
        Objective::DetectionError => 0.5,
        _ => 0.0,
    }
}

fn setting_json(setting: &Setting) -> Map<String, Value> {
    let entries = [
        ("temperature", setting.temperature),
        ("magnitude", setting.magnitude),
    ];
    let entries = entries.map(|(name, value)| (name.to_string(), json!(value)));
    entries.into_iter().collect()
}

fn metrics_json(metrics: &Metrics) -> Map<String, Value> {
    let entries = metrics.named().into_iter();
    entries
        .map(|(name, value)| (name.to_string(), json!(value)))
        .collect()
}
