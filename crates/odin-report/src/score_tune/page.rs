//! The page of a search for the parameters of a score.

use super::ScoreTuneReport;
use crate::html::{Markup, Page, Table, again, facts, figure, printed};
use crate::terms::{LABELS, POSITIVE_CLASS, counted, percent};
use odin_metrics::Metrics;

impl ScoreTuneReport {
    /// As a page of one file that loads nothing; `command` gives the results again.
    pub fn to_html(&self, command: &str) -> String {
        let title = format!(
            "Tuning {}: {} against {}",
            self.score, self.in_dataset, self.search.tuned_on
        );
        let lead = format!(
            "Which parameters of the score {} {} needs. Positive class: {POSITIVE_CLASS}.",
            self.score, self.network.architecture
        );
        let mut page = Page::new(&title, &lead);
        page.section("Choice", printed(&self.search_text()));
        page.section("Grid", self.pictures().then(self.grid_table()));
        page.section("Test images", self.test_table());
        page.section("As printed", printed(&self.to_table()));
        page.section("What was tuned", self.what(command));
        page.to_html()
    }

    fn pictures(&self) -> Markup {
        let plots = self.plots().into_iter();
        let caption = "The best of the other parameters at each value. The chosen one is circled.";
        plots.map(|(_, svg)| figure(&svg, caption)).collect()
    }

    fn grid_table(&self) -> Markup {
        let mut head = vec!["parameters"];
        head.extend(LABELS.map(|(label, _)| label));
        let caption = format!("Against {}", self.search.tuned_on);
        let mut table = Table::new(&caption, &head, 1);
        let rows = self.candidates.iter().zip(&self.search.metrics);
        for (i, (spec, metrics)) in rows.enumerate() {
            let label = match i == self.search.chosen {
                true => format!("{spec}, chosen"),
                false => spec.clone(),
            };
            table.row("", &cells([label], metrics));
        }
        table.to_markup()
    }

    /// The metrics on images that tuned nothing.
    fn test_table(&self) -> Markup {
        if self.tests.is_empty() {
            return Markup::default();
        }
        let mut head = vec!["out-of-distribution set", "parameters"];
        head.extend(LABELS.map(|(label, _)| label));
        let mut table = Table::new("On images that took no part in the choice", &head, 2);
        for test in &self.tests {
            for (name, place) in self.shown() {
                let set = format!(
                    "{} ({} in, {} out)",
                    test.out_dataset, test.n_in, test.n_out
                );
                if let Some(metrics) = test.metrics.get(place) {
                    table.row("", &cells([set, name], metrics));
                }
            }
        }
        table.to_markup()
    }

    fn what(&self, command: &str) -> Markup {
        let line = |name: &str, value: String| (name.to_string(), value);
        let mut lines = self.network.facts();
        let images = counted(self.n_in, "image");
        lines.push(line(
            "in-distribution",
            format!("{}, {images}", self.in_dataset),
        ));
        if let Some((name, images)) = &self.fitted_to {
            let images = counted(*images, "image");
            lines.push(line("fitted to", format!("{name}, {images}")));
        }
        for warning in &self.warnings {
            lines.push(line("warning", warning.clone()));
        }
        lines.push(line("precision", self.computed_in.to_string()));
        lines.push(line("seed", self.seed.to_string()));
        lines.push(line("ODIN", env!("CARGO_PKG_VERSION").to_string()));
        facts(&lines).then(again(command))
    }
}

/// Labels, and the metrics behind them.
fn cells<const N: usize>(labels: [String; N], metrics: &Metrics) -> Vec<String> {
    let values = metrics.named().map(|(_, value)| percent(value));
    labels.into_iter().chain(values).collect()
}
