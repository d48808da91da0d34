//! The precision is part of the setting: it is given once, travels with it into every file, and is
//! never mixed with another.

use crate::{demo, folder, open, refused};
use odin::{
    Agreement, CalibratedDetector, CalibrationOptions, Classifier, ClassifierOptions,
    CompileOptions, CompiledDetector, Detector, DetectorBuilder, DetectorRecord, Device, ErrorKind,
    Grid, Images, OutputCache, Precision, Setting, TuneOptions, Tuned, compile,
};

fn setting(precision: Precision) -> Setting {
    let setting = Setting::new(1000.0, 0.005).unwrap();
    setting.with_precision(precision)
}

fn builder(classifier: &Classifier, precision: Precision) -> DetectorBuilder {
    Detector::builder(classifier).setting(setting(precision))
}

fn images(classifier: &Classifier) -> Images {
    let images = classifier.open_images(demo("in.npy")).unwrap();
    images.range(0..60)
}

fn calibrated(precision: Precision) -> CalibratedDetector {
    let classifier = open(demo("model.safetensors"));
    let detector = builder(&classifier, precision).build().unwrap();
    let scored = detector.score_set(&images(&classifier), |_| {}).unwrap();
    let options = CalibrationOptions::default();
    options.calibrate(detector, &scored, None).unwrap()
}

