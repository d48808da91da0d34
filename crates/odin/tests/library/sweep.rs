//! A sweep gives what separate runs give, and the other scores are what they say they are.

use crate::{demo, fixture, noise, open, refused};
use odin::{Detector, ErrorKind, Grid, Images, InOnlyRule, Objective, Rule, Setting, Tuner};
use std::path::PathBuf;

/// A trained network, and networks of other orders of axes.
fn networks() -> [PathBuf; 3] {
    [
        demo("model.safetensors"),
        fixture("onnx/keras_resnet.tf2onnx13.onnx"),
        fixture("resnet_a.safetensors"),
    ]
}

fn setting(temperature: f64, magnitude: f64) -> Setting {
    Setting::new(temperature, magnitude).unwrap()
}

#[test]
fn a_sweep_equals_separate_runs_bit_for_bit() {
    for file in networks() {
        let (classifier, file) = (open(&file), file.display());
        let images = noise(&classifier, 5);
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
            let detector = builder().setting(*setting).build().unwrap();
            let alone = detector.score_set(&images, |_| {}).unwrap();
            let own = |name| alone.scores(name).unwrap();
            assert_eq!(*column, own("odin"), "{file} {setting}");
            assert_eq!(scores.msp, own("msp"), "{file}");
        }
    }
}

#[test]
fn passes_are_shared() {
    let classifier = open(demo("model.safetensors"));
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
        let grid = Grid::new(temperatures, magnitudes);
        refused(grid, ErrorKind::Invalid, &[part]);
    }
}

/// At ε = 0 nothing moves; elsewhere one coordinate moves less than all.
#[test]
fn i_odin_is_between_the_clean_image_and_odin() {
    let classifier = open(demo("model.safetensors"));
    let images = noise(&classifier, 6);
    let rows = |i_odin, magnitude| {
        let builder = Detector::builder(&classifier).i_odin(i_odin);
        let detector = builder.setting(setting(10.0, magnitude)).build().unwrap();
        detector.score_set(&images, |_| {}).unwrap().rows
    };
    let (clean, moved) = (rows(true, 0.0), rows(true, 0.002));
    for (clean, moved) in clean.iter().zip(&moved) {
        let (clean, moved) = (&clean.score, &moved.score);
        assert_eq!(clean.names(), ["msp", "odin", "i-odin"]);
        assert_eq!(clean.get("i-odin"), clean.odin());
        let i_odin = moved.get("i-odin").unwrap();
        assert!(
            clean.odin() < Some(i_odin) && Some(i_odin) < moved.odin(),
            "{clean:?} {moved:?}"
        );
    }
    for (with, without) in moved.iter().zip(&rows(false, 0.002)) {
        assert_eq!(without.score.get("i-odin"), None);
        assert_eq!(without.score.names(), ["msp", "odin"]);
        assert_eq!(with.score.odin(), without.score.odin());
    }
}

/// The mean of the scores at the largest temperature says which.
#[test]
fn without_other_images_the_largest_mean_score_wins() {
    let classifier = open(demo("model.safetensors"));
    let grid = Grid::new(&[1.0, 1000.0], &[0.0, 0.002, 0.02]).unwrap();
    let builder = Detector::builder(&classifier).threads(2);
    let tuner = Tuner::new(builder, grid.clone(), Objective::default(), 0).unwrap();
    let images: Images = classifier.open_images(demo("in.npy")).unwrap().range(0..20);
    let scores = tuner.score(&images, |_| {}).unwrap();
    let rule = InOnlyRule::MeanScore;
    let search = tuner.in_only(rule, &images, &scores, |_, _| {}).unwrap();
    let mean = |column: &Vec<f64>| column.iter().sum::<f64>() / column.len() as f64;
    let means: Vec<f64> = scores.odin.iter().map(mean).collect();
    assert_eq!(search.mean_scores, means);
    assert_eq!(
        search.rule,
        Rule::MeanScore {
            temperature: 1000.0
        }
    );
    let best = (3..6).max_by(|&a, &b| means[a].total_cmp(&means[b]));
    assert_eq!(Some(search.choice.index), best, "{means:?}");
    assert_eq!(search.choice.setting, grid.settings()[search.choice.index]);
}
