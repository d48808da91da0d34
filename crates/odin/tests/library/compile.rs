//! What goes into a detector file, and what is refused. What the file computes is shown by
//! `scripts/check_detector.py`.

use crate::{demo, fixture, open, refused};
use odin::{
    Agreement, CalibratedDetector, CalibrationOptions, Classifier, ClassifierOptions,
    CompileOptions, CompiledDetector, Detector, DetectorInput, ErrorKind, Method, ModelConfig,
    Normalization, Observation, ScoreAgreement, Scorer, Setting, ThresholdRule, compile,
};
use odin_formats::onnx;

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
    let detector = builder.free_scores().unwrap().build().unwrap();
    let images = detector.open_images(demo("in.npy")).unwrap().range(0..90);
    let scored = detector.score_set(&images, |_| {}).unwrap();
    options.calibrate(detector, &scored, None).unwrap()
}

#[test]
fn a_compiled_detector_decides_as_the_calibrated_one() {
    let calibrated = calibrated(CalibrationOptions::default());
    let images = calibrated.open_images(demo("near.npy")).unwrap();
    let images = images.range(0..60);
    let options = calibrated.compile_options().unwrap();
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
        if (expected.decision.score - threshold).abs() > 1e-7 {
            let own = expected.decision.is_in_distribution;
            assert_eq!(found.is_in_distribution, Some(own), "{}", found.name);
            certain += 1;
        }
    }
    assert!(certain > 50, "{certain}");
}

/// All scores, fitted to images of the demonstration; the first decides.
fn with_all_scores(first: &str, options: CalibrationOptions) -> CalibratedDetector {
    let classifier = open(demo("model.safetensors"));
    let images = |file: &str| classifier.open_images(demo(file)).unwrap();
    let builder = Detector::builder(&classifier).threads(2);
    let training = images("in.npy");
    // MSP is there in any case, and the network has no labels to sum over.
    let methods = Method::ALL.into_iter();
    let methods = methods.filter(|&method| method != Method::Msp && !method.takes_labels());
    let methods: Vec<Method> = methods.collect();
    let fitted = builder.clone().fit(&methods, Some(&training), |_| {});
    let detector = builder
        .fitted(fitted.unwrap())
        .i_odin(true)
        .build()
        .unwrap();
    let scored = detector.score_set(&images("in.npy"), |_| {}).unwrap();
    let others = detector.score_names().iter().filter(|name| *name != first);
    let names = [first.to_string()].into_iter().chain(others.cloned());
    let names: Vec<String> = names.collect();
    options
        .scores(names)
        .calibrate(detector, &scored, None)
        .unwrap()
}

fn compiled(calibrated: &CalibratedDetector, options: &CompileOptions) -> CompiledDetector {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.onnx");
    std::fs::write(&path, compile(calibrated.classifier(), options).unwrap()).unwrap();
    CompiledDetector::open(&path, 2).unwrap()
}

#[test]
fn every_score_is_compiled_with_what_was_fitted() {
    let calibrated = with_all_scores("vim", CalibrationOptions::default());
    let options = calibrated.compile_options().unwrap().p_values(true);
    let file = compiled(&calibrated, &options);
    assert_eq!(file.card().decides_by, "vim");
    let mut expected = calibrated.detector().score_names().to_vec();
    let mut found = file.card().scores.clone();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let images = calibrated.open_images(demo("near.npy")).unwrap();
    let decoded: Vec<_> = (0..100).map(|i| images.get(i).unwrap().image).collect();
    let agreement = Agreement::of(&file, calibrated.detector(), &decoded).unwrap();
    assert!(agreement.not_compared.is_empty());
    let allowed = |score: &ScoreAgreement| match score.name.as_str() {
        "weiper-kld" => 1e-2, // the step of a value that f32 moves over the edge of a bin
        _ => 2e-5,
    };
    let scores = agreement.scores.iter();
    let off = scores.filter(|s| s.difference / s.scale.max(1.0) >= allowed(s));
    let off: Vec<&ScoreAgreement> = off.collect();
    assert!(off.is_empty(), "{off:?}");
    assert!(agreement.holds(1e-3));
    let threshold = calibrated.record().deciding().unwrap().threshold;
    let pairs = calibrated.judge(&images).zip(file.judge(&images));
    for (expected, found) in pairs {
        let (expected, found) = (expected.unwrap().decision, found.unwrap());
        // A score that f32 moves past a few of the 360 others.
        let near = |a: f64, b: Option<f64>, of: f64| (a - b.unwrap()).abs() <= 3.0 / 360.0 * of;
        assert!(
            near(expected.percentile, found.percentile, 100.0),
            "{found:?}, {expected:?}"
        );
        assert!(
            near(expected.p_value, found.p_value, 1.0),
            "{found:?}, {expected:?}"
        );
        if (expected.score - threshold).abs() > 1e-4 {
            assert_eq!(found.is_in_distribution, Some(expected.is_in_distribution));
        }
    }
}

