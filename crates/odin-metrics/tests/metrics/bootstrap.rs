//! Confidence intervals: determinism, sense, and coverage in a seeded simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use odin_metrics::{Bootstrap, ErrorKind, Interval, Metrics, PaperProtocol, Scores};

/// Roughly normal scores: the sum of twelve uniform numbers.
fn normal(n: usize, mean: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    (0..n)
        .map(|_| mean - 6.0 + (0..12).map(|_| uniform()).sum::<f64>())
        .collect()
}

/// In-scores around 1.5, out-scores around 0.
fn simulated(n_in: usize, n_out: usize, seed: u64) -> Scores {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let in_scores = normal(n_in, 1.5, &mut rng);
    let out_scores = normal(n_out, 0.0, &mut rng);
    Scores::new(&in_scores, &out_scores).unwrap()
}

fn bootstrap(resamples: usize, seed: u64, threads: usize) -> Bootstrap {
    Bootstrap::new(resamples, seed, threads).unwrap()
}

fn assert_contains(intervals: Metrics<Interval>, values: Metrics) {
    for ((name, interval), (_, value)) in intervals.named().into_iter().zip(values.named()) {
        assert!(
            interval.lower <= value && value <= interval.upper,
            "{name}: {value} not in {interval:?}"
        );
        assert!(interval.lower < interval.upper, "{name}: {interval:?}");
    }
}

/// The expected ends come from an independent ChaCha8 in Python with scikit-learn's metrics.
/// Changing them changes every published interval: that is a breaking change.
#[test]
fn a_seed_gives_the_same_interval_everywhere_and_for_ever() {
    let scores = Scores::new(&[0.9, 0.8, 0.7, 0.4, 0.3], &[0.6, 0.5, 0.35, 0.2]).unwrap();
    let intervals = scores.exact_intervals(&bootstrap(41, 7, 1)).unwrap();
    let expected = [(intervals.auroc, 0.3), (intervals.aupr_in, 19.0 / 30.0)];
    for (interval, lower) in expected {
        assert!((interval.lower - lower).abs() < 1e-12, "{interval:?}");
        assert!((interval.upper - 1.0).abs() < 1e-12, "{interval:?}");
    }
}

#[test]
fn the_seed_decides_and_the_thread_count_does_not() {
    let scores = simulated(300, 200, 1);
    let protocol = PaperProtocol::odin(6, 1000.0);
    let reference = bootstrap(101, 5, 1);
    for threads in [0, 2, 3, 16, 1000] {
        let other = bootstrap(101, 5, threads);
        assert_eq!(
            scores.exact_intervals(&other).unwrap(),
            scores.exact_intervals(&reference).unwrap()
        );
        assert_eq!(
            scores.paper_intervals(&protocol, &other).unwrap(),
            scores.paper_intervals(&protocol, &reference).unwrap()
        );
    }
    assert_ne!(
        scores.exact_intervals(&bootstrap(101, 6, 1)).unwrap(),
        scores.exact_intervals(&reference).unwrap()
    );
}

#[test]
fn intervals_contain_the_point_estimate() {
    let scores = simulated(1000, 800, 2);
    let ordinary = bootstrap(500, 0, 2);
    assert_contains(scores.exact_intervals(&ordinary).unwrap(), scores.exact());
    let protocol = PaperProtocol::baseline(6);
    assert_contains(
        scores.paper_intervals(&protocol, &ordinary).unwrap(),
        scores.paper(&protocol).values,
    );
}

#[test]
fn intervals_of_separated_or_constant_scores_are_points() {
    let cases: [(&[f64], &[f64]); 3] = [
        (&[2.0, 3.0], &[0.0, 1.0]),
        (&[1.0, 1.0], &[1.0]),
        (&[1.0], &[0.0]),
    ];
    for (in_scores, out_scores) in cases {
        let scores = Scores::new(in_scores, out_scores).unwrap();
        let intervals = scores.exact_intervals(&bootstrap(40, 0, 1)).unwrap();
        let exact = scores.exact();
        assert_eq!(intervals.map(|i| i.lower), exact);
        assert_eq!(intervals.map(|i| i.upper), exact);
    }
}

/// AUROC of two normals 1.5 apart is Φ(1.5 / √2) = 0.8556 (the sum of twelve uniforms is close
/// enough to normal for this). Of 200 intervals 190 should contain it; 178 is four standard
/// deviations below, and the percentile bootstrap is slightly narrow at this size.
#[test]
fn intervals_cover_the_truth_about_as_often_as_they_claim() {
    let truth = 0.8556;
    let covering = (0..200)
        .filter(|seed| {
            let interval = simulated(150, 150, 1000 + seed)
                .exact_intervals(&bootstrap(200, *seed, 2))
                .unwrap()
                .auroc;
            interval.lower <= truth && truth <= interval.upper
        })
        .count();
    assert!((178..=199).contains(&covering), "{covering} of 200");
}

#[test]
fn too_few_or_too_many_resamples_are_an_error() {
    for resamples in [0, 1, 39, 1_000_001, usize::MAX] {
        let error = Bootstrap::new(resamples, 0, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidResamples, "{error}");
    }
}

/// A million resamples would take minutes.
#[test]
fn a_bootstrap_ends_when_it_is_stopped() {
    let scores = simulated(2000, 2000, 3);
    let stop = Arc::new(AtomicBool::new(false));
    let bootstrap = bootstrap(1_000_000, 0, 2).stopped_by(Arc::clone(&stop));
    let protocol = PaperProtocol::odin(6, 1000.0);
    thread::scope(|scope| {
        let exact = scope.spawn(|| scores.exact_intervals(&bootstrap));
        let paper = scope.spawn(|| scores.paper_intervals(&protocol, &bootstrap));
        stop.store(true, Ordering::Relaxed);
        for stopped in [exact, paper] {
            let error = stopped.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Stopped);
        }
    });
}
