//! The library and the command give the same bits for photos that the model's transform resizes.

use odin::{CalibratedDetector, Classifier, ClassifierOptions, Detector, Setting};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn odin(folder: &Path, args: &[&str]) {
    let mut odin = Command::new(env!("CARGO_BIN_EXE_odin"));
    let output = odin.args(args).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "odin {args:?}\n{said}");
}

/// The scores of every image that has some, by its name: MSP, then ODIN.
fn of_csv(path: &Path) -> HashMap<String, [f64; 2]> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let place = |name| head.iter().position(|column| *column == name).unwrap();
    let places = [place("msp"), place("odin")];
    let scores = lines.filter_map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let score = |place: usize| cells[place].parse().ok();
        let scores = [score(places[0])?, score(places[1])?];
        // A name from a folder leads with the folder.
        let name = cells[0].rsplit('/').next().unwrap();
        Some((name.to_string(), scores))
    });
    scores.collect()
}

#[test]
fn resized_photos_score_alike_in_library_and_command() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::copy(
        repository("demo/model.safetensors"),
        here.join("net.safetensors"),
    )
    .unwrap();
    fs::write(
        here.join("net.toml"),
        "transform = \"resize:11:bicubic,centre-crop:8\"\n",
    )
    .unwrap();
    let photos = repository("crates/odin-cli/tests/frozen/v0.1/images");
    let photos = photos.to_str().unwrap();
    let known = repository("demo/in.npy");
    let calibrate = "calibrate --nn net.safetensors --magnitude 0.005 --limit 50 -o detector.toml";
    let mut args: Vec<&str> = calibrate.split(' ').collect();
    args.extend(["--in-dataset", known.to_str().unwrap()]);
    odin(here, &args);
    odin(
        here,
        &[
            "score",
            "--detector",
            "detector.toml",
            photos,
            "-o",
            "scores.csv",
        ],
    );
    let by_command = of_csv(&here.join("scores.csv"));
    assert!(by_command.len() > 5, "{by_command:?}");

    let name = |name: &str| name.rsplit('/').next().unwrap().to_string();
    let calibrated = CalibratedDetector::open(here.join("detector.toml")).unwrap();
    let images = calibrated.open_images(photos).unwrap();
    let judged = calibrated.judge(&images).filter_map(Result::ok);
    let by_calibrated: HashMap<String, [f64; 2]> = judged
        .map(|verdict| {
            (
                name(&verdict.name),
                [verdict.score.msp(), verdict.score.odin().unwrap()],
            )
        })
        .collect();
    assert_eq!(by_calibrated, by_command);

    let model = here.join("net.safetensors");
    let classifier = Classifier::open(model, ClassifierOptions::default()).unwrap();
    let setting = Setting::new(1000.0, 0.005).unwrap();
    let detector = Detector::builder(&classifier)
        .setting(setting)
        .build()
        .unwrap();
    let rows = detector.rows(&classifier.open_images(photos).unwrap());
    let by_detector: HashMap<String, [f64; 2]> = rows
        .filter_map(Result::ok)
        .map(|row| {
            (
                name(&row.name),
                [row.score.msp(), row.score.odin().unwrap()],
            )
        })
        .collect();
    assert_eq!(by_detector, by_command);
}
