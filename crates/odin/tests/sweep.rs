//! A sweep gives what separate runs give, and the other scores are what they say they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use odin::{Classifier, ClassifierOptions, Detector, Grid, Images, Setting, mean_scores};
use odin_data::{DataSet, NoiseKind, noise};
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn classifier(file: &str) -> Classifier {
    Classifier::open(&repository().join(file), ClassifierOptions::default()).unwrap()
}

fn images(classifier: &Classifier, count: usize) -> Box<dyn DataSet> {
    let [c, h, w] = classifier.image_shape();
    Box::new(noise(NoiseKind::Uniform, c, h, w, count, 7).unwrap())
}

/// A trained network, and networks of other orders of axes.
const NETWORKS: [&str; 3] = [
    "demo/model.safetensors",
    "crates/odin-formats/tests/fixtures/onnx/keras_resnet.tf2onnx13.onnx",
    "crates/odin-formats/tests/fixtures/resnet_a.safetensors",
];

#[test]
fn a_sweep_equals_separate_runs_bit_for_bit() {
    for file in NETWORKS {
        let classifier = classifier(file);
        let set = images(&classifier, 5);
        let images = Images::all(&*set);
        let grid = Grid::new(&[1000.0, 1.0], &[0.0, 0.002, 0.0014]).unwrap();
        let builder = || Detector::builder(&classifier).batch_size(2).threads(2);
        let sweep = builder().sweep(&grid.settings()).unwrap();
        let mut progress = Vec::new();
        let scores = sweep
            .score_set(&images, |p| progress.push((p.done, p.total)))
            .unwrap();
        assert_eq!(progress, [(2, 5), (4, 5), (5, 5)], "{file}");
        assert_eq!(scores.settings, grid.settings());
        for (setting, column) in scores.settings.iter().zip(&scores.odin) {
            let detector = builder().temperature(setting.temperature).build().unwrap();
            let alone = detector
                .score_set(&images, setting.magnitude, |_| {})
                .unwrap();
            assert_eq!(column, &alone.scores(|s| s.odin), "{file} {setting:?}");
            assert_eq!(scores.msp, alone.scores(|s| s.msp), "{file}");
        }
        assert_eq!(mean_scores(&scores).len(), 6);
    }
}

#[test]
fn passes_are_shared() {
    let classifier = classifier(NETWORKS[0]);
    let settings = |temperatures: &[f64], magnitudes: &[f64]| {
        Grid::new(temperatures, magnitudes).unwrap().settings()
    };
    let cases: [(Vec<Setting>, [usize; 2], [usize; 2]); 4] = [
        (Grid::paper().settings(), [201, 10], [420, 210]),
        (settings(&[1000.0], &[0.0014]), [2, 1], [2, 1]),
        (settings(&[1.0, 1000.0], &[0.0]), [1, 0], [4, 2]),
        (settings(&[1.0, 1000.0], &[0.0, 0.001]), [3, 2], [8, 4]),
    ];
    for (settings, together, apart) in cases {
        let sweep = Detector::builder(&classifier).sweep(&settings).unwrap();
        let (a, b) = (sweep.passes(), sweep.passes_apart());
        assert_eq!([a.forward, a.backward], together);
        assert_eq!([b.forward, b.backward], apart);
    }
}

#[test]
fn the_grid_of_the_paper() {
    let grid = Grid::paper();
    assert_eq!(grid.temperatures().len(), 10);
    assert_eq!(grid.magnitudes().len(), 21);
    assert_eq!(grid.magnitudes()[7], 0.0014);
    assert_eq!(grid.magnitudes()[20], 0.004);
    assert_eq!(
        grid,
        Grid::new(grid.temperatures(), grid.magnitudes()).unwrap()
    );
}

#[test]
fn grids_out_of_range_are_refused() {
    let many: Vec<f64> = (0..100_001).map(f64::from).collect();
    let cases: [(&[f64], &[f64], &str); 6] = [
        (&[], &[0.0], "needs a temperature"),
        (&[1.0], &[], "needs a temperature"),
        (&[0.0], &[0.0], "positive"),
        (&[1.0], &[-0.1], "from 0"),
        (&[1.0], &[f64::NAN], "from 0"),
        (&[1.0], &many, "too large"),
    ];
    for (temperatures, magnitudes, part) in cases {
        let error = Grid::new(temperatures, magnitudes).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

/// At ε = 0 nothing moves; elsewhere one coordinate moves less than all.
#[test]
fn i_odin_is_between_the_clean_image_and_odin() {
    let classifier = classifier(NETWORKS[0]);
    let set = images(&classifier, 6);
    let images = Images::all(&*set);
    let detector = |i_odin| {
        let builder = Detector::builder(&classifier).temperature(10.0);
        builder.i_odin(i_odin).build().unwrap()
    };
    let scored = |magnitude| {
        let scored = detector(true).score_set(&images, magnitude, |_| {});
        scored.unwrap().rows
    };
    let (clean, moved) = (scored(0.0), scored(0.002));
    for (clean, moved) in clean.iter().zip(&moved) {
        let (clean, moved) = (&clean.score, &moved.score);
        assert_eq!(clean.others, [clean.odin]);
        let i_odin = moved.others[0];
        assert!(
            clean.odin < i_odin && i_odin < moved.odin,
            "{clean:?} {moved:?}"
        );
    }
    let without = detector(false).score_set(&images, 0.002, |_| {}).unwrap();
    for (with, without) in moved.iter().zip(&without.rows) {
        assert!(without.score.others.is_empty());
        assert_eq!(with.score.odin, without.score.odin);
    }
}
