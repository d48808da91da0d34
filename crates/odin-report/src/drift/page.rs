//! The page and the plots of a comparison of two periods.

use super::{DriftReport, Rejection, points, probability};
use crate::html::{Markup, Page, Table, again, element, facts, figure, printed, text};
use crate::plot::{Histogram, Mark};
use crate::terms::{counted, percent};

impl DriftReport {
    /// As a page of one file that loads nothing; `command` gives the results again.
    pub fn to_html(&self, command: &str) -> String {
        let title = match self.moved() {
            true => "Drift: moved",
            false => "Drift: not shown to have moved",
        };
        let lead = format!("{} compared with {}.", self.new.file, self.reference.file);
        let mut page = Page::new(title, &lead);
        page.section("Tests", self.test_table().then(self.warning_list()));
        let caption = "Scores of both periods, in common bins.";
        page.section("Scores", figure(&self.histogram().to_svg(), caption));
        page.section("As printed", printed(&self.to_table()));
        page.section("What was compared", self.what(command));
        page.to_html()
    }

    /// Every plot as SVG, with a name for its file.
    pub fn plots(&self) -> Vec<(String, String)> {
        vec![("histogram".to_string(), self.histogram().to_svg())]
    }

    fn histogram(&self) -> Histogram {
        let labels = [
            format!("reference: {}", self.reference.file),
            format!("new: {}", self.new.file),
        ];
        let mark = match &self.rejection {
            Rejection::Threshold { threshold, .. } => Some(Mark {
                label: "threshold".to_string(),
                value: *threshold,
            }),
            Rejection::Decisions => None,
        };
        Histogram {
            title: format!("Score {}", self.score),
            x_label: format!("score {}; high means in-distribution", self.score),
            edges: self.bins.edges.clone(),
            groups: self.bins.groups(&[&labels[0], &labels[1]]),
            marks: mark.into_iter().collect(),
        }
    }

    fn test_table(&self) -> Markup {
        let head = ["test", "reference", "new", "difference", "p-value", "moved"];
        let caption = format!(
            "Both tests at a significance level of {}, by Holm's procedure",
            self.level
        );
        let mut table = Table::new(&caption, &head, 1);
        let said = |moved: bool| if moved { "yes" } else { "not shown" }.to_string();
        let (rejections, scores) = (&self.drift.rejections, &self.drift.scores);
        table.row(
            "",
            &[
                "rejection rate (Fisher)".to_string(),
                percent(self.reference.rejected.share()),
                percent(self.new.rejected.share()),
                points(rejections.difference),
                probability(rejections.p_value),
                said(self.verdict.rejections_moved),
            ],
        );
        table.row(
            "",
            &[
                "scores (Kolmogorov-Smirnov); medians".to_string(),
                format!("{:.6}", self.reference.median),
                format!("{:.6}", self.new.median),
                format!("D = {:.4}", scores.statistic),
                probability(scores.p_value),
                said(self.verdict.scores_moved),
            ],
        );
        table.to_markup()
    }

    fn warning_list(&self) -> Markup {
        let warnings = self.warnings().into_iter();
        let note = |warning: String| text(&format!("Warning: {warning}"));
        warnings
            .map(|w| element("p", &[("class", "note")], note(w)))
            .collect()
    }

    fn what(&self, command: &str) -> Markup {
        let period = |name: &str, period: &super::Period| {
            let (images, errors) = (period.images(), period.errors);
            let images = counted(images, "image");
            let about = format!("{}: {images}, {errors} with errors", period.file);
            (name.to_string(), about)
        };
        let line = |name: &str, value: String| (name.to_string(), value);
        let rejected = match &self.rejection {
            Rejection::Decisions => "what the files say is not in-distribution".to_string(),
            Rejection::Threshold {
                threshold,
                detector,
            } => {
                let from = detector.as_ref();
                let from = from.map_or(String::new(), |file| format!(" (of {file})"));
                format!("a score below {threshold}{from}")
            }
        };
        let lines = [
            period("reference", &self.reference),
            period("new", &self.new),
            line("score", self.score.clone()),
            line("rejected", rejected),
            line("ODIN", env!("CARGO_PKG_VERSION").to_string()),
        ];
        facts(&lines).then(again(command))
    }
}
