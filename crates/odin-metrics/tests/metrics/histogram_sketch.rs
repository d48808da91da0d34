//! Histogram sketches against the metrics of the scores that they summarise.

use odin_metrics::{Bounds, ErrorKind, HistogramSketch, Scores, threshold_at_tpr};
use proptest::prelude::*;

fn sketch(precision: u32, in_scores: &[f64], out_scores: &[f64]) -> HistogramSketch {
    let mut sketch = HistogramSketch::new(precision).unwrap();
    sketch.add_in(in_scores).unwrap();
    sketch.add_out(out_scores).unwrap();
    sketch
}

fn contains(bounds: Bounds, value: f64) -> bool {
    bounds.lower <= value && value <= bounds.upper
}

/// A relative width of 2^-23: thousands of bins between 0.1 and 0.101, so that the bounds are
/// narrow. 2^-4 · 2^-23 is the spacing there.
#[test]
fn scores_within_a_thousandth_are_resolved() {
    let spread = |n: u32, power: i32| -> Vec<f64> {
        let unit = |k| (f64::from(k) + 0.5) / f64::from(n);
        (0..n).map(|k| 0.1 + 1e-3 * unit(k).powi(power)).collect()
    };
    let (in_scores, out_scores) = (spread(20_000, 1), spread(20_000, 2));
    let exact = Scores::new(&in_scores, &out_scores).unwrap().exact();
    let sketch = sketch(HistogramSketch::PRECISION, &in_scores, &out_scores);
    assert!(sketch.bins() <= 134_219, "{} bins", sketch.bins());
    let bounds = sketch.bounds().unwrap().named();
    for ((name, value), (_, bounds)) in exact.named().into_iter().zip(bounds) {
        assert!(contains(bounds, value), "{name}: {value}, {bounds:?}");
        let width = bounds.upper - bounds.lower;
        assert!(width < 1e-3, "{name}: {bounds:?}");
    }
}

/// Tied in one bin: which order the scores have is open.
#[test]
fn bounds_worked_by_hand() {
    let sketch = sketch(0, &[1.0, 1.5], &[1.25]);
    let bounds = sketch.bounds().unwrap();
    let expected = [
        ("fpr_at_95_tpr", 0.0, 1.0),
        ("detection_error", 0.0, 0.5),
        ("auroc", 0.0, 1.0),
        // One by one after the negative: (1/2 + 2/3) / 2.
        ("aupr_in", 7.0 / 12.0, 1.0),
        ("aupr_out", 1.0 / 3.0, 1.0),
    ];
    for ((name, found), (_, lower, upper)) in bounds.named().into_iter().zip(expected) {
        assert!((found.lower - lower).abs() < 2e-15, "{name}: {found:?}");
        assert!((found.upper - upper).abs() < 2e-15, "{name}: {found:?}");
    }
    assert_eq!(sketch.metrics().unwrap().auroc, 0.5);
}

#[test]
fn misuse_is_an_error_and_changes_nothing() {
    for precision in [53, u32::MAX] {
        let error = HistogramSketch::new(precision).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPrecision);
    }
    let mut some = sketch(23, &[1.0], &[]);
    let before = some.clone();
    let other = sketch(22, &[1.0], &[]);
    let kind = |result: Result<(), odin_metrics::Error>| result.unwrap_err().kind();
    assert_eq!(kind(some.merge(&other)), ErrorKind::InvalidPrecision);
    assert_eq!(
        kind(some.add_in(&[1.0, f64::NAN])),
        ErrorKind::NonFiniteScore
    );
    let error = some.add_out(&[1.0, f64::INFINITY]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("out-of-distribution score at index 1"),
        "{error}"
    );
    assert_eq!(some, before);

    assert_eq!(kind(some.metrics().map(drop)), ErrorKind::EmptyScores);
    assert_eq!(kind(some.bounds().map(drop)), ErrorKind::EmptyScores);
    assert_eq!(kind(some.fpr_at(0.0).map(drop)), ErrorKind::EmptyScores);
    assert_eq!(
        kind(some.tpr_at(f64::NAN).map(drop)),
        ErrorKind::InvalidThreshold
    );
    assert_eq!(
        kind(some.threshold_at_tpr(0.0).map(drop)),
        ErrorKind::InvalidTpr
    );
}