#[test]
fn a_detector_judges_in_the_precision_of_its_calibration() {
    // What was taken for granted before there were others has no key, so that earlier versions read it.
    for (precision, format, key) in [
        (Precision::Exact, "odin_detector = 1\n", None),
        (
            Precision::Fast,
            "odin_detector = 3\n",
            Some("precision = \"fast\"\n"),
        ),
    ] {
        let calibrated = calibrated(precision);
        assert_eq!(calibrated.record().setting, setting(precision));
        let saved = calibrated.to_saved().unwrap();
        assert!(saved.toml.contains(format), "{}", saved.toml);
        assert_eq!(saved.toml.contains("precision"), key.is_some());
        assert!(
            saved.toml.contains(key.unwrap_or_default()),
            "{}",
            saved.toml
        );
        let options = CalibratedDetector::options().model(demo("model.safetensors"));
        let opened = options.restore(&saved).unwrap();
        assert_eq!(opened.detector().setting(), setting(precision));
        let set = images(calibrated.classifier());
        let judge = |detector: &CalibratedDetector| {
            let verdicts = detector.judge(&set);
            verdicts.map(Result::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(judge(&opened), judge(&calibrated));
    }
}

#[test]
fn unknown_precisions_are_refused() {
    let text = calibrated(Precision::Fast).to_saved().unwrap().toml;
    let text = text.replace("precision = \"fast\"", "precision = \"half\"");
    let record = DetectorRecord::from_toml(&text);
    let checksum = record.unwrap_err().to_string();
    let checksum = checksum.split("its checksum is ").nth(1).unwrap();
    let checksum: String = checksum.chars().take(64).collect();
    let with_checksum = |line: &str| match line.starts_with("checksum = ") {
        true => format!("checksum = \"{checksum}\"\n"),
        false => format!("{line}\n"),
    };
    let text: String = text.lines().map(with_checksum).collect();
    let record = DetectorRecord::from_toml(&text);
    refused(
        record,
        ErrorKind::Saved,
        &["`odin`", "\"half\"", "exact or fast"],
    );
}

#[test]
fn tuned_settings_keep_their_precision() {
    let classifier = open(demo("model.safetensors"));
    let set = images(&classifier);
    let grid = || Grid::new(&[1000.0], &[0.0, 0.005]).unwrap();
    let of_grid = |p| TuneOptions::default().grid(grid().with_precision(p));
    let (exact, fast) = (Precision::Exact, Precision::Fast);
    for (options, builder, expected) in [
        (of_grid(fast), builder(&classifier, exact), fast),
        (of_grid(exact), builder(&classifier, fast), exact),
        (TuneOptions::default(), builder(&classifier, fast), fast),
        (TuneOptions::default(), builder(&classifier, exact), exact),
    ] {
        let tuned = options.tune(builder, &set, None, |_, _| {}).unwrap();
        assert_eq!(tuned.setting.precision, expected);
        let text = tuned.to_toml();
        assert_eq!(
            text.contains("odin_tuned = 1\n"),
            expected == exact,
            "{text}"
        );
        assert_eq!(text.contains("precision"), expected == fast, "{text}");
        let folder = folder(&[("tuned.toml", text.into())]);
        let path = folder.path().join("tuned.toml");
        assert_eq!(Tuned::open(path).unwrap(), tuned);
    }
}

#[test]
fn precisions_are_not_mixed() {
    let classifier = open(demo("model.safetensors"));
    let (exact, fast) = (Precision::Exact, Precision::Fast);
    let detector = builder(&classifier, exact).build().unwrap();
    let other = detector.with_setting(setting(fast));
    refused(
        other,
        ErrorKind::Invalid,
        &["prepared for the precision exact", "fast"],
    );
    let settings = [setting(exact), setting(fast)];
    let sweep = builder(&classifier, exact).sweep(&settings);
    refused(sweep, ErrorKind::Invalid, &["different precisions"]);
    let elsewhere = builder(&classifier, fast).device(Device::CpuOrt).build();
    refused(
        elsewhere,
        ErrorKind::Invalid,
        &["built-in engine", "cpu-ort"],
    );
    assert!(detector.instructions().is_some_and(|name| !name.is_empty()));
}

/// Outputs of one precision are not taken for those of another.
#[test]
fn a_cache_tells_precisions_apart() {
    let classifier = open(demo("model.safetensors"));
    let set = images(&classifier);
    let folder = tempfile::tempdir().unwrap();
    for (precision, computed) in [
        (Precision::Exact, set.len()),
        (Precision::Fast, set.len()),
        (Precision::Exact, 0),
        (Precision::Fast, 0),
    ] {
        let cache = OutputCache::open(folder.path()).unwrap();
        let builder = builder(&classifier, precision).cache(cache.clone());
        let detector = builder.build().unwrap();
        detector.score_set(&set, |_| {}).unwrap();
        assert_eq!(cache.computed(), computed, "{precision}");
    }
}

/// The file says its precision, keeps its size, and is still the detector that it was made of, in
/// either precision.
#[test]
fn compiled_files_carry_their_precision() {
    let classifier = open(demo("model.safetensors"));
    let images = images(&classifier);
    let images: Vec<_> = (0..20).map(|i| images.get(i).unwrap().image).collect();
    let compiled = |precision| {
        let options = CompileOptions::default().setting(setting(precision));
        compile(&classifier, &options).unwrap()
    };
    let size = compiled(Precision::Exact).len();
    for precision in [Precision::Exact, Precision::Fast] {
        let bytes = compiled(precision);
        assert!(bytes.len() < size + size / 4, "{} of {size}", bytes.len());
        let folder = folder(&[("detector.onnx", bytes)]);
        let file = CompiledDetector::open(folder.path().join("detector.onnx"), 1).unwrap();
        assert_eq!(file.card().setting, setting(precision));
        for own in [Precision::Exact, Precision::Fast] {
            let detector = builder(&classifier, own).build().unwrap();
            let agreement = Agreement::of(&file, &detector, &images).unwrap();
            let both_exact = [precision, own] == [Precision::Exact; 2];
            assert_eq!(agreement.precision == Precision::Exact, both_exact);
            assert!(agreement.holds(1e-3), "{agreement:?}");
        }
    }
}

/// What was calibrated in one precision is compiled in it.
#[test]
fn a_calibrated_detector_is_compiled_in_its_precision() {
    for precision in [Precision::Exact, Precision::Fast] {
        let calibrated = calibrated(precision);
        let options = calibrated.compile_options().unwrap();
        let bytes = compile(calibrated.classifier(), &options).unwrap();
        let read = Classifier::from_bytes(&bytes, "d.onnx", ClassifierOptions::default()).unwrap();
        let card = read.detector_card().unwrap();
        assert_eq!(card.setting, setting(precision));
    }
}
