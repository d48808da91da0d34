//! The `odin` command as a user meets it: exit codes, streams, files.

// Clippy lets only functions marked as tests unwrap, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn demo(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    folder.join(file).display().to_string()
}

/// Runs `odin` in `folder`; `{demo}` in an argument is the folder of the demonstration.
fn odin(folder: &Path, args: &str) -> Output {
    let demo = demo("");
    let args = args.split_whitespace().map(|a| a.replace("{demo}/", &demo));
    Command::new(env!("CARGO_BIN_EXE_odin"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const EVAL: &str = "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --magnitude 0.005";

#[test]
fn the_demonstration_prints_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let output = odin(folder.path(), "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for wanted in [
        "DenseNet-BC-22-12",
        "99.4%",
        "digits 6-9",
        "361/714",
        "Uniform",
        "361/361",
        "in-distribution",
    ] {
        assert!(table.contains(wanted), "no {wanted:?} in\n{table}");
    }
}

/// The numbers are PyTorch's, computed by demo/train.py in f64.
#[test]
fn eval_agrees_with_pytorch_on_the_demonstration() {
    let folder = tempfile::tempdir().unwrap();
    let measured = json(&odin(
        folder.path(),
        &format!("{EVAL} --format json --scores scores"),
    ));
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(demo("expected.json")).unwrap()).unwrap();
    let (result, reference) = (&measured["results"][0], &expected["results"]["near"]);
    assert_eq!(measured["positive_class"], "in-distribution");
    assert_eq!(result["n_in"], reference["n_in"]);
    assert_eq!(result["n_out"], reference["n_out"]);
    for score in ["baseline", "odin"] {
        for (name, value) in reference[score].as_object().unwrap() {
            let found = result[score][name].as_f64().unwrap();
            // A last bit of f32 may swap two neighbours in rank.
            assert!(
                (found - value.as_f64().unwrap()).abs() < 2e-5,
                "{score} {name}: {found} for {value}"
            );
        }
    }
    let csv = std::fs::read_to_string(folder.path().join("scores/in.npy.csv"))
        .or_else(|_| std::fs::read_to_string(folder.path().join("scores/in.csv")))
        .unwrap();
    let scores = expected["scores"]["in"].as_array().unwrap();
    for (line, reference) in csv.lines().skip(1).zip(scores) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        assert_eq!(fields[1], reference["prediction"].to_string());
        assert!(
            (number(2) - reference["msp"].as_f64().unwrap()).abs() < 1e-5,
            "{line}"
        );
        assert!(
            (number(3) - reference["odin"].as_f64().unwrap()).abs() < 1e-6,
            "{line}"
        );
    }
}

#[test]
fn results_do_not_depend_on_threads_or_batches() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &str| {
        json(&odin(
            folder.path(),
            &format!("{EVAL} --limit 40 --format json {args}"),
        ))
    };
    let reference = run("--threads 1 --batch-size 1");
    for args in [
        "--threads 2",
        "--threads 3 --batch-size 7",
        "--batch-size 1000",
    ] {
        assert_eq!(run(args), reference, "{args}");
    }
}

#[test]
fn sets_of_one_name_get_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let args = format!(
        "{EVAL} --out-dataset {{demo}}/in.npy --out-dataset Uniform --limit 5 --scores s --quiet"
    );
    let output = odin(folder.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path().join("s"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let csv = std::fs::read_to_string(&file).unwrap();
        assert_eq!(csv.lines().count(), 6, "{}", file.display());
        assert!(csv.starts_with("file,prediction,msp,odin\n"));
    }
}

#[test]
fn csv_has_a_line_for_each_score_and_intervals_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = odin(
        folder.path(),
        &format!("{EVAL} --limit 30 --format csv --ci"),
    );
    let csv = text(&output.stdout);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[0].contains("auroc_ci95_lower"));
    let columns = |line: &str| line.split(',').count();
    assert!(
        lines.iter().all(|line| columns(line) == columns(lines[0])),
        "{csv}"
    );
}

/// Arguments, exit code, and what standard error must contain.
const MISTAKES: &[(&str, i32, &str)] = &[
    ("eval", 2, "--nn"),
    ("frobnicate", 2, "frobnicate"),
    (
        "eval --nn nothing.pth --in-dataset x --out-dataset y",
        1,
        "nothing.pth",
    ),
    (
        "eval --nn {demo}/in.npy --in-dataset {demo}/in.npy --out-dataset Uniform",
        1,
        "in.npy",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset absent --out-dataset Uniform",
        1,
        "--in-dataset",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset absent",
        1,
        "--out-dataset",
    ),
    (
        "eval --nn {demo}/model.safetensors --out-dataset Uniform",
        2,
        "--in-dataset",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --gpu 0",
        2,
        "--threads",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --temperature 0",
        1,
        "temperature",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --temperature -3",
        1,
        "temperature",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --temperature nan",
        1,
        "temperature",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --magnitude -0.1",
        2,
        "magnitude",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --magnitude nan",
        2,
        "magnitude",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --magnitude paper",
        2,
        "densenet10",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --mean 0.5",
        2,
        "--std",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --mean 0.5 --std 0",
        1,
        "std",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --mean 0.5,0.5,0.5 --std 1,1,1",
        1,
        "1 channel",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --image-size 16",
        1,
        "16x16",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --limit 0",
        2,
        "limit",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --threads 0",
        1,
        "threads",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --split test",
        2,
        "--split all",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Imagenet",
        1,
        "odin fetch Imagenet",
    ),
    ("fetch nonsense", 1, "nonsense"),
    ("fetch Imagenet --offline", 1, "Imagenet"),
];

#[test]
fn mistakes_end_in_a_message_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    for (args, code, wanted) in MISTAKES {
        let output = odin(folder.path(), args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "odin {args}\n{stderr}");
        assert!(
            stderr.contains(wanted),
            "odin {args}: no {wanted:?} in\n{stderr}"
        );
        assert!(!stderr.contains("panicked"), "odin {args}\n{stderr}");
        assert!(output.stdout.is_empty(), "odin {args}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(
        left.iter()
            .all(|e| e.as_ref().unwrap().file_name() == "data"),
        "{left:?}"
    );
}

#[test]
fn the_list_shows_the_sets_and_networks_of_the_paper() {
    let folder = tempfile::tempdir().unwrap();
    let table = text(&odin(folder.path(), "list").stdout);
    let rows = json(&odin(folder.path(), "list --format json"));
    let names: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    for name in [
        "cifar10",
        "cifar100",
        "Imagenet",
        "Imagenet_resize",
        "LSUN",
        "LSUN_resize",
        "iSUN",
        "Uniform",
        "Gaussian",
        "densenet10",
        "densenet100",
        "wideresnet10",
        "wideresnet100",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
        assert!(table.contains(name), "{name} is not in\n{table}");
    }
}
