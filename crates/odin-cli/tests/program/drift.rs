//! `odin drift` as a user meets it: exit codes, streams, numbers.

use super::runs::{Run, check, json, odin, text};
use odin_report::{ScoreFormat, ScoreRecord, ScoreValues, ScoreWriter};
use serde_json::Value;
use std::path::Path;

/// Scores `low + i / count` of images of which those below 0.5 are rejected, and errors.
pub(super) fn write(folder: &Path, name: &str, count: usize, low: f64, errors: usize) {
    write_decided(folder, name, count, low, errors, None);
}

/// The same, by a detector that decides by a score of this name.
fn write_decided(
    folder: &Path,
    name: &str,
    count: usize,
    low: f64,
    errors: usize,
    decided_by: Option<&str>,
) {
    let path = folder.join(name);
    let format = ScoreFormat::of(&path).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let scores = ["odin", "msp"].map(str::to_string);
    let checksum = "0123456789abcdef".repeat(4);
    let writer = match decided_by {
        Some(score) => ScoreWriter::of_detector(file, format, &scores, &checksum, score),
        None => ScoreWriter::new(file, format, &scores),
    };
    let mut writer = writer.unwrap();
    for i in 0..count + errors {
        let score = low + i as f64 / count as f64;
        let values = ScoreValues {
            prediction: 0,
            class: None,
            scores: vec![score, 0.5],
            percentile: 0.0,
            p_value: 0.0,
            is_in_distribution: score >= 0.5,
        };
        let outcome = match i < count {
            true => Ok(values),
            false => Err("does not decode".to_string()),
        };
        let file = format!("image {i}");
        writer.write(&ScoreRecord { file, outcome }).unwrap();
    }
    writer.finish().unwrap();
}

/// Every file of these tests.
pub(super) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(here, "a.csv", 1000, 0.45, 0);
    write(here, "a.jsonl", 1000, 0.45, 0);
    write(here, "b.parquet", 700, 0.4505, 2);
    write(here, "lower.jsonl", 500, 0.3, 100);
    write(here, "higher.csv", 1000, 0.7, 0);
    write(here, "few.csv", 10, 0.45, 0);
    write(here, "bad.csv", 0, 0.45, 3);
    for extension in ["csv", "jsonl", "parquet"] {
        let name = format!("by-msp.{extension}");
        write_decided(here, &name, 1000, 0.45, 1, Some("msp"));
    }
    write_decided(here, "by-odin.csv", 1000, 0.45, 0, Some("odin"));
    // The column of a score that was taken out of the file.
    write_decided(here, "by-vim.csv", 1000, 0.45, 0, Some("vim"));
    std::fs::write(here.join("plain.csv"), "odin\n0.1\n0.2\n0.3\n").unwrap();
    std::fs::write(here.join("nan.csv"), "odin\n0.1\nnan\n").unwrap();
    std::fs::write(here.join("a.txt"), "odin\n0.1\n").unwrap();
    std::fs::write(here.join("text.csv"), "odin\nx\n").unwrap();
    std::fs::write(here.join("d.toml"), "size = 32\n").unwrap();
    let arrays = Path::new(env!("CARGO_MANIFEST_DIR")).join("../odin-data/tests/fixtures/scores");
    for file in [
        "in.npz",
        "out.npz",
        "two_floats.npz",
        "nan.npz",
        "vector.npy",
    ] {
        std::fs::copy(arrays.join(file), here.join(file)).unwrap();
    }
    let damaged = include_bytes!("../../../odin-report/tests/fixtures/footer.parquet");
    std::fs::write(here.join("footer.parquet"), damaged).unwrap();
    folder
}

