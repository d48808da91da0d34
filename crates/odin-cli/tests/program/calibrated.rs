//! `odin tune`, `odin calibrate` and `odin score` as a user meets them, also one who kills them.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn demo() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    folder.canonicalize().unwrap().display().to_string()
}

fn command(folder: &Path, args: &str) -> Command {
    let demo = demo();
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    let args = args.split_whitespace().map(|a| a.replace("{demo}", &demo));
    command.args(args).current_dir(folder);
    command
}

fn odin(folder: &Path, args: &str) -> Output {
    command(folder, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a successful run prints.
fn stdout(folder: &Path, args: &str) -> String {
    let output = odin(folder, args);
    assert!(output.status.success(), "{args}\n{}", text(&output.stderr));
    text(&output.stdout)
}

fn json(folder: &Path, args: &str) -> Value {
    serde_json::from_str(&stdout(folder, args)).unwrap()
}

const CALIBRATE: &str = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --magnitude 0.005 --quiet -o detector.toml";

/// A folder with a calibrated detector.
fn calibrated(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &format!("{CALIBRATE} {more}"));
    folder
}

/// The records of a file of JSON lines.
fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn a_threshold_keeps_what_it_promises() {
    let folder = calibrated("");
    let found = stdout(
        folder.path(),
        "score --detector detector.toml {demo}/in.npy --format jsonl --quiet",
    );
    let rows: Vec<Value> = found
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let kept = rows
        .iter()
        .filter(|r| r["is_in_distribution"] == true)
        .count();
    // The calibration images themselves: 343 of 361 is the smallest share of at least 95 %.
    assert_eq!((rows.len(), kept), (361, 343));
    let mut odin: Vec<(f64, f64, f64)> = rows
        .iter()
        .map(|r| {
            let number = |name: &str| r[name].as_f64().unwrap();
            (number("odin"), number("percentile"), number("p_value"))
        })
        .collect();
    odin.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (i, (_, percentile, p_value)) in odin.iter().enumerate() {
        let rank = (i + 1) as f64;
        assert!(
            (percentile - 100.0 * rank / 361.0).abs() < 1e-9,
            "{i}: {percentile}"
        );
        assert!(
            (p_value - (1.0 + rank) / 362.0).abs() < 1e-12,
            "{i}: {p_value}"
        );
    }
}

/// The scores of `odin eval` and those of `odin score` are the same numbers.
#[test]
fn eval_and_score_agree() {
    let folder = calibrated("--detectors odin,i-odin,energy,vim --fit-on {demo}/in.npy");
    stdout(
        folder.path(),
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --magnitude 0.005 --detectors odin,i-odin,energy,vim --fit-on {demo}/in.npy --scores scores --quiet",
    );
    stdout(
        folder.path(),
        "score --detector detector.toml {demo}/near.npy -o s.csv --quiet",
    );
    let columns = |file: &str, names: &[&str]| -> Vec<Vec<String>> {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let places: Vec<usize> = names
            .iter()
            .map(|name| head.iter().position(|column| column == name).unwrap())
            .collect();
        lines
            .map(|row| places.iter().map(|&place| row[place].to_string()).collect())
            .collect()
    };
    let names = ["prediction", "msp", "odin", "i-odin", "energy", "vim"];
    assert_eq!(columns("scores/near.csv", &names), columns("s.csv", &names));
    let score = "score --detector detector.toml {demo}/near.npy -o e.csv --quiet";
    stdout(folder.path(), &format!("{score} --detectors energy"));
    let names = ["energy", "msp"];
    assert_eq!(columns("s.csv", &names), columns("e.csv", &names));
    let decisions = |file: &str| columns(file, &["is_in_distribution"]);
    assert_ne!(decisions("s.csv"), decisions("e.csv"), "energy decides");
    let output = odin(folder.path(), &format!("{score} --detectors knn"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("odin, i-odin, energy, vim"));
}

#[test]
fn thresholds_are_chosen_by_the_rule_asked_for() {
    let with_out = "--out-dataset {demo}/near.npy --format json";
    for (rule, tpr, fpr) in [
        ("--tpr 0.9", 0.9..0.91, 0.0..0.05),
        ("--fpr 0.02", 0.5..0.95, 0.0..0.0201),
        ("--lowest-error", 0.9..1.0, 0.0..0.1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let report = json(folder.path(), &format!("{CALIBRATE} {with_out} {rule}"));
        let score = &report["scores"][0];
        let points = score["thresholds"].as_array().unwrap();
        let point = points
            .iter()
            .find(|point| point["in_force"] == true)
            .unwrap();
        let rate = |name: &str| point[name].as_f64().unwrap();
        assert_eq!(point["threshold"], score["threshold"], "{rule}");
        assert!(
            tpr.contains(&rate("tpr")) && fpr.contains(&rate("fpr")),
            "{rule}: {point}"
        );
        let errors = points
            .iter()
            .map(|point| point["detection_error"].as_f64().unwrap());
        let lowest = errors.fold(f64::INFINITY, f64::min);
        assert_eq!(points[1]["detection_error"], lowest, "{rule}");
    }
}

#[test]
fn per_class_thresholds_fall_back_where_images_are_few() {
    let folder = tempfile::tempdir().unwrap();
    // 361 images of 6 classes: about 60 of each are too few for 95 %, enough for 90 %.
    for (tpr, own) in [("0.95", 0), ("0.9", 6)] {
        let report = json(
            folder.path(),
            &format!("{CALIBRATE} --per-class --tpr {tpr} --format json"),
        );
        let classes = report["scores"][0]["classes"].as_array().unwrap();
        let with_own = classes.iter().filter(|class| class["own"] == true).count();
        assert_eq!((classes.len(), with_own), (6, own), "{tpr}");
    }
}

#[test]
fn shards_together_are_the_whole() {
    let folder = calibrated("");
    let score = "score --detector detector.toml {demo}/near.npy --quiet";
    stdout(folder.path(), &format!("{score} -o whole.jsonl"));
    let whole = records(&folder.path().join("whole.jsonl"));
    let mut parts = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        stdout(
            folder.path(),
            &format!("{score} -o part.jsonl --shard {shard}"),
        );
        parts.extend(records(&folder.path().join("part.jsonl")));
    }
    let set =
        |records: &[Value]| -> BTreeSet<String> { records.iter().map(Value::to_string).collect() };
    assert_eq!(parts.len(), whole.len());
    assert_eq!(set(&parts), set(&whole));
}

/// An image at which its decoder panics.
const PALETTE: &[u8] = include_bytes!("../../../odin-data/tests/fixtures/hostile/palette.png");

/// Images that are there in three ways, two of which do not decode.
fn inputs(folder: &Path) {
    let png = |seed: u8| {
        // A grey BMP of 8x8.
        let mut bytes = b"BM".to_vec();
        for word in [54 + 192, 0, 54, 40, 8, 8, 1 | 24 << 16, 0, 192, 0, 0, 0, 0] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend((0..64u8).flat_map(|i| [i.wrapping_mul(seed); 3]));
        bytes
    };
    fs::create_dir_all(folder.join("images")).unwrap();
    for i in 0..5 {
        fs::write(folder.join(format!("images/{i}.bmp")), png(i)).unwrap();
    }
    fs::write(folder.join("images/broken.bmp"), b"BM no more").unwrap();
    fs::write(folder.join("images/palette.png"), PALETTE).unwrap();
    fs::write(folder.join("one, \"two\".bmp"), png(9)).unwrap();
    let list = "\u{feff}images/3.bmp\nimages/none.bmp\r\n\nimages/4.bmp\nimages/3.bmp\n";
    fs::write(folder.join("list.txt"), list).unwrap();
}

#[test]
fn every_image_is_a_row_whatever_is_wrong_with_it() {
    let folder = calibrated("");
    inputs(folder.path());
    let mut run = command(
        folder.path(),
        "score --detector detector.toml images list.txt",
    );
    let output = run
        .arg("one, \"two\".bmp")
        .args(["-o", "s.jsonl"])
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("named more than once") && said.contains("3 images have an error"),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
    let records = records(&folder.path().join("s.jsonl"));
    let rows: Vec<(&str, bool)> = records
        .iter()
        .map(|r| (r["file"].as_str().unwrap(), r["error"].is_null()))
        .collect();
    assert_eq!(
        rows,
        [
            ("images/0.bmp", true),
            ("images/1.bmp", true),
            ("images/2.bmp", true),
            ("images/3.bmp", true),
            ("images/4.bmp", true),
            ("images/broken.bmp", false),
            ("images/palette.png", false),
            ("images/none.bmp", false),
            ("one, \"two\".bmp", true),
        ]
    );
}

/// Where the line is no file as it stands.
#[test]
fn labels_of_a_list_are_no_part_of_its_paths() {
    let folder = calibrated("");
    let here = folder.path();
    inputs(here);
    fs::create_dir_all(here.join("lists")).unwrap();
    fs::copy(here.join("images/2.bmp"), here.join("a 1")).unwrap();
    for (list, lines, expected) in [
        (
            "lists/labels.txt",
            "images/3.bmp 1\nimages/none.bmp 0\nimages/3.bmp 1\nimages/4.bmp -1\n",
            &[
                ("images/3.bmp", true),
                ("images/none.bmp", false),
                ("images/4.bmp", true),
            ][..],
        ),
        (
            "paths.txt",
            "a 1\nimages/4.bmp\n",
            &[("a 1", true), ("images/4.bmp", true)],
        ),
    ] {
        fs::write(here.join(list), lines).unwrap();
        stdout(
            here,
            &format!("score --detector detector.toml {list} -o s.jsonl"),
        );
        let records = records(&here.join("s.jsonl"));
        assert_eq!(records.len(), expected.len(), "{records:?}");
        for (record, (name, sound)) in records.iter().zip(expected) {
            assert!(record["file"].as_str().unwrap().ends_with(name), "{record}");
            assert_eq!(record["error"].is_null(), *sound, "{record}");
        }
    }
}

#[test]
fn one_image_is_a_line_and_lists_come_from_standard_input() {
    let folder = calibrated("");
    inputs(folder.path());
    let line = stdout(folder.path(), "score --detector detector.toml images/1.bmp");
    assert!(
        line.starts_with("in-distribution: images/1.bmp, odin 0.")
            || line.starts_with("OUT-OF-DISTRIBUTION: images/1.bmp, odin 0."),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(
        line.contains(" (the threshold), higher than ") && line.contains("; predicted class: "),
        "{line}"
    );
    let mut child = command(folder.path(), "score --detector detector.toml - --quiet")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Write;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"images/1.bmp\0images/2.bmp\0")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let csv = text(&output.stdout);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.contains("\nimages/2.bmp,"), "{csv}");
}

/// A job for which there is time to be killed.
const LONG: &str = "score --detector detector.toml {demo}/near.npy {demo}/in.npy --batch-size 1 --threads 1 -o s.jsonl --resume";

/// Killed at many moments, a job ends with what an undisturbed one gives.
#[test]
fn a_killed_job_goes_on_and_ends_the_same() {
    let folder = calibrated("");
    let out = folder.path().join("s.jsonl");
    stdout(folder.path(), LONG);
    let again = odin(folder.path(), LONG);
    assert!(text(&again.stderr).contains("complete already"));
    let undisturbed = fs::read(&out).unwrap();
    fs::remove_file(&out).unwrap();
    let mut state = 12345u64;
    for _ in 0..12 {
        let mut child = command(folder.path(), LONG)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments from a linear congruential generator.
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        std::thread::sleep(Duration::from_millis(30 + (state >> 33) % 1500));
        let _ = child.kill();
        child.wait().unwrap();
        if out.exists() {
            break;
        }
    }
    stdout(folder.path(), LONG);
    assert!(
        fs::read(&out).unwrap() == undisturbed,
        "the resumed job gives something else"
    );
    let left = fs::read_dir(folder.path()).unwrap();
    let left: Vec<PathBuf> = left.map(|entry| entry.unwrap().path()).collect();
    assert!(
        left.iter()
            .all(|path| path.extension().is_none_or(|e| e != "part")),
        "{left:?}"
    );
}

/// What a kill leaves in the journal: half a line, half a character, nothing.
#[test]
fn a_torn_journal_is_mended() {
    let folder = calibrated("");
    inputs(folder.path());
    let score = "score --detector detector.toml images -o s.jsonl --quiet";
    stdout(folder.path(), score);
    let (out, part) = (
        folder.path().join("s.jsonl"),
        folder.path().join("s.jsonl.part"),
    );
    let whole = fs::read(&out).unwrap();
    // A journal is a heading and the lines of the result.
    let heading = {
        let detector = fs::read_to_string(folder.path().join("detector.toml")).unwrap();
        let line = detector
            .lines()
            .find(|l| l.starts_with("checksum"))
            .unwrap();
        let checksum = line.split('"').nth(1).unwrap();
        format!(
            "{{\"odin_score\":1,\"odin_version\":\"{}\",\"detector\":\"{checksum}\",\"shard\":\"1/1\",\"device\":\"cpu\",\"scores\":[\"msp\",\"odin\"]}}\n",
            env!("CARGO_PKG_VERSION")
        )
    };
    let journal = [heading.as_bytes(), &whole].concat();
    for cut in (0..journal.len()).step_by(37).chain([journal.len()]) {
        fs::write(&part, &journal[..cut]).unwrap();
        fs::remove_file(&out).unwrap();
        stdout(folder.path(), &format!("{score} --resume"));
        assert!(fs::read(&out).unwrap() == whole, "cut at {cut}");
    }
}

#[test]
fn jobs_that_do_not_fit_are_refused() {
    let folder = calibrated("");
    inputs(folder.path());
    let part = folder.path().join("s.csv.part");
    let cases: [(&str, &str, i32, &str); 13] = [
        (
            "{\"odin_score\":1}\n",
            "images -o s.csv",
            1,
            "--resume goes on",
        ),
        (
            "{\"odin_score\":1}\n",
            "images -o s.csv --resume",
            1,
            "another job",
        ),
        ("what\n", "images -o s.csv --resume", 1, "no journal"),
        // Somebody's file of that name, which is left as it is.
        ("mine", "images -o s.csv --resume", 1, "no journal"),
        ("", "images -o s.txt", 2, ".parquet"),
        ("", "images --format parquet", 2, "--out"),
        ("", "images -o s.csv --format text", 2, "standard output"),
        ("", "nowhere", 1, "nowhere"),
        ("", "nowhere.png", 1, "nowhere.png"),
        ("", "images --shard 3/2", 2, "2/4"),
        ("", "images --resume", 2, "--out"),
        (
            "",
            "images/broken.bmp",
            1,
            "no image could be scored: images/broken.bmp",
        ),
        ("", "images -o images", 2, ".csv"),
    ];
    for (journal, args, code, part_of_message) in cases {
        match journal {
            "" => drop(fs::remove_file(&part)),
            journal => fs::write(&part, journal).unwrap(),
        }
        let output = odin(
            folder.path(),
            &format!("score --detector detector.toml {args}"),
        );
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        if !journal.is_empty() {
            assert_eq!(fs::read_to_string(&part).unwrap(), journal, "{args}");
        }
        assert!(said.contains(part_of_message), "{args}: {said}");
    }
}

#[test]
fn calibrations_that_cannot_be_are_refused() {
    let base = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy";
    let folder = tempfile::tempdir().unwrap();
    for (args, code, part) in [
        ("-o d.json", 2, ".toml"),
        ("-o d.toml --tpr 0", 2, "share"),
        ("-o d.toml --tpr 95", 2, "share"),
        ("-o d.toml --fpr 0.1", 2, "--out-dataset"),
        (
            "-o d.toml --lowest-error --per-class --out-dataset Uniform",
            2,
            "--per-class",
        ),
        ("-o d.toml --detectors nothing", 2, "mahalanobis"),
        ("-o d.toml --detectors vim", 2, "--fit-on"),
        ("-o d.toml --fit-on {demo}/in.npy", 2, "--score"),
        ("-o none/d.toml", 1, "none"),
        ("-o d.toml --temperature 0", 2, "positive"),
    ] {
        let output = odin(folder.path(), &format!("{base} {args}"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert!(said.contains(part), "{args}: {said}");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "{args} left something"
        );
    }
}

#[test]
fn few_images_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &str| {
        let output = odin(folder.path(), &format!("{CALIBRATE} {args}"));
        assert!(output.status.success());
        text(&output.stderr)
    };
    let few = "50 images are too few for a true-positive rate of 0.95: from 72 on";
    assert!(run("--limit 50").contains(few));
    assert_eq!(run("--limit 80"), "");
    let near = "--limit 80 --out-dataset {demo}/near.npy";
    let few = "80 out-of-distribution images are too few for a false-positive rate of 0.001: from 3688 on";
    assert!(run(&format!("{near} --fpr 0.001")).contains(few));
    assert_eq!(run(&format!("{near} --fpr 0.05")), "");
    assert_eq!(run(&format!("{near} --lowest-error")), "");
    let fit = "--limit 80 --fit-on {demo}/validation.npy --score";
    let far = "warning: knn: k is 50, and 6 of 6 classes have fewer training images";
    assert!(run(&format!("{fit} knn:k=50")).contains(far));
    assert_eq!(run(&format!("{fit} knn:k=5")), "");
    assert_eq!(run(&format!("{fit} knn")), "");
}

/// Of a threshold that out-of-distribution images chose, these tell how sure its rate is, in the
/// text, in JSON and in the file.
#[test]
fn few_out_of_distribution_images_are_warned_of_alike() {
    let folder = tempfile::tempdir().unwrap();
    for (rule, few) in [
        (
            "--fpr 0.05",
            "for a false-positive rate of 0.05: from 72 on",
        ),
        (
            "--lowest-error",
            "for the lowest detection error: from 72 on",
        ),
        (
            "--lowest-error --tpr 0.99",
            "from 368 on, they tell a false-positive rate of 1.0% from none",
        ),
    ] {
        let args = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --limit 10 -o few.toml --format json --quiet";
        let output = odin(folder.path(), &format!("{args} {rule}"));
        let said = text(&output.stderr);
        assert!(
            said.contains("10 out-of-distribution images are too few"),
            "{rule}: {said}"
        );
        assert!(said.contains(few), "{rule}: {said}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ends = [0, 1].map(|end| report["scores"][0]["fpr_ci95"][end].as_f64().unwrap());
        // Ten images do not tell a rate to 25 points.
        assert!(ends[1] - ends[0] > 0.25, "{ends:?}");
        let shown = ends.map(|end| format!("{:.1}%", 100.0 * end));
        let interval = format!("; of new ones {} to {} may pass", shown[0], shown[1]);
        assert!(said.contains(&interval), "{rule}: {said}");
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(said.contains(warnings[1].as_str().unwrap()), "{warnings:?}");
        let saved = odin::DetectorRecord::open(folder.path().join("few.toml")).unwrap();
        let saved = saved.scores[0].against_out.unwrap().fpr_interval.unwrap();
        assert_eq!([saved.lower, saved.upper], ends, "{rule}");
    }
}

/// What was calibrated is what is compiled.
#[test]
fn a_calibrated_detector_compiles() {
    let folder = calibrated("");
    let said = stdout(
        folder.path(),
        "compile --detector detector.toml -o d.onnx --quiet",
    );
    let toml = fs::read_to_string(folder.path().join("detector.toml")).unwrap();
    let threshold = toml
        .lines()
        .find_map(|line| line.strip_prefix("threshold = "))
        .unwrap();
    assert!(said.contains("T = 1000, ε = 0.005"), "{said}");
    assert!(said.contains(&format!("threshold {threshold}")), "{said}");
    assert!(said.contains("is_in_distribution"), "{said}");
    let verified = odin(
        folder.path(),
        "verify d.onnx --nn {demo}/model.safetensors --quiet",
    );
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    for (args, part) in [
        ("--threshold 0.1", "--threshold"),
        ("--layout NHWC", "--layout"),
        ("--nn {demo}/in.npy", "in.npy"),
    ] {
        let output = odin(
            folder.path(),
            &format!("compile --detector detector.toml -o e.onnx {args}"),
        );
        assert!(
            !output.status.success() && text(&output.stderr).contains(part),
            "{args}"
        );
    }
    // A detector by another score, which no gradient is needed for, with what the calibration says.
    let other = calibrated("--score energy,knn:k=5 --fit-on {demo}/in.npy");
    let said = stdout(
        other.path(),
        "compile --detector detector.toml --p-value -o e.onnx --quiet",
    );
    for wanted in ["decides  by energy, threshold", "knn float", "p_value"] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!said.contains("ODIN"), "{said}");
    let said = stdout(other.path(), "verify e.onnx --nn detector.toml --quiet");
    for wanted in ["of knn:", "of energy:", "they agree"] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!said.contains("Not compared"), "{said}");
    let said = stdout(
        other.path(),
        "verify e.onnx --nn {demo}/model.safetensors --quiet",
    );
    for wanted in ["of energy:", "Not compared:            knn", "they agree"] {
        assert!(said.contains(wanted), "{said}");
    }
    let said = stdout(
        other.path(),
        "score --detector detector.toml {demo}/near.npy --quiet",
    );
    let head = said.lines().next().unwrap();
    assert!(
        head.starts_with("file,prediction,class,msp,energy,knn,"),
        "{head}"
    );
}

