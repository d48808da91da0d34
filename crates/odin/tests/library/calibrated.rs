//! A `detector.toml` holds all of a calibrated detector, is refused when it was changed, and judges
//! by what the calibration's scores say.

use crate::{demo, fixture, open, refused};
use odin::{
    CalibratedDetector, CalibrationOptions, Classifier, Detector, DetectorRecord, Error, ErrorKind,
    Fitted, Method, Score, ScoredSet, Setting, Statistics, ThresholdRule, Verdict,
};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The demonstration, scored once for all tests.
struct Demo {
    classifier: Classifier,
    fitted: Vec<Fitted>,
    detector: Detector,
    in_set: ScoredSet,
    out_set: ScoredSet,
}

static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    let classifier = open(demo("model.safetensors"));
    let setting = Setting::new(1000.0, 0.005).unwrap();
    let builder = Detector::builder(&classifier).setting(setting).threads(2);
    let training = classifier.open_images(demo("validation.npy")).unwrap();
    // MSP is computed always.
    let methods: Vec<Method> = Method::ALL
        .into_iter()
        .filter(|m| m.name() != "msp")
        .collect();
    let fitted = builder.clone().fit_each(&methods, Some(&training), |_| {});
    let fitted: Vec<Fitted> = fitted.unwrap().into_iter().filter_map(Result::ok).collect();
    assert!(fitted.len() >= 12, "{fitted:?}");
    let builder = builder.fitted(fitted.clone()).i_odin(true);
    let detector = builder.build().unwrap();
    let (in_set, out_set) = (score(&detector, "in.npy"), score(&detector, "near.npy"));
    Demo {
        classifier,
        fitted,
        in_set,
        out_set,
        detector,
    }
});

fn score(detector: &Detector, file: &str) -> ScoredSet {
    let images = detector.open_images(demo(file)).unwrap().range(0..361);
    detector.score_set(&images, |_| {}).unwrap()
}

fn calibrated(options: CalibrationOptions, with_out: bool) -> CalibratedDetector {
    let demo = &*DEMO;
    let out_set = with_out.then_some(&demo.out_set);
    let detector = demo.detector.with_setting(demo.detector.setting()).unwrap();
    options.calibrate(detector, &demo.in_set, out_set).unwrap()
}

fn record(options: CalibrationOptions, with_out: bool) -> DetectorRecord {
    calibrated(options, with_out).record().clone()
}

/// ODIN decides.
fn all_scores() -> Vec<String> {
    let mut names = DEMO.detector.score_names().to_vec();
    names.swap(0, 1);
    names
}

/// One of each kind of detector.
fn records() -> Vec<DetectorRecord> {
    let options = CalibrationOptions::default;
    let (_folder, mut named) = saved(options().scores(all_scores()), true);
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
    assert!(named.statistics.is_some());
    vec![
        record(options(), false),
        record(options(), true),
        record(
            options().per_class(true).rule(ThresholdRule::Tpr(0.8)),
            true,
        ),
        record(options().rule(ThresholdRule::Fpr(0.3)), true),
        record(options().rule(ThresholdRule::DetectionError), true),
        record(
            options().rule(ThresholdRule::Fpr(0.1)).target_tpr(0.999),
            true,
        ),
        named,
    ]
}

fn temporary(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// What Git leaves in the place of a large file that was not fetched.
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

#[track_caller]
fn refused_text(text: &str, part: &str) {
    let (_folder, path) = temporary(text);
    let opened = DetectorRecord::open(&path);
    refused(opened, ErrorKind::Saved, &["detector.toml", part]);
}

/// The lines that differ: all of both is too much to print.
fn differences(a: &DetectorRecord, b: &DetectorRecord) -> String {
    let (a, b) = (format!("{a:#?}"), format!("{b:#?}"));
    let pairs = a.lines().zip(b.lines()).filter(|(a, b)| a != b);
    let lines: Vec<String> = pairs.take(9).map(|(a, b)| format!("{a} |{b}")).collect();
    lines.join("\n")
}

#[test]
fn what_is_written_is_read_again() {
    for detector in records() {
        let text = detector.to_toml();
        let read = DetectorRecord::from_toml(&text).unwrap();
        assert!(read == detector, "{}", differences(&read, &detector));
        assert_eq!(read.to_toml(), text);
        let (_folder, path) = temporary(&text);
        assert!(DetectorRecord::open(&path).unwrap() == detector);
    }
}

/// Git and editors change line ends, which changes nothing.
#[test]
fn line_ends_do_not_matter() {
    let detector = &records()[2];
    let text = detector.to_toml().replace('\n', "\r\n");
    let read = DetectorRecord::from_toml(&text).unwrap();
    assert!(read == *detector, "{}", differences(&read, detector));
}

/// The first line that begins so, with its number.
fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(start));
    line.unwrap_or_else(|| panic!("no line {start:?} in\n{text}"))
}

