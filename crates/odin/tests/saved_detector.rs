//! A `detector.toml` holds all of a calibrated detector, is refused when it was changed, and judges
//! by what the calibration's scores say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use odin::{
    CalibrationOptions, Classifier, ClassifierOptions, Detector, ErrorKind, Fitted, Images, Method,
    SavedDetector, ScoredSet, Scorer, Statistics, ThresholdRule, restore_statistics,
    statistics_to_bytes,
};
use odin_data::{DataSet, OpenOptions, open};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

const MAGNITUDE: f64 = 0.005;

fn demo(file: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("../../demo").join(file)
}

fn classifier() -> Classifier {
    Classifier::open(&demo("model.safetensors"), ClassifierOptions::default()).unwrap()
}

fn images(file: &str) -> Box<dyn DataSet> {
    open(&demo(file), &OpenOptions::default()).unwrap()
}

/// The demonstration, scored once for all tests.
struct Demo {
    classifier: Classifier,
    fitted: Vec<Fitted>,
    detector: Detector,
    in_set: ScoredSet,
    out_set: ScoredSet,
}

static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    let classifier = classifier();
    let (fitted, detector) = {
        let training = images("validation.npy");
        let training = Images::all(&*training);
        let builder = Detector::builder(&classifier).threads(2);
        // MSP is computed always.
        let methods: Vec<Method> = Method::ALL
            .into_iter()
            .filter(|m| m.name() != "msp")
            .collect();
        let fitted = builder.fit_each(&methods, Some(&training), |_| {}).unwrap();
        let fitted: Vec<Fitted> = fitted.into_iter().filter_map(Result::ok).collect();
        assert!(fitted.len() >= 12, "{fitted:?}");
        let detector = detector(&classifier, &fitted, true);
        (fitted, detector)
    };
    let scored = |file| score(&detector, file);
    let (in_set, out_set) = (scored("in.npy"), scored("near.npy"));
    Demo {
        classifier,
        fitted,
        in_set,
        out_set,
        detector,
    }
});

fn detector(classifier: &Classifier, fitted: &[Fitted], i_odin: bool) -> Detector {
    let scorers = fitted.iter().cloned();
    let scorers = scorers.map(|fitted| Arc::new(fitted) as Arc<dyn Scorer>);
    let builder = Detector::builder(classifier).threads(2).scorers(scorers);
    builder.i_odin(i_odin).build().unwrap()
}

fn score(detector: &Detector, file: &str) -> ScoredSet {
    let set = images(file);
    let images = Images::all(&*set).range(0..361);
    detector.score_set(&images, MAGNITUDE, |_| {}).unwrap()
}

fn calibrated(options: CalibrationOptions, with_out: bool) -> SavedDetector {
    let demo = &*DEMO;
    let out_set = with_out.then_some(&demo.out_set);
    let calibrated = options.calibrate(
        &demo.classifier,
        &demo.detector,
        MAGNITUDE,
        &demo.in_set,
        out_set,
    );
    calibrated.unwrap()
}

fn all_scores() -> Vec<String> {
    let mut names = vec!["odin".to_string(), "msp".to_string()];
    names.extend(DEMO.detector.others());
    names
}

/// One of each kind of detector.
fn detectors() -> Vec<SavedDetector> {
    let options = CalibrationOptions::default;
    let mut named = calibrated(options().scores(all_scores()), true);
    named.model.config.class_names = Some(
        ["nought", "a \"b\"", "c = [1, 2]", "two\nlines", "Käse", ""]
            .map(str::to_string)
            .to_vec(),
    );
    named.model.config.output = Some("logits".to_string());
    named.model.config.transform = Some("resize:8x8,centre-crop:8".parse().unwrap());
    named.model.path = PathBuf::from("sub folder/net [1] = 'x'.onnx");
    named.images.in_dataset = format!("a\nlist = [{}]", vec!["1"; 60].join(", "));
    named.images.in_skipped = 7;
    named.statistics = Some(Statistics::of("fitted.safetensors", b"content"));
    vec![
        calibrated(options(), false),
        calibrated(options(), true),
        calibrated(
            options().per_class(true).rule(ThresholdRule::Tpr(0.8)),
            true,
        ),
        calibrated(options().rule(ThresholdRule::Fpr(0.3)), true),
        calibrated(options().rule(ThresholdRule::DetectionError), true),
        calibrated(
            options().rule(ThresholdRule::Fpr(0.1)).target_tpr(0.999),
            true,
        ),
        named,
    ]
}

