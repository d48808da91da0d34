//! `odin metrics` as a user meets it: exit codes, streams, numbers.

use super::drift::{folder, write};
use super::runs::{Run, check, json, odin, text};
use odin_metrics::{Metrics, PaperProtocol, Scores};
use serde_json::Value;
use std::fs;
use std::path::Path;

const RUNS: &[Run] = &[
    // OpenOOD's files: of 25 pairs 21 are in the right order.
    (
        "in.npz out.npz",
        0,
        &[
            "In-distribution scores: in.npz\n",
            "Out-of-distribution scores: out.npz\n",
            "Metrics: exact\n",
            "Positive class: in-distribution\n",
            "High scores mean: in-distribution\n",
            "Best AUROC first n in/out FPR95 Det. error AUROC AUPR In AUPR Out\n",
            "\nconf 5/5 40.0% 20.0% 84.0% 85.3% 88.5%\n",
        ],
        &[],
    ),
    (
        "in.npz out.npz in.npz --score conf",
        0,
        &[
            "\nout.npz\nconf 5/5 ",
            "\nin.npz\nconf 5/5 100.0% 50.0% 50.0% ",
        ],
        &["warning: in.npz, in.npz: both files have exactly the same scores"],
    ),
    (
        "in.npz out.npz --score label,conf --score conf",
        0,
        &["\nlabel 5/5 0.0% 0.0% 100.0% 100.0% 100.0%\nconf 5/5 "],
        &[],
    ),
    ("vector.npy in.npz", 0, &["\nconf 5/5 "], &["same scores"]),
    (
        "vector.npy vector.npy",
        0,
        &["\nscore 5/5 "],
        &["same scores"],
    ),
    ("vector.npy out.npz --score conf", 0, &["\nconf 5/5 "], &[]),
    (
        "out.npz in.npz",
        0,
        &["conf 5/5 100.0% "],
        &[
            "warning: out.npz, in.npz: the out-of-distribution images score higher (AUROC: conf 16.0%)",
            "swapped",
            "(then --negate)",
        ],
    ),
    (
        "out.npz in.npz --negate",
        0,
        &[
            "High scores mean: out-of-distribution; negated\n",
            "conf 5/5 ",
        ],
        &[],
    ),
    (
        "in.npz out.npz --negate",
        0,
        &[],
        &["so that --negate is wrong?"],
    ),
    (
        "in.npz out.npz --format csv",
        0,
        &[
            "in_file,out_file,metrics,positive_class,negated,n_in,n_out,score,fpr_at_95_tpr,",
            "\nin.npz,out.npz,exact,in-distribution,false,5,5,conf,0.4,0.2",
        ],
        &[],
    ),
    (
        "in.npz out.npz --ci --seed 7",
        0,
        &["84.0% [", "intervals (stratified bootstrap, seed 7)."],
        &[],
    ),
    (
        "in.npz out.npz --ci --metrics paper --format csv",
        0,
        &["auroc_ci95_lower", ",outside_grid\n", ",paper,"],
        &[],
    ),
    (
        "in.npz out.npz --metrics paper",
        0,
        &["The paper's procedure does not define FPR95 for the scores of out.npz (conf);"],
        &[],
    ),
    // Our own files: every score that all have.
    (
        "a.csv b.parquet lower.jsonl",
        0,
        &[
            "\nb.parquet\n",
            "odin 1000/700 ",
            "msp 1000/700 100.0% 50.0% 50.0% ",
            "\nlower.jsonl\nodin 1000/500 ",
            "b.parquet: left out for want of a score (odin, msp): 2 images.\n",
            "lower.jsonl: left out for want of a score (odin, msp): 100 images.\n",
        ],
        &[],
    ),
    (
        "a.csv plain.csv",
        0,
        &[
            "High scores mean: in-distribution\n\nBest AUROC first n in/out",
            "\nodin 1000/3 ",
        ],
        &[],
    ),
    (
        "a.csv higher.csv",
        0,
        &["msp 1000/1000"],
        &["score higher (AUROC: odin 28.1%)", "same scores"],
    ),
    (
        "one.csv other.csv --score odin",
        0,
        &["odin 1/1"],
        &["the files are of different detectors (0123456789abcdef, fedcba9876543210)"],
    ),
    (
        "a.csv lower.jsonl --score msp --metrics paper --classes 10",
        0,
        &["Metrics: paper\n", "Classes: 10\n", "msp 1000/500"],
        &[],
    ),
    (
        "a.csv lower.jsonl --score odin --metrics paper --classes 10 --temperature 1000",
        0,
        &["Temperature: 1000\n", "lower.jsonl (odin) 1500 of 1500"],
        &[],
    ),
    // What is not there.
    ("a.csv none.csv", 1, &[], &["none.csv"]),
    ("none.npz in.npz", 1, &[], &["none.npz"]),
    (
        "a.csv b.parquet --score vim",
        1,
        &[],
        &["a.csv: ", "no column \"vim\"", "odin, msp"],
    ),
    (
        "in.npz two_floats.npz",
        1,
        &[],
        &["two_floats.npz: ", "no array \"conf\"", "a [5], b [5]"],
    ),
    (
        "a.csv foreign.csv",
        1,
        &[],
        &["no score is in all files: a.csv has odin, msp; foreign.csv has path, energy"],
    ),
    (
        "empty.csv a.csv",
        1,
        &[],
        &["no score is in all files: empty.csv has none; a.csv has odin, msp"],
    ),
    ("empty.jsonl a.csv", 1, &[], &["empty.jsonl has none"]),
    (
        "header.csv a.csv",
        1,
        &[],
        &["header.csv: no image has the score odin (0 have errors)"],
    ),
    (
        "a.csv bad.csv",
        1,
        &[],
        &["bad.csv: no image has the score odin (3 have errors)"],
    ),
    // What is no number.
    (
        "foreign.csv foreign.csv",
        1,
        &[],
        &["foreign.csv: line 2: path is no number: \"a.png\"; --score measures only what it names"],
    ),
    (
        "foreign.csv foreign.csv --score energy",
        0,
        &["energy 2/2"],
        &["same scores"],
    ),
    (
        "nan.csv a.csv",
        1,
        &[],
        &["nan.csv: the score odin of image 2", "is NaN"],
    ),
    (
        "in.npz nan.npz",
        1,
        &[],
        &["nan.npz: the score conf of image 2", "NaN"],
    ),
    (
        "a.csv footer.parquet",
        1,
        &[],
        &["footer.parquet: the Parquet file is damaged"],
    ),
    (
        "a.csv line.jsonl",
        1,
        &[],
        &["line.jsonl: line 2 is no JSON object"],
    ),
    // Wrong usage.
    ("a.csv", 2, &[], &["OUT"]),
    ("a.csv a.txt", 2, &[], &["a.txt: score files end in .csv"]),
    (
        "a.csv in.npz",
        2,
        &[],
        &["the score is odin in a.csv and conf in in.npz", "--score"],
    ),
    ("in.npz out.npz --metrics best", 2, &[], &["exact, paper"]),
    (
        "a.csv lower.jsonl --metrics paper",
        2,
        &[],
        &["thresholds of odin go by the number of classes of the network; give --classes"],
    ),
    (
        "a.csv lower.jsonl --metrics paper --classes 10",
        2,
        &[],
        &["thresholds of odin go by the temperature of the scores; give --temperature"],
    ),
    (
        "a.csv lower.jsonl --classes 10",
        2,
        &[],
        &["--classes: only the thresholds of --metrics paper go by it"],
    ),
    (
        "a.csv lower.jsonl --temperature 1000",
        2,
        &[],
        &["--temperature: only"],
    ),
    (
        "a.csv a.csv --metrics paper --classes 0",
        2,
        &[],
        &["a whole number from 1"],
    ),
    (
        "a.csv a.csv --metrics paper --temperature -1",
        2,
        &[],
        &["a positive number"],
    ),
];