const RUNS: &[Run] = &[
    (
        "in.npz out.npz --threshold 0",
        0,
        &[
            "Score conf\n",
            "Images with a score 5 5\n",
            "Rejected 1 3\n",
            "Median score 0.500000 -1.500000\n",
        ],
        &["in.npz has few images"],
    ),
    (
        "in.npz out.npz --threshold 0 --score label",
        0,
        &["Score label\n", "Rejected 0 5\n"],
        &[],
    ),
    (
        "in.npz vector.npy --threshold 0",
        0,
        &["Score conf\n", "Rejected 1 1\n"],
        &[],
    ),
    (
        "vector.npy vector.npy --threshold 0",
        0,
        &["Score score\n"],
        &[],
    ),
    (
        "vector.npy vector.npy --threshold 0 --score x",
        0,
        &["Score x\n"],
        &[],
    ),
    (
        "in.npz two_floats.npz --threshold 0",
        1,
        &[],
        &["two_floats.npz: ", "no array \"conf\"", "a [5], b [5]"],
    ),
    (
        "two_floats.npz in.npz --threshold 0 --score a",
        1,
        &[],
        &[
            "in.npz: ",
            "no array \"a\"",
            "conf [5], label [5], pred [5]",
        ],
    ),
    (
        "a.csv in.npz --threshold 0",
        2,
        &[],
        &["the score is odin in a.csv and conf in in.npz", "--score"],
    ),
    ("by-msp.csv by-msp.jsonl", 0, &["Score msp\n"], &[]),
    ("by-msp.parquet by-msp.csv", 0, &["Score msp\n"], &[]),
    (
        "by-msp.parquet by-msp.csv --score odin",
        0,
        &["Score odin\n"],
        &[],
    ),
    ("by-odin.csv a.csv", 0, &["Score odin\n"], &[]),
    ("by-vim.csv a.csv", 0, &["Score odin\n"], &[]),
    (
        "by-msp.csv a.csv",
        2,
        &[],
        &[
            "the score is msp in by-msp.csv and odin in a.csv",
            "--score",
        ],
    ),
    (
        "in.npz nan.npz --threshold 0",
        1,
        &[],
        &["nan.npz: the score conf of image 2", "NaN"],
    ),
    ("in.npz out.npz", 2, &[], &["--threshold"]),
    (
        "a.csv b.parquet",
        0,
        &[
            "Not shown to have moved",
            "as the files decided",
            "Images with a score 1000 700\n",
            "Images with an error 0 2\n",
            "Level 0.01 for both",
        ],
        &[],
    ),
    ("a.csv b.parquet --fail-on-drift", 0, &["Not shown"], &[]),
    (
        "a.csv a.jsonl --fail-on-drift",
        0,
        &[
            "Not shown",
            "Rejection rate (Fisher) +0.0% -1.9% to +1.9% 1.000 ",
        ],
        &[],
    ),
    (
        "a.csv lower.jsonl",
        0,
        &[
            "Moved: more images are rejected, and the score distribution differs, with a lower median.",
            "Share with an error 0.0% 16.7%\n",
            "Rejection rate (Fisher) +15.0% +11.4% to +18.9% ",
        ],
        &["warning: of a.csv 0.0% of the images have errors, of lower.jsonl 16.7%"],
    ),
    ("a.csv lower.jsonl --fail-on-drift", 3, &["Moved:"], &[]),
    (
        "lower.jsonl a.csv --fail-on-drift --format json",
        3,
        &["\"verdict\": \"moved\""],
        &[],
    ),
    (
        "a.csv higher.csv --fail-on-drift",
        3,
        &[
            "Moved: fewer images are rejected, and the score distribution",
            "with a higher median",
        ],
        &[],
    ),
    (
        "a.csv lower.jsonl --score msp --fail-on-drift",
        3,
        &["Moved: more images are rejected.", "Score msp\n"],
        &[],
    ),
    (
        "a.csv higher.csv --level 1e-30 --fail-on-drift",
        0,
        &["Not shown"],
        &[],
    ),
    (
        "a.csv few.csv",
        0,
        &["Not shown"],
        &[
            "warning: few.csv has few images with a score, 10: among the 10 new ones a rejection rate of",
            "would be called moved, or scores whose distributions differ by about 0.5",
        ],
    ),
    (
        "a.csv few.csv --level 1e-30",
        0,
        &["Rejection rate (Fisher) +5.0% -3.4% to +35.4% 0.406 no rate not shown\n"],
        &["few.csv has few images with a score, 10: no rejection rate would be called moved"],
    ),
    (
        "a.csv plain.csv --threshold 0.25 --fail-on-drift",
        3,
        &["Rejected odin below 0.25\n"],
        &["plain.csv has few images"],
    ),
    (
        "a.csv b.parquet --threshold 0.25",
        0,
        &["as the files decided"],
        &["note: the files say what was rejected; --threshold is not used"],
    ),
    (
        "a.csv plain.csv",
        2,
        &[],
        &["error:", "is_in_distribution", "--threshold", "--detector"],
    ),
    ("a.csv a.txt", 2, &[], &["a.txt: score files end in .csv"]),
    ("a.csv", 2, &[], &["NEW"]),
    ("a.csv a.csv --level 1", 2, &[], &["between 0 and 1"]),
    ("a.csv a.csv --level nan", 2, &[], &["between 0 and 1"]),
    ("a.csv a.csv --threshold nan", 2, &[], &["finite"]),
    (
        "a.csv a.csv --threshold 1 --detector d.toml",
        2,
        &[],
        &["cannot be used with"],
    ),
    ("a.csv none.csv", 1, &[], &["none.csv"]),
    (
        "a.csv footer.parquet",
        1,
        &[],
        &["footer.parquet: the Parquet file is damaged"],
    ),
    (
        "a.csv b.parquet --score vim",
        1,
        &[],
        &["a.csv: ", "no column \"vim\"", "odin, msp"],
    ),
    (
        "a.csv bad.csv",
        1,
        &[],
        &["bad.csv: no image has the score odin (3 have errors)"],
    ),
    (
        "nan.csv a.csv --threshold 0.5",
        1,
        &[],
        &["nan.csv: the score odin of image 2", "is NaN"],
    ),
    (
        "a.csv text.csv",
        1,
        &[],
        &["text.csv: line 2: odin is no number"],
    ),
    (
        "a.csv a.csv --detector d.toml",
        1,
        &[],
        &["d.toml", "odin calibrate"],
    ),
    ("a.csv a.csv --detector none.toml", 1, &[], &["none.toml"]),
];

