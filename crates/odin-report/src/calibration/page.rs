//! The page and the plots of a calibration.

use super::{CalibrationReport, Shown, describe};
use crate::html::{Markup, Page, Slider, Table, again, facts, figure, printed};
use crate::plot::{Histogram, Mark};
use crate::separation_plots::{MARKED, Sets, curves, histogram};
use crate::terms::{POSITIVE_CLASS, counted, percent, score_label};
use odin::SavedScore;
use serde_json::{Value, json};

impl CalibrationReport<'_> {
    /// As a page of one file that loads nothing; `command` gives the results again.
    pub fn to_html(&self, command: &str) -> String {
        let images = &self.detector.images;
        let title = format!("Thresholds calibrated on {}", images.in_dataset);
        let lead = format!(
            "Which images {} takes for in-distribution, which is the positive class: those with a score of at least the threshold.",
            self.detector.model.architecture
        );
        let mut page = Page::new(&title, &lead);
        page.section("Thresholds", self.thresholds());
        let mut sliders = Vec::new();
        page.section("Scores", self.scores(&mut sliders));
        page.section("As printed", printed(&self.to_table()));
        page.section("What was calibrated", self.what(command));
        page.data(json!({ "sliders": sliders }));
        page.to_html()
    }

    /// Every plot as SVG, with a name for its file.
    pub fn plots(&self) -> Vec<(String, String)> {
        let saved = self.detector.scores.iter().zip(&self.shown);
        let mut plots: Vec<(String, String)> = saved
            .map(|(score, shown)| {
                let svg = self.histogram(score, shown).to_svg();
                (format!("{}-histogram", score.name), svg)
            })
            .collect();
        plots.extend(self.curves());
        plots
    }

    /// For each score its threshold in force, and how sure it is.
    fn thresholds(&self) -> Markup {
        let head = [
            "score",
            "rule",
            "threshold",
            "95 % interval",
            "kept of these images",
            "expected of new ones",
        ];
        let mut table = Table::new("The first score decides", &head, 2);
        for score in &self.detector.scores {
            let c = &score.calibration;
            let [lower, upper] = c.threshold_interval.map(|end| match end {
                Some(end) => end.to_string(),
                None => "unknown".to_string(),
            });
            let expected = [c.tpr_interval.lower, c.tpr_interval.upper].map(percent);
            let cells = [
                score_label(&score.name).to_string(),
                describe(score.rule),
                score.threshold.to_string(),
                format!("{lower} to {upper} at TPR {}", percent(c.target_tpr)),
                percent(c.tpr),
                format!(
                    "{} [{}, {}]",
                    percent(c.expected_tpr),
                    expected[0],
                    expected[1]
                ),
            ];
            table.row("", &cells);
        }
        table.to_markup()
    }

    /// The histogram of each score, with a slider where there are out-of-distribution images.
    fn scores(&self, sliders: &mut Vec<Value>) -> Markup {
        let mut content = Markup::default();
        for (score, shown) in self.detector.scores.iter().zip(&self.shown) {
            let histogram = &self.histogram(score, shown);
            content = content.then(match &shown.separation {
                Some(separation) => {
                    let slider = Slider {
                        separation,
                        histogram,
                        start: "threshold in force",
                    };
                    sliders.push(slider.data());
                    slider.to_markup(sliders.len() - 1)
                }
                None => figure(&histogram.to_svg(), IN_ONLY),
            });
        }
        let curves = self.curves().into_iter();
        content.then(curves.map(|(_, svg)| figure(&svg, MARKED)).collect())
    }

    fn histogram(&self, score: &SavedScore, shown: &Shown) -> Histogram {
        let images = &self.detector.images;
        let mark = Mark {
            label: format!("threshold: {}", describe(score.rule)),
            value: score.threshold,
        };
        let label = score_label(&score.name);
        match (&shown.separation, self.sets()) {
            (Some(separation), Some(sets)) => Histogram {
                marks: vec![mark],
                ..histogram(separation, sets)
            },
            _ => Histogram {
                title: format!("{label}: {}", images.in_dataset),
                x_label: format!("score {label}; high means in-distribution"),
                edges: shown.bins.edges.clone(),
                groups: shown.bins.groups(&[&format!("in: {}", images.in_dataset)]),
                marks: vec![mark],
            },
        }
    }

    fn sets(&self) -> Option<Sets<'_>> {
        let images = &self.detector.images;
        Some(Sets {
            in_dataset: &images.in_dataset,
            out_dataset: images.out_dataset.as_deref()?,
        })
    }

    fn curves(&self) -> Vec<(String, String)> {
        let shown = self.shown.iter();
        let separations: Vec<_> = shown.filter_map(|shown| shown.separation.clone()).collect();
        let Some(sets) = self.sets().filter(|_| !separations.is_empty()) else {
            return Vec::new();
        };
        curves(&separations, sets)
    }

    fn what(&self, command: &str) -> Markup {
        let (d, images) = (self.detector, &self.detector.images);
        let line = |name: &str, value: String| (name.to_string(), value);
        let mut lines = vec![
            line("detector", self.file.display().to_string()),
            line(
                "network",
                format!("{} ({})", d.model.architecture, d.model.path.display()),
            ),
            line("setting", d.setting.to_string()),
            line("precision", self.computed_in.to_string()),
            line(
                "in-distribution",
                format!(
                    "{}, {}",
                    images.in_dataset,
                    counted(images.in_images, "image")
                ),
            ),
        ];
        lines.insert(2, line("SHA-256", d.model.sha256.clone()));
        lines.extend(images.out_dataset.as_ref().map(|out_dataset| {
            let about = format!("{out_dataset}, {}", counted(images.out_images, "image"));
            line("out-of-distribution", about)
        }));
        lines.push(line("positive class", POSITIVE_CLASS.to_string()));
        lines.push(line("ODIN", d.version.to_string()));
        facts(&lines).then(again(command))
    }
}

const IN_ONLY: &str = "Images below the threshold are taken for out-of-distribution.";