#[test]
fn runs() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("foreign.csv", "path,energy\na.png,1.5\nb.png,-2\n");
    write("empty.csv", "");
    write("empty.jsonl", "\n");
    write("header.csv", "file,odin,error\n");
    write("line.jsonl", "{\"odin\": 1, \"msp\": 1}\n[]\n");
    write("one.csv", "odin,detector\n1,0123456789abcdef\n");
    write("other.csv", "odin,detector\n0,fedcba9876543210\n");
    check(folder.path(), "metrics", RUNS);
}

/// Scores, and what scikit-learn makes of them.
struct Case(Value);

impl Case {
    fn all() -> Vec<Self> {
        let cases = include_str!("../../../odin-metrics/tests/data/curves.json");
        let cases: Vec<Value> = serde_json::from_str(cases).unwrap();
        cases.into_iter().map(Self).collect()
    }

    fn name(&self) -> &Value {
        &self.0["name"]
    }

    fn numbers(&self, pointer: &str) -> Vec<f64> {
        let numbers = self.0.pointer(pointer).and_then(Value::as_array).unwrap();
        numbers.iter().map(|n| n.as_f64().unwrap()).collect()
    }

    fn sides(&self) -> [Vec<f64>; 2] {
        ["/in_scores", "/out_scores"].map(|side| self.numbers(side))
    }

