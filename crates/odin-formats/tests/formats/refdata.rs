//! Real weights and real images against PyTorch's logits. Skipped, in plain words, where the
//! reference data does not lie beside the project.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::common::*;
use odin_formats::{Checkpoint, zoo};

/// Of the largest logit: rounding in f32 through a hundred layers.
const TOLERANCE: f64 = 1e-4;

struct Case {
    weights: &'static str,
    architecture: &'static str,
    classes: usize,
    golden: &'static str,
    mean: [f64; 3],
    std: [f64; 3],
}

const PAPER_MEAN: [f64; 3] = [125.3 / 255.0, 123.0 / 255.0, 113.9 / 255.0];
const PAPER_STD: [f64; 3] = [63.0 / 255.0, 62.1 / 255.0, 66.7 / 255.0];

const CASES: [Case; 3] = [
    Case {
        weights: "densenet_bc_100_12_cifar10.pth",
        architecture: "DenseNet-BC-100-12",
        classes: 10,
        golden: "densenet10.cifar10.T1000.eps0.0014.f64.csv",
        mean: PAPER_MEAN,
        std: PAPER_STD,
    },
    Case {
        weights: "densenet_bc_100_12_cifar100.pth",
        architecture: "DenseNet-BC-100-12",
        classes: 100,
        golden: "densenet100.cifar10.T1000.eps0.002.f32.csv",
        mean: PAPER_MEAN,
        std: PAPER_STD,
    },
    Case {
        weights: "resnet20_cifar10.th",
        architecture: "ResNet-20",
        classes: 10,
        golden: "resnet20.cifar10.T1000.eps0.0014.f32.csv",
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    },
];

/// The folder of the reference data, if it is here.
fn refdata() -> Option<PathBuf> {
    odin_test::refdata("")
}

fn build(refdata: &Path, case: &Case) -> zoo::Model {
    let checkpoint = Checkpoint::open(refdata.join("weights").join(case.weights)).unwrap();
    zoo::build(&checkpoint, None).unwrap()
}

/// Compares the first image of the golden file: its logits where the file has them, else its
/// largest softmax and its class.
fn check_first_image(refdata: &Path, case: &Case) {
    let model = build(refdata, case);
    let golden = std::fs::read_to_string(refdata.join("golden").join(case.golden)).unwrap();
    let fields: Vec<&str> = golden.lines().nth(1).unwrap().split(',').collect();
    let x = normalised(&refdata.join("sets/cifar10").join(fields[0]), case);
    let found = run(&model.graph, &[1, 3, 32, 32], x);
    let found: Vec<f64> = found.into_iter().map(f64::from).collect();

    let numbers: Vec<f64> = fields[1..].iter().map(|v| v.parse().unwrap()).collect();
    let error = match numbers.get(3..3 + case.classes) {
        Some(logits) => relative_error(&found, logits),
        None => {
            let largest = found[numbers[0] as usize];
            let sum: f64 = found.iter().map(|z| (z - largest).exp()).sum();
            (1.0 / sum - numbers[1]).abs()
        }
    };
    assert!(
        error < TOLERANCE,
        "{}, {}: {error:e}",
        case.weights,
        fields[0]
    );
}

#[test]
fn real_networks_are_recognised() {
    let Some(refdata) = refdata() else { return };
    for case in &CASES {
        let model = build(&refdata, case);
        assert_eq!(model.architecture, case.architecture);
        assert_eq!(model.classes, case.classes);
    }
}

#[test]
fn a_real_resnet_gives_the_logits_of_pytorch() {
    let Some(refdata) = refdata() else { return };
    check_first_image(&refdata, &CASES[2]);
}

#[test]
#[ignore = "a minute or more: the interpreter on 290 million multiplications an image"]
fn real_densenets_give_the_logits_of_pytorch() {
    let Some(refdata) = refdata() else { return };
    for case in &CASES[..2] {
        check_first_image(&refdata, case);
    }
}

/// The pixels of an image, `[C, H, W]`, as the network takes them.
fn normalised(path: &Path, case: &Case) -> Vec<f32> {
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let channel = |c: usize| {
        let values = pixels
            .chunks_exact(3)
            .map(move |rgb| f64::from(rgb[c]) / 255.0);
        values.map(move |v| ((v - case.mean[c]) / case.std[c]) as f32)
    };
    (0..3).flat_map(channel).collect()
}