/// Percentiles between kept scores, of more calibration images than are kept.
#[test]
fn percentiles_of_many_images_are_interpolated() {
    let detector = calibrated(CalibrationOptions::default().scores(["energy"]));
    let images = detector.open_images(demo("near.npy")).unwrap();
    let mut scored = detector.detector().score_set(&images, |_| {}).unwrap();
    let rows = scored.rows.clone();
    for _ in 0..8 {
        scored.rows.extend(rows.iter().cloned());
    }
    let classifier = detector.classifier();
    let again = Detector::builder(classifier).free_scores().unwrap();
    let again = again.build().unwrap();
    let options = CalibrationOptions::default().scores(["energy"]);
    let calibrated = options.calibrate(again, &scored, None).unwrap();
    let reference = &calibrated.record().deciding().unwrap().reference;
    assert!(reference.images() > reference.ranks().len() as u64);
    let options = calibrated.compile_options();
    let file = compiled(&calibrated, &options.unwrap().p_values(true));
    // Other images, whose scores are not those at which ranks jump.
    let others = detector.open_images(demo("in.npy")).unwrap();
    let (mut percentiles, mut p_values) = (0.0, 0.0);
    for (expected, found) in calibrated.judge(&others).zip(file.judge(&others)) {
        let (expected, found) = (expected.unwrap().decision, found.unwrap());
        percentiles += (found.percentile.unwrap() - expected.percentile).abs();
        p_values += (found.p_value.unwrap() - expected.p_value).abs();
    }
    let count = others.len() as f64;
    let (percentiles, p_values) = (percentiles / count, p_values / count);
    assert!(
        percentiles < 0.005 && p_values < 1e-4,
        "{percentiles}, {p_values}"
    );
}

#[test]
fn a_score_at_the_threshold_is_in_distribution() {
    let calibrated = calibrated(CalibrationOptions::default());
    let images = calibrated.open_images(demo("near.npy")).unwrap();
    let images = images.range(0..20);
    let judged = |threshold: f64| {
        let options = CompileOptions::default().threshold(threshold);
        let file = compiled(&calibrated, &options);
        let judged = file.judge(&images).map(Result::unwrap);
        judged.collect::<Vec<_>>()
    };
    let score = judged(0.5)[3].scores[1];
    let above = f64::from((score as f32).next_up());
    let decided = |threshold| judged(threshold)[3].is_in_distribution;
    assert_eq!((decided(score), decided(above)), (Some(true), Some(false)));
}

#[test]
fn each_class_has_its_threshold_in_the_file() {
    let by_class = CalibrationOptions::default()
        .per_class(true)
        .rule(ThresholdRule::Tpr(0.8));
    let calibrated = calibrated(by_class);
    let file = compiled(&calibrated, &calibrated.compile_options().unwrap());
    let deciding = calibrated.record().deciding().unwrap();
    let thresholds: Vec<f64> = deciding.classes.iter().map(|c| c.threshold).collect();
    assert_eq!(file.card().class_thresholds, thresholds);
    let images = calibrated.open_images(demo("near.npy")).unwrap();
    let (mut certain, pairs) = (0, calibrated.judge(&images).zip(file.judge(&images)));
    for (expected, found) in pairs {
        let (expected, found) = (expected.unwrap().decision, found.unwrap());
        if (expected.score - expected.threshold).abs() > 1e-7 {
            assert_eq!(found.is_in_distribution, Some(expected.is_in_distribution));
            certain += 1;
        }
    }
    assert!(certain > 50, "{certain}");
}

