//! Exact metrics and thresholds: cases worked by hand, and naive definitions on random scores
//! with many ties.

use odin_metrics::{ErrorKind, Metrics, Scores, threshold_at_tpr};
use proptest::prelude::*;

/// The scores of one side of a case.
type Side = &'static [f64];

fn exact(in_scores: &[f64], out_scores: &[f64]) -> Metrics {
    Scores::new(in_scores, out_scores).unwrap().exact()
}

fn assert_metrics(found: Metrics, expected: Metrics, what: &str) {
    for ((name, value), (_, expected)) in found.named().into_iter().zip(expected.named()) {
        assert!(
            (value - expected).abs() < 1e-12,
            "{what}: {name} {value}, expected {expected}"
        );
    }
}

/// fpr_at_95_tpr, detection_error, auroc, aupr_in, aupr_out.
#[test]
fn cases_worked_by_hand() {
    let cases: [(&str, Side, Side, [f64; 5]); 7] = [
        ("one each, apart", &[2.0], &[1.0], [0.0, 0.0, 1.0, 1.0, 1.0]),
        (
            "one each, reversed",
            &[1.0],
            &[2.0],
            [1.0, 0.5, 0.0, 0.5, 0.5],
        ),
        ("one each, tied", &[1.0], &[1.0], [1.0, 0.5, 0.5, 0.5, 0.5]),
        (
            "all tied, AUPR is the class share",
            &[0.1; 3],
            &[0.1; 1],
            [1.0, 0.5, 0.5, 0.75, 0.25],
        ),
        (
            "zeros of either sign tie",
            &[0.0, -0.0],
            &[-0.0, 0.0],
            [1.0, 0.5, 0.5, 0.5, 0.5],
        ),
        (
            // Descending: in 4, out 3, in 2 = out 2, out 1.
            "a tie across the sides",
            &[4.0, 2.0],
            &[3.0, 2.0, 1.0],
            [
                2.0 / 3.0,
                0.25,
                4.5 / 6.0,
                0.5 * 1.0 + 0.5 * (2.0 / 4.0),
                (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0,
            ],
        ),
        (
            // 19 of 20 in-scores suffice, so the lowest may be given up.
            "exactly 95 %",
            &[
                0.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0,
                9.0, 9.0, 9.0, 9.0,
            ],
            &[5.0],
            [0.0, 0.025, 0.95, 0.95 + 0.05 * 20.0 / 21.0, 0.5],
        ),
    ];
    for (what, in_scores, out_scores, expected) in cases {
        assert_metrics(exact(in_scores, out_scores), expected.into(), what);
    }
}

/// The definitions as they read, in O(n²).
struct Naive<'a> {
    in_scores: &'a [f64],
    out_scores: &'a [f64],
}

impl Naive<'_> {
    fn thresholds(&self) -> impl Iterator<Item = f64> {
        self.in_scores.iter().chain(self.out_scores).copied()
    }

    fn share_from(scores: &[f64], threshold: f64) -> f64 {
        scores.iter().filter(|s| **s >= threshold).count() as f64 / scores.len() as f64
    }

    fn tpr(&self, threshold: f64) -> f64 {
        Self::share_from(self.in_scores, threshold)
    }

    fn fpr(&self, threshold: f64) -> f64 {
        Self::share_from(self.out_scores, threshold)
    }

    fn fpr_at_95_tpr(&self) -> f64 {
        self.thresholds()
            .filter(|d| self.tpr(*d) >= 0.95)
            .map(|d| self.fpr(d))
            .fold(1.0, f64::min)
    }

    fn detection_error(&self) -> f64 {
        self.thresholds()
            .map(|d| 0.5 * (1.0 - self.tpr(d)) + 0.5 * self.fpr(d))
            .fold(0.5, f64::min)
    }

    fn auroc(&self) -> f64 {
        let mut wins = 0.0;
        for a in self.in_scores {
            for b in self.out_scores {
                wins += match a.partial_cmp(b).unwrap() {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        wins / (self.in_scores.len() * self.out_scores.len()) as f64
    }

    /// Mean, over the positives, of the precision at that positive's own score: the same sum as
    /// Σ (recall step) · precision.
    fn average_precision(positives: &[f64], negatives: &[f64]) -> f64 {
        let precision = |threshold: f64| {
            let tp = positives.iter().filter(|s| **s >= threshold).count() as f64;
            let fp = negatives.iter().filter(|s| **s >= threshold).count() as f64;
            tp / (tp + fp)
        };
        positives.iter().map(|s| precision(*s)).sum::<f64>() / positives.len() as f64
    }

    fn metrics(&self) -> Metrics {
        let negated = |scores: &[f64]| scores.iter().map(|s| -s).collect::<Vec<_>>();
        Metrics {
            fpr_at_95_tpr: self.fpr_at_95_tpr(),
            detection_error: self.detection_error(),
            auroc: self.auroc(),
            aupr_in: Self::average_precision(self.in_scores, self.out_scores),
            aupr_out: Self::average_precision(&negated(self.out_scores), &negated(self.in_scores)),
        }
    }
}

/// Few distinct values, hence many ties; or any finite value.
fn side() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        3 => prop::collection::vec((-3..4_i32).prop_map(f64::from), 1..60),
        1 => prop::collection::vec(-1e300..1e300_f64, 1..60),
    ]
}

