//! What goes into a detector file, and what is refused. What the file computes is shown by
//! `scripts/check_detector.py`.

// Clippy lets only functions marked as tests unwrap, not their helpers.
#![allow(clippy::unwrap_used)]

use odin::{
    Classifier, ClassifierOptions, CompileOptions, DetectorInput, ModelConfig, Normalization,
    compile,
};
use std::path::Path;

fn classifier(file: &str) -> Classifier {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../odin-formats/tests/fixtures");
    let mut given = ModelConfig::from(Normalization::imagenet());
    given.size = Some([16, 16]);
    given.class_names = Some((0..7).map(|i| format!("class {i}")).collect());
    Classifier::open(&folder.join(file), ClassifierOptions::from(given)).unwrap()
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
        .temperature(500.0)
        .magnitude(0.002)
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
    let options = CompileOptions::default;
    let cases = [
        (options().temperature(0.0), "temperature"),
        (options().temperature(1e60), "temperature"),
        (options().magnitude(-0.1), "magnitude"),
        (options().magnitude(f64::NAN), "magnitude"),
        (options().threshold(f64::INFINITY), "threshold"),
    ];
    for (options, part) in cases {
        let error = compile(&classifier, &options).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let unknown = "pixels".parse::<DetectorInput>().unwrap_err().to_string();
    assert!(unknown.contains("pixels-u8"), "{unknown}");
}
