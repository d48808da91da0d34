//! Two periods compared: SciPy's numbers, the definitions by enumeration, and error rates in
//! seeded simulations.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use odin_metrics::{
    Drift, ErrorKind, Interval, KolmogorovSmirnov, Rate, RateChange, kolmogorov_smirnov,
};
use proptest::prelude::*;
use serde::Deserialize;

/// The scores of one period of a case.
type Period = &'static [f64];

fn uniform(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n)
        .map(|_| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64)
        .collect()
}

fn assert_close(found: f64, expected: f64, what: &str) {
    let off = (found - expected).abs();
    assert!(
        off <= 1e-10 * expected.abs().max(1e-300),
        "{what}: {found:e}, expected {expected:e}"
    );
}

#[test]
fn kolmogorov_smirnov_agrees_with_scipy() {
    #[derive(Deserialize)]
    struct Case {
        before: Vec<f64>,
        after: Vec<f64>,
        statistic: f64,
        p_value: f64,
    }
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../data/kolmogorov_smirnov.json")).unwrap();
    for (i, case) in cases.iter().enumerate() {
        let found = kolmogorov_smirnov(&case.before, &case.after).unwrap();
        assert!(found.exact);
        assert_close(found.statistic, case.statistic, &format!("statistic {i}"));
        assert_close(found.p_value, case.p_value, &format!("p-value {i}"));
        assert_eq!(
            kolmogorov_smirnov(&case.after, &case.before).unwrap(),
            found
        );
    }
}

/// All orders of `m` marks and `n` others, as bits.
fn orders(m: u32, n: u32) -> impl Iterator<Item = u32> {
    (0..1_u32 << (m + n)).filter(move |order| order.count_ones() == m)
}

fn sides(order: u32, places: u32) -> (Vec<f64>, Vec<f64>) {
    let (marked, others): (Vec<u32>, Vec<u32>) = (0..places).partition(|i| order >> i & 1 == 1);
    let floats = |places: Vec<u32>| places.into_iter().map(f64::from).collect();
    (floats(marked), floats(others))
}

/// Without ties every order of the pooled scores is equally likely, so the p-value is a count.
#[test]
fn exact_p_values_are_shares_of_all_orders() {
    for (m, n) in [(1, 1), (1, 6), (3, 3), (4, 6), (5, 7)] {
        let tests: Vec<KolmogorovSmirnov> = orders(m, n)
            .map(|order| sides(order, m + n))
            .map(|(a, b)| kolmogorov_smirnov(&a, &b).unwrap())
            .collect();
        for test in &tests {
            let as_far = |other: &&KolmogorovSmirnov| other.statistic >= test.statistic - 1e-9;
            let share = tests.iter().filter(as_far).count() as f64 / tests.len() as f64;
            assert_close(
                test.p_value,
                share,
                &format!("{m}, {n}, {}", test.statistic),
            );
        }
    }
}

#[test]
fn many_scores_take_the_limit() {
    let scores = |n: u32, shift: u32| -> Vec<f64> { (shift..n + shift).map(f64::from).collect() };
    // (scores on each side, places that one is shifted, exact, limit, relative tolerance)
    let cases = [
        (4000, 4000, true, 0.0, 0.0),
        (30_000, 375, true, 0.018_419_35, 0.01),
        (70_000, 700, false, 0.001_823_764, 1e-6),
        (70_000, 35_000, false, 0.0, 0.0),
    ];
    for (n, shift, exact, expected, tolerance) in cases {
        let found = kolmogorov_smirnov(&scores(n, 0), &scores(n, shift)).unwrap();
        let what = format!("{n}, {shift}: {found:?}");
        assert_eq!(found.exact, exact, "{what}");
        assert_eq!(found.statistic, f64::from(shift) / f64::from(n), "{what}");
        let off = (found.p_value - expected).abs();
        assert!(off <= tolerance * expected, "{what}");
    }
    let same = scores(50_000, 0);
    let found = kolmogorov_smirnov(&same, &same).unwrap();
    assert_eq!((found.statistic, found.p_value), (0.0, 1.0));
}

