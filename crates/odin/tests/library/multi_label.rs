//! Networks whose classes are labels that do not exclude each other, against PyTorch
//! (`scripts/multi_label_fixtures.py`), in the detector, in a sweep, saved and compiled.

use crate::{demo, fixture, folder, open, refused};
use odin::{
    CalibratedDetector, CalibrationOptions, Classifier, ClassifierOptions, CompiledDetector,
    Detector, DetectorInput, ErrorKind, Images, Method, ModelConfig, Normalization, Setting,
    compile,
};
use serde_json::Value;
use tempfile::TempDir;

const NETWORK: &str = "onnx/multi_label.onnx";

fn expected() -> Value {
    serde_json::from_str(include_str!("../multi_label.json")).unwrap()
}

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| value.as_f64().unwrap()).collect()
}

fn classifier(multi_label: Option<bool>) -> Classifier {
    let expected = expected();
    let of = |key: &str| -> Vec<f32> {
        let values = numbers(&expected[key]).into_iter();
        values.map(|value| value as f32).collect()
    };
    let mut given = ModelConfig::from(Normalization::new(&of("mean"), &of("std")).unwrap());
    given.multi_label = multi_label;
    Classifier::open(fixture(NETWORK), ClassifierOptions::from(given)).unwrap()
}

/// The images of the fixture, as an array.
fn images(classifier: &Classifier) -> (Images, TempDir) {
    let expected = expected();
    let shape: Vec<String> = numbers(&expected["shape"])
        .iter()
        .map(f64::to_string)
        .collect();
    let header = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({})}}",
        shape.join(", ")
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.into_bytes());
    bytes.extend(
        numbers(&expected["levels"])
            .iter()
            .map(|&level| level as u8),
    );
    let folder = folder(&[("images.npy", bytes)]);
    let images = classifier.open_images(folder.path().join("images.npy"));
    (images.unwrap(), folder)
}

fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= tolerance,
            "{what}: {found} {expected}"
        );
    }
}

#[test]
fn scores_are_those_of_labels() {
    let (classifier, expected) = (classifier(None), expected());
    assert!(classifier.is_multi_label());
    let (images, _folder) = images(&classifier);
    let settings = expected["settings"].as_array().unwrap();
    let setting = |row: &Value| {
        let of = |key: &str| row[key].as_f64().unwrap();
        Setting::new(of("temperature"), of("magnitude")).unwrap()
    };
    let builder = || Detector::builder(&classifier).free_scores().unwrap();
    for row in settings {
        let setting = setting(row);
        let detector = builder().setting(setting).i_odin(true).build().unwrap();
        let names = ["msp", "odin", "i-odin", "max-logit", "joint-energy"];
        assert_eq!(detector.score_names(), names);
        let scored = detector.score_set(&images, |_| {}).unwrap();
        for name in names {
            let of = match row.get(name) {
                Some(of) => of,
                None => &expected["scores"][name],
            };
            // Logits are computed in f32; a score at T changes by a quarter of that, divided by T.
            let tolerance = match name {
                "odin" | "i-odin" => 2e-6 / setting.temperature,
                _ => 4e-6,
            };
            let what = format!("{name} at {setting}");
            close(
                &scored.scores(name).unwrap(),
                &numbers(of),
                tolerance,
                &what,
            );
        }
    }
    let all: Vec<Setting> = settings.iter().map(setting).collect();
    let sweep = builder().sweep(&all).unwrap();
    let scored = sweep.score_set(&images, |_| {}).unwrap();
    close(
        &scored.msp,
        &numbers(&expected["scores"]["msp"]),
        1e-6,
        "msp",
    );
    for ((row, column), setting) in settings.iter().zip(&scored.odin).zip(&all) {
        let tolerance = 2e-6 / setting.temperature;
        close(
            column,
            &numbers(&row["odin"]),
            tolerance,
            &format!("odin at {setting}"),
        );
    }
}