#[test]
fn a_changed_file_is_refused() {
    let text = record(CalibrationOptions::default().per_class(true), true).to_toml();
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
            replaced("odin_detector = ", "odin_detector = 4"),
            "the detector has format 4, this version reads those up to 3",
        ),
        (
            replaced("odin_detector = ", "odin_detector = 4\nsurprise = 1"),
            "format 4",
        ),
        (replaced("odin_detector = ", "odin_detector = 2"), changed),
        (
            replaced("odin_detector = ", ""),
            "no calibrated detector (it has no `odin_detector`)",
        ),
        (replaced("magnitude = ", "magnitude = "), "TOML parse error"),
        ("a cat".to_string(), "TOML parse error"),
        (String::new(), "no calibrated detector"),
        ("size = 32\n".to_string(), "no calibrated detector"),
        (POINTER.to_string(), "git lfs pull"),
    ];
    for (text, part) in cases {
        refused_text(&text, part);
    }
}

/// With a checksum of its own. The checksum guards against slips of the hand, not against people.
fn sealed(text: &str) -> String {
    let error = DetectorRecord::from_toml(text).unwrap_err().to_string();
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
    let text = record(CalibrationOptions::default().per_class(true), true).to_toml();
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
            "`odin`: the temperature",
        ),
        (
            line(&text, "temperature = "),
            "temperature = inf",
            "it is inf",
        ),
        (
            line(&text, "magnitude = "),
            "magnitude = -0.1",
            "the magnitude must be a finite number from 0; it is -0.1",
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
            "rule = \"unheard-of\"",
            "`rule` is \"unheard-of\"",
        ),
        ("\nimages = 361", "\nimages = 362", "`in_scores`"),
        (
            line(&text, "layout = "),
            "layout = \"NHXW\"",
            "`model.layout`",
        ),
        (
            line(&text, "std = "),
            "std = [0.0]",
            "`model.mean` and `model.std`",
        ),
        (line(&text, "std = "), "std = []", "they have 1 and 0"),
        (
            line(&text, "std = "),
            "std = [0.5]\nscale = -1.0",
            "`model.scale`",
        ),
        (
            line(&text, "std = "),
            "std = [0.5]\nchannels = \"GBR\"",
            "`model.channels`",
        ),
    ];
    for (old, new, part) in cases {
        assert!(text.contains(old), "{old}");
        refused_text(&sealed(&text.replacen(old, new, 1)), part);
    }
    // Two channels are those of another network.
    let two = sealed(&text.replacen(line(&text, "std = "), "std = [0.5, 0.5]", 1));
    let (folder, path) = temporary(&two);
    std::fs::copy(demo("model.safetensors"), folder.path().join("m")).unwrap();
    let opened = CalibratedDetector::options().model(folder.path().join("m"));
    refused(
        opened.open(&path),
        ErrorKind::Options,
        &["1 channel", "2 values"],
    );
    let (_folder, mut record) = saved(CalibrationOptions::default().scores(all_scores()), false);
    for file in ["../x", "/etc/passwd", "a/b", "..", ""] {
        record.statistics.as_mut().unwrap().file = file.to_string();
        refused_text(&record.to_toml(), "`statistics.file`");
    }
    record.statistics = None;
    record.scores.clear();
    refused_text(&record.to_toml(), "score");
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let text = records().remove(6).to_toml();
    let last_line = text.trim_end().rfind('\n').unwrap();
    for length in (0..text.len()).step_by(997).chain([last_line]) {
        let Some(part) = text.get(..length) else {
            continue;
        };
        assert!(DetectorRecord::from_toml(part).is_err(), "{length}");
    }
}

