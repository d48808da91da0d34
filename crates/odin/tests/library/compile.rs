//! What goes into a detector file, and what is refused. What the file computes is shown by
//! `scripts/check_detector.py`.

use crate::{demo, fixture, open, refused};
use odin::{
    CalibratedDetector, CalibrationOptions, Classifier, ClassifierOptions, CompileOptions,
    CompiledDetector, Detector, DetectorInput, ErrorKind, ModelConfig, Normalization, Setting,
    ThresholdRule, compile,
};

fn classifier(file: &str) -> Classifier {
    let mut given = ModelConfig::from(Normalization::imagenet());
    given.size = Some([16, 16]);
    given.class_names = Some((0..7).map(|i| format!("class {i}")).collect());
    Classifier::open(fixture(file), ClassifierOptions::from(given)).unwrap()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn a_detector_says_what_it_is() {
    let classifier = classifier("resnet_a.safetensors");
    let options = CompileOptions::default()
        .setting(Setting::new(500.0, 0.002).unwrap())
        .threshold(0.1435)
        .target_tpr(0.95)
        .input(DetectorInput::PixelsU8);
    let bytes = compile(&classifier, &options).unwrap();
    let sha256 = classifier.file().sha256.clone().unwrap();
    let texts = [
        "odin.temperature",
        "500",
        "odin.magnitude",
        "0.002",
        "odin.threshold",
        "0.1435",
        "odin.target_tpr",
        "pixels-u8",
        "0.485,0.456,0.406",
        "class 5\nclass 6",
        classifier.architecture(),
        &sha256,
        "images",
        "is_in_distribution",
    ];
    for text in texts {
        assert!(contains(&bytes, text), "{text:?} is missing");
    }
    assert_eq!(
        bytes,
        compile(&classifier, &options).unwrap(),
        "not reproducible"
    );
}

#[test]
fn without_a_threshold_nothing_is_decided() {
    let bytes = compile(
        &classifier("resnet_a.safetensors"),
        &CompileOptions::default(),
    )
    .unwrap();
    for text in [
        "odin.threshold",
        "odin.target_tpr",
        "is_in_distribution",
        "images",
    ] {
        assert!(!contains(&bytes, text), "{text:?} is there");
    }
}

#[test]
fn every_family_can_be_compiled_for_every_input() {
    let files = [
        "densenet_bc.safetensors",
        "densenet_torchvision.safetensors",
        "resnet_torchvision.safetensors",
        "resnext.safetensors",
        "wide_resnet.safetensors",
    ];
    for classifier in files.map(classifier) {
        for input in ["normalized", "pixels-u8", "pixels-f32"] {
            let options = CompileOptions::default().input(input.parse().unwrap());
            let bytes = compile(&classifier, &options).unwrap();
            assert!(contains(&bytes, input));
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let classifier = classifier("resnet_a.safetensors");
    let setting = |temperature, magnitude| {
        let mut setting = Setting::PAPER;
        (setting.temperature, setting.magnitude) = (temperature, magnitude);
        CompileOptions::default().setting(setting)
    };
    let threshold = CompileOptions::default().threshold(f64::INFINITY);
    let cases = [
        (setting(0.0, 0.0), "temperature"),
        (setting(1e60, 0.0), "temperature"),
        (setting(1.0, -0.1), "magnitude"),
        (setting(1.0, f64::NAN), "magnitude"),
        (threshold, "threshold"),
    ];
    for (options, part) in cases {
        let compiled = compile(&classifier, &options);
        refused(compiled, ErrorKind::Invalid, &[part]);
    }
    let unknown = "pixels".parse::<DetectorInput>();
    refused(unknown, ErrorKind::Invalid, &["pixels-u8"]);
}

/// The demonstration, calibrated on its first images.
fn calibrated(options: CalibrationOptions) -> CalibratedDetector {
    let builder = Detector::builder(&open(demo("model.safetensors"))).threads(2);
    let detector = builder.build().unwrap();
    let images = detector.open_images(demo("in.npy")).unwrap().range(0..90);
    let scored = detector.score_set(&images, |_| {}).unwrap();
    options.calibrate(detector, &scored, None).unwrap()
}

#[test]
fn a_compiled_detector_decides_as_the_calibrated_one() {
    let calibrated = calibrated(CalibrationOptions::default());
    let images = calibrated.open_images(demo("near.npy")).unwrap();
    let images = images.range(0..60);
    let options = CompileOptions::calibrated(calibrated.record()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.onnx");
    std::fs::write(&path, compile(calibrated.classifier(), &options).unwrap()).unwrap();
    let compiled = CompiledDetector::open(&path, 2).unwrap();
    let threshold = calibrated.record().deciding().unwrap().threshold;
    assert_eq!(compiled.card().threshold, Some(threshold));
    assert_eq!(compiled.card().target_tpr, Some(0.95));
    assert_eq!(compiled.card().setting, calibrated.record().setting);
    let (mut certain, pairs) = (0, calibrated.judge(&images).zip(compiled.judge(&images)));
    for (expected, found) in pairs {
        let (expected, found) = (expected.unwrap(), found.unwrap());
        assert_eq!(found.name, expected.name);
        assert_eq!(found.prediction, expected.score.prediction);
        // The file computes scores in f32, whose steps near 1/6 are 1.5e-8.
        if (expected.score.odin() - threshold).abs() > 1e-7 {
            let own = expected.decision.is_in_distribution;
            assert_eq!(found.is_in_distribution, Some(own), "{}", found.name);
            certain += 1;
        }
    }
    assert!(certain > 50, "{certain}");
}

#[test]
fn what_no_compiled_detector_does_is_refused() {
    let options = CalibrationOptions::default;
    let by_class = options().per_class(true).rule(ThresholdRule::Tpr(0.8));
    for (options, part) in [(options().scores(["msp"]), "msp"), (by_class, "each class")] {
        let compiled = CompileOptions::calibrated(calibrated(options).record());
        refused(compiled, ErrorKind::Invalid, &[part]);
    }
}