/// What was kept serves evaluation and calibration alike, with other scores, too.
#[test]
fn a_cache_takes_the_place_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let eval = "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --magnitude 0.005 --format json";
    let run = |args: &str| {
        let output = odin(folder.path(), args);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{args}\n{said}");
        let said = said.lines().find(|line| line.starts_with("cache: "));
        (text(&output.stdout), said.map(str::to_string))
    };
    let told = |computed: &str| Some(format!("cache: the network was run for {computed}"));
    let fit = "--score vim,energy --fit-on {demo}/validation.npy";
    let (expected, said) = run(&format!("{eval} {fit}"));
    assert_eq!(said, None);
    let (_, said) = run(&format!("{eval} --cache kept"));
    assert_eq!(said, told("1075 images of 1075"));
    let (found, said) = run(&format!("{eval} {fit} --cache kept"));
    assert_eq!((found, said), (expected, told("181 images of 1256")));
    let calibrate = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --magnitude 0.005 --score energy,odin -o d.toml";
    let (_, said) = run(&format!("{calibrate} --cache kept"));
    assert_eq!(said, told("0 images of 361"));
}

const TUNE: &str = "tune --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --temperatures 1,1000 --magnitudes 0,0.005 --quiet";

#[test]
fn tuning_chooses_what_its_grid_says() {
    let folder = tempfile::tempdir().unwrap();
    for (objective, larger) in [
        ("fpr95", false),
        ("detection-error", false),
        ("auroc", true),
        ("aupr-in", true),
        ("aupr-out", true),
    ] {
        let args =
            format!("{TUNE} --tune-on {{demo}}/near.npy --objective {objective} --format json");
        let search = &json(folder.path(), &args)["searches"][0];
        let column = match objective {
            "fpr95" => "fpr_at_95_tpr".to_string(),
            name => name.replace('-', "_"),
        };
        let grid = search["grid"].as_array().unwrap();
        assert_eq!(grid.len(), 4);
        let values = grid.iter().map(|cell| cell[&column].as_f64().unwrap());
        let best = match larger {
            true => values.fold(f64::NEG_INFINITY, f64::max),
            false => values.fold(f64::INFINITY, f64::min),
        };
        assert_eq!(search["chosen"]["value"], best, "{objective}");
    }
}