#[test]
fn rates_agree_with_scipy() {
    #[derive(Deserialize)]
    struct Case {
        before: (u64, u64),
        after: (u64, u64),
        interval_before: [f64; 2],
        interval_after: [f64; 2],
        interval: [f64; 2],
        p_value: f64,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("../data/rates.json")).unwrap();
    for case in cases {
        let what = format!("{:?} and {:?}", case.before, case.after);
        let rate = |(count, total)| Rate::new(count, total).unwrap();
        let found = RateChange::between(rate(case.before), rate(case.after));
        let close = |found: Interval, expected: [f64; 2]| {
            for (found, expected) in [(found.lower, expected[0]), (found.upper, expected[1])] {
                let off = (found - expected).abs();
                assert!(off < 1e-14, "{what}: {found}, expected {expected}");
            }
        };
        close(found.before.interval(), case.interval_before);
        close(found.after.interval(), case.interval_after);
        close(found.interval, case.interval);
        assert_close(found.p_value, case.p_value, &what);
        assert_eq!(found.difference, found.after.share() - found.before.share());
    }
}

/// Expected: `scipy.stats.beta.ppf`, as Clopper and Pearson have it.
#[test]
fn exact_intervals_are_scipys() {
    for (count, total, lower, upper) in [
        (0, 10, 0.0, 0.308_497_107_818_760_7),
        (10, 10, 0.691_502_892_181_239_2, 1.0),
        (5, 10, 0.187_086_028_447_398_55, 0.812_913_971_552_601_5),
        (1, 20, 0.001_265_089_497_949_803_8, 0.248_732_762_772_027_77),
        (
            3,
            1000,
            0.000_619_099_931_649_571_3,
            0.008_742_023_238_478_303,
        ),
        (37, 50, 0.596_552_321_271_934_2, 0.853_699_415_603_445_4),
    ] {
        let found = Rate::new(count, total).unwrap().exact_interval();
        for (found, expected) in [(found.lower, lower), (found.upper, upper)] {
            let off = (found - expected).abs();
            assert!(
                off < 1e-12,
                "{count} of {total}: {found}, expected {expected}"
            );
        }
    }
}

/// Newcombe 1998, table II, method 10: 56/70 and 48/80.
#[test]
fn the_interval_of_a_difference_is_the_published_one() {
    let rates = [(48, 80), (56, 70)].map(|(count, total)| Rate::new(count, total).unwrap());
    let found = RateChange::between(rates[0], rates[1]).interval;
    assert!((found.lower - 0.0524).abs() < 5e-5 && (found.upper - 0.3339).abs() < 5e-5);
}

#[test]
fn the_largest_rates_are_compared() {
    let total = 1 << 40;
    let rate = |count| Rate::new(count, total).unwrap();
    let found = RateChange::between(rate(total / 20), rate(total / 20 + 600_000));
    // The normal approximation, which is as good as exact here: z = 1.8564.
    let variance = 2.0 * 0.05 * 0.95 / total as f64;
    let z = 600_000.0 / total as f64 / variance.sqrt();
    assert!((z - 1.8564).abs() < 1e-4, "{z}");
    assert!((found.p_value - 0.063_396).abs() < 1e-5, "{found:?}");
}

/// The share of 1,000 pairs of periods that are called moved at a level.
fn share_moved(draw: impl Fn(&mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>), level: f64) -> f64 {
    let moved = (0..1000).filter(|seed| {
        let (before, after) = draw(&mut ChaCha8Rng::seed_from_u64(*seed));
        let drift = Drift::between(&before, &after, 0.05).unwrap();
        drift.verdict(level).unwrap().moved()
    });
    moved.count() as f64 / 1000.0
}

#[test]
fn periods_without_change_are_seldom_called_moved() {
    let tied = |u: f64| (u * 20.0).floor() / 20.0;
    for (m, n) in [(30, 30), (200, 90), (500, 1000)] {
        for level in [0.01, 0.1] {
            let allowed = level + 4.0 * f64::sqrt(level * (1.0 - level) / 1000.0);
            let plain = share_moved(|rng| (uniform(m, rng), uniform(n, rng)), level);
            let ties = |rng: &mut ChaCha8Rng| {
                [m, n]
                    .map(|n| uniform(n, rng).into_iter().map(tied).collect())
                    .into()
            };
            let with_ties = share_moved(ties, level);
            assert!(
                plain <= allowed && with_ties <= allowed,
                "{plain}, {with_ties}"
            );
        }
    }
}

#[test]
fn clear_changes_are_called_so() {
    let shifted = |rng: &mut ChaCha8Rng| {
        let after = uniform(300, rng).into_iter().map(|u| u - 0.2).collect();
        (uniform(300, rng), after)
    };
    assert!(share_moved(shifted, 0.01) > 0.99);
}

