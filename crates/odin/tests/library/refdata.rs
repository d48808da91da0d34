//! Scores of real networks on real images against PyTorch's, and the metrics of whole
//! experiments. The data lies beside the repository, not in it; without it nothing is checked,
//! and the test says so.
//!
//! `ODIN_REFDATA=all` checks every image; otherwise the first ones of each file are.

#![allow(clippy::print_stdout)]

use odin::{Classifier, Detector, MetricsMode, Normalization, ScoredSet, Setting, evaluate};
use std::path::{Path, PathBuf};

const FIRST: usize = 24;

fn refdata() -> Option<PathBuf> {
    odin_test::refdata("")
}

fn everything() -> bool {
    std::env::var_os("ODIN_REFDATA").is_some_and(|v| v == "all")
}

fn classifier(refdata: &Path, model: &str) -> Classifier {
    let imagenet = || Normalization::new(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]).unwrap();
    let (file, normalization) = match model {
        "densenet10" => ("densenet_bc_100_12_cifar10.pth", Normalization::cifar()),
        "densenet100" => ("densenet_bc_100_12_cifar100.pth", Normalization::cifar()),
        "resnet20" => ("resnet20_cifar10.th", imagenet()),
        other => panic!("no weights for {other}"),
    };
    Classifier::open(refdata.join("weights").join(file), normalization).unwrap()
}

fn detector(refdata: &Path, model: &str, setting: Setting) -> Detector {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let builder = Detector::builder(&classifier(refdata, model)).threads(threads);
    builder.setting(setting).build().unwrap()
}

/// Scores a set; at most `limit` images.
fn score(refdata: &Path, detector: &Detector, set: &str, limit: usize) -> ScoredSet {
    let images = detector.open_images(refdata.join("sets").join(set));
    let images = images.unwrap().range(0..limit);
    detector.score_set(&images, |_| {}).unwrap()
}

/// `MODEL.SET.T<T>.eps<ε>.<precision>.csv`
struct Golden {
    name: String,
    model: String,
    set: String,
    setting: Setting,
    f64_reference: bool,
    rows: Vec<(String, usize, f64, f64)>,
}

fn golden_files(refdata: &Path) -> Vec<Golden> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(refdata.join("golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| golden_file(path)).collect()
}

fn golden_file(path: &Path) -> Golden {
    let name = path.file_name().unwrap().to_str().unwrap().to_string();
    let (head, rest) = name.split_once(".T").unwrap();
    let (model, set) = head.split_once('.').unwrap();
    let (temperature, rest) = rest.split_once(".eps").unwrap();
    let magnitude = rest
        .trim_end_matches(".csv")
        .trim_end_matches(".f32")
        .trim_end_matches(".f64");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let f: Vec<&str> = line.split(',').collect();
        (
            f[0].to_string(),
            f[1].parse().unwrap(),
            f[2].parse().unwrap(),
            f[3].parse().unwrap(),
        )
    });
    Golden {
        model: model.to_string(),
        set: set.to_string(),
        setting: Setting::new(temperature.parse().unwrap(), magnitude.parse().unwrap()).unwrap(),
        f64_reference: name.ends_with(".f64.csv"),
        rows: rows.collect(),
        name,
    }
}

/// The tolerances that the reference data states for T = 1000: PyTorch's own f32 against its
/// f64. Scores spread in proportion to 1/T, and so do their errors, up to those of the MSP.
fn check(golden: &Golden, scored: &ScoredSet) {
    let factor = if golden.f64_reference { 1.0 } else { 2.0 };
    let spread = 1000.0 / golden.setting.temperature;
    let mut errors = Vec::new();
    for ((file, prediction, msp, odin), row) in golden.rows.iter().zip(&scored.rows) {
        assert_eq!(*file, row.name, "{}", golden.name);
        assert_eq!(*prediction, row.score.prediction, "{}: {file}", golden.name);
        let msp_error = (msp - row.score.msp()).abs();
        assert!(
            msp_error <= 1e-5 * factor,
            "{}: {file}: msp is off by {msp_error:e}",
            golden.name
        );
        errors.push((odin - row.score.odin().unwrap()).abs());
    }
    errors.sort_by(f64::total_cmp);
    let quantile = |q: f64| errors[((errors.len() - 1) as f64 * q) as usize];
    let (median, high, max) = (quantile(0.5), quantile(0.99), quantile(1.0));
    println!(
        "{}: {} images, odin off by median {median:.1e}, 99 % {high:.1e}, max {max:.1e}",
        golden.name,
        errors.len()
    );
    let mut bounds = vec![(median, 5e-9, "median"), (max, 1e-5, "maximum")];
    if errors.len() >= 100 {
        bounds.push((high, 1e-6, "99th percentile"));
    }
    for (error, bound, what) in bounds {
        let bound = bound * factor * spread;
        assert!(
            error <= bound,
            "{}: {what} {error:e} exceeds {bound:e}",
            golden.name
        );
    }
}

