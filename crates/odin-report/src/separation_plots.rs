//! Pictures of how scores separate two sets: histograms, ROC and precision-recall curves. In per
//! cent, with the point of 95 % TPR.

use crate::plot::{Axis, Better, Histogram, Line, LinePlot, Mark, Markers, Scale};
use crate::separation::Separation;
use crate::terms::score_label;

/// More curves than this cannot be told apart.
const CURVES: usize = 7;

/// What the points on the curves are.
pub(crate) const MARKED: &str =
    "The marked points are those of the threshold that keeps 95 % of the in-distribution images.";

/// The names of the sets that pictures tell apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sets<'a> {
    pub(crate) in_dataset: &'a str,
    pub(crate) out_dataset: &'a str,
}

impl Sets<'_> {
    fn title(&self) -> String {
        format!("{} against {}", self.in_dataset, self.out_dataset)
    }
}

/// The scores of both sets.
pub(crate) fn histogram(separation: &Separation, sets: Sets<'_>) -> Histogram {
    let label = score_label(&separation.score);
    let labels = [
        format!("in: {}", sets.in_dataset),
        format!("out: {}", sets.out_dataset),
    ];
    Histogram {
        title: format!("{label}: {}", sets.title()),
        x_label: format!("score {label}; high means in-distribution"),
        edges: separation.bins.edges.clone(),
        groups: separation.bins.groups(&[&labels[0], &labels[1]]),
        marks: vec![Mark {
            label: "threshold at 95 % TPR".to_string(),
            value: separation.at_95.threshold,
        }],
    }
}

/// The curves of all scores as SVG, with names for their files.
pub(crate) fn curves(separations: &[Separation], sets: Sets<'_>) -> Vec<(String, String)> {
    let curves = [
        ("roc", roc(separations, sets)),
        (
            "precision-recall-in",
            precision_recall_in(separations, sets),
        ),
        (
            "precision-recall-out",
            precision_recall_out(separations, sets),
        ),
    ];
    let named = curves.map(|(name, plot)| (name.to_string(), plot.to_svg()));
    named.into_iter().collect()
}

/// TPR over FPR, for each score.
fn roc(separations: &[Separation], sets: Sets<'_>) -> LinePlot {
    let lines = separations.iter().map(|s| {
        let point = (s.fpr(&s.at_95), s.tpr(&s.at_95));
        line(s, &s.roc, point)
    });
    LinePlot {
        title: format!("ROC: {}; marked: 95 % TPR", sets.title()),
        x_axis: axis("FPR in %: out-of-distribution images that pass"),
        y_axis: axis("TPR in %: in-distribution images kept"),
        better: Better::Higher,
        lines: lines.take(CURVES).collect(),
        marked: None,
    }
}

/// Precision over recall with in-distribution positive, for each score.
fn precision_recall_in(separations: &[Separation], sets: Sets<'_>) -> LinePlot {
    let lines = separations.iter().map(|s| {
        let point = (s.tpr(&s.at_95), s.precision(&s.at_95));
        line(s, &s.of_in, point)
    });
    precision_recall("in-distribution", lines.take(CURVES).collect(), sets)
}

/// The same with out-of-distribution positive.
fn precision_recall_out(separations: &[Separation], sets: Sets<'_>) -> LinePlot {
    let lines = separations.iter().map(|s| {
        let point = (1.0 - s.fpr(&s.at_95), s.precision_of_out(&s.at_95));
        line(s, &s.of_out, point)
    });
    precision_recall("out-of-distribution", lines.take(CURVES).collect(), sets)
}

fn precision_recall(positive: &str, lines: Vec<Line>, sets: Sets<'_>) -> LinePlot {
    LinePlot {
        title: format!(
            "Precision and recall, {positive} positive: {}; marked: 95 % TPR",
            sets.title()
        ),
        x_axis: axis("recall in %"),
        y_axis: axis("precision in %"),
        better: Better::Higher,
        lines,
        marked: None,
    }
}

fn line(separation: &Separation, points: &[(f64, f64)], (x, y): (f64, f64)) -> Line {
    Line {
        label: score_label(&separation.score).to_string(),
        points: points.to_vec(),
        markers: Markers::These(vec![(100.0 * x, 100.0 * y)]),
    }
}

fn axis(label: &str) -> Axis {
    Axis {
        label: label.to_string(),
        scale: Scale::Linear,
    }
}
