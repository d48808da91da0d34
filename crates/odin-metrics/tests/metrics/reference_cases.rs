//! The score files of the reference data: metrics of the authors' own program (`paper`) and of
//! scikit-learn (`exact`).

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use odin_metrics::{Metrics, PaperProtocol, Scores};
use serde::Deserialize;

const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Expected {
    classes: usize,
    temperature: f64,
    paper: HashMap<String, HashMap<String, Option<f64>>>,
    exact: HashMap<String, HashMap<String, f64>>,
}

fn case_folders() -> Option<Vec<PathBuf>> {
    let folders = fs::read_dir(odin_test::refdata("metric_cases")?).unwrap();
    Some(folders.map(|entry| entry.unwrap().path()).collect())
}

fn read_column(path: &Path, column: &str) -> Vec<f64> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let place = header.split(',').position(|name| name == column).unwrap();
    lines
        .map(|line| line.split(',').nth(place).unwrap().parse().unwrap())
        .collect()
}

fn assert_close(found: f64, expected: f64, what: &str) {
    let difference = (found - expected).abs();
    assert!(
        difference <= TOLERANCE,
        "{what}: {found}, expected {expected}, off by {difference:e}"
    );
}

fn check_exact(found: Metrics, expected: &HashMap<String, f64>, what: &str) {
    for (name, value) in found.named() {
        assert_close(value, expected[name], &format!("{what}, exact {name}"));
    }
}

/// `null` in the file marks a metric that is undefined in the original: ours is the exact value,
/// with a flag.
fn check_paper(
    scores: &Scores,
    protocol: &PaperProtocol,
    expected: &HashMap<String, Option<f64>>,
    what: &str,
) {
    let found = scores.paper(protocol);
    let flags = found.exact_instead.named();
    let exact = scores.exact().named();
    for (i, (name, value)) in found.values.named().into_iter().enumerate() {
        let what = format!("{what}, paper {name}");
        assert_eq!(flags[i].1, expected[name].is_none(), "{what}: flag");
        assert_close(value, expected[name].unwrap_or(exact[i].1), &what);
    }
}

#[test]
fn reference_cases() {
    let Some(folders) = case_folders() else {
        return;
    };
    assert!(!folders.is_empty());
    for folder in folders {
        let json = fs::read(folder.join("expected.json")).unwrap();
        let expected: Expected = serde_json::from_slice(&json).unwrap();
        let comparisons = [
            ("baseline", "msp", PaperProtocol::baseline(expected.classes)),
            (
                "odin",
                "odin",
                PaperProtocol::odin(expected.classes, expected.temperature),
            ),
        ];
        for (name, column, protocol) in comparisons {
            let what = format!("{}, {name}", folder.display());
            let in_scores = read_column(&folder.join("in.csv"), column);
            let out_scores = read_column(&folder.join("out.csv"), column);
            let scores = Scores::new(&in_scores, &out_scores).unwrap();
            check_exact(scores.exact(), &expected.exact[name], &what);
            check_paper(&scores, &protocol, &expected.paper[name], &what);
        }
    }
}
