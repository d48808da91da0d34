//! What `fast` changes beside `exact`, on real networks and images, as a Markdown table: FPR95 and
//! AUROC of ODIN, signs of the gradient and classes that differ, and scores.
//!
//!     cargo run --release -p odin-benches --bin precision -- ../shared/refdata

use anyhow::{Context, Result};
use odin::metrics::{Metrics, Scores as Sorted};
use odin::{Classifier, Normalization};
use odin_benches::run::{Run, Scores, fast};
use odin_cpu::{Bf16Instructions, Options};
use odin_data::{OpenOptions, open};
use std::path::{Path, PathBuf};

const SETTING: [f64; 2] = [1000.0, 0.0014];
const IN_SET: &str = "cifar10";
const OUT_SETS: [&str; 4] = ["Imagenet", "Imagenet_resize", "sun_crop", "sun_resize"];

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.context("give the folder of the reference data")?;
    let usual = Normalization::new(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225])?;
    println!(
        "| network, instructions | out-set | FPR95, % | AUROC | signs that differ, in and out, % | other classes, of images | score: median | 99 % | largest |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, file, normalization) in [
        (
            "DenseNet-BC-100",
            "densenet_bc_100_12_cifar10.pth",
            Normalization::cifar(),
        ),
        ("ResNet-20", "resnet20_cifar10.th", usual),
    ] {
        let classifier = Classifier::open(folder.join("weights").join(file), normalization)?;
        let exact = of_sets(&classifier, &folder, Options::default())?;
        for bf16 in Bf16Instructions::available() {
            let found = of_sets(&classifier, &folder, fast(bf16))?;
            for (i, set) in OUT_SETS.iter().enumerate() {
                let sets = [&exact[0], &exact[i + 1], &found[0], &found[i + 1]];
                row(&format!("{name}, {bf16} | {set}"), sets)?;
            }
        }
    }
    Ok(())
}

/// The scores of the in-set, then of the out-sets.
fn of_sets(classifier: &Classifier, folder: &Path, options: Options) -> Result<Vec<Vec<Scores>>> {
    let run = Run::new(classifier, options, SETTING)?;
    let sets = [IN_SET].into_iter().chain(OUT_SETS);
    let scores = sets.map(|set| {
        let images = open(&folder.join("sets").join(set), &OpenOptions::default())?;
        run.scores(&*images)
    });
    scores.collect()
}

/// The exact scores of the in-set and an out-set, and those found.
fn row(what: &str, [exact_in, exact_out, found_in, found_out]: [&Vec<Scores>; 4]) -> Result<()> {
    let metrics = |in_set: &[Scores], out_set: &[Scores]| -> Result<Metrics> {
        let odin = |set: &[Scores]| set.iter().map(|s| s.odin).collect::<Vec<f64>>();
        Ok(Sorted::new(&odin(in_set), &odin(out_set))?.exact())
    };
    let (exact, found) = (metrics(exact_in, exact_out)?, metrics(found_in, found_out)?);
    let share = |exact: &[Scores], found: &[Scores]| {
        let pairs = exact.iter().zip(found);
        let signs = pairs.flat_map(|(a, b)| a.signs.iter().zip(&b.signs));
        let (all, other) = signs.fold((0, 0), |(all, other), (a, b)| {
            (all + 1, other + usize::from(a != b))
        });
        100.0 * other as f64 / f64::from(all)
    };
    let both = || {
        exact_in
            .iter()
            .chain(exact_out)
            .zip(found_in.iter().chain(found_out))
    };
    let classes = both().filter(|(a, b)| a.label != b.label).count();
    let mut errors: Vec<f64> = both().map(|(a, b)| (a.odin - b.odin).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let quantile = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize];
    println!(
        "| {what} | {:.2} → {:.2} | {:.5} → {:.5} | {:.1}, {:.1} | {classes} of {} | {:.1e} | {:.1e} | {:.1e} |",
        100.0 * exact.fpr_at_95_tpr,
        100.0 * found.fpr_at_95_tpr,
        exact.auroc,
        found.auroc,
        share(exact_in, found_in),
        share(exact_out, found_out),
        both().count(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
    Ok(())
}