/// What a file shows can be said otherwise, and the network is another one then.
#[test]
fn what_a_network_is_can_be_said() {
    let (shown, denied) = (classifier(None), classifier(Some(false)));
    assert!(shown.is_multi_label() && !denied.is_multi_label());
    assert_eq!(shown.fingerprint(), classifier(Some(true)).fingerprint());
    assert_ne!(shown.fingerprint(), denied.fingerprint());
    let model = std::fs::read(demo("model.safetensors")).unwrap();
    let texts = [
        ("multi_label = true", true),
        ("multi_label = false", false),
        ("", false),
    ];
    for (text, is) in texts {
        let files = [
            ("net.safetensors", model.clone()),
            ("net.toml", text.into()),
        ];
        let folder = folder(&files);
        assert_eq!(
            open(folder.path().join("net.safetensors")).is_multi_label(),
            is,
            "{text}"
        );
    }
}

#[test]
fn scores_of_the_other_kind_are_refused() {
    let labels = classifier(None);
    let exclusive = open(demo("model.safetensors"));
    let of_labels = [
        Method::MaxLogit,
        Method::JointEnergy,
        Method::Knn,
        Method::MahalanobisPp,
    ];
    for method in Method::ALL.into_iter().filter(|&m| m != Method::Msp) {
        let refusal = labels.check_score(method);
        if method.takes_exclusive_classes() {
            refused(
                refusal,
                ErrorKind::Classifier,
                &[method.name(), "multi-label"],
            );
            assert!(!of_labels.contains(&method), "{method}");
        } else {
            refusal.unwrap();
        }
        if method == Method::JointEnergy {
            let parts = ["joint-energy", "multi_label = true"];
            refused(exclusive.check_score(method), ErrorKind::Classifier, &parts);
        } else {
            exclusive.check_score(method).unwrap();
        }
    }
    let fitted = Detector::builder(&labels).fit(&[Method::Energy], None, |_| {});
    refused(
        fitted,
        ErrorKind::Classifier,
        &["the score energy", "joint-energy"],
    );
}

#[test]
fn saved_and_compiled_detectors_know_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = ModelConfig::default();
    given.multi_label = Some(true);
    let from_checkpoint = Classifier::open(demo("model.safetensors"), given).unwrap();
    let from_onnx = classifier(None);
    for (name, classifier) in [("demo", &from_checkpoint), ("onnx", &from_onnx)] {
        let builder = Detector::builder(classifier).free_scores().unwrap();
        let (own, _folder) = images(&from_onnx);
        let images = match name {
            "demo" => classifier
                .open_images(demo("near.npy"))
                .unwrap()
                .range(0..40),
            _ => own,
        };
        let detector = builder.i_odin(true).build().unwrap();
        let scored = detector.score_set(&images, |_| {}).unwrap();
        let names = ["joint-energy", "msp", "odin", "i-odin", "max-logit"];
        let options = CalibrationOptions::default().scores(names);
        let calibrated = options.calibrate(detector, &scored, None).unwrap();
        let path = folder.path().join(format!("{name}.toml"));
        calibrated.save(&path).unwrap();
        let opened = CalibratedDetector::open(&path).unwrap();
        assert!(opened.classifier().is_multi_label(), "{name}");
        let again = opened.detector().score_set(&images, |_| {}).unwrap();
        for name in names {
            assert_eq!(again.scores(name), scored.scores(name), "{name}");
        }

        let options = opened
            .compile_options()
            .unwrap()
            .input(DetectorInput::PixelsU8);
        let path = folder.path().join(format!("{name}.onnx"));
        std::fs::write(&path, compile(opened.classifier(), &options).unwrap()).unwrap();
        let compiled = CompiledDetector::open(&path, 2).unwrap();
        assert!(compiled.card().multi_label);
        assert!(open(&path).is_multi_label(), "{name}");
        for (found, expected) in compiled.judge(&images).zip(&scored.rows) {
            let found = found.unwrap();
            assert_eq!(found.prediction, expected.score.prediction);
            for (score, value) in compiled.card().scores.iter().zip(&found.scores) {
                let difference = (expected.score.get(score).unwrap() - value).abs();
                assert!(difference < 1e-5, "{name}: {score} is off by {difference}");
            }
        }
    }
}