    /// Writes both sides, each score times `sign`.
    fn write(&self, folder: &Path, score: &str, sign: f64) {
        for (file, scores) in ["in.csv", "out.csv"].into_iter().zip(self.sides()) {
            let lines = scores.iter().map(|score| format!("{}\n", sign * score));
            let text = format!("{score}\n{}", lines.collect::<String>());
            fs::write(folder.join(file), text).unwrap();
        }
    }

    /// The areas are scikit-learn's, the others are read off its ROC curve.
    fn expected(&self) -> Metrics {
        let [fpr, tpr] = ["/roc/0/fpr", "/roc/0/tpr"].map(|rates| self.numbers(rates));
        let points = || fpr.iter().zip(&tpr);
        let errors = points().map(|(fpr, tpr)| 0.5 * (1.0 - tpr) + 0.5 * fpr);
        let kept = points().find(|(_, tpr)| **tpr >= 0.95);
        let area = |name: &str| self.0[name].as_f64().unwrap();
        Metrics {
            fpr_at_95_tpr: *kept.unwrap().0,
            detection_error: errors.fold(f64::INFINITY, f64::min),
            auroc: area("auroc"),
            aupr_in: area("aupr_in"),
            aupr_out: area("aupr_out"),
        }
    }
}

/// The metrics of the first result.
fn first(report: &Value) -> impl Fn(&str) -> f64 {
    let result = report["results"][0].clone();
    move |name| result[name].as_f64().unwrap()
}

/// Tolerance: sums of up to 80 terms in another order.
#[test]
fn the_numbers_are_scikit_learns() {
    let folder = tempfile::tempdir().unwrap();
    for case in Case::all() {
        for (sign, negate) in [(1.0, ""), (-1.0, "--negate")] {
            case.write(folder.path(), "x", sign);
            let report = json(folder.path(), &format!("metrics in.csv out.csv {negate}"));
            let found = first(&report);
            for (name, expected) in case.expected().named() {
                let found = found(name);
                let what = format!("{}{negate}, {name}: {found}, not {expected}", case.name());
                assert!((found - expected).abs() <= 1e-14, "{what}");
            }
        }
    }
}

