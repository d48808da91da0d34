//! The example programs do what they say, on the demonstration.

use crate::{demo, open};
use odin::{CalibratedDetector, CalibrationOptions, Detector, Method, Setting};
use std::path::Path;

#[allow(dead_code, reason = "a program's own start")]
#[path = "../../examples/calibrate.rs"]
mod calibrate;
#[allow(dead_code, reason = "a program's own start")]
#[path = "../../examples/compile.rs"]
mod compile;
#[allow(dead_code, reason = "a program's own start")]
#[path = "../../examples/decide.rs"]
mod decide;
#[allow(dead_code, reason = "a program's own start")]
#[path = "../../examples/metrics.rs"]
mod metrics;
#[allow(dead_code, reason = "a program's own start")]
#[path = "../../examples/own_score.rs"]
mod own_score;

/// What a program writes.
fn written(run: impl FnOnce(&mut Vec<u8>) -> Result<(), Box<dyn std::error::Error>>) -> String {
    let mut out = Vec::new();
    run(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn decide() {
    let photos = demo("near.npy");
    let text = written(|out| decide::run(&demo("detector.toml"), &photos, out));
    assert_eq!(text.lines().count(), 714);
    let known = text.lines().filter(|line| line.contains(", known")).count();
    // As in the demonstration's README: 7.70 % pass at 95 % true positives.
    assert_eq!(known, 55, "{text}");
}

#[test]
fn calibrate() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("detector.toml");
    let (model, images) = (demo("model.safetensors"), demo("in.npy"));
    let text = written(|out| calibrate::run(&model, &images, &toml, out));
    let detector = CalibratedDetector::open(&toml).unwrap();
    let record = detector.record();
    assert!(text.contains(&record.setting.to_string()), "{text}");
    assert_eq!(record.images.in_images, 271);
}

#[test]
fn metrics() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name, text| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (known, unknown) = (file("in", "0.9\n0.8\n0.7\n"), file("out", "0.5\n0.75\n"));
    let text = written(|out| metrics::run(&known, &unknown, out));
    assert!(text.contains("auroc: 83.33 %"), "{text}");
    let (bad, out) = (file("bad", "cat\n"), &mut Vec::new());
    assert!(metrics::run(&bad, &unknown, out).is_err());
}

#[test]
fn own_score() {
    let text = written(|out| own_score::run(&demo("model.safetensors"), &demo("near.npy"), out));
    assert_eq!(text.lines().count(), 714);
    assert!(text.lines().all(|line| line.contains("margin")), "{text}");
}

#[test]
fn compile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let arguments = [
        text(&demo("model.safetensors")),
        "0.305185".to_string(),
        "0.377469".to_string(),
        "pixels-u8".to_string(),
        text(&path),
    ];
    compile::run(&arguments).unwrap();
    let compiled = odin::CompiledDetector::open(&path, 1).unwrap();
    assert_eq!(compiled.card().setting, Setting::PAPER);
}

/// The demonstration's detector, as the library makes it. It decides by ODIN and knows energy.
fn demo_detector() -> CalibratedDetector {
    let builder = Detector::builder(&open(demo("model.safetensors"))).threads(2);
    let fitted = builder.clone().fit(&[Method::Energy], None, |_| {});
    let builder = builder.fitted(fitted.unwrap());
    let setting = Setting::new(1000.0, 0.005).unwrap();
    let detector = builder.setting(setting).build().unwrap();
    let images = detector.open_images(demo("in.npy")).unwrap();
    let scored = detector.score_set(&images, |_| {}).unwrap();
    let options = CalibrationOptions::default().scores(["odin", "energy"]);
    options.calibrate(detector, &scored, None).unwrap()
}

/// Other kernels may round otherwise: energies are near 10, ODIN scores a millionth of that apart.
#[test]
fn the_detector_of_the_demonstration_is_what_the_library_makes() {
    let saved = CalibratedDetector::open(demo("detector.toml")).unwrap();
    let made = demo_detector();
    let (saved, made) = (saved.record(), made.record());
    assert_eq!(saved.model.path, Path::new("model.safetensors"));
    assert_eq!(saved.model.config, made.model.config);
    assert_eq!(saved.setting, made.setting);
    assert_eq!(saved.images, made.images);
    assert_eq!(saved.statistics, None);
    let names = |record: &odin::DetectorRecord| -> Vec<String> {
        record
            .scores
            .iter()
            .map(|score| score.name.clone())
            .collect()
    };
    assert_eq!(names(saved), names(made));
    for (saved, made) in saved.scores.iter().zip(&made.scores) {
        let allowed = if saved.name == "odin" { 1e-8 } else { 1e-4 };
        let difference = (saved.threshold - made.threshold).abs();
        assert!(difference < allowed, "{}: {difference:e}", saved.name);
        assert_eq!(saved.rule, made.rule);
    }
}

/// Writes it: `cargo test -p odin --test library -- --ignored write_the_detector`.
#[test]
#[ignore = "writes demo/detector.toml"]
fn write_the_detector_of_the_demonstration() {
    demo_detector().save(demo("detector.toml")).unwrap();
}