/// Any character that is not white space or in a comment's place counts.
#[test]
fn every_changed_number_is_noticed() {
    let text = record(CalibrationOptions::default(), false).to_toml();
    let digits = text.match_indices(|c: char| c.is_ascii_digit());
    for (place, digit) in digits.step_by(7) {
        let other = if digit == "3" { "4" } else { "3" };
        let mut changed = text.clone();
        changed.replace_range(place..=place, other);
        assert!(DetectorRecord::from_toml(&changed).is_err(), "{place}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detector.toml");
    let refused_as = |path: &Path, kind, part| {
        let parts = [&*path.to_string_lossy(), part];
        refused(DetectorRecord::open(path), kind, &parts);
        refused(CalibratedDetector::open(path), kind, &parts);
    };
    let refused = |path: &Path, part| refused_as(path, ErrorKind::Saved, part);
    refused_as(&path, ErrorKind::NotFound, "");
    refused(folder.path(), "not a regular file");
    std::fs::write(&path, b"\xff").unwrap();
    refused(&path, "UTF-8");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len((64 << 20) + 1).unwrap();
    refused(&path, "more than 64 MiB");
}

/// As a caller may leave it, for its fields are public.
#[test]
fn a_detector_without_a_score_decides_nothing() {
    let mut emptied = record(CalibrationOptions::default(), false);
    emptied.scores.clear();
    let nothing = ["no score to decide by"];
    refused(emptied.deciding(), ErrorKind::Scores, &nothing);
    let score = &DEMO.in_set.rows[0].score;
    refused(emptied.decide(score), ErrorKind::Scores, &nothing);
    let compiled = odin::CompileOptions::calibrated(&emptied, &[]);
    refused(compiled, ErrorKind::Scores, &nothing);
}

/// Where a score lies is counted from the scores themselves.
#[test]
fn decisions_are_those_of_the_scores() {
    let demo = &*DEMO;
    for deciding in &all_scores() {
        let options = CalibrationOptions::default().scores([deciding]);
        let text = record(options, false).to_toml();
        let saved = DetectorRecord::from_toml(&text).unwrap();
        let reference = demo.in_set.scores(deciding).unwrap();
        let n = reference.len() as f64;
        let threshold = saved.deciding().unwrap().threshold;
        let mut kept = 0;
        let rows = demo.in_set.rows.iter().chain(&demo.out_set.rows);
        for (place, row) in rows.enumerate() {
            let decision = saved.decide(&row.score).unwrap();
            let score = row.score.get(deciding).unwrap();
            let below = reference.iter().filter(|r| **r <= score).count() as f64;
            assert_eq!(decision.score, score, "{deciding}");
            let percentile = (decision.percentile - 100.0 * below / n).abs();
            assert!(percentile < 1e-12, "{deciding}: {decision:?}");
            assert_eq!(decision.p_value, (1.0 + below) / (n + 1.0), "{deciding}");
            assert_eq!(decision.threshold, threshold, "{deciding}");
            assert_eq!(
                decision.is_in_distribution,
                score >= threshold,
                "{deciding}"
            );
            kept += usize::from(place < reference.len() && decision.is_in_distribution);
        }
        // The smallest number that is at least 95 %; ties at the threshold keep more.
        let ties = reference.iter().filter(|r| **r == threshold).count();
        let least = (0.95 * n).ceil() as usize;
        assert!((least..least + ties).contains(&kept), "{deciding}: {kept}");
    }
    let energy_only = record(CalibrationOptions::default().scores(["energy"]), false);
    let plain = Detector::builder(&demo.classifier).build().unwrap();
    let images = plain.open_images(self::demo("in.npy")).unwrap();
    let without = plain.rows(&images).next().unwrap().unwrap().score;
    refused(energy_only.decide(&without), ErrorKind::Scores, &["energy"]);
}

#[test]
fn each_class_has_its_threshold() {
    let demo = &*DEMO;
    let tpr = 0.8;
    let options = CalibrationOptions::default().rule(ThresholdRule::Tpr(tpr));
    let text = record(options.per_class(true), false).to_toml();
    let saved = DetectorRecord::from_toml(&text).unwrap();
    let score = saved.deciding().unwrap();
    let minimum = odin::minimum_images(tpr).unwrap().unwrap();
    assert_eq!(score.classes.len(), 6);
    for (class, found) in score.classes.iter().enumerate() {
        let rows = demo.in_set.rows.iter();
        let of_class = rows.filter(|row| row.score.prediction == class);
        let mut own: Vec<f64> = of_class.map(|row| row.score.odin().unwrap()).collect();
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
        let decision = saved.decide(&row.score).unwrap();
        let threshold = score.classes[row.score.prediction].threshold;
        assert_eq!(decision.threshold, threshold);
        assert_eq!(
            decision.is_in_distribution,
            row.score.odin().unwrap() >= threshold
        );
    }
    assert_eq!(score.decide(0.0, 99).threshold, score.threshold);
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let demo = &*DEMO;
    let options = CalibrationOptions::default;
    for (options, kind, part) in [
        (
            options().scores(["unheard-of"]),
            ErrorKind::Invalid,
            "unheard-of",
        ),
        (
            options().scores([""; 0]),
            ErrorKind::Invalid,
            "no score to calibrate",
        ),
        (
            options().rule(ThresholdRule::Fpr(0.1)),
            ErrorKind::Invalid,
            "out-of-distribution images",
        ),
        (
            options().rule(ThresholdRule::Tpr(1.5)),
            ErrorKind::Metrics,
            "1.5",
        ),
        (
            options().rule(ThresholdRule::Tpr(1.0)).per_class(true),
            ErrorKind::Invalid,
            "all of a class",
        ),
    ] {
        let detector = demo.detector.with_setting(demo.detector.setting()).unwrap();
        let calibrated = options.calibrate(detector, &demo.in_set, None);
        refused(calibrated, kind, &[part]);
    }
}

/// A folder with a model and a calibrated detector beside it, and what the latter says.
fn saved(options: CalibrationOptions, with_out: bool) -> (TempDir, DetectorRecord) {
    let demo = &*DEMO;
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.safetensors");
    std::fs::copy(self::demo("model.safetensors"), &model).unwrap();
    let builder = Detector::builder(&open(&model)).setting(demo.detector.setting());
    let builder = builder.fitted(demo.fitted.clone()).i_odin(true).threads(2);
    let out_set = with_out.then_some(&demo.out_set);
    let calibrated = options.calibrate(builder.build().unwrap(), &demo.in_set, out_set);
    let record = calibrated.unwrap().save(toml(&folder)).unwrap();
    (folder, record)
}

fn saved_with_statistics() -> (TempDir, DetectorRecord) {
    saved(CalibrationOptions::default().scores(all_scores()), false)
}

fn toml(folder: &TempDir) -> PathBuf {
    folder.path().join("detector.toml")
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn bits(score: &Score) -> Vec<u64> {
    score.values().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn restored_scores_are_the_same_bit_for_bit() {
    let demo = &*DEMO;
    let (folder, saved) = saved_with_statistics();
    assert_eq!(saved.model.path, Path::new("net.safetensors"));
    let opened = CalibratedDetector::options().threads(2);
    let opened = opened.open(toml(&folder)).unwrap();
    assert!(
        *opened.record() == saved,
        "{}",
        differences(opened.record(), &saved)
    );
    assert_eq!(opened.detector().setting(), demo.detector.setting());
    assert_eq!(opened.detector().score_names(), demo.in_set.score_names);
    let images = opened.open_images(self::demo("in.npy")).unwrap();
    let again = opened.judge(&images).map(Result::unwrap);
    let mut count = 0;
    for (again, before) in again.zip(&demo.in_set.rows) {
        assert_eq!(bits(&again.score), bits(&before.score), "{}", before.name);
        assert_eq!(
            (again.name, again.label),
            (before.name.clone(), before.label)
        );
        assert_eq!(again.decision, saved.decide(&before.score).unwrap());
        count += 1;
    }
    assert_eq!(count, 361);

    // Written again, nothing has changed but where the model lies.
    let other = tempfile::tempdir().unwrap();
    opened.save(toml(&other)).unwrap();
    let file = saved.statistics.clone().unwrap().file;
    let statistics = |folder: &TempDir| std::fs::read(folder.path().join(&file)).unwrap();
    assert_eq!(statistics(&other), statistics(&folder));
    let moved = CalibratedDetector::open(toml(&other)).unwrap();
    assert!(moved.record().model.path.is_absolute());
    let mut record = moved.record().clone();
    record.model.path = saved.model.path.clone();
    assert!(record == saved, "{}", differences(&record, &saved));
    assert_eq!(record.checksum(), saved.checksum());
    assert!(saved.to_toml().contains(&saved.checksum()));
}

/// Statistics that a detector no longer names are removed; nothing else is.
#[test]
fn saving_over_a_detector_leaves_no_file_behind() {
    let (folder, saved) = saved_with_statistics();
    let statistics = saved.statistics.unwrap().file;
    let [toml_file, net] = ["detector.toml", "net.safetensors"];
    std::fs::write(folder.path().join("mine.statistics.safetensors"), "").unwrap();
    let kept = CalibratedDetector::open(toml(&folder)).unwrap();
    kept.save(toml(&folder)).unwrap();
    let own = "mine.statistics.safetensors";
    assert_eq!(files(folder.path()), [&statistics, toml_file, own, net]);
    // A copy of the detector goes on with the same statistics.
    let copy = folder.path().join("copy.toml");
    std::fs::copy(toml(&folder), &copy).unwrap();
    let energy = CalibratedDetector::options().scores(["energy", "odin"]);
    let energy = energy.open(toml(&folder)).unwrap();
    let kept = CalibratedDetector::open(&copy).unwrap();
    energy.save(toml(&folder)).unwrap();
    assert!(files(folder.path()).contains(&statistics));
    assert!(CalibratedDetector::open(&copy).is_ok());
    std::fs::remove_file(&copy).unwrap();
    kept.save(toml(&folder)).unwrap();
    assert_eq!(energy.record().deciding().unwrap().name, "energy");
    assert_eq!(energy.detector().score_names(), ["msp", "odin", "energy"]);
    let written = energy.save(toml(&folder)).unwrap();
    assert_eq!(files(folder.path()), [toml_file, own, net]);
    let again = CalibratedDetector::open(toml(&folder)).unwrap();
    assert_eq!(*again.record(), written);
}

/// Through a link the file that it leads to is opened and written, with what lies beside it.
#[cfg(unix)]
#[test]
fn a_linked_detector_opens_and_is_saved_where_it_lies() {
    let (folder, saved) = saved_with_statistics();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.toml");
    std::os::unix::fs::symlink(toml(&folder), &link).unwrap();
    let opened = CalibratedDetector::open(&link).unwrap();
    assert!(*opened.record() == saved);
    opened.save(&link).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(files(elsewhere.path()), ["link.toml"]);
    for path in [link, toml(&folder)] {
        assert!(CalibratedDetector::open(path).is_ok());
    }
}

#[test]
fn only_calibrated_scores_can_be_kept() {
    let (folder, saved) = saved_with_statistics();
    let keep = |names: &[&str]| {
        let options = CalibratedDetector::options();
        options.scores(names.iter().copied()).open(toml(&folder))
    };
    refused(
        keep(&["unheard-of"]),
        ErrorKind::Scores,
        &["unheard-of", "energy"],
    );
    let first = DEMO.in_set.rows[0].clone();
    for name in ["knn", "i-odin", "msp"] {
        let kept = keep(&[name]).unwrap();
        let images = kept.open_images(demo("in.npy")).unwrap().range(0..1);
        let Verdict {
            score, decision, ..
        } = kept.judge(&images).next().unwrap().unwrap();
        let own = saved.scores.iter().find(|score| score.name == name);
        let value = first.score.get(name).unwrap();
        assert_eq!(score.get(name), Some(value));
        assert_eq!(decision, own.unwrap().decide(value, score.prediction));
    }
}

#[test]
fn statistics_that_are_not_those_of_the_detector_are_refused() {
    let (folder, saved) = saved_with_statistics();
    let file = saved.statistics.clone().unwrap().file;
    let path = folder.path().join(&file);
    let open = || CalibratedDetector::open(toml(&folder));
    let bytes = std::fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    for changed in [&changed, &bytes[..bytes.len() - 1], &[]] {
        std::fs::write(&path, changed).unwrap();
        refused(open(), ErrorKind::Saved, &[&file, "SHA-256"]);
    }
    std::fs::write(&path, POINTER).unwrap();
    refused(open(), ErrorKind::Saved, &[&file, "git lfs pull"]);
    std::fs::remove_file(&path).unwrap();
    refused(open(), ErrorKind::Io, &[&file]);
    std::fs::create_dir(&path).unwrap();
    refused(open(), ErrorKind::Saved, &[&file, "not a regular file"]);

    let write = |record: &DetectorRecord| std::fs::write(toml(&folder), record.to_toml()).unwrap();
    let mut without = saved.clone();
    without.statistics = None;
    write(&without);
    refused(open(), ErrorKind::Scores, &[]);
    let mut unknown = saved;
    unknown.scores[0].name = "unheard-of".to_string();
    write(&unknown);
    refused(open(), ErrorKind::MissingScorer, &["unheard-of"]);
}

/// Sound by their checksum, but damaged before it was taken.
#[test]
fn damaged_statistics_do_not_panic() {
    let (folder, mut record) = saved_with_statistics();
    let path = folder.path().join(&record.statistics.clone().unwrap().file);
    let bytes = std::fs::read(&path).unwrap();
    let mut open = |bytes: &[u8]| -> Result<CalibratedDetector, Error> {
        std::fs::write(&path, bytes).unwrap();
        let file = record.statistics.take().unwrap().file;
        record.statistics = Some(Statistics::of(file, bytes));
        std::fs::write(toml(&folder), record.to_toml()).unwrap();
        CalibratedDetector::open(toml(&folder))
    };
    assert!(open(&bytes).is_ok());
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for place in (0..header).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[place] = damaged[place].wrapping_add(1);
        let _ = open(&damaged);
    }
    for length in (0..bytes.len()).step_by(bytes.len() / 20) {
        refused(open(&bytes[..length]), ErrorKind::Scores, &[]);
    }
}

#[test]
fn another_model_is_refused_and_what_differs_said() {
    let (folder, saved) = saved_with_statistics();
    let open_as = |model: &Path| {
        let options = CalibratedDetector::options().model(model);
        options.open(toml(&folder))
    };
    for other in ["densenet_plain_grey.safetensors", "resnet_a.safetensors"] {
        let parts = [
            other,
            "SHA-256",
            &saved.model.sha256,
            "classes instead of 6",
            "instead of DenseNet-BC-22-12",
        ];
        refused(open_as(&fixture(other)), ErrorKind::OtherModel, &parts);
    }
    let net = folder.path().join("net.safetensors");
    let moved = folder.path().join("moved.safetensors");
    std::fs::rename(&net, &moved).unwrap();
    let gone = CalibratedDetector::open(toml(&folder));
    refused(gone, ErrorKind::NotFound, &["net.safetensors"]);
    assert!(open_as(&moved).is_ok());
    // The last bit of the last weight.
    let mut bytes = std::fs::read(&moved).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&moved, bytes).unwrap();
    let error = refused(open_as(&moved), ErrorKind::OtherModel, &["SHA-256"]);
    assert!(!error.to_string().contains("classes instead"), "{error}");
}

/// Whatever else does not fit, first of all it is another file.
#[test]
fn another_model_is_said_to_be_one_whatever_the_detector_says_of_its_own() {
    let (folder, mut record) = saved_with_statistics();
    record.model.config.class_names = Some((0..6).map(|i| format!("digit {i}")).collect());
    std::fs::write(toml(&folder), record.to_toml()).unwrap();
    assert!(CalibratedDetector::open(toml(&folder)).is_ok());
    let garbage = folder.path().join("garbage.safetensors");
    std::fs::write(&garbage, "no model").unwrap();
    let others = ["resnet_a.safetensors", "onnx/mlp.torchscript9.onnx"].map(fixture);
    for other in others.iter().chain([&garbage]) {
        let opened = CalibratedDetector::options().model(other);
        let opened = opened.open(toml(&folder));
        refused(opened, ErrorKind::OtherModel, &["SHA-256"]);
    }
}

/// What the detector says holds, whatever lies beside the model.
#[test]
fn a_model_toml_beside_the_model_changes_nothing() {
    let (folder, saved) = saved_with_statistics();
    let text = "mean = 0.9\nstd = 0.1\ntransform = \"centre-crop:4\"";
    std::fs::write(folder.path().join("net.toml"), text).unwrap();
    let opened = CalibratedDetector::open(toml(&folder)).unwrap();
    let images = opened.open_images(demo("in.npy")).unwrap().range(0..3);
    for (verdict, row) in opened.judge(&images).zip(&DEMO.in_set.rows) {
        assert_eq!(bits(&verdict.unwrap().score), bits(&row.score));
    }
    assert!(*opened.record() == saved);
}

/// The network alone, for who wants to look at it.
#[test]
fn the_network_of_a_detector_is_opened_alone() {
    let (folder, saved) = saved_with_statistics();
    let (record, classifier, _) = CalibratedDetector::options().parts(toml(&folder)).unwrap();
    assert!(record == saved);
    assert_eq!(classifier.file().sha256, Some(saved.model.sha256.clone()));
    let other = CalibratedDetector::options().model(fixture("resnet_a.safetensors"));
    refused(
        other.parts(toml(&folder)),
        ErrorKind::OtherModel,
        &["resnet_a.safetensors"],
    );
}