/// Each score has the thresholds that the paper gave it.
#[test]
fn the_papers_thresholds_go_by_the_score() {
    let folder = tempfile::tempdir().unwrap();
    let protocols = [
        ("msp", PaperProtocol::baseline(10)),
        ("odin", PaperProtocol::odin(10, 1000.0)),
        ("energy", PaperProtocol::other()),
    ];
    for case in Case::all() {
        for (score, protocol) in &protocols {
            case.write(folder.path(), score, 1.0);
            let args = "metrics in.csv out.csv --metrics paper --classes 10 --temperature 1000";
            let report = json(folder.path(), args);
            let found = first(&report);
            let [in_scores, out_scores] = case.sides();
            let scores = Scores::new(&in_scores, &out_scores).unwrap();
            let expected = scores.paper(protocol);
            for (name, expected) in expected.values.named() {
                assert_eq!(found(name), expected, "{}, {score}, {name}", case.name());
            }
            assert_eq!(found("outside_grid"), expected.outside_grid as f64);
        }
    }
}

/// Bit for bit, in either mode, intervals included.
#[test]
fn files_of_eval_have_the_metrics_of_eval() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let eval = "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --out-dataset Uniform --limit 150 --magnitude 0.005 --score energy --scores s --quiet --ci --seed 3";
    for (options, of_metrics) in [
        ("", ""),
        ("--metrics paper", "--classes 6 --temperature 1000"),
    ] {
        let eval = json(here, &format!("{eval} {options}"));
        let files = "s/in.csv s/near.csv s/Uniform.csv";
        let args = format!("metrics {files} --ci --seed 3 {options} {of_metrics}");
        let found = json(here, &args);
        let mut found = found["results"].as_array().unwrap().iter();
        for result in eval["results"].as_array().unwrap() {
            let scores = [
                ("msp", &result["baseline"]),
                ("odin", &result["odin"]),
                ("energy", &result["others"]["energy"]),
            ];
            for (score, expected) in scores {
                let found = found.next().unwrap();
                assert_eq!(found["score"], score);
                assert_eq!(found["n_out"], result["n_out"]);
                for (key, value) in expected.as_object().unwrap() {
                    assert_eq!(&found[key], value, "{options} {score} {key}");
                }
                assert!(found["ci95"]["auroc"][0].is_number());
            }
        }
        assert_eq!(found.next(), None);
    }
}

#[test]
fn json_names_the_files_and_the_convention() {
    let folder = folder();
    write(folder.path(), "lost.jsonl", 20, 0.1, 4);
    let report = json(
        folder.path(),
        "metrics a.csv lost.jsonl --score odin --negate",
    );
    for (pointer, expected) in [
        ("/in_file", Value::from("a.csv")),
        ("/metrics", "exact".into()),
        ("/positive_class", "in-distribution".into()),
        ("/negated", true.into()),
        ("/classes", Value::Null),
        ("/results/0/out_file", "lost.jsonl".into()),
        ("/results/0/score", "odin".into()),
        ("/results/0/n_in", 1000.into()),
        ("/results/0/n_out", 20.into()),
        ("/results/0/errors_in", 0.into()),
        ("/results/0/errors_out", 4.into()),
    ] {
        assert_eq!(report.pointer(pointer), Some(&expected), "{pointer}");
    }
}

/// A score keeps its line in tables and warnings, and is no formula in CSV, whatever it is called.
#[test]
fn hostile_names_stay_on_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (file, score) in [("in.csv", 0), ("out.csv", 1)] {
        let text = format!("\"=x\n\u{1b}[2Jwarning: forged\"\n{score}\n");
        fs::write(here.join(file), text).unwrap();
    }
    let table = odin(here, "metrics in.csv out.csv");
    let csv = odin(here, "metrics in.csv out.csv --format csv");
    for bytes in [&table.stdout, &table.stderr] {
        let said = text(bytes);
        assert!(said.contains("=x\\u{a}\\u{1b}[2Jwarning: forged"), "{said}");
        assert!(!said.contains("\nwarning: forged"), "{said}");
    }
    let csv = text(&csv.stdout);
    assert!(
        csv.contains(",\"'=x\n\\u{1b}[2Jwarning: forged\","),
        "{csv}"
    );
}
