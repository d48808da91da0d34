//! `--report` and `--plots`: a page and plots beside what is printed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn odin(folder: &Path, args: &str) -> Output {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let demo = demo.canonicalize().unwrap().display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    let args = args.split_whitespace().map(|a| a.replace("{demo}", &demo));
    command.args(args).current_dir(folder).output().unwrap()
}

fn succeeds(folder: &Path, args: &str) -> String {
    let output = odin(folder, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "odin {args}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

const NN: &str = "--nn {demo}/model.safetensors --in-dataset {demo}/in.npy --quiet";

/// What each command writes: its arguments, words on the page, and its plots.
fn cases() -> [(String, &'static [&'static str], &'static [&'static str]); 7] {
    [
        (
            format!("eval {NN} --out-dataset {{demo}}/near.npy --limit 60 --ci"),
            &[
                "What ODIN did",
                "near: most typical",
                "95 % TPR",
                "odin eval --nn",
            ],
            &[
                "near-msp-histogram.svg",
                "near-odin-histogram.svg",
                "near-precision-recall-in.svg",
                "near-precision-recall-out.svg",
                "near-roc.svg",
            ],
        ),
        (
            format!(
                "eval {NN} --out-dataset {{demo}}/near.npy --out-dataset Uniform --limit 30 --score energy"
            ),
            &["Ranking of the scores", "All sets", "Uniform: most typical"],
            &[
                "Uniform-energy-histogram.svg",
                "Uniform-msp-histogram.svg",
                "Uniform-odin-histogram.svg",
                "Uniform-precision-recall-in.svg",
                "Uniform-precision-recall-out.svg",
                "Uniform-roc.svg",
                "auroc.svg",
                "fpr-at-95-tpr.svg",
                "near-energy-histogram.svg",
                "near-msp-histogram.svg",
                "near-odin-histogram.svg",
                "near-precision-recall-in.svg",
                "near-precision-recall-out.svg",
                "near-roc.svg",
            ],
        ),
        (
            format!("calibrate {NN} --limit 60 -o d.toml"),
            &["expected of new ones", "odin calibrate"],
            &["odin-histogram.svg"],
        ),
        // The threshold to move starts where it is in force.
        (
            format!(
                "calibrate {NN} --limit 60 --out-dataset {{demo}}/near.npy --tpr 0.9 -o tpr.toml"
            ),
            &[">threshold in force<", ">TPR 90.0%<"],
            &[
                "odin-histogram.svg",
                "precision-recall-in.svg",
                "precision-recall-out.svg",
                "roc.svg",
            ],
        ),
        (
            format!(
                "tune {NN} --tune-on {{demo}}/near.npy --limit 30 --temperatures 1,1000 --magnitudes 0,0.002 --out-dataset {{demo}}/near.npy"
            ),
            &["What each search chose", "baseline", "odin tune"],
            &[
                "against-magnitude.svg",
                "against-temperature.svg",
                "heat-map.svg",
            ],
        ),
        (
            format!(
                "tune {NN} --for adascale-a:pmin=0.6/0.8:pmax=0.85:lambda=1/10 --fit-on {{demo}}/validation.npy --tune-on {{demo}}/near.npy --out-dataset {{demo}}/near.npy --limit 30"
            ),
            &[
                "adascale-a:pmin=0.6:pmax=0.85:lambda=1",
                ", chosen",
                "On images that took no part",
                "odin tune",
            ],
            &["against-lambda.svg", "against-pmin.svg"],
        ),
        (
            "drift a.csv b.csv --threshold 0.5 --score msp".to_string(),
            &["Kolmogorov-Smirnov", "few images", "odin drift"],
            &["histogram.svg"],
        ),
    ]
}

#[test]
fn every_command_writes_its_page_and_its_plots_and_prints_the_same_beside() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.csv"), "image,msp\na,0.4\nb,0.9\nc,0.7\n").unwrap();
    fs::write(at("b.csv"), "image,msp\na,0.1\nb,0.2\nc,0.8\n").unwrap();
    for (args, words, plots) in cases() {
        let plain = succeeds(folder.path(), &args);
        let again = format!("{args} --report out.html --plots plots");
        assert_eq!(succeeds(folder.path(), &again), plain, "{args}");
        let page = fs::read_to_string(at("out.html")).unwrap();
        for word in words {
            assert!(page.contains(word), "{args}: no {word}");
        }
        let mut written: Vec<String> = fs::read_dir(at("plots"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        written.sort();
        if cfg!(feature = "png-plots") {
            let pngs = written
                .extract_if(.., |name| name.ends_with(".png"))
                .count();
            // None on a machine without fonts.
            assert!(pngs == 0 || pngs == plots.len(), "{args}: {pngs}");
        }
        assert_eq!(written, plots, "{args}");
        fs::remove_dir_all(at("plots")).unwrap();
        succeeds(folder.path(), &again);
        assert_eq!(fs::read_to_string(at("out.html")).unwrap(), page, "{args}");
        fs::remove_dir_all(at("plots")).unwrap();
    }
}

#[test]
fn a_page_is_called_one() {
    let folder = tempfile::tempdir().unwrap();
    let args = format!("eval {NN} --out-dataset {{demo}}/near.npy --report out.json");
    let output = odin(folder.path(), &args);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("--report: out.json must end in .html"),
        "{said}"
    );
}