fn temporary(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let (_folder, path) = temporary(text);
    let error = match SavedDetector::open(&path) {
        Ok(_) => panic!("nobody minds {parts:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Saved);
    let message = error.to_string();
    for part in [&["detector.toml"], parts].concat() {
        assert!(message.contains(part), "{message}\nlacks {part:?}");
    }
}

/// The lines that differ: all of both is too much to print.
fn differences(a: &SavedDetector, b: &SavedDetector) -> String {
    let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
    let pairs = a.lines().zip(b.lines()).filter(|(a, b)| a != b);
    let lines: Vec<String> = pairs.take(9).map(|(a, b)| format!("{a} |{b}")).collect();
    lines.join("\n")
}

#[test]
fn what_is_written_is_read_again() {
    for detector in detectors() {
        let text = detector.to_toml();
        let read = SavedDetector::from_toml(&text).unwrap();
        assert!(read == detector, "{}", differences(&read, &detector));
        assert_eq!(read.to_toml(), text);
        let (_folder, path) = temporary(&text);
        assert!(SavedDetector::open(&path).unwrap() == detector);
    }
}

/// Git and editors change line ends, which changes nothing.
#[test]
fn line_ends_do_not_matter() {
    let detector = &detectors()[2];
    let text = detector.to_toml().replace('\n', "\r\n");
    let read = SavedDetector::from_toml(&text).unwrap();
    assert!(read == *detector, "{}", differences(&read, detector));
}

/// The first line that begins so, with its number.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(start));
    line.unwrap_or_else(|| panic!("no line {start:?} in\n{text}"))
}

#[test]
fn a_changed_file_is_refused() {
    let text = calibrated(CalibrationOptions::default().per_class(true), true).to_toml();
    let replaced = |start: &str, by: &str| text.replacen(line(&text, start), by, 1);
    let sha = line(&text, "sha256 = ");
    let other_sha = sha.replace(sha.chars().nth(12).unwrap(), "0");
    let checksum = line(&text, "checksum = ");
    let other_checksum = format!("checksum = \"{}\"", "0".repeat(64));
    let changed = "was changed after it was written";
    let cases = [
        (replaced("threshold = ", "threshold = 0.1"), changed),
        (replaced("temperature = ", "temperature = 999.0"), changed),
        (replaced("magnitude = ", "magnitude = 0.0051"), changed),
        (replaced("sha256 = ", &other_sha), changed),
        (replaced("path = ", "path = \"other\""), changed),
        (replaced("version = ", "version = \"9.9.9\""), changed),
        (replaced("# The checksum", "# no checksum"), changed),
        (replaced(checksum, &other_checksum), changed),
        (replaced(checksum, "checksum = 5"), "checksum"),
        (replaced(checksum, ""), "missing field `checksum`"),
        (replaced("magnitude = ", ""), "missing field `magnitude`"),
        (replaced("sha256 = ", ""), "missing field `sha256`"),
        (replaced("rule = ", ""), "missing field `rule`"),
        (
            replaced("temperature = ", "temperature = 1000.0\nsurprise = 1"),
            "unknown field `surprise`",
        ),
        (format!("{text}\n[more]\n"), "unknown field `more`"),
        (
            replaced("odin_detector = ", "odin_detector = 2"),
            "the detector has format 2, this version reads format 1",
        ),
        (
            replaced("odin_detector = ", "odin_detector = 2\nsurprise = 1"),
            "format 2",
        ),
        (
            replaced("odin_detector = ", ""),
            "no calibrated detector (it has no `odin_detector`)",
        ),
        (replaced("magnitude = ", "magnitude = "), "TOML parse error"),
        ("a cat".to_string(), "TOML parse error"),
        (String::new(), "no calibrated detector"),
        ("size = 32\n".to_string(), "no calibrated detector"),
    ];
    for (text, part) in cases {
        refused(&text, &[part]);
    }
}

/// With a checksum of its own. The checksum guards against slips of the hand, not against people.
fn sealed(text: &str) -> String {
    let error = SavedDetector::from_toml(text).unwrap_err().to_string();
    let (_, rest) = error.split_once("its checksum is ").expect(&error);
    let found = &rest[..64];
    text.replacen(
        line(text, "checksum = "),
        &format!("checksum = \"{found}\""),
        1,
    )
}

#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let text = calibrated(CalibrationOptions::default().per_class(true), true).to_toml();
    let lists = line(&text, "own = ");
    let cases = [
        (
            line(&text, "classes = "),
            "classes = 7",
            "each of the 7 classes",
        ),
        (lists, "own = [true]", "each of the 6 classes"),
        (
            line(&text, "temperature = "),
            "temperature = 0.0",
            "`odin.temperature` is 0",
        ),
        (
            line(&text, "temperature = "),
            "temperature = inf",
            "`odin.temperature` is inf",
        ),
        (
            line(&text, "magnitude = "),
            "magnitude = -0.1",
            "`odin.magnitude` is -0.1",
        ),
        (
            line(&text, "threshold = "),
            "threshold = nan",
            "the score \"odin\": `threshold` is NaN",
        ),
        (
            line(&text, "rule = "),
            "rule = \"fpr\"",
            "`rule` is \"fpr\"",
        ),
        (
            line(&text, "rule = "),
            "rule = \"dice\"",
            "`rule` is \"dice\"",
        ),
        ("\nimages = 361", "\nimages = 362", "`in_scores`"),
        (
            line(&text, "layout = "),
            "layout = \"NHXW\"",
            "`model.layout`",
        ),
        (line(&text, "std = "), "std = [0.0]", "`model.std`"),
        (line(&text, "std = "), "std = [0.5, 0.5]", "`model.std`"),
    ];
    for (old, new, part) in cases {
        assert!(text.contains(old), "{old}");
        refused(&sealed(&text.replacen(old, new, 1)), &[part]);
    }
    let mut detector = SavedDetector::from_toml(&text).unwrap();
    for file in ["../x", "/etc/passwd", "a/b", "..", ""] {
        detector.statistics = Some(Statistics::of(file, b""));
        refused(&detector.to_toml(), &["`statistics.file`"]);
    }
    detector.statistics = None;
    detector.scores.clear();
    refused(&detector.to_toml(), &["score"]);
    assert!(detector.deciding().is_err());
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let text = detectors().remove(6).to_toml();
    let last_line = text.trim_end().rfind('\n').unwrap();
    for length in (0..text.len()).step_by(997).chain([last_line]) {
        let Some(part) = text.get(..length) else {
            continue;
        };
        assert!(SavedDetector::from_toml(part).is_err(), "{length}");
    }
}