#[test]
fn tuning_needs_no_out_set() {
    let folder = tempfile::tempdir().unwrap();
    for (rule, n_out, words) in [
        ("", 540, "auroc"),
        ("--in-only", 540, "auroc"),
        ("--in-only=mean-score", 0, "mean ODIN score"),
        ("--in-only=synthetic --objective fpr95", 540, "fpr95"),
    ] {
        let report = json(folder.path(), &format!("{TUNE} {rule} --format json"));
        let search = &report["searches"][0];
        assert_eq!(search["n_out"], n_out, "{rule}");
        assert!(search["rule"].as_str().unwrap().contains(words), "{rule}");
    }
}

/// The same seed gives the same sets.
#[test]
fn tuning_is_reproducible_and_its_files_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let run = |seed: u32| {
        let args = format!("{TUNE} --in-only=synthetic --seed {seed} -o grid.csv");
        stdout(folder.path(), &args);
        fs::read_to_string(folder.path().join("grid.csv")).unwrap()
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
    assert_eq!(first.lines().count(), 5);
    for plot in ["heat-map", "against-temperature", "against-magnitude"] {
        let svg = fs::read_to_string(folder.path().join(format!("grid-{plot}.svg"))).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{plot}"
        );
    }
}

#[test]
fn transfer_tunes_on_each_set_and_tests_on_all() {
    let folder = tempfile::tempdir().unwrap();
    let args = format!(
        "{TUNE} --transfer --out-dataset {{demo}}/near.npy --out-dataset Uniform --format json --detectors energy"
    );
    let report = json(folder.path(), &args);
    let tests = report["tests"].as_array().unwrap();
    assert_eq!(report["searches"].as_array().unwrap().len(), 2);
    for test in tests {
        assert_eq!(test["odin_tuned"].as_array().unwrap().len(), 2);
        assert!(test["others"]["energy"]["auroc"].as_f64().is_some());
    }
    // Tuned at T = 1 without a step, ODIN is the baseline.
    let table = stdout(
        folder.path(),
        &format!("{TUNE} --transfer --out-dataset {{demo}}/near.npy --out-dataset Uniform"),
    );
    assert!(table.contains("tuned on, by evaluated on"), "{table}");
}

