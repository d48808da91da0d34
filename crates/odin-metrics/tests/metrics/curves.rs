//! Curves and the areas under them against scikit-learn, and against the metrics.

use odin_metrics::{Points, PrecisionRecallCurve, RocCurve, Scores, Side};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    in_scores: Vec<f64>,
    out_scores: Vec<f64>,
    auroc: f64,
    aupr_in: f64,
    aupr_out: f64,
    /// Of all points, and of the corners.
    roc: [Roc; 2],
    precision_recall_in: [PrecisionRecall; 2],
    precision_recall_out: [PrecisionRecall; 2],
}

/// Without the first threshold, which is infinite.
#[derive(Deserialize)]
struct Roc {
    fpr: Vec<f64>,
    tpr: Vec<f64>,
    thresholds: Vec<f64>,
}

#[derive(Deserialize)]
struct PrecisionRecall {
    precision: Vec<f64>,
    recall: Vec<f64>,
    thresholds: Vec<f64>,
}

const POINTS: [Points; 2] = [Points::All, Points::Corners];

#[test]
fn curves_are_those_of_scikit_learn() {
    for case in cases() {
        let name = &case.name;
        let scores = Scores::new(&case.in_scores, &case.out_scores).unwrap();
        for (points, expected) in POINTS.into_iter().zip(&case.roc) {
            let found = scores.roc_curve(points);
            assert_eq!(found.fpr, expected.fpr, "{name}, {points:?}");
            assert_eq!(found.tpr, expected.tpr, "{name}, {points:?}");
            assert_eq!(found.thresholds[0], f64::INFINITY, "{name}, {points:?}");
            assert_eq!(
                found.thresholds[1..],
                expected.thresholds,
                "{name}, {points:?}"
            );
        }
        let sides = [
            (Side::In, &case.precision_recall_in),
            (Side::Out, &case.precision_recall_out),
        ];
        for (side, expected) in sides {
            for (points, expected) in POINTS.into_iter().zip(expected) {
                let found = scores.precision_recall_curve(side, points);
                let what = format!("{name}, {side:?}, {points:?}");
                assert_eq!(found.precision, expected.precision, "{what}");
                assert_eq!(found.recall, expected.recall, "{what}");
                assert_eq!(found.thresholds, expected.thresholds, "{what}");
            }
        }
    }
}

#[test]
fn areas_are_those_of_scikit_learn() {
    for case in cases() {
        let scores = Scores::new(&case.in_scores, &case.out_scores).unwrap();
        let found = scores.exact();
        let pairs = [
            ("auroc", found.auroc, case.auroc),
            ("aupr_in", found.aupr_in, case.aupr_in),
            ("aupr_out", found.aupr_out, case.aupr_out),
        ];
        for (metric, found, expected) in pairs {
            let off = (found - expected).abs();
            assert!(off <= 1e-14 * expected, "{}, {metric}: {found}", case.name);
        }
    }
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../data/curves.json")).unwrap()
}

/// The area under straight lines between the points.
fn trapezoids(curve: &RocCurve) -> f64 {
    let steps = curve.fpr.windows(2).zip(curve.tpr.windows(2));
    steps
        .map(|(fpr, tpr)| (fpr[1] - fpr[0]) * 0.5 * (tpr[0] + tpr[1]))
        .sum()
}

/// Each step of recall times the precision at its end.
fn average_precision(curve: &PrecisionRecallCurve) -> f64 {
    let steps = curve.recall.windows(2).zip(&curve.precision);
    steps
        .map(|(recall, precision)| (recall[0] - recall[1]) * precision)
        .sum()
}

fn side() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        3 => prop::collection::vec((-3..4_i32).prop_map(f64::from), 1..60),
        1 => prop::collection::vec(-1e300..1e300_f64, 1..60),
    ]
}

proptest! {
    #[test]
    fn the_areas_under_the_curves_are_the_metrics(in_scores in side(), out_scores in side()) {
        let scores = Scores::new(&in_scores, &out_scores).unwrap();
        let exact = scores.exact();
        let sides = [(Side::In, exact.aupr_in), (Side::Out, exact.aupr_out)];
        for points in POINTS {
            let auroc = trapezoids(&scores.roc_curve(points));
            prop_assert!((auroc - exact.auroc).abs() < 1e-12);
            for (side, expected) in sides {
                let curve = scores.precision_recall_curve(side, points);
                prop_assert!((average_precision(&curve) - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn points_are_the_rates_at_their_thresholds(in_scores in side(), out_scores in side()) {
        let scores = Scores::new(&in_scores, &out_scores).unwrap();
        let share_from = |scores: &[f64], threshold: f64| {
            scores.iter().filter(|score| **score >= threshold).count() as f64 / scores.len() as f64
        };
        for points in POINTS {
            let curve = scores.roc_curve(points);
            prop_assert!(curve.thresholds.is_sorted_by(|a, b| a > b));
            for (i, &threshold) in curve.thresholds.iter().enumerate() {
                prop_assert_eq!(curve.tpr[i], share_from(&in_scores, threshold));
                prop_assert_eq!(curve.fpr[i], share_from(&out_scores, threshold));
            }
        }
    }
}