/// Any character that is not white space or in a comment's place counts.
#[test]
fn every_changed_number_is_noticed() {
    let text = calibrated(CalibrationOptions::default(), false).to_toml();
    let digits = text.match_indices(|c: char| c.is_ascii_digit());
    for (place, digit) in digits.step_by(7) {
        let other = if digit == "3" { "4" } else { "3" };
        let mut changed = text.clone();
        changed.replace_range(place..=place, other);
        assert!(SavedDetector::from_toml(&changed).is_err(), "{place}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.toml");
    let message = |path: &Path| SavedDetector::open(path).unwrap_err().to_string();
    assert!(message(&path).contains("detector.toml"));
    assert!(message(folder.path()).contains("not a regular file"));
    std::fs::write(&path, b"\xff").unwrap();
    assert!(message(&path).contains("UTF-8"));
    let file = std::fs::File::create(&path).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    assert!(message(&path).contains("more than 64 MiB"));
}

/// Where a score lies is counted from the scores themselves.
#[test]
fn judgements_are_those_of_the_scores() {
    let demo = &*DEMO;
    let names = all_scores();
    for deciding in &names {
        let options = CalibrationOptions::default().scores([deciding.clone()]);
        let text = calibrated(options, false).to_toml();
        let saved = SavedDetector::from_toml(&text).unwrap();
        let reference = demo.in_set.scores_named(deciding).unwrap();
        let n = reference.len() as f64;
        let threshold = saved.deciding().unwrap().threshold;
        let mut kept = 0;
        for (place, row) in demo
            .in_set
            .rows
            .iter()
            .chain(&demo.out_set.rows)
            .enumerate()
        {
            let judged = saved.judge(&row.score, &demo.in_set.others).unwrap();
            let score = row.score.named(deciding, &demo.in_set.others).unwrap();
            let below = reference.iter().filter(|r| **r <= score).count() as f64;
            assert_eq!(judged.score, score, "{deciding}");
            let percentile = (judged.percentile - 100.0 * below / n).abs();
            assert!(percentile < 1e-12, "{deciding}: {judged:?}");
            assert_eq!(judged.p_value, (1.0 + below) / (n + 1.0), "{deciding}");
            assert_eq!(judged.threshold, threshold, "{deciding}");
            assert_eq!(judged.is_in_distribution, score >= threshold, "{deciding}");
            kept += usize::from(place < reference.len() && judged.is_in_distribution);
        }
        // The smallest number that is at least 95 %; ties at the threshold keep more.
        let ties = reference.iter().filter(|r| **r == threshold).count();
        let least = (0.95 * n).ceil() as usize;
        assert!((least..least + ties).contains(&kept), "{deciding}: {kept}");
    }
    let odin_only = calibrated(
        CalibrationOptions::default().scores(["energy".into()]),
        false,
    );
    let error = odin_only
        .judge(&demo.in_set.rows[0].score, &[])
        .unwrap_err();
    assert!(error.to_string().contains("energy"), "{error}");
}

#[test]
fn each_class_has_its_threshold() {
    let demo = &*DEMO;
    let tpr = 0.8;
    let options = CalibrationOptions::default().rule(ThresholdRule::Tpr(tpr));
    let text = calibrated(options.per_class(true), false).to_toml();
    let saved = SavedDetector::from_toml(&text).unwrap();
    let score = saved.deciding().unwrap();
    let minimum = odin::minimum_images(tpr).unwrap().unwrap();
    assert_eq!(score.classes.len(), 6);
    for (class, found) in score.classes.iter().enumerate() {
        let rows = demo.in_set.rows.iter();
        let of_class = rows.filter(|row| row.score.prediction == class);
        let mut own: Vec<f64> = of_class.map(|row| row.score.odin).collect();
        own.sort_by(f64::total_cmp);
        assert_eq!(found.images, own.len());
        assert_eq!(found.own, own.len() >= minimum);
        let expected = match found.own {
            true => own[own.len() - (tpr * own.len() as f64).ceil() as usize],
            false => score.threshold,
        };
        assert_eq!(found.threshold, expected, "class {class}");
    }
    assert!(score.classes.iter().any(|class| class.own));
    for row in &demo.out_set.rows {
        let judged = saved.judge(&row.score, &demo.in_set.others).unwrap();
        let threshold = score.classes[row.score.prediction].threshold;
        assert_eq!(judged.threshold, threshold);
        assert_eq!(judged.is_in_distribution, row.score.odin >= threshold);
    }
    assert_eq!(score.judge(0.0, 99).threshold, score.threshold);
}

/// A folder with a model, a detector and what was fitted, as `odin calibrate` leaves it.
fn saved_with_statistics() -> (tempfile::TempDir, SavedDetector) {
    let demo = &*DEMO;
    let mut saved = calibrated(CalibrationOptions::default().scores(all_scores()), false);
    let bytes = statistics_to_bytes(&demo.fitted).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fitted.safetensors"), &bytes).unwrap();
    std::fs::copy(
        self::demo("model.safetensors"),
        folder.path().join("net.safetensors"),
    )
    .unwrap();
    saved.statistics = Some(Statistics::of("fitted.safetensors", &bytes));
    saved.model.path = PathBuf::from("net.safetensors");
    std::fs::write(folder.path().join("detector.toml"), saved.to_toml()).unwrap();
    (folder, saved)
}

#[test]
fn restored_scores_are_the_same_bit_for_bit() {
    let demo = &*DEMO;
    let (folder, saved) = saved_with_statistics();
    let opened = SavedDetector::open(&folder.path().join("detector.toml")).unwrap();
    assert!(opened == saved, "{}", differences(&opened, &saved));
    let classifier = opened.open_classifier(folder.path(), None).unwrap();
    let scorers = opened.scorers(folder.path(), &classifier).unwrap();
    assert_eq!(scorers.len(), demo.fitted.len());
    let again = score(
        &detector(&classifier, &scorers, opened.needs_i_odin()),
        "in.npy",
    );
    assert_eq!(again.others, demo.in_set.others);
    for (again, before) in again.rows.iter().zip(&demo.in_set.rows) {
        let bits = |row: &odin::Row| -> Vec<u64> {
            let score = &row.score;
            let scores = [score.odin, score.msp].into_iter();
            let scores = scores.chain(score.others.iter().copied());
            scores.map(f64::to_bits).collect()
        };
        assert_eq!(bits(again), bits(before), "{}", before.name);
    }
    let bytes = std::fs::read(folder.path().join("fitted.safetensors")).unwrap();
    let methods: Vec<Method> = demo.fitted.iter().map(Fitted::method).collect();
    let restored = restore_statistics(&classifier, &methods, &bytes).unwrap();
    assert_eq!(statistics_to_bytes(&restored).unwrap().unwrap(), bytes);
}

#[test]
fn statistics_that_are_not_those_of_the_detector_are_refused() {
    let demo = &*DEMO;
    let (folder, saved) = saved_with_statistics();
    let path = folder.path().join("fitted.safetensors");
    let problem = || {
        let error = saved.scorers(folder.path(), &demo.classifier).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Saved);
        error.to_string()
    };
    let bytes = std::fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    for changed in [&changed, &bytes[..bytes.len() - 1], &[]] {
        std::fs::write(&path, changed).unwrap();
        let problem = problem();
        assert!(problem.contains("fitted.safetensors"), "{problem}");
        assert!(problem.contains("SHA-256"), "{problem}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(problem().contains("fitted.safetensors"));
    std::fs::create_dir(&path).unwrap();
    assert!(problem().contains("no regular file"));

    let mut without = saved.clone();
    without.statistics = None;
    let error = without.scorers(folder.path(), &demo.classifier);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Scores);

    let mut unknown = saved.clone();
    unknown.scores[0].name = "dice".to_string();
    let error = unknown.scorers(folder.path(), &demo.classifier);
    assert!(error.unwrap_err().to_string().contains("dice"));
}

/// Sound by their checksum, but damaged before it was taken.
#[test]
fn damaged_statistics_do_not_panic() {
    let demo = &*DEMO;
    let bytes = statistics_to_bytes(&demo.fitted).unwrap().unwrap();
    let methods: Vec<Method> = demo.fitted.iter().map(Fitted::method).collect();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for place in (0..header).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[place] = damaged[place].wrapping_add(1);
        let _ = restore_statistics(&demo.classifier, &methods, &damaged);
    }
    for length in (0..bytes.len()).step_by(bytes.len() / 20) {
        let cut = restore_statistics(&demo.classifier, &methods, &bytes[..length]);
        assert!(cut.is_err(), "{length} bytes");
    }
}