const TUNE_SCORE: &str = "tune --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --limit 60 --fit-on {demo}/validation.npy --quiet";

/// The best of the grid is chosen, and the defaults are tried beside it.
#[test]
fn parameters_of_scores_are_tuned() {
    let folder = tempfile::tempdir().unwrap();
    for (score, candidates, objective, larger) in [
        ("knn:k=1/3/40", 4, "fpr95", false),
        (
            "adascale-a:pmin=0.6/0.8:pmax=0.85:lambda=1/10",
            4,
            "auroc",
            true,
        ),
        ("scale-map", 7, "auroc", true),
        ("gen", 42, "aupr-out", true),
    ] {
        let run = format!("{TUNE_SCORE} --for {score} --objective {objective}");
        let run = format!("{run} --tune-on {{demo}}/near.npy --out-dataset {{demo}}/near.npy");
        let report = json(folder.path(), &format!("{run} --format json -o grid.csv"));
        let column = match objective {
            "fpr95" => "fpr_at_95_tpr".to_string(),
            name => name.replace('-', "_"),
        };
        let value = |row: &Value| row[&column].as_f64().unwrap();
        let grid = report["grid"].as_array().unwrap();
        assert_eq!(grid.len(), candidates, "{score}");
        let values = grid.iter().map(value);
        let best = match larger {
            true => values.fold(f64::NEG_INFINITY, f64::max),
            false => values.fold(f64::INFINITY, f64::min),
        };
        let chosen = &report["chosen"]["score"];
        let row = grid.iter().find(|row| row["score"] == *chosen).unwrap();
        assert!((value(row) - best).abs() < 1e-9, "{score}");
        assert!(grid.iter().any(|row| row["score"] == report["default"]));
        let test = &report["tests"][0];
        assert_eq!((&test["n_in"], &test["n_out"]), (&60.into(), &60.into()));
        assert_eq!(test["grid"].as_array().unwrap().len(), candidates);
        let csv = fs::read_to_string(folder.path().join("grid.csv")).unwrap();
        assert_eq!(csv.lines().count(), candidates + 1, "{csv}");
    }
}