proptest! {
    #[test]
    fn equals_the_naive_definitions(in_scores in side(), out_scores in side()) {
        let naive = Naive { in_scores: &in_scores, out_scores: &out_scores };
        assert_metrics(exact(&in_scores, &out_scores), naive.metrics(), "naive");
    }

    #[test]
    fn the_order_of_the_scores_does_not_matter(in_scores in side(), out_scores in side()) {
        let reversed = |scores: &[f64]| scores.iter().rev().copied().collect::<Vec<_>>();
        prop_assert_eq!(
            exact(&in_scores, &out_scores),
            exact(&reversed(&in_scores), &reversed(&out_scores))
        );
    }

    #[test]
    fn the_threshold_is_the_largest_that_keeps_enough(
        in_scores in side(),
        out_scores in side(),
        tpr in prop_oneof![0.001..=1.0_f64, Just(0.95), Just(1.0)],
    ) {
        let naive = Naive { in_scores: &in_scores, out_scores: &out_scores };
        let threshold = threshold_at_tpr(&in_scores, tpr).unwrap();
        prop_assert!(naive.tpr(threshold) >= tpr);
        prop_assert!(naive.tpr(threshold.next_up()) < tpr);

        let scores = Scores::new(&in_scores, &out_scores).unwrap();
        let point = scores.operating_point(tpr).unwrap();
        prop_assert_eq!(point.threshold, threshold);
        prop_assert_eq!(point.tpr, naive.tpr(threshold));
        prop_assert_eq!(point.fpr, naive.fpr(threshold));
        prop_assert_eq!(point.detection_error, 0.5 * (1.0 - point.tpr) + 0.5 * point.fpr);
    }

    #[test]
    fn the_operating_point_at_95_tpr_has_the_fpr_of_the_metrics(
        in_scores in side(),
        out_scores in side(),
    ) {
        let scores = Scores::new(&in_scores, &out_scores).unwrap();
        let point = scores.operating_point(0.95).unwrap();
        prop_assert_eq!(point.fpr, scores.exact().fpr_at_95_tpr);
    }

    #[test]
    fn the_lowest_error_is_that_of_the_metrics_at_its_lowest_score(
        in_scores in side(),
        out_scores in side(),
    ) {
        let naive = Naive { in_scores: &in_scores, out_scores: &out_scores };
        let scores = Scores::new(&in_scores, &out_scores).unwrap();
        let point = scores.lowest_error();
        let least = scores.exact().detection_error;
        prop_assert!((point.detection_error - least).abs() < 1e-15);
        prop_assert!((point.youden_j() - (1.0 - 2.0 * least)).abs() < 1e-15);
        prop_assert_eq!(point.tpr, naive.tpr(point.threshold));
        prop_assert_eq!(point.fpr, naive.fpr(point.threshold));
        prop_assert!(in_scores.contains(&point.threshold));
        for lower in in_scores.iter().filter(|score| **score < point.threshold) {
            let error = 0.5 * (1.0 - naive.tpr(*lower)) + 0.5 * naive.fpr(*lower);
            prop_assert!(error > least + 1e-6);
        }
    }

    #[test]
    fn the_threshold_at_an_fpr_keeps_the_most(
        in_scores in side(),
        out_scores in side(),
        fpr in prop_oneof![0.0..=1.0_f64, Just(0.0), Just(0.05), Just(1.0)],
    ) {
        let naive = Naive { in_scores: &in_scores, out_scores: &out_scores };
        let scores = Scores::new(&in_scores, &out_scores).unwrap();
        let allowed = |threshold: &f64| naive.fpr(*threshold) <= fpr;
        let expected = in_scores.iter().copied().filter(allowed).reduce(f64::min);
        match scores.operating_point_at_fpr(fpr) {
            Ok(point) => {
                prop_assert_eq!(Some(point.threshold), expected);
                prop_assert_eq!(point.fpr, naive.fpr(point.threshold));
                // No other threshold, in-score or not, keeps more.
                for threshold in naive.thresholds().filter(allowed) {
                    prop_assert!(naive.tpr(threshold) <= point.tpr);
                }
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::UnreachableFpr);
                prop_assert_eq!(expected, None);
            }
        }
    }

    #[test]
    fn any_bits_give_metrics_in_range_or_an_error(
        in_bits in prop::collection::vec(any::<u64>(), 0..20),
        out_bits in prop::collection::vec(any::<u64>(), 0..20),
    ) {
        let floats = |bits: &[u64]| bits.iter().map(|b| f64::from_bits(*b)).collect::<Vec<_>>();
        let (in_scores, out_scores) = (floats(&in_bits), floats(&out_bits));
        let valid = |s: &[f64]| !s.is_empty() && s.iter().all(|x| x.is_finite());
        match Scores::new(&in_scores, &out_scores) {
            Ok(scores) => {
                prop_assert!(valid(&in_scores) && valid(&out_scores));
                let paper = scores.paper(&odin_metrics::PaperProtocol::odin(7, 2.0)).values;
                for (name, value) in scores.exact().named().into_iter().chain(paper.named()) {
                    prop_assert!((0.0..=1.0 + 1e-12).contains(&value), "{name}: {value}");
                }
            }
            Err(_) => prop_assert!(!(valid(&in_scores) && valid(&out_scores))),
        }
    }
}