/// Neither the file nor the program goes back to the pixels where no score needs it.
#[test]
fn without_odin_there_is_no_gradient() {
    let options = CalibrationOptions::default().scores(["energy", "msp"]);
    let calibrated = calibrated(options);
    let bytes = compile(
        calibrated.classifier(),
        &calibrated.compile_options().unwrap(),
    );
    let bytes = bytes.unwrap();
    assert!(contains(&bytes, "energy"));
    let all = compile(calibrated.classifier(), &CompileOptions::default()).unwrap();
    let nodes = |bytes: &[u8]| onnx::read_graph(bytes, "it").unwrap().nodes().len();
    assert!(2 * nodes(&bytes) < nodes(&all));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.toml");
    calibrated.save(&path).unwrap();
    let opened = CalibratedDetector::open(&path).unwrap();
    assert_eq!(opened.detector().score_names(), ["msp", "energy"]);
    let passes = |detector: &Detector| detector.program().unwrap().steps.len();
    assert!(2 * passes(opened.detector()) < passes(calibrated.detector()));
    let images = opened.open_images(demo("near.npy")).unwrap().range(0..20);
    for (own, with_odin) in opened.judge(&images).zip(calibrated.judge(&images)) {
        let (own, with_odin) = (own.unwrap(), with_odin.unwrap());
        assert_eq!(own.decision, with_odin.decision);
        assert_eq!(
            (own.score.odin(), own.score.msp()),
            (None, with_odin.score.msp())
        );
    }
}

/// Bytes stand for 0 to 1, which a signal of another range is not.
#[test]
fn signals_of_another_range_are_not_bytes() {
    let file = fixture("onnx/conv1d.torchscript11.onnx");
    let cases = [
        ([0.5, 0.4], [0.25, 0.3], None),
        ([12.0, 0.4], [0.25, 0.3], Some("mean 12")),
        ([0.5, -0.1], [0.25, 0.3], Some("mean -0.1")),
        ([0.5, 0.4], [0.25, 40.0], Some("standard deviation 40")),
    ];
    for (mean, std, problem) in cases {
        let normalization = Normalization::new(&mean, &std).unwrap();
        let classifier = Classifier::open(&file, normalization).unwrap();
        let with = |input| compile(&classifier, &CompileOptions::default().input(input));
        assert!(with(DetectorInput::PixelsF32).is_ok());
        match problem {
            None => assert!(with(DetectorInput::PixelsU8).is_ok()),
            Some(part) => {
                let bytes = with(DetectorInput::PixelsU8);
                refused(bytes, ErrorKind::Invalid, &[part, "pixels-f32"]);
            }
        }
    }
}

#[test]
fn what_no_compiled_detector_does_is_refused() {
    #[derive(Debug)]
    struct Own;
    impl Scorer for Own {
        fn name(&self) -> &str {
            "own"
        }
        fn needs(&self) -> odin::Needs {
            odin::Needs::LOGITS
        }
        fn score(&self, observation: &Observation<'_>) -> f64 {
            observation.logits[0].into()
        }
    }
    let builder = Detector::builder(&open(demo("model.safetensors"))).scorer(Own);
    let detector = builder.build().unwrap();
    let images = detector.open_images(demo("in.npy")).unwrap().range(0..90);
    let scored = detector.score_set(&images, |_| {}).unwrap();
    let options = CalibrationOptions::default().scores(["own"]);
    let own = options.calibrate(detector, &scored, None).unwrap();
    refused(
        own.compile_options(),
        ErrorKind::Invalid,
        &["own", "compiled"],
    );

    let p_values = CompileOptions::default().threshold(0.5).p_values(true);
    let classifier = classifier("resnet_a.safetensors");
    refused(
        compile(&classifier, &p_values),
        ErrorKind::Invalid,
        &["calibrated detector"],
    );
}