#[test]
fn another_model_is_refused_and_what_differs_said() {
    let (folder, saved) = saved_with_statistics();
    let problem = |model: Option<&Path>| {
        let error = saved.open_classifier(folder.path(), model).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Saved);
        error.to_string()
    };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../odin-formats/tests/fixtures");
    for other in ["densenet_plain_grey.safetensors", "resnet_a.safetensors"] {
        let problem = problem(Some(&fixtures.join(other)));
        let parts = [
            other,
            "SHA-256",
            &saved.model.sha256,
            "classes instead of 6",
        ];
        for part in parts.iter().chain(&["instead of DenseNet-BC-22-12"]) {
            assert!(problem.contains(part), "{problem}\nlacks {part:?}");
        }
    }
    let moved = folder.path().join("moved.safetensors");
    std::fs::rename(folder.path().join("net.safetensors"), &moved).unwrap();
    let gone = problem(None);
    assert!(
        gone.contains("net.safetensors") && gone.contains("--nn"),
        "{gone}"
    );
    assert!(saved.open_classifier(folder.path(), Some(&moved)).is_ok());
    // The last bit of the last weight.
    let mut bytes = std::fs::read(&moved).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&moved, bytes).unwrap();
    let problem = problem(Some(&moved));
    assert!(problem.contains("SHA-256"), "{problem}");
    assert!(!problem.contains("classes instead"), "{problem}");
}
