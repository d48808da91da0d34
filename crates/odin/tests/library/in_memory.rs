//! Detectors whose model, record and statistics are in memory, as processes hand them on.

use crate::{demo, open, refused};
use odin::{
    CalibratedDetector, CalibrationOptions, Classifier, ClassifierOptions, Detector, ErrorKind,
    Method, SavedDetector, Score, Setting,
};

const NAMES: [&str; 4] = ["odin", "vim", "energy", "mahalanobis"];
const METHODS: [Method; 3] = [Method::Energy, Method::Mahalanobis, Method::Vim];

fn classifier() -> (Vec<u8>, Classifier) {
    let bytes = std::fs::read(demo("model.safetensors")).unwrap();
    let classifier = Classifier::from_bytes(&bytes, "net", ClassifierOptions::default());
    (bytes, classifier.unwrap())
}

fn calibrated(classifier: &Classifier) -> CalibratedDetector {
    let training = classifier.open_images(demo("validation.npy")).unwrap();
    let builder = Detector::builder(classifier).threads(2);
    let fitted = builder.clone().fit(&METHODS, Some(&training), |_| {});
    let detector = builder.fitted(fitted.unwrap()).build().unwrap();
    let images = classifier.open_images(demo("in.npy")).unwrap().range(0..90);
    let scored = detector.score_set(&images, |_| {}).unwrap();
    let options = CalibrationOptions::default().scores(NAMES);
    options.calibrate(detector, &scored, None).unwrap()
}

#[test]
fn fitted_scores_are_restored_from_their_statistics() {
    let (_, classifier) = classifier();
    let images = classifier
        .open_images(demo("near.npy"))
        .unwrap()
        .range(0..20);
    let calibrated = calibrated(&classifier);
    let builder = Detector::builder(&classifier);
    let statistics = calibrated.detector().statistics().unwrap();
    let fitted = builder.restore(&METHODS, &statistics).unwrap();
    let restored = builder.fitted(fitted).build().unwrap();
    let scored = |detector: &Detector| detector.score_set(&images, |_| {}).unwrap();
    assert_eq!(scored(&restored), scored(calibrated.detector()));
}

#[test]
fn a_detector_is_handed_on_in_memory_and_saved_with_its_model() {
    let (bytes, classifier) = classifier();
    let before = calibrated(&classifier);
    let saved = before.to_saved().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.toml");
    refused(before.save(&path), ErrorKind::Io, &["net"]);
    let other = before.save_with_model(&path, b"another");
    refused(other, ErrorKind::OtherModel, &["net", "SHA-256"]);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    before.save_with_model(&path, &bytes).unwrap();

    let options = || CalibratedDetector::options().model_bytes("net", bytes.clone());
    let images = classifier
        .open_images(demo("near.npy"))
        .unwrap()
        .range(0..20);
    // Scores may come in another order.
    let judged = |detector: &CalibratedDetector| -> Vec<_> {
        let verdicts = detector.judge(&images).map(Result::unwrap);
        let values = |score: &Score| NAMES.map(|name| score.get(name).unwrap());
        verdicts.map(|v| (values(&v.score), v.decision)).collect()
    };
    for after in [options().restore(&saved), CalibratedDetector::open(&path)] {
        let after = after.unwrap();
        assert_eq!(judged(&after), judged(&before));
        assert_eq!(after.record().scores, before.record().scores);
    }

    let lost = SavedDetector::new(saved.toml.clone(), None);
    refused(options().restore(&lost), ErrorKind::Saved, &["statistics"]);
    let wrong = CalibratedDetector::options().model_bytes("net", &b"another"[..]);
    refused(wrong.restore(&saved), ErrorKind::OtherModel, &["SHA-256"]);
}

/// Against central differences of `log S_ŷ(x; T)`, of which the score at ε = 0 is `S_ŷ`.
#[test]
fn the_input_gradient_is_that_of_the_log_softmax_score() {
    let classifier = open(demo("model.safetensors"));
    let setting = Setting::new(5.0, 0.0).unwrap();
    let detector = Detector::builder(&classifier).setting(setting).build();
    let detector = detector.unwrap();
    let images = detector.open_images(demo("near.npy")).unwrap();
    // The temperature is one of its inputs.
    let other = Setting::new(70.0, 0.0).unwrap();
    let other = detector.with_setting(other).unwrap().input_gradient();
    assert!(other.as_ref().unwrap().at(-1.0).is_err());
    let probe = other.unwrap().at(5.0).unwrap();
    assert_eq!(probe.of(&[]).unwrap(), Vec::<Vec<f32>>::new());
    for place in 0..8 {
        let image = images.get(place).unwrap().image;
        let gradient = &probe.of(std::slice::from_ref(&image)).unwrap()[0];
        const H: f32 = 1e-3;
        let log_score = |pixel: usize, by: f32| {
            let mut moved = image.clone();
            moved.pixels[pixel] += by;
            detector.score(&[moved]).unwrap()[0].odin().unwrap().ln()
        };
        let differences = (0..gradient.len())
            .map(|pixel| (log_score(pixel, H) - log_score(pixel, -H)) / (2.0 * f64::from(H)));
        let (mut error, mut size) = (0.0, 0.0);
        for (difference, &gradient) in differences.zip(gradient) {
            error += (difference - f64::from(gradient)).powi(2);
            size += difference.powi(2);
        }
        // ReLUs have kinks; a wrong sign, scale or order of pixels gives more than 1.
        assert!(
            error.sqrt() < 0.05 * size.sqrt(),
            "{place}: {error} of {size}"
        );
    }
}
