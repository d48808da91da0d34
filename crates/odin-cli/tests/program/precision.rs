//! `--precision`: part of the setting of every command, and of what each writes and reports.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn odin(folder: &Path, args: &str) -> Output {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let demo = demo.canonicalize().unwrap().display().to_string();
    let args = args.replace("{demo}", &demo);
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    let command = command.args(args.split_whitespace()).current_dir(folder);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn stdout(folder: &Path, args: &str) -> String {
    let output = odin(folder, args);
    assert!(output.status.success(), "{args}\n{}", text(&output.stderr));
    text(&output.stdout)
}

const NN: &str = "--nn {demo}/model.safetensors";
const IN: &str = "--in-dataset {demo}/in.npy --limit 40 --quiet";

/// A folder with a detector of each precision.
fn calibrated() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for precision in ["exact", "fast"] {
        let args = format!("calibrate {NN} {IN} --precision {precision} -o {precision}.toml");
        let printed = stdout(folder.path(), &args);
        assert!(
            printed.contains(&format!("Precision               {precision}")),
            "{printed}"
        );
    }
    folder
}

#[test]
fn every_report_states_the_precision() {
    let folder = tempfile::tempdir().unwrap();
    let commands = [
        format!("eval {NN} {IN} --out-dataset Uniform"),
        format!("tune {NN} {IN}"),
        format!("calibrate {NN} {IN} -o d.toml"),
        format!("explain {NN} --repetitions 1"),
    ];
    for command in &commands {
        for (option, expected) in [
            ("", "exact"),
            ("--precision exact", "exact"),
            ("--precision fast", "fast"),
        ] {
            let args = format!("{command} {option} --format json");
            let json: Value = serde_json::from_str(&stdout(folder.path(), &args)).unwrap();
            assert_eq!(json["precision"], expected, "{args}");
            assert!(json["instructions"].is_string(), "{args}");
            let table = stdout(folder.path(), &format!("{command} {option}"));
            let line = table.lines().find(|line| line.starts_with("Precision"));
            assert!(line.is_some_and(|line| line.contains(expected)), "{table}");
        }
    }
    for command in &commands[..2] {
        let csv = stdout(
            folder.path(),
            &format!("{command} --precision fast --format csv"),
        );
        let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().unwrap();
        let column = head.iter().position(|name| *name == "precision").unwrap();
        // From the end: the names of sets before it may have commas.
        let behind = head.len() - column;
        assert!(
            lines.all(|line| line[line.len() - behind] == "fast"),
            "{csv}"
        );
    }
}

#[test]
fn pages_state_it_too() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        format!("eval {NN} {IN} --out-dataset Uniform"),
        format!("tune {NN} {IN}"),
        format!("calibrate {NN} {IN} -o d.toml"),
    ] {
        stdout(
            folder.path(),
            &format!("{command} --precision fast --report page.html"),
        );
        let page = std::fs::read_to_string(folder.path().join("page.html")).unwrap();
        assert!(
            page.contains("precision") && page.contains("fast, by "),
            "{command}"
        );
        std::fs::remove_file(folder.path().join("page.html")).unwrap();
    }
}

#[test]
fn a_tuned_precision_reaches_the_detector() {
    let folder = tempfile::tempdir().unwrap();
    stdout(
        folder.path(),
        &format!("tune {NN} {IN} --precision fast -o tuned.toml"),
    );
    stdout(
        folder.path(),
        &format!("calibrate {NN} {IN} --tuned tuned.toml -o d.toml"),
    );
    let detector = std::fs::read_to_string(folder.path().join("d.toml")).unwrap();
    assert!(detector.contains("precision = \"fast\""), "{detector}");
    let scores = stdout(
        folder.path(),
        "score --detector d.toml {demo}/near.npy --quiet",
    );
    assert!(scores.lines().count() > 700);
}

/// A detector judges in no other precision than its own.
#[test]
fn contradictions_are_usage_errors_that_say_what_to_do() {
    let folder = calibrated();
    let cases = [
        (
            "score --detector exact.toml {demo}/near.npy --precision fast",
            "exact.toml was calibrated in the precision exact",
        ),
        (
            "score --detector fast.toml {demo}/near.npy --precision exact",
            "calibrate another detector with --precision exact",
        ),
        (
            "compile --detector exact.toml --precision fast -o d.onnx",
            "its thresholds hold for no other",
        ),
        (
            "compile --detector fast.toml --precision exact -o d.onnx",
            "leave the option out",
        ),
        (
            "calibrate --nn {demo}/model.safetensors --tuned t.toml --precision fast -o d.toml",
            "cannot be used with",
        ),
        (
            "eval --nn {demo}/model.safetensors --precision half --out-dataset Uniform",
            "exact or fast",
        ),
    ];
    for (args, part) in cases {
        let output = odin(folder.path(), args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}\n{error}");
        assert!(error.contains(part), "{args}\n{error}");
    }
    for precision in ["exact", "fast"] {
        let args = format!(
            "score --detector {precision}.toml {{demo}}/near.npy --precision {precision} --quiet"
        );
        stdout(folder.path(), &args);
    }
}
