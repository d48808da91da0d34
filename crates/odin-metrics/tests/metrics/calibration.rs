//! Thresholds from in-distribution scores: SciPy's numbers, and coverage in seeded simulations.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use odin_metrics::{
    Calibration, ErrorKind, Interval, ThresholdInterval, calibrate, calibrate_classes,
    minimum_images, threshold_at_tpr,
};
use proptest::prelude::*;
use serde::Deserialize;

/// Uniform scores on [0, 1): their distribution function is the identity.
fn uniform(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n)
        .map(|_| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64)
        .collect()
}

fn ranks(n: usize) -> Vec<f64> {
    (1..=n).map(|rank| rank as f64).collect()
}

fn contains(interval: Interval, value: f64) -> bool {
    interval.lower <= value && value <= interval.upper
}

/// An end that does not exist excludes nothing.
fn may_contain(interval: ThresholdInterval, value: f64) -> bool {
    interval.lower.is_none_or(|lower| lower <= value)
        && interval.upper.is_none_or(|upper| value <= upper)
}

#[derive(Deserialize)]
struct Expected {
    images: usize,
    tpr: f64,
    threshold: f64,
    threshold_lower: Option<f64>,
    threshold_upper: Option<f64>,
    tpr_lower: f64,
    tpr_upper: f64,
}

#[test]
fn agrees_with_scipy() {
    let cases: Vec<Expected> =
        serde_json::from_str(include_str!("../data/calibration.json")).unwrap();
    for case in cases {
        let what = format!("{} images at {}", case.images, case.tpr);
        let found = calibrate(&ranks(case.images), case.tpr).unwrap();
        assert_eq!(found.threshold, case.threshold, "{what}");
        assert_eq!(
            found.threshold_interval.lower, case.threshold_lower,
            "{what}"
        );
        assert_eq!(
            found.threshold_interval.upper, case.threshold_upper,
            "{what}"
        );
        for (found, expected) in [
            (found.tpr_interval.lower, case.tpr_lower),
            (found.tpr_interval.upper, case.tpr_upper),
        ] {
            let off = (found - expected).abs();
            assert!(off <= 1e-10 * expected, "{what}: {found}, SciPy {expected}");
        }
    }
}

#[test]
fn minimum_images_agree_with_scipy() {
    #[derive(Deserialize)]
    struct Minimum {
        tpr: f64,
        images: usize,
    }
    let cases: Vec<Minimum> =
        serde_json::from_str(include_str!("../data/minimum_images.json")).unwrap();
    for Minimum { tpr, images } in cases {
        assert_eq!(minimum_images(tpr).unwrap(), Some(images), "{tpr}");
        for n in [images - 1, images, images + 1] {
            let enough = n > 0 && calibrate(&ranks(n), tpr).unwrap().enough_images();
            assert_eq!(enough, n >= images, "{n} images at {tpr}");
        }
    }
    assert_eq!(minimum_images(1.0).unwrap(), None);
    assert!(!calibrate(&ranks(1000), 1.0).unwrap().enough_images());
}

/// What a calibration claims, tested on scores whose distribution is known.
struct Coverage {
    repetitions: u64,
    threshold_interval: u64,
    tpr_interval: u64,
    mean_tpr: f64,
}

/// `true_threshold` has the target TPR, and `true_tpr` is that of a threshold.
fn coverage(
    draw: impl Fn(&mut ChaCha8Rng) -> Calibration,
    true_threshold: f64,
    true_tpr: impl Fn(f64) -> f64,
) -> Coverage {
    let mut coverage = Coverage {
        repetitions: 2000,
        threshold_interval: 0,
        tpr_interval: 0,
        mean_tpr: 0.0,
    };
    for repetition in 0..coverage.repetitions {
        let calibration = draw(&mut ChaCha8Rng::seed_from_u64(repetition));
        let tpr = true_tpr(calibration.threshold);
        let interval = calibration.threshold_interval;
        coverage.threshold_interval += u64::from(may_contain(interval, true_threshold));
        coverage.tpr_interval += u64::from(contains(calibration.tpr_interval, tpr));
        coverage.mean_tpr += tpr / coverage.repetitions as f64;
    }
    coverage
}

/// Of 2,000 intervals 1,900 should cover; 39 is four standard deviations. That of the threshold
/// covers more often, because its ends are whole ranks.
#[test]
fn intervals_cover_and_the_expectation_is_met() {
    for (images, target) in [(80, 0.95), (100, 0.9), (1000, 0.95), (400, 0.5)] {
        let what = format!("{images} images at {target}");
        let draw = |rng: &mut ChaCha8Rng| calibrate(&uniform(images, rng), target).unwrap();
        let found = coverage(draw, 1.0 - target, |threshold| 1.0 - threshold);
        assert!(found.threshold_interval >= 1861, "{what}");
        assert!((1861..=1939).contains(&found.tpr_interval), "{what}");

        let any = calibrate(&ranks(images), target).unwrap();
        let n = images as f64;
        let four_errors = 4.0 * (target * (1.0 - target) / n / 2000.0).sqrt();
        let off = (found.mean_tpr - any.expected_tpr).abs();
        assert!(off < four_errors, "{what}: mean TPR {}", found.mean_tpr);
    }
}