#[test]
fn tuned_parameters_are_what_is_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    let tune = format!("{TUNE_SCORE} --for ash:pruned=0.35/0.55 --in-only -o tuned.toml");
    let report = stdout(folder.path(), &tune);
    assert!(report.contains("made of them"), "{report}");
    let tuned = fs::read_to_string(folder.path().join("tuned.toml")).unwrap();
    let score = tuned.lines().find_map(|line| line.strip_prefix("score = "));
    let score = score.unwrap().trim_matches('"');
    let calibrate = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy";
    let threshold = |options: &str| {
        stdout(folder.path(), &format!("{calibrate} {options} -o d.toml"));
        let detector = fs::read_to_string(folder.path().join("d.toml")).unwrap();
        let line = detector.lines().find(|line| line.starts_with("threshold"));
        line.unwrap().to_string()
    };
    let by_name = threshold(&format!("--score {score}"));
    assert_eq!(threshold("--tuned tuned.toml"), by_name);
    assert_eq!(threshold("--tuned tuned.toml --score ash,energy"), by_name);
    assert_ne!(threshold("--score ash"), by_name);
    let refused = odin(
        folder.path(),
        &format!("{calibrate} --tuned tuned.toml --score energy -o d.toml"),
    );
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("name ash, or leave out --score"));
}