#[test]
fn scores_agree_with_pytorch() {
    let Some(refdata) = refdata() else { return };
    let limit = if everything() { usize::MAX } else { FIRST };
    let files = golden_files(&refdata);
    assert!(!files.is_empty());
    for golden in &files {
        let g = golden;
        let detector = detector(&refdata, &g.model, g.setting);
        let scored = score(&refdata, &detector, &g.set, limit);
        assert_eq!(scored.rows.len(), limit.min(g.rows.len()), "{}", g.name);
        check(golden, &scored);
    }
}

/// Per cent, baseline and ODIN: FPR95, detection error, AUROC, AUPR-In, AUPR-Out.
type TableRow = (&'static str, &'static str, [[f64; 2]; 5]);

const TABLE: [TableRow; 6] = [
    (
        "densenet10",
        "Imagenet",
        [
            [37.00, 10.40],
            [11.71, 7.19],
            [93.89, 98.07],
            [92.30, 96.50],
            [95.65, 99.06],
        ],
    ),
    (
        "densenet10",
        "Imagenet_resize",
        [
            [48.70, 33.50],
            [16.84, 15.27],
            [90.13, 92.74],
            [85.42, 87.10],
            [93.48, 96.30],
        ],
    ),
    (
        "densenet10",
        "sun_crop",
        [
            [33.60, 17.70],
            [10.80, 9.71],
            [94.37, 96.75],
            [92.85, 94.21],
            [95.97, 98.41],
        ],
    ),
    (
        "densenet10",
        "sun_resize",
        [
            [46.10, 31.00],
            [15.23, 14.22],
            [91.39, 93.94],
            [88.13, 89.93],
            [94.04, 96.83],
        ],
    ),
    (
        "resnet20",
        "Imagenet_resize",
        [
            [61.60, 40.70],
            [17.85, 15.52],
            [88.64, 91.20],
            [82.28, 84.77],
            [93.08, 94.90],
        ],
    ),
    (
        "resnet20",
        "sun_resize",
        [
            [60.50, 36.50],
            [16.30, 12.16],
            [89.88, 93.41],
            [85.64, 90.04],
            [93.68, 95.93],
        ],
    ),
];

/// The whole table, from images to metrics, within the last digit printed.
#[test]
fn the_table_of_the_reference_data_is_reproduced() {
    let Some(refdata) = refdata() else { return };
    if !everything() {
        println!("SKIPPED: ODIN_REFDATA=all checks the table, which takes minutes");
        return;
    }
    for (model, set, expected) in TABLE {
        let detector = detector(&refdata, model, Setting::PAPER);
        let run = |set: &str| score(&refdata, &detector, set, usize::MAX);
        let (in_set, out_set) = (run("cifar10"), run(set));
        let e = evaluate(&detector, &in_set, &out_set, MetricsMode::Exact, None).unwrap();
        let measured = e
            .baseline
            .metrics
            .named()
            .into_iter()
            .zip(e.odin.metrics.named());
        for (((name, baseline), (_, odin)), [b, o]) in measured.zip(expected) {
            println!(
                "{model} {set} {name}: {:.2} → {:.2}",
                baseline * 100.0,
                odin * 100.0
            );
            // One image more or less beyond a threshold is 0.1 of 1,000, 0.22 of 462.
            assert!(
                (baseline * 100.0 - b).abs() < 0.006,
                "{model} {set} baseline {name}: {baseline} for {b}"
            );
            assert!(
                (odin * 100.0 - o).abs() < 0.106,
                "{model} {set} odin {name}: {odin} for {o}"
            );
        }
    }
}
