//! Percentiles and conformal p-values from compactly kept scores.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use odin_metrics::{ErrorKind, ReferenceScores};
use proptest::prelude::*;

fn uniform(n: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..n)
        .map(|_| (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64)
        .collect()
}

fn count_up_to(scores: &[f64], score: f64) -> f64 {
    scores.iter().filter(|s| **s <= score).count() as f64
}

#[test]
fn few_scores_are_all_kept_and_exact() {
    let reference = ReferenceScores::new(&[3.0, 1.0, 2.0, 2.0]).unwrap();
    assert_eq!(reference.ranks(), [1, 2, 3, 4]);
    assert_eq!(reference.scores(), [1.0, 2.0, 2.0, 3.0]);
    // (score, percentile, p-value)
    let cases = [
        (f64::NAN, 0.0, 0.2),
        (f64::NEG_INFINITY, 0.0, 0.2),
        (0.0, 0.0, 0.2),
        (1.0, 25.0, 0.4),
        (1.5, 25.0, 0.4),
        (2.0, 75.0, 0.8),
        (3.0, 100.0, 1.0),
        (f64::INFINITY, 100.0, 1.0),
    ];
    for (score, percentile, p_value) in cases {
        assert_eq!(reference.percentile(score), percentile, "{score}");
        assert_eq!(reference.p_value(score), p_value, "{score}");
    }
}

#[test]
fn many_scores_keep_the_low_tail_and_both_ends() {
    for n in [1_u32, 2, 999, 1000, 1001, 1499, 10_000, 123_457] {
        let scores: Vec<f64> = (1..=n).map(f64::from).collect();
        let reference = ReferenceScores::new(&scores).unwrap();
        let ranks = reference.ranks();
        assert_eq!(ranks.len(), n.min(1000) as usize);
        assert_eq!((ranks[0], ranks[ranks.len() - 1]), (1, n.into()));
        let lowest = n.min(500) as usize;
        assert!((1..=lowest as u64).eq(ranks[..lowest].iter().copied()));
        let widest = ranks.windows(2).map(|pair| pair[1] - pair[0]).max();
        let even = u64::from(n.saturating_sub(500)).div_ceil(500).max(1);
        assert!(widest.unwrap_or(1) <= even, "{n}: {widest:?}");
        assert_eq!(reference.images(), u64::from(n));
    }
}

/// P(p <= α) <= α for a new image from the same source. Of 4,000 pairs of a calibration and an
/// image, 4 standard deviations more than the share α are allowed.
#[test]
fn p_values_are_valid_at_any_number_of_images() {
    let step = |u: f64| (u * 20.0).floor();
    let shapes: [(&str, &dyn Fn(f64) -> f64); 2] = [("no ties", &|u| u), ("ties", &step)];
    for (images, (shape, score)) in [5, 19, 99, 1500_usize]
        .into_iter()
        .flat_map(|n| shapes.into_iter().map(move |shape| (n, shape)))
    {
        let repetitions = if images > 1000 { 1000 } else { 4000 };
        let p_values: Vec<f64> = (0..repetitions)
            .map(|seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut draw =
                    |n| -> Vec<f64> { uniform(n, &mut rng).into_iter().map(score).collect() };
                let reference = ReferenceScores::new(&draw(images)).unwrap();
                reference.p_value(draw(1)[0])
            })
            .collect();
        let n = repetitions as f64;
        for alpha in [0.01, 0.05, 0.1, 0.2, 0.5, 0.9] {
            let found = count_up_to(&p_values, alpha) / n;
            let allowed = alpha + 4.0 * (alpha * (1.0 - alpha) / n).sqrt();
            assert!(
                found <= allowed,
                "{images} images, {shape}: P(p <= {alpha}) = {found}"
            );
        }
    }
}

/// Without ties and with all scores kept, p is uniform on 1/(n+1), ..., 1.
#[test]
fn p_values_are_not_needlessly_large() {
    let found = (0..4000)
        .filter(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(*seed);
            let reference = ReferenceScores::new(&uniform(99, &mut rng)).unwrap();
            reference.p_value(uniform(1, &mut rng)[0]) <= 0.05
        })
        .count();
    assert!((145..=255).contains(&found), "{found} of 4000");
}