#[test]
fn errors_name_the_side_and_the_index() {
    let cases: [(Side, Side, ErrorKind, &[&str]); 5] = [
        (&[], &[1.0], ErrorKind::EmptyScores, &["in-distribution"]),
        (
            &[1.0],
            &[],
            ErrorKind::EmptyScores,
            &["out-of-distribution"],
        ),
        (
            &[1.0, f64::NAN],
            &[1.0],
            ErrorKind::NonFiniteScore,
            &["the in-distribution", "index 1", "NaN"],
        ),
        (
            &[1.0],
            &[f64::INFINITY],
            ErrorKind::NonFiniteScore,
            &["out-of-distribution", "index 0", "inf"],
        ),
        (
            &[1.0],
            &[1.0, 2.0, f64::NEG_INFINITY],
            ErrorKind::NonFiniteScore,
            &["out-of-distribution", "index 2", "-inf"],
        ),
    ];
    for (in_scores, out_scores, kind, words) in cases {
        let error = Scores::new(in_scores, out_scores).unwrap_err();
        assert_eq!(error.kind(), kind);
        for word in words {
            assert!(error.to_string().contains(word), "{error}: no {word:?}");
        }
    }
}

#[test]
fn a_tpr_outside_its_range_is_an_error() {
    for tpr in [0.0, -0.1, 1.000_001, f64::NAN, f64::INFINITY] {
        let error = threshold_at_tpr(&[1.0], tpr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidTpr, "{error}");
    }
    assert_eq!(
        threshold_at_tpr(&[], 0.95).unwrap_err().kind(),
        ErrorKind::EmptyScores
    );
}

/// (in-scores, out-scores, FPR, threshold or error)
#[test]
fn thresholds_at_an_fpr_worked_by_hand() {
    use ErrorKind::{InvalidFpr, UnreachableFpr};
    let cases: [(Side, Side, f64, Result<f64, ErrorKind>); 8] = [
        (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.5, 3.5], 0.5, Ok(3.0)),
        (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.5, 3.5], 0.25, Ok(3.0)),
        (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.5, 3.5], 0.0, Ok(4.0)),
        (&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.5, 3.5], 1.0, Ok(1.0)),
        (&[1.0, 2.0], &[2.0, 0.0], 0.4, Err(UnreachableFpr)),
        (&[1.0], &[0.0], -0.1, Err(InvalidFpr)),
        (&[1.0], &[0.0], 5.0, Err(InvalidFpr)),
        (&[1.0], &[0.0], f64::NAN, Err(InvalidFpr)),
    ];
    for (in_scores, out_scores, fpr, expected) in cases {
        let found = Scores::new(in_scores, out_scores)
            .unwrap()
            .operating_point_at_fpr(fpr);
        let found = found.map(|point| point.threshold).map_err(|e| e.kind());
        assert_eq!(found, expected, "{in_scores:?}, {out_scores:?} at {fpr}");
    }
}
