//! The page of a grid search.

use super::{TuneReport, describe, reached};
use crate::html::{Markup, Page, Table, again, facts, figure, printed};
use crate::terms::{LABELS, POSITIVE_CLASS, counted, percent, score_label};
use crate::tune_plots::tune_plots;
use odin::Setting;

impl TuneReport {
    /// As a page of one file that loads nothing; `command` gives the results again.
    pub fn to_html(&self, command: &str) -> String {
        let tuned_on: Vec<&str> = self.searches.iter().map(|s| s.tuned_on.as_str()).collect();
        let title = format!(
            "Tuning: {} against {}",
            self.in_dataset,
            tuned_on.join(", ")
        );
        let lead = format!(
            "Which temperature T and which magnitude ε {} needs. Positive class: {POSITIVE_CLASS}.",
            self.network.architecture
        );
        let mut page = Page::new(&title, &lead);
        page.section("Choice", self.choices());
        page.section("Grid", self.pictures());
        page.section("Test images", self.test_table());
        page.section("As printed", printed(&self.to_table()));
        page.section("What was tuned", self.what(command));
        page.to_html()
    }

    fn choices(&self) -> Markup {
        let head = ["tuned on", "images", "rule", "T", "ε", "reached"];
        let mut table = Table::new("What each search chose", &head, 1);
        for search in &self.searches {
            let Setting {
                temperature,
                magnitude,
                ..
            } = search.choice.setting;
            let cells = [
                search.tuned_on.clone(),
                search.n_out.to_string(),
                describe(&search.rule),
                temperature.to_string(),
                magnitude.to_string(),
                reached(&search.rule, search.choice.value),
            ];
            table.row("", &cells);
        }
        table.to_markup()
    }

    fn pictures(&self) -> Markup {
        let plots = tune_plots(self).into_iter();
        let caption = |name: &str| match name {
            n if n.starts_with("heat-map") => {
                "Every setting; the brighter, the better. The chosen one is outlined."
            }
            _ => "The chosen setting is circled.",
        };
        plots
            .map(|(name, svg)| figure(&svg, caption(&name)))
            .collect()
    }

    /// The metrics on images that tuned nothing.
    fn test_table(&self) -> Markup {
        if self.tests.is_empty() {
            return Markup::default();
        }
        let mut head = vec!["out-of-distribution set", "score"];
        head.extend(LABELS.map(|(label, _)| label));
        let mut table = Table::new("On images that took no part in the choice", &head, 2);
        for test in &self.tests {
            let others = test.others.iter();
            let others = others.map(|(name, m)| (score_label(name).to_string(), m));
            let default = (format!("ODIN, {}", Setting::PAPER), &test.default);
            let tuned = self.searches.iter().zip(&test.tuned);
            let tuned = tuned.map(|(s, m)| (format!("ODIN, {}", s.choice.setting), m));
            for (label, metrics) in others.chain([default]).chain(tuned) {
                let values = metrics.named().map(|(_, value)| percent(value));
                let set = format!(
                    "{} ({} in, {} out)",
                    test.out_dataset, test.n_in, test.n_out
                );
                table.row(
                    "",
                    &[set, label].into_iter().chain(values).collect::<Vec<_>>(),
                );
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
        lines.push(line("precision", self.computed_in.to_string()));
        lines.push(line("seed", self.seed.to_string()));
        lines.push(line("ODIN", env!("CARGO_PKG_VERSION").to_string()));
        facts(&lines).then(again(command))
    }
}
