//! The paper's procedure against a literal loop over small grids, many of whose points are
//! scores, so that `>` and `>=` differ.

use proptest::prelude::*;

use super::*;
use crate::counts::Counts;

/// The procedure as method and paper describe it, point by point. NaN where it is undefined.
struct Literal<'a> {
    in_scores: &'a [f64],
    out_scores: &'a [f64],
    grid: Grid,
}

impl Literal<'_> {
    fn share(scores: &[f64], condition: impl Fn(f64) -> bool) -> f64 {
        scores.iter().filter(|s| condition(**s)).count() as f64 / scores.len() as f64
    }

    fn fpr_at_95_tpr(&self) -> f64 {
        let (mut sum, mut points) = (0.0, 0);
        for d in self.grid.ascending() {
            let tpr = Self::share(self.in_scores, |s| s >= d);
            if (0.9495..=0.9505).contains(&tpr) {
                sum += Self::share(self.out_scores, |s| s > d);
                points += 1;
            }
        }
        sum / f64::from(points)
    }

    fn detection_error(&self) -> f64 {
        let mut smallest = 1.0_f64;
        for d in self.grid.ascending() {
            let miss = Self::share(self.in_scores, |s| s < d);
            let fpr = Self::share(self.out_scores, |s| s > d);
            smallest = smallest.min((miss + fpr) / 2.0);
        }
        smallest
    }

    fn auroc(&self, score: Score) -> f64 {
        let (mut area, mut previous, mut last) = (0.0, 1.0, 0.0);
        for d in self.grid.ascending() {
            let tpr = Self::share(self.in_scores, |s| s >= d);
            let fpr = match score {
                Score::Baseline => Self::share(self.out_scores, |s| s > d),
                Score::Odin => Self::share(self.out_scores, |s| s >= d),
            };
            area += (previous - fpr) * tpr;
            previous = fpr;
            last = fpr * tpr;
        }
        area + last
    }

    fn aupr_in(&self) -> f64 {
        let (mut area, mut previous, mut last) = (0.0, 1.0, f64::NAN);
        for d in self.grid.ascending() {
            let tpr = Self::share(self.in_scores, |s| s >= d);
            let fpr = Self::share(self.out_scores, |s| s >= d);
            if tpr == 0.0 && fpr == 0.0 {
                continue;
            }
            let precision = tpr / (tpr + fpr);
            area += (previous - tpr) * precision;
            previous = tpr;
            last = tpr * precision;
        }
        area + last
    }

    fn aupr_out(&self) -> f64 {
        let (mut area, mut previous, mut last) = (0.0, 1.0, f64::NAN);
        for d in self.grid.descending() {
            let tpr = Self::share(self.out_scores, |s| s < d);
            let fpr = Self::share(self.in_scores, |s| s < d);
            if tpr == 0.0 && fpr == 0.0 {
                break;
            }
            let precision = tpr / (tpr + fpr);
            area += (previous - tpr) * precision;
            previous = tpr;
            last = tpr * precision;
        }
        area + last
    }

    fn metrics(&self, score: Score) -> Metrics {
        Metrics {
            fpr_at_95_tpr: self.fpr_at_95_tpr(),
            detection_error: self.detection_error(),
            auroc: self.auroc(score),
            aupr_in: self.aupr_in(),
            aupr_out: self.aupr_out(),
        }
    }
}

/// Scores on, between and beyond the points of a grid of 8 steps over [0, 1).
fn side() -> impl Strategy<Value = Vec<f64>> {
    let score = prop_oneof![
        4 => (-1..10_i32).prop_map(|k| f64::from(k) / 8.0),
        1 => -0.2..1.2_f64,
    ];
    prop::collection::vec(score, 1..45).prop_map(|mut scores| {
        scores.sort_by(f64::total_cmp);
        scores
    })
}