#[test]
fn runs() {
    check(folder().path(), "drift", RUNS);
}

/// Expected: scipy.stats.fisher_exact and scipy.stats.ks_2samp of the same numbers.
#[test]
fn the_numbers_are_scipys() {
    let folder = folder();
    let report = json(folder.path(), "drift a.csv lower.jsonl --level 0.05");
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap();
    for (pointer, expected) in SCIPY {
        let (found, expected) = (number(pointer), *expected);
        let off = (found - expected).abs();
        assert!(
            off <= 1e-9 * expected.abs(),
            "{pointer}: {found}, not {expected}"
        );
    }
    assert_eq!(report["rejected_by"], "is_in_distribution");
    assert_eq!(report["threshold"], Value::Null);
    assert_eq!(report["moved"], true);
    assert_eq!(report["scores"]["exact"], true);
    assert_eq!(report["new"]["file"], "lower.jsonl");
    assert!(report["definitions"]["moved"].is_string());
}

const SCIPY: &[(&str, f64)] = &[
    ("/reference/rejection_rate", 0.05),
    ("/reference/rejection_rate_ci95/0", 0.038_130_262_392_748_81),
    ("/reference/rejection_rate_ci95/1", 0.065_313_820_244_250_81),
    ("/reference/median_score", 0.9495),
    ("/new/rejection_rate", 0.2),
    ("/new/rejection_rate_ci95/0", 0.167_285_498_971_757_43),
    ("/new/rejection_rate_ci95/1", 0.237_289_105_305_173_94),
    ("/new/median_score", 0.799),
    ("/new/errors", 100.0),
    ("/new/error_share", 1.0 / 6.0),
    ("/rejection_rate/difference", 0.15),
    (
        "/rejection_rate/difference_ci95/0",
        0.113_878_653_568_836_83,
    ),
    ("/rejection_rate/difference_ci95/1", 0.189_132_697_905_017_3),
    ("/rejection_rate/p_value", 1.676_563_895_962_401_7e-18),
    ("/scores/statistic", 0.152),
    ("/scores/p_value", 3.758_741_507_330_236_5e-07),
];

