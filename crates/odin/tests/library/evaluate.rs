//! How well scores tell sets apart, what is suspicious of that, and how often the network is right.

use crate::{demo, open, refused};
use odin::metrics::PaperProtocol;
use odin::{
    Classifier, Detector, ErrorKind, Intervals, MeasureOptions, Metrics, MetricsMode, ModelConfig,
    NoAccuracy, ScoredSet, Setting, evaluate, measure,
};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

struct Demo {
    detector: Detector,
    in_set: ScoredSet,
    out_set: ScoredSet,
}

static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    let builder = Detector::builder(&open(demo("model.safetensors"))).threads(2);
    let detector = builder.free_scores().unwrap().build().unwrap();
    let score = |file| {
        let images = detector.open_images(demo(file)).unwrap().range(0..361);
        detector.score_set(&images, |_| {}).unwrap()
    };
    Demo {
        in_set: score("in.npy"),
        out_set: score("near.npy"),
        detector,
    }
});

fn exactly() -> MeasureOptions {
    MeasureOptions::default()
}

#[test]
fn scores_from_anywhere_are_measured() {
    let (low, high) = ([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7]);
    // In and out, AUROC, FPR at 95 % TPR, detection error.
    type Case<'a> = (&'a [f64], &'a [f64], f64, f64, f64);
    let cases: [Case<'_>; 4] = [
        (&high, &low, 1.0, 0.0, 0.0),
        (&low, &high, 0.0, 1.0, 0.5),
        (&low, &low, 0.5, 1.0, 0.5),
        (&[0.3, 0.9], &[0.5, 0.1], 0.75, 0.5, 0.25),
    ];
    for (in_scores, out_scores, auroc, fpr, error) in cases {
        let measured = measure(in_scores, out_scores, &exactly()).unwrap();
        let metrics = measured.metrics;
        assert_eq!(metrics.auroc, auroc, "{in_scores:?} {out_scores:?}");
        assert_eq!(metrics.fpr_at_95_tpr, fpr, "{in_scores:?} {out_scores:?}");
        assert_eq!(
            metrics.detection_error, error,
            "{in_scores:?} {out_scores:?}"
        );
        assert_eq!(measured.ci95, None);
        let intervals = Intervals::new(100, 1, 1);
        let with = measure(in_scores, out_scores, &exactly().intervals(intervals)).unwrap();
        let ci = with.ci95.unwrap().auroc;
        assert!(ci.lower <= auroc && auroc <= ci.upper, "{ci:?}");
        let mut by_two = intervals;
        by_two.threads = 2;
        assert_eq!(
            measure(in_scores, out_scores, &exactly().intervals(by_two)).unwrap(),
            with
        );
    }
    let stopped = Arc::new(AtomicBool::new(true));
    let options = exactly().intervals(Intervals::new(1_000_000, 0, 1));
    let stopped = measure(&high, &low, &options.stopped_by(stopped));
    refused(stopped, ErrorKind::Metrics, &["was stopped"]);
    let few = Some(Intervals::new(1, 0, 1));
    for (in_scores, out_scores, intervals) in [
        (&[][..], &low[..], None),
        (&low, &[], None),
        (&[f64::NAN], &low, None),
        (&low, &[f64::INFINITY], None),
        (&high, &low, few),
    ] {
        let measured = measure(in_scores, out_scores, &exactly().intervals(intervals));
        refused(measured, ErrorKind::Metrics, &[]);
    }
}

#[test]
fn sets_are_measured_by_every_score_they_have() {
    let demo = &*DEMO;
    let intervals = Some(Intervals::new(40, 0, 2));
    let exact = MetricsMode::Exact;
    let e = evaluate(
        &demo.detector,
        &demo.in_set,
        &demo.out_set,
        exact,
        intervals,
    )
    .unwrap();
    assert_eq!((e.n_in, e.n_out), (361, 361));
    let names: Vec<&str> = e.named().map(|(name, _)| name).collect();
    assert_eq!(names, demo.in_set.score_names);
    assert_eq!(names.len(), 7);
    for (name, measured) in e.named() {
        let scores = |set: &ScoredSet| set.scores(name).unwrap();
        let options = exactly().intervals(intervals);
        let alone = measure(&scores(&demo.in_set), &scores(&demo.out_set), &options);
        assert_eq!(*measured, alone.unwrap(), "{name}");
        assert_eq!(e.get(name), Some(measured));
    }
    assert_eq!(e.get("unheard-of"), None);
    assert_eq!(
        (e.get("msp"), e.get("odin")),
        (Some(&e.baseline), Some(&e.odin))
    );
    let paper = MetricsMode::Paper;
    let paper = evaluate(
        &demo.detector,
        &demo.in_set,
        &demo.out_set,
        paper,
        intervals,
    )
    .unwrap();
    let classes = demo.detector.classifier().classes();
    let temperature = demo.detector.setting().temperature;
    for (name, measured) in paper.named() {
        let options = exactly().intervals(intervals).paper(match name {
            "msp" => PaperProtocol::baseline(classes),
            "odin" => PaperProtocol::odin(classes, temperature),
            _ => PaperProtocol::other(),
        });
        assert_eq!(options.mode(), MetricsMode::Paper);
        let scores = |set: &ScoredSet| set.scores(name).unwrap();
        let alone = measure(&scores(&demo.in_set), &scores(&demo.out_set), &options);
        assert_eq!(*measured, alone.unwrap(), "{name}");
    }
    let near = |a: Metrics, b: Metrics| (a.auroc - b.auroc).abs() < 0.01;
    assert!(near(paper.odin.metrics, e.odin.metrics), "{paper:?}");

    let mut other = demo.out_set.clone();
    other.score_names.swap(0, 1);
    let unlike = evaluate(&demo.detector, &demo.in_set, &other, exact, None);
    refused(
        unlike,
        ErrorKind::Invalid,
        &["in", "near", "not scored alike"],
    );
    let unknown = demo.in_set.scores("unheard-of");
    refused(unknown, ErrorKind::Invalid, &["unheard-of", "max-logit"]);
}