fn check(in_scores: &[f64], out_scores: &[f64], grid: Grid, score: Score) {
    let counts = Counts::one_of_each(in_scores.len(), out_scores.len());
    let plan = PaperPlan::on_grid(in_scores, out_scores, score, Some(grid));
    let found = plan.metrics(&counts);
    let literal = Literal {
        in_scores,
        out_scores,
        grid,
    };
    let exact = plan.exact().metrics(&counts).named();
    let expected = literal.metrics(score).named();
    let instead = found.exact_instead.named();
    for (i, (name, value)) in found.values.named().into_iter().enumerate() {
        let undefined = expected[i].1.is_nan();
        let expected = if undefined { exact[i].1 } else { expected[i].1 };
        assert_eq!(instead[i].1, undefined, "{name}: flag");
        assert!(
            (value - expected).abs() < 1e-12,
            "{name}: {value}, expected {expected}"
        );
    }
}

proptest! {
    #[test]
    fn equals_a_literal_loop(in_scores in side(), out_scores in side(), odin in any::<bool>()) {
        let score = if odin { Score::Odin } else { Score::Baseline };
        let grid = Grid::with_steps(0.0, 1.0, 8).unwrap();
        check(&in_scores, &out_scores, grid, score);
    }

    #[test]
    fn equals_a_literal_loop_on_the_pooled_range(
        in_scores in side(),
        out_scores in side(),
        steps in 1..40_usize,
    ) {
        let (start, end) = pooled_range(&in_scores, &out_scores).unwrap();
        prop_assume!(start < end);
        let grid = Grid::with_steps(start, end, steps).unwrap();
        check(&in_scores, &out_scores, grid, Score::Odin);
    }
}

/// With 2,000 in-scores TPR meets both ends of the band around 95 % exactly.
#[test]
fn the_band_around_95_tpr_includes_its_ends() {
    let spread = |n: u32| {
        (0..n)
            .map(|k| f64::from(k) / f64::from(n))
            .collect::<Vec<_>>()
    };
    let grid = Grid::with_steps(0.0, 1.0, 4000).unwrap();
    check(&spread(2000), &spread(700), grid, Score::Baseline);
}

/// Range, number of points, and the bits of points 777 and last on the way up and down, all
/// from numpy's `arange`.
#[test]
fn the_grids_are_those_of_numpy_arange() {
    let cases = [
        (
            (0.1, 1.0),
            100_000,
            [0x3fbb_63e4_abe6_a227, 0x3fef_ffed_2029_5a0a],
            [0x3fef_c6b6_9db6_5dcb, 0x3fb9_9a30_984a_3568],
        ),
        (
            (0.01, 1.0),
            100_000,
            [0x3f92_1dee_2790_67ec, 0x3fef_ffeb_3cfa_5cfa],
            [0x3fef_c0fc_13e2_34e2, 0x3f84_8012_0910_bb80],
        ),
        (
            (0.1, 0.12),
            100_000,
            [0x3fb9_a3c8_c784_8fb2, 0x3fbe_b84e_9087_6d42],
            [0x3fbe_ae22_bd9a_28a0, 0x3fb9_999c_f497_4b10],
        ),
        (
            (0.01, 0.0104),
            100_001,
            [0x3f84_7c82_6dbf_30c4, 0x3f85_4c98_5f06_a31b],
            [0x3f85_4af7_38f5_da4b, 0x3f84_7ae1_47ae_67f4],
        ),
    ];
    let probes = |points: Vec<f64>| [points[777], points[points.len() - 1]].map(f64::to_bits);
    for ((start, end), points, ascending, descending) in cases {
        let grid = Grid::new(start, end).unwrap();
        assert_eq!(grid.ascending().count(), points, "[{start}, {end})");
        assert_eq!(grid.descending().count(), points, "({end}, {start}]");
        assert_eq!(probes(grid.ascending().collect()), ascending);
        assert_eq!(probes(grid.descending().collect()), descending);
    }
}

#[test]
fn a_range_that_f64_cannot_divide_has_no_grid() {
    let cases = [
        (0.5, 0.5),
        (0.5, 0.5 + 1e-14),
        (0.0, 1e-320),
        (f64::MIN, f64::MAX),
        (1.0, 0.0),
    ];
    for (start, end) in cases {
        assert_eq!(Grid::new(start, end), None, "[{start}, {end})");
    }
}