/// What is said to be called moved is, and one image less is not.
#[test]
fn rates_that_are_called_moved_are() {
    let folder = folder();
    let here = folder.path();
    let first = json(here, "drift a.csv few.csv --score msp");
    let rates = &first["rejection_rate"];
    assert_eq!(rates["called_moved_at_most"], Value::Null);
    let least = rates["called_moved_at_least"].as_u64().unwrap();
    for (rejected, moved) in [(least, true), (least - 1, false)] {
        let mut lines = "msp,is_in_distribution\n".to_string();
        for i in 0..10 {
            lines += &format!("0.5,{}\n", i >= rejected);
        }
        std::fs::write(here.join("ten.csv"), lines).unwrap();
        let report = json(here, "drift a.csv ten.csv --score msp");
        assert_eq!(report["rejection_rate"]["moved"], moved, "{report}");
        assert_eq!(report["new"]["rejected"], rejected);
    }
}

/// The threshold of a detector, for files that `odin eval` wrote.
#[test]
fn a_detector_says_what_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for args in [
        "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/validation.npy --magnitude 0.005 -o d.toml --quiet",
        "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/validation.npy --detectors energy --per-class --tpr 0.7 -o energy.toml --quiet",
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --magnitude 0.005 --detectors energy --scores s --quiet",
    ] {
        let output = odin(here, args);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let toml = std::fs::read_to_string(here.join("d.toml")).unwrap();
    let line = toml.lines().find(|line| line.starts_with("threshold = "));
    let threshold: f64 = line.unwrap()["threshold = ".len()..].parse().unwrap();
    let report = json(here, "drift s/in.csv s/near.csv --detector d.toml");
    assert_eq!(report["threshold"], threshold);
    assert_eq!(report["detector"], "d.toml");
    assert_eq!(report["score"], "odin");
    assert_eq!(report["moved"], true);
    for (side, file) in [("reference", "in"), ("new", "near")] {
        let csv = std::fs::read_to_string(here.join(format!("s/{file}.csv"))).unwrap();
        let scores = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(3).unwrap());
        let below = scores.filter(|score| score.parse::<f64>().unwrap() < threshold);
        assert_eq!(report[side]["rejected"], below.count(), "{side}");
    }
    let same = json(
        here,
        &format!("drift s/in.csv s/near.csv --threshold {threshold}"),
    );
    assert_eq!(same["new"], report["new"]);
    assert_eq!(same["detector"], Value::Null);

    // The score is the one that decides; its thresholds for each class are not used.
    let output = odin(here, "drift s/in.csv s/near.csv --detector energy.toml");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        stdout.contains("Score                   energy"),
        "{stdout}{stderr}"
    );
    assert!(stderr.contains("thresholds for each class"), "{stderr}");
    let output = odin(
        here,
        "drift s/in.csv s/near.csv --detector energy.toml --score msp",
    );
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("no threshold for msp, only for energy"),
        "{stderr}"
    );
}

#[test]
fn help_has_examples_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&odin(folder.path(), "drift --help").stdout);
    for wanted in ["Examples:", "odin drift", "Exit codes:", "--fail-on-drift"] {
        assert!(help.contains(wanted), "{help}");
    }
    let help = text(&odin(folder.path(), "--help").stdout);
    assert!(help.contains("drift"), "{help}");
}