#[test]
fn what_is_hardly_meant_is_said() {
    let Demo {
        detector,
        in_set,
        out_set,
    } = &*DEMO;
    let few = in_set.truncated(100);
    for mode in [MetricsMode::Exact, MetricsMode::Paper] {
        for (in_set, out_set, suspicion) in [
            (in_set, out_set, None),
            (in_set, in_set, Some("same images")),
            (out_set, in_set, Some("swapped")),
            (out_set, &few, Some("swapped")),
            (in_set, &few, None),
        ] {
            let evaluation = evaluate(detector, in_set, out_set, mode, None).unwrap();
            let (found, names) = (evaluation.suspicion(), (&in_set.name, &out_set.name));
            match (found, suspicion) {
                (Some(text), Some(part)) => assert!(text.contains(part), "{names:?}: {text}"),
                (None, None) => {}
                other => panic!("{mode:?}, {names:?}: {other:?}"),
            }
        }
    }
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Names of the set and of the network, what becomes of the labels, and the share of hits or why
/// there is none.
#[test]
fn accuracy_is_that_of_classes_of_one_name() {
    let digits = ["nought", "one", "two", "three", "four", "five"];
    let turned = ["five", "four", "three", "two", "one", "nought"];
    let numbers = ["0", "1", "2", "3", "4", "5"];
    type Label = fn(usize) -> usize;
    let same: Label = |label| label;
    let reversed: Label = |label| 5 - label;
    let right = Ok(359.0 / 361.0);
    let other_names = |set: &str| {
        Err(NoAccuracy::OtherNames {
            set: set.to_string(),
            classifier: "nought".to_string(),
        })
    };
    let other_classes = |set| Err(NoAccuracy::OtherClasses { set, classifier: 6 });
    type Case<'a> = (
        Option<&'a [&'a str]>,
        Option<&'a [&'a str]>,
        Label,
        Result<f64, NoAccuracy>,
    );
    let cases: [Case<'_>; 13] = [
        (None, None, same, right.clone()),
        (None, Some(&digits), same, right.clone()),
        (Some(&digits), None, same, right.clone()),
        (Some(&digits), Some(&digits), same, right.clone()),
        (Some(&turned), Some(&digits), reversed, right.clone()),
        (Some(&numbers), Some(&digits), same, right.clone()),
        (
            Some(&["0", "1", "2", "3", "4", "6"]),
            Some(&digits),
            same,
            other_names("0"),
        ),
        (
            Some(&["nought", "one", "two", "three", "four", "cat"]),
            Some(&digits),
            same,
            other_names("cat"),
        ),
        (
            Some(&["cat", "dog", "emu", "fox", "gnu", "hen"]),
            Some(&digits),
            same,
            other_names("cat"),
        ),
        (
            Some(&["nought", "one", "two", "three", "four", "five", "six"]),
            Some(&digits),
            same,
            other_names("six"),
        ),
        (
            Some(&["a", "b", "c", "d", "e", "f", "g"]),
            None,
            same,
            other_classes(7),
        ),
        (None, None, |l| l + 5, other_classes(11)),
        (None, Some(&digits), |l| l + 5, other_classes(11)),
    ];
    for (own, known, label, expected) in cases {
        let mut given = ModelConfig::default();
        given.class_names = known.map(texts);
        let classifier = Classifier::open(demo("model.safetensors"), given).unwrap();
        let mut set = DEMO.in_set.clone();
        set.class_names = own.map(texts);
        for row in &mut set.rows {
            row.label = row.label.map(label);
        }
        assert_eq!(set.accuracy(&classifier), expected, "{own:?} {known:?}");
    }
    let classifier = DEMO.detector.classifier();
    let mut unlabelled = DEMO.in_set.clone();
    unlabelled.rows[7].label = None;
    let found = unlabelled.accuracy(classifier);
    assert_eq!(found, Err(NoAccuracy::Unlabelled));
    for reason in [NoAccuracy::Unlabelled, other_names("cat").unwrap_err()] {
        assert!(!reason.to_string().contains("--"));
    }
}

#[test]
fn a_sweep_is_as_accurate_as_a_detector() {
    let classifier = DEMO.detector.classifier();
    let images = classifier.open_images(demo("in.npy")).unwrap().range(0..60);
    let sweep = Detector::builder(classifier).threads(2);
    let sweep = sweep.sweep(&[Setting::PAPER]).unwrap();
    let mut scores = sweep.score_set(&images, |_| {}).unwrap();
    let own = DEMO.in_set.truncated(60);
    assert_eq!(scores.accuracy(classifier), own.accuracy(classifier));
    scores.class_names = Some(texts(&["a", "b", "c", "d", "e", "f", "g"]));
    assert!(scores.accuracy(classifier).is_err());
}