/// The precision that parameters were tuned in is that of the detector.
#[test]
fn parameters_are_tuned_in_the_precision_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let tune = format!("{TUNE_SCORE} --for adascale-a:lambda=1/10 --in-only --format json");
    for (option, precision) in [("", "exact"), ("--precision fast", "fast")] {
        let report = json(folder.path(), &format!("{tune} {option} -o tuned.toml"));
        assert_eq!(report["precision"], precision);
        let calibrate = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy \
                         --fit-on {demo}/validation.npy --tuned tuned.toml --format json";
        let report = json(folder.path(), &format!("{calibrate} -o d.toml"));
        assert_eq!(report["precision"], precision);
    }
}

/// Why scores are not to be trusted is in the reports of all commands that show them.
#[test]
fn warnings_of_scores_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let set =
        "--nn {demo}/model.safetensors --in-dataset {demo}/in.npy --limit 60 --format json --quiet";
    let fit = "--fit-on {demo}/validation.npy --fit-images 40";
    for (command, warned) in [
        (
            format!("eval {set} {fit} --out-dataset Uniform --score knn:k=9"),
            true,
        ),
        (
            format!("calibrate {set} {fit} --score knn:k=9 -o d.toml"),
            true,
        ),
        (
            format!("tune {set} {fit} --temperatures 1 --magnitudes 0 --score knn:k=9"),
            true,
        ),
        (
            format!("tune {set} {fit} --for knn:k=9 --tune-on {{demo}}/near.npy"),
            false,
        ),
        (
            format!("calibrate {set} {fit} --score knn:k=1 -o d.toml"),
            false,
        ),
    ] {
        let report = json(folder.path(), &command);
        let warnings = report["warnings"].as_array().unwrap();
        let of_knn = warnings
            .iter()
            .filter(|w| w.as_str().unwrap().contains("k is 9"));
        assert_eq!(
            of_knn.count(),
            usize::from(warned),
            "{command}: {warnings:?}"
        );
    }
}

#[test]
fn tuning_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (args, code, part) in [
        ("--tune-on nowhere", 1, "nowhere"),
        ("--transfer", 2, "--out-dataset"),
        ("--in-only --tune-on Uniform", 2, "--tune-on"),
        ("--in-only=guess", 2, "mean-score"),
        ("--objective best", 2, "detection-error"),
        ("-o grid.svg", 2, ".csv"),
        ("--temperatures 0", 2, "positive"),
        ("--detectors vim", 2, "--fit-on"),
        ("--for energy", 2, "no parameters to tune"),
        ("--for vim", 2, "vim:d=A/B/C"),
        ("--for knn", 2, "--fit-on"),
        ("--for ash:pruned=2", 2, "below 1"),
        (
            "--for ash --in-only=mean-score",
            2,
            "this rule is for T and",
        ),
        ("--for ash --temperatures 1", 2, "--temperatures"),
        ("--for ash --score energy", 2, "--score"),
    ] {
        let output = odin(
            folder.path(),
            &format!("tune --nn {{demo}}/model.safetensors --in-dataset {{demo}}/in.npy {args}"),
        );
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert!(said.contains(part), "{args}: {said}");
    }
}