/// Scores in steps of 1/10. The true threshold at 95 % is 0.0: 90 % of the scores reach the next.
#[test]
fn ties_leave_the_claims_on_the_safe_side() {
    let tied = |u: f64| (u * 10.0).floor() / 10.0;
    let draw = |rng: &mut ChaCha8Rng| {
        let scores: Vec<f64> = uniform(200, rng).into_iter().map(tied).collect();
        calibrate(&scores, 0.95).unwrap()
    };
    let mut below_the_interval = 0;
    let found = coverage(draw, 0.0, |threshold| 1.0 - threshold);
    for repetition in 0..found.repetitions {
        let calibration = draw(&mut ChaCha8Rng::seed_from_u64(repetition));
        let tpr = 1.0 - calibration.threshold;
        below_the_interval += u64::from(tpr < calibration.tpr_interval.lower);
        assert!(calibration.tpr >= 0.95);
    }
    assert!(found.threshold_interval >= 1861);
    assert!(below_the_interval <= 78, "{below_the_interval} of 2000");
    assert!(found.mean_tpr >= 190.0 / 201.0);
}

#[test]
fn few_images_say_so() {
    // (images, TPR, threshold, lower end, upper end)
    let cases = [
        (1, 0.95, 1.0, None, None),
        (2, 0.95, 1.0, None, Some(2.0)),
        (71, 0.95, 4.0, None, Some(9.0)),
        (72, 0.95, 4.0, Some(1.0), Some(9.0)),
        (10, 1.0, 1.0, None, Some(1.0)),
    ];
    for (images, tpr, threshold, lower, upper) in cases {
        let found = calibrate(&ranks(images), tpr).unwrap();
        let what = format!("{images} images at {tpr}: {found:?}");
        assert_eq!(found.images, images, "{what}");
        assert_eq!(found.target_tpr, tpr, "{what}");
        assert_eq!(found.threshold, threshold, "{what}");
        assert_eq!(found.threshold_interval.lower, lower, "{what}");
        assert_eq!(found.threshold_interval.upper, upper, "{what}");
    }
}

/// The table of docs/calibration.md, line by line.
#[test]
fn the_published_table_is_computed() {
    let page = include_str!("../../../../docs/calibration.md");
    for (target, name) in [
        (0.9, "90"),
        (0.95, "95"),
        (0.99, "99"),
        (0.995, "99.5"),
        (0.999, "99.9"),
    ] {
        let least = minimum_images(target).unwrap().unwrap();
        let cells = [100, 500, 1000, 5000, 10_000].map(|images| {
            let interval = calibrate(&ranks(images), target).unwrap().tpr_interval;
            let (lower, upper) = (100.0 * interval.lower, 100.0 * interval.upper);
            let cell = format!("{lower:.2} to {upper:.2}");
            if images < least {
                format!("({cell})")
            } else {
                cell
            }
        });
        let line = format!("| {name} % | {least} | {} |", cells.join(" | "));
        assert!(page.contains(&line), "{line}");
    }
}

#[test]
fn classes_with_few_images_take_the_overall_threshold() {
    let classes = [ranks(100), vec![-5.0; 3], vec![], ranks(72)];
    let found = calibrate_classes(&classes, 0.95, 72).unwrap();
    assert_eq!(found.overall, calibrate(&classes.concat(), 0.95).unwrap());
    for (class, scores) in classes.iter().enumerate() {
        let own = (scores.len() >= 72).then(|| calibrate(scores, 0.95).unwrap());
        assert_eq!(found.classes[class], own, "class {class}");
        assert_eq!(*found.of(class), own.unwrap_or(found.overall));
    }
    assert_eq!(*found.of(99), found.overall);

    let unlimited = calibrate_classes(&classes, 0.95, 0).unwrap();
    assert!(unlimited.classes[1].is_some() && unlimited.classes[2].is_none());
    let none: [Vec<f64>; 2] = [vec![], vec![]];
    let error = calibrate_classes(&none, 0.95, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::EmptyScores);
}

#[test]
fn arguments_are_checked() {
    let cases: [(&[f64], f64, ErrorKind); 7] = [
        (&[], 0.95, ErrorKind::EmptyScores),
        (&[1.0, f64::NAN], 0.95, ErrorKind::NonFiniteScore),
        (&[f64::INFINITY], 0.95, ErrorKind::NonFiniteScore),
        (&[1.0], 0.0, ErrorKind::InvalidTpr),
        (&[1.0], -0.5, ErrorKind::InvalidTpr),
        (&[1.0], 95.0, ErrorKind::InvalidTpr),
        (&[1.0], f64::NAN, ErrorKind::InvalidTpr),
    ];
    for (scores, tpr, kind) in cases {
        assert_eq!(calibrate(scores, tpr).unwrap_err().kind(), kind);
        if kind == ErrorKind::InvalidTpr {
            assert_eq!(minimum_images(tpr).unwrap_err().kind(), kind);
        }
    }
}

proptest! {
    #[test]
    fn a_calibration_is_consistent(
        scores in prop::collection::vec(-5_i8..5, 1..300),
        tpr in 0.01..=1.0,
    ) {
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let found = calibrate(&scores, tpr).unwrap();
        prop_assert_eq!(found.threshold, threshold_at_tpr(&scores, tpr).unwrap());
        prop_assert!(found.tpr >= tpr);
        prop_assert!(contains(found.tpr_interval, found.expected_tpr));
        prop_assert!(may_contain(found.threshold_interval, found.threshold));
        let enough = minimum_images(tpr).unwrap().is_some_and(|n| scores.len() >= n);
        prop_assert_eq!(found.enough_images(), enough);
    }
}
