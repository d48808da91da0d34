//! A score of one's own is computed, calibrated, saved and restored like those of the library.

use crate::{demo, open, refused};
use odin::{
    CalibratedDetector, CalibrationOptions, Detector, DetectorBuilder, ErrorKind, Method, Needs,
    Observation, Scorer,
};
use std::sync::Arc;

/// The lead of the largest logit over the second largest.
#[derive(Debug, Clone)]
struct Margin(&'static str);

impl Scorer for Margin {
    fn name(&self) -> &str {
        self.0
    }

    fn needs(&self) -> Needs {
        Needs::LOGITS
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        let mut logits = observation.logits.to_vec();
        logits.sort_by(|a, b| b.total_cmp(a));
        f64::from(logits[0]) - f64::from(logits[1])
    }
}

/// The largest logit, computed from the input of the last layer.
#[derive(Debug)]
struct FromFeatures(odin::scores::Head);

impl Scorer for FromFeatures {
    fn name(&self) -> &str {
        "features"
    }

    fn needs(&self) -> Needs {
        Needs::FEATURES
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        assert_eq!(observation.features.len(), self.0.features());
        assert_eq!(observation.logits.len(), self.0.classes());
        observation.features.iter().map(|&h| f64::from(h)).sum()
    }
}

/// No number where the network is sure of it.
#[derive(Debug)]
struct NoNumber;

impl Scorer for NoNumber {
    fn name(&self) -> &str {
        "no number"
    }

    fn needs(&self) -> Needs {
        Needs::LOGITS
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        let places = 0..observation.logits.len();
        let largest =
            places.max_by(|&a, &b| observation.logits[a].total_cmp(&observation.logits[b]));
        if largest == Some(0) { f64::NAN } else { 1.0 }
    }
}

fn builder() -> DetectorBuilder {
    Detector::builder(&open(demo("model.safetensors"))).threads(2)
}

#[test]
fn it_is_computed_calibrated_saved_and_restored() {
    let detector = builder().scorer(Margin("mine")).build().unwrap();
    assert_eq!(detector.score_names(), ["msp", "odin", "mine"]);
    let images = detector.open_images(demo("in.npy")).unwrap().range(0..80);
    let scored = detector.score_set(&images, |_| {}).unwrap();
    for row in &scored.rows {
        assert!(row.score.get("mine").unwrap() > 0.0);
    }
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("detector.toml");
    let options = CalibrationOptions::default().scores(["mine", "odin"]);
    let calibrated = options.calibrate(detector, &scored, None).unwrap();
    let written = calibrated.save(&toml).unwrap();

    let opened = CalibratedDetector::options().scorer(Margin("mine"));
    let opened = opened.open(&toml).unwrap();
    assert!(*opened.record() == written);
    assert_eq!(opened.record().deciding().unwrap().name, "mine");
    for (verdict, row) in opened.judge(&images).zip(&scored.rows) {
        let verdict = verdict.unwrap();
        assert_eq!(verdict.score, row.score);
        assert_eq!(Some(verdict.decision.score), row.score.get("mine"));
    }
    let kinds = ErrorKind::MissingScorer;
    refused(CalibratedDetector::open(&toml), kinds, &["mine"]);
    let other = CalibratedDetector::options().scorer(Margin("yours"));
    refused(other.open(&toml), kinds, &["mine"]);
    // Who does not want the score need not bring it.
    let odin = CalibratedDetector::options().scores(["odin"]);
    assert_eq!(odin.open(&toml).unwrap().detector().score_names().len(), 2);
}

/// Scores of one's own get what the library's get.
#[test]
fn it_sees_features_where_it_asks_for_them() {
    let builder = builder();
    let head = builder.classifier().head().unwrap();
    let fitted = builder.clone().fit(&[Method::Energy], None, |_| {});
    let own: Arc<dyn Scorer> = Arc::new(FromFeatures(head));
    let builder = builder.fitted(fitted.unwrap()).scorers([own]);
    let detector = builder.scorer(Margin("mine")).build().unwrap();
    let names = ["msp", "odin", "energy", "features", "mine"];
    assert_eq!(detector.score_names(), names);
    let images = detector.open_images(demo("in.npy")).unwrap().range(0..3);
    for row in detector.rows(&images) {
        let score = row.unwrap().score;
        assert!(score.iter().map(|(name, _)| name).eq(names));
        assert!(score.get("features").unwrap().is_finite());
    }
}

#[test]
fn two_scores_of_one_name_are_refused() {
    let energy = || builder().fit(&[Method::Energy], None, |_| {}).unwrap();
    for (builder, name) in [
        (builder().scorer(Margin("a")).scorer(Margin("a")), "a"),
        (builder().scorer(Margin("odin")), "odin"),
        (builder().scorer(Margin("msp")), "msp"),
        (builder().i_odin(true).scorer(Margin("i-odin")), "i-odin"),
        (
            builder().fitted(energy()).scorer(Margin("energy")),
            "energy",
        ),
    ] {
        let part = format!("two scores are called {name}");
        refused(builder.build(), ErrorKind::Invalid, &[&part]);
    }
}

/// Only the images that it fails for have no scores.
#[test]
fn a_score_that_is_no_number_is_an_error_of_its_image() {
    let detector = builder().scorer(NoNumber).build().unwrap();
    let images = detector.open_images(demo("in.npy")).unwrap().range(0..40);
    let plain = builder().build().unwrap();
    let mut failed = 0;
    for (row, plain) in detector.rows(&images).zip(plain.rows(&images)) {
        let plain = plain.unwrap();
        match (row, plain.score.prediction) {
            (Ok(row), 1..) => assert_eq!(row.score.odin(), plain.score.odin()),
            (Err(problem), 0) => {
                assert_eq!(problem.name, plain.name);
                assert_eq!(problem.error.kind(), ErrorKind::NotFinite);
                assert!(problem.to_string().contains("no number"), "{problem}");
                failed += 1;
            }
            (row, prediction) => panic!("{row:?} of class {prediction}"),
        }
    }
    assert!(failed > 0);
    let scored = detector.score_set(&images, |_| {});
    refused(scored, ErrorKind::NotFinite, &["in, ", "no number"]);
}