#[test]
fn parts_are_checked() {
    let too_many: Vec<u64> = (1..=1001).collect();
    let zeros = [0.0; 1001];
    let cases: [(&str, u64, &[u64], &[f64]); 14] = [
        ("no images", 0, &[], &[]),
        ("no ranks", 1, &[], &[]),
        (
            "too many images",
            (1 << 53) + 1,
            &[1, (1 << 53) + 1],
            &[0.0; 2],
        ),
        ("lengths differ", 2, &[1, 2], &[0.0]),
        ("too long", 1001, &too_many, &zeros),
        ("rank 0", 2, &[0, 2], &[0.0; 2]),
        ("no lowest", 3, &[2, 3], &[0.0; 2]),
        ("no highest", 3, &[1, 2], &[0.0; 2]),
        ("rank beyond", 3, &[1, 4], &[0.0; 2]),
        ("ranks repeat", 3, &[1, 2, 2, 3], &[0.0; 4]),
        ("ranks fall", 4, &[1, 3, 2, 4], &[0.0; 4]),
        ("NaN", 2, &[1, 2], &[0.0, f64::NAN]),
        ("infinite", 2, &[1, 2], &[f64::NEG_INFINITY, 0.0]),
        ("scores fall", 2, &[1, 2], &[1.0, 0.0]),
    ];
    for (what, images, ranks, scores) in cases {
        let error =
            ReferenceScores::from_parts(images, ranks.to_vec(), scores.to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidReference, "{what}: {error}");
    }
    for (scores, kind) in [
        (vec![], ErrorKind::EmptyScores),
        (vec![f64::NAN], ErrorKind::NonFiniteScore),
    ] {
        assert_eq!(ReferenceScores::new(&scores).unwrap_err().kind(), kind);
    }
}

#[test]
fn extreme_scores_stay_in_bounds() {
    let cases = [
        (f64::MIN, f64::MAX, 0.0),
        (0.0, 5e-324, 0.0),
        (-5e-324, 5e-324, 0.0),
    ];
    for (low, high, score) in cases {
        let reference = ReferenceScores::from_parts(101, vec![1, 101], vec![low, high]).unwrap();
        let percentile = reference.percentile(score);
        assert!(
            (100.0 / 101.0..=10000.0 / 101.0).contains(&percentile),
            "{percentile}"
        );
        assert_eq!(reference.p_value(score), 101.0 / 102.0);
    }
}

proptest! {
    #[test]
    fn thinning_only_adds_caution(
        seed in any::<u64>(),
        n in 900_usize..4000,
        levels in 1_u32..5000,
        score in -0.1..1.1,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tie = |u: f64| (u * f64::from(levels)).floor() / f64::from(levels);
        let scores: Vec<f64> = uniform(n, &mut rng).into_iter().map(tie).collect();
        let reference = ReferenceScores::new(&scores).unwrap();
        let parts = (reference.ranks().to_vec(), reference.scores().to_vec());
        prop_assert_eq!(
            &ReferenceScores::from_parts(n as u64, parts.0, parts.1).unwrap(),
            &reference
        );

        for score in [score, scores[0], scores[n / 2]] {
            let count = count_up_to(&scores, score);
            let exact = (1.0 + count) / (n as f64 + 1.0);
            let slack = (n as f64 - 500.0) / 500.0 / n as f64;
            let p_value = reference.p_value(score);
            prop_assert!(p_value >= exact && p_value <= exact + slack.max(0.0) + 1e-12);
            if n <= 1000 || count < 500.0 {
                prop_assert_eq!(p_value, exact);
                prop_assert_eq!(reference.percentile(score), 100.0 * (count / n as f64));
            }
            let off = (reference.percentile(score) / 100.0 - count / n as f64).abs();
            prop_assert!(off <= slack.max(0.0) + 1e-12);
        }
        prop_assert!(reference.percentile(score) <= reference.percentile(score + 0.1));
    }
}

#[test]
fn samples_of_many_scores_have_their_distribution() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let few = [3.0, 1.0, 2.0, 2.0];
    assert_eq!(
        ReferenceScores::new(&few).unwrap().sample(),
        [1.0, 2.0, 2.0, 3.0]
    );
    for n in [1001, 1500, 60_000] {
        // Squared, so that they are not evenly spread.
        let scores: Vec<f64> = uniform(n, &mut rng).iter().map(|s| s * s).collect();
        let sample = ReferenceScores::new(&scores).unwrap().sample();
        assert_eq!(sample.len(), 1000);
        assert!(sample.is_sorted());
        let test = odin_metrics::kolmogorov_smirnov(&scores, &sample).unwrap();
        assert!(test.statistic <= 0.003, "{n}: {test:?}");
    }
}