/// Holm: the smaller p-value against half the level, the other against the level.
#[test]
fn verdicts_follow_the_p_values() {
    // (p of the scores, p of the rejections, scores moved, rejections moved) at 0.01
    let cases = [
        (0.5, 0.5, false, false),
        (0.005, 0.5, true, false),
        (0.0051, 0.5, false, false),
        (0.0051, 0.0051, false, false),
        (0.004, 0.009, true, true),
        (0.009, 0.004, true, true),
        (0.011, 0.004, false, true),
        (0.0, 1.0, true, false),
    ];
    let mut drift = Drift::between(&[0.0], &[0.0], 0.0).unwrap();
    for (scores, rejections, scores_moved, rejections_moved) in cases {
        drift.scores.p_value = scores;
        drift.rejections.p_value = rejections;
        let verdict = drift.verdict(Drift::LEVEL).unwrap();
        assert_eq!(verdict.scores_moved, scores_moved, "{scores}, {rejections}");
        assert_eq!(
            verdict.rejections_moved, rejections_moved,
            "{scores}, {rejections}"
        );
        assert_eq!(verdict.moved(), scores_moved || rejections_moved);
    }
}

#[test]
fn scores_at_the_threshold_are_kept() {
    let rate = Rate::rejected(&[0.0, 1.0, 1.0, 2.0], 1.0).unwrap();
    assert_eq!((rate.count(), rate.total(), rate.share()), (1, 4, 0.25));
}

#[test]
fn arguments_are_checked() {
    let (nothing, one): (Period, Period) = (&[], &[1.0]);
    let cases: [(Period, Period, f64, ErrorKind, &str); 5] = [
        (nothing, one, 0.0, ErrorKind::EmptyScores, "earlier"),
        (one, nothing, 0.0, ErrorKind::EmptyScores, "later"),
        (one, &[f64::NAN], 0.0, ErrorKind::NonFiniteScore, "later"),
        (one, one, f64::NAN, ErrorKind::InvalidThreshold, "NaN"),
        (one, one, f64::INFINITY, ErrorKind::InvalidThreshold, "inf"),
    ];
    for (before, after, threshold, kind, word) in cases {
        let error = Drift::between(before, after, threshold).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    for (count, total) in [(0, 0), (2, 1), (0, (1 << 40) + 1), (u64::MAX, u64::MAX)] {
        assert_eq!(
            Rate::new(count, total).unwrap_err().kind(),
            ErrorKind::InvalidRate
        );
    }
    let drift = Drift::between(one, one, 0.0).unwrap();
    for level in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(
            drift.verdict(level).unwrap_err().kind(),
            ErrorKind::InvalidLevel
        );
    }
}

fn choose(n: u64, k: u64) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

proptest! {
    #[test]
    fn fishers_test_sums_all_tables_that_are_no_likelier(
        (before, m) in (1_u64..30).prop_flat_map(|m| (0..=m, Just(m))),
        (after, n) in (1_u64..30).prop_flat_map(|n| (0..=n, Just(n))),
    ) {
        let counts = before + after;
        let probability = |k: u64| choose(m, k) * choose(n, counts - k) / choose(m + n, counts);
        let expected: f64 = (counts.saturating_sub(n)..=counts.min(m))
            .map(probability)
            .filter(|p| *p <= probability(before) * (1.0 + 1e-9))
            .sum();
        let change = RateChange::between(Rate::new(before, m).unwrap(), Rate::new(after, n).unwrap());
        prop_assert!((change.p_value - expected).abs() < 1e-10 * expected);
        prop_assert!(change.interval.lower <= change.difference);
        prop_assert!(change.difference <= change.interval.upper);
        prop_assert!(change.interval.lower >= -1.0 && change.interval.upper <= 1.0);
        for rate in [change.before, change.after] {
            let interval = rate.interval();
            prop_assert!(0.0 <= interval.lower && interval.lower <= rate.share());
            prop_assert!(rate.share() <= interval.upper && interval.upper <= 1.0);
        }
    }

    #[test]
    fn the_statistic_is_the_largest_difference(
        a in prop::collection::vec(-4_i8..4, 1..40),
        b in prop::collection::vec(-4_i8..4, 1..40),
    ) {
        let floats = |v: &[i8]| v.iter().copied().map(f64::from).collect::<Vec<_>>();
        let share = |v: &[i8], x: i8| v.iter().filter(|y| **y <= x).count() as f64 / v.len() as f64;
        let expected = (-4..4).map(|x| (share(&a, x) - share(&b, x)).abs()).fold(0.0, f64::max);
        let found = kolmogorov_smirnov(&floats(&a), &floats(&b)).unwrap();
        prop_assert!((found.statistic - expected).abs() < 1e-12);
        prop_assert!((0.0..=1.0).contains(&found.p_value));
    }
}