/// 2^52 scores go in twice.
#[test]
fn counts_do_not_overflow() {
    let mut bytes = sketch(0, &[1.0], &[]).to_bytes();
    let in_count = bytes.len() - 2;
    // 2^52 in LEB128.
    bytes.splice(
        in_count..=in_count,
        [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x08],
    );
    let large = HistogramSketch::from_bytes(&bytes).unwrap();
    assert_eq!(large.n_in(), 1 << 52);
    let mut sum = large.clone();
    sum.merge(&large).unwrap();
    assert_eq!(sum.n_in(), 1 << 53);
    let error = sum.merge(&large).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyScores);
    assert_eq!(sum.n_in(), 1 << 53);
}

#[test]
fn damaged_bytes_are_an_error() {
    let bytes = sketch(23, &[0.1, 0.2, -0.3], &[0.0, 0.2]).to_bytes();
    for length in 0..bytes.len() {
        let error = HistogramSketch::from_bytes(&bytes[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSketch, "{length} bytes");
    }
    let header = b"ODIN-HS\x01\x00";
    let with = |rest: &[u8]| [header, rest].concat();
    // At precision 0 a key is sign and exponent: 1.0 has 0x800 + 1023.
    let one = [0xff, 0x17];
    let cases = [
        (
            "another magic",
            b"ODIN-HT\x01\x00\x00".to_vec(),
            ErrorKind::InvalidSketch,
        ),
        (
            "another version",
            b"ODIN-HS\x02\x00\x00".to_vec(),
            ErrorKind::InvalidSketch,
        ),
        (
            "precision",
            b"ODIN-HS\x01\x35\x00".to_vec(),
            ErrorKind::InvalidPrecision,
        ),
        ("more bytes", with(&[0, 0]), ErrorKind::InvalidSketch),
        ("a missing bin", with(&[1]), ErrorKind::InvalidSketch),
        (
            "an empty bin",
            with(&[1, one[0], one[1], 0, 0]),
            ErrorKind::InvalidSketch,
        ),
        (
            "a bin twice",
            with(&[2, one[0], one[1], 1, 0, 0, 1, 0]),
            ErrorKind::InvalidSketch,
        ),
        (
            "negative NaN",
            with(&[1, 0, 1, 0]),
            ErrorKind::InvalidSketch,
        ),
        (
            "NaN",
            with(&[1, 0xff, 0x1f, 1, 0]),
            ErrorKind::InvalidSketch,
        ),
        (
            "beyond NaN",
            with(&[1, 0x80, 0x20, 1, 0]),
            ErrorKind::InvalidSketch,
        ),
        ("not shortest", with(&[0x80, 0]), ErrorKind::InvalidSketch),
        (
            "more than 64 bits",
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            ErrorKind::InvalidSketch,
        ),
        (
            "more than 2^53 scores",
            with(&[
                1, one[0], one[1], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0,
            ]),
            ErrorKind::TooManyScores,
        ),
        (
            "more bins than bytes",
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            ErrorKind::InvalidSketch,
        ),
    ];
    for (what, bytes, kind) in cases {
        let error = HistogramSketch::from_bytes(&bytes).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
    }
}

/// Many in one bin, some alone, both zeros, the extremes.
fn side() -> impl Strategy<Value = Vec<f64>> {
    let score = prop_oneof![
        4 => 0.1..0.1001_f64,
        2 => (-3..4_i32).prop_map(f64::from),
        1 => -1e300..1e300_f64,
        1 => prop::sample::select(vec![0.0, -0.0, 5e-324, -5e-324, f64::MIN, f64::MAX]),
    ];
    prop::collection::vec(score, 1..60)
}

/// In- and out-scores.
type Sides = (Vec<f64>, Vec<f64>);

fn precision() -> impl Strategy<Value = u32> {
    prop_oneof![0..=52_u32, 8..=20_u32]
}

proptest! {
    #[test]
    fn merging_in_any_order_equals_one_pass(
        parts in prop::collection::vec((side(), side()), 1..5),
        precision in precision(),
        order in any::<u64>(),
    ) {
        let join = |pick: fn(&Sides) -> &Vec<f64>| -> Vec<f64> {
            parts.iter().flat_map(pick).copied().collect()
        };
        let whole = sketch(precision, &join(|part| &part.0), &join(|part| &part.1));
        let mut rest: Vec<HistogramSketch> =
            parts.iter().map(|part| sketch(precision, &part.0, &part.1)).collect();
        // Any two are merged until one is left: every order and every grouping.
        let mut order = order;
        while rest.len() > 1 {
            let one = rest.swap_remove(order as usize % rest.len());
            let into = order as usize / 7 % rest.len();
            rest[into].merge(&one).unwrap();
            order = order.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 1;
        }
        prop_assert_eq!(&rest[0], &whole);
        prop_assert_eq!(rest[0].to_bytes(), whole.to_bytes());
    }

    #[test]
    fn the_metrics_are_within_the_bounds(
        in_scores in side(),
        out_scores in side(),
        precision in precision(),
    ) {
        let exact = Scores::new(&in_scores, &out_scores).unwrap().exact().named();
        let sketch = sketch(precision, &in_scores, &out_scores);
        let estimate = sketch.metrics().unwrap().named();
        let bounds = sketch.bounds().unwrap().named();
        for (i, (name, bounds)) in bounds.into_iter().enumerate() {
            prop_assert!(contains(bounds, exact[i].1), "{name}: {} in {bounds:?}", exact[i].1);
            prop_assert!(contains(bounds, estimate[i].1), "{name}: {bounds:?}");
            prop_assert!(bounds.lower >= 0.0 && bounds.upper <= 1.0);
        }
    }

    #[test]
    fn f32_scores_give_the_exact_metrics(
        in_scores in prop::collection::vec(0.1..0.101_f32, 1..60),
        out_scores in prop::collection::vec(0.1..0.101_f32, 1..60),
    ) {
        let wide = |scores: Vec<f32>| scores.into_iter().map(f64::from).collect::<Vec<_>>();
        let (in_scores, out_scores) = (wide(in_scores), wide(out_scores));
        let exact = Scores::new(&in_scores, &out_scores).unwrap().exact();
        let sketch = sketch(HistogramSketch::PRECISION, &in_scores, &out_scores);
        prop_assert_eq!(sketch.metrics().unwrap(), exact);
    }

    #[test]
    fn thresholds_and_rates_are_within_the_bounds(
        in_scores in side(),
        out_scores in side(),
        precision in precision(),
        tpr in prop_oneof![0.001..=1.0_f64, Just(0.95), Just(1.0)],
        threshold in prop_oneof![0.1..0.1001_f64, -3.0..3.0, Just(-0.0)],
    ) {
        let sketch = sketch(precision, &in_scores, &out_scores);
        let bounds = sketch.threshold_at_tpr(tpr).unwrap();
        prop_assert!(contains(bounds, threshold_at_tpr(&in_scores, tpr).unwrap()));
        let lower = sketch.tpr_at(bounds.lower).unwrap();
        prop_assert!(lower.lower >= tpr && lower.lower == lower.upper);

        let share_from = |scores: &[f64]| {
            scores.iter().filter(|score| **score >= threshold).count() as f64 / scores.len() as f64
        };
        prop_assert!(contains(sketch.tpr_at(threshold).unwrap(), share_from(&in_scores)));
        prop_assert!(contains(sketch.fpr_at(threshold).unwrap(), share_from(&out_scores)));
    }

    #[test]
    fn bytes_are_read_back(in_scores in side(), out_scores in side(), precision in precision()) {
        let sketch = sketch(precision, &in_scores, &out_scores);
        let read = HistogramSketch::from_bytes(&sketch.to_bytes()).unwrap();
        prop_assert_eq!(read, sketch);
    }

    /// Any bytes are an error or the one encoding of a sketch.
    #[test]
    fn hostile_bytes_are_an_error_or_a_sketch(
        precision in any::<u8>(),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), 0..4_u8], 0..40),
        flipped in (0..40_usize, any::<u8>()),
    ) {
        let mut bytes = sketch(5, &[0.1, 0.2], &[0.3]).to_bytes();
        if let Some(byte) = bytes.get_mut(flipped.0) {
            *byte ^= flipped.1;
        }
        for bytes in [[b"ODIN-HS\x01".to_vec(), vec![precision % 53], rest].concat(), bytes] {
            if let Ok(sketch) = HistogramSketch::from_bytes(&bytes) {
                prop_assert_eq!(sketch.to_bytes(), bytes);
                if sketch.n_in() > 0 && sketch.n_out() > 0 {
                    let (metrics, bounds) = (sketch.metrics().unwrap(), sketch.bounds().unwrap());
                    for ((_, value), (_, bounds)) in metrics.named().into_iter().zip(bounds.named()) {
                        prop_assert!(contains(bounds, value));
                    }
                }
            }
        }
    }
}
