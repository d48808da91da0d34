//! What the tests of engines share that are compared with the built-in one.
#![allow(clippy::print_stdout)]

use odin::data::NoiseKind;
use odin::{Classifier, Image, Images, ModelConfig, Score};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../odin-formats/tests/fixtures/onnx")
}

pub(crate) fn fixture(file: &str, output: Option<&str>) -> Classifier {
    let mut given = ModelConfig::default();
    given.output = output.map(str::to_string);
    Classifier::open(folder().join(file), given).unwrap()
}

/// Noise of the shape that a network takes.
pub(crate) fn images(classifier: &Classifier, count: usize) -> Vec<Image> {
    first(
        &classifier.noise(NoiseKind::Uniform, count, 0).unwrap(),
        count,
    )
}

pub(crate) fn first(set: &Images, count: usize) -> Vec<Image> {
    let images = (0..count.min(set.len())).map(|i| set.get(i).unwrap().image);
    images.collect()
}

/// The largest differences.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    msp: f64,
    odin: f64,
}

impl Difference {
    pub(crate) fn of(name: &str, found: &[Score], expected: &[Score]) -> Self {
        assert_eq!(found.len(), expected.len(), "{name}");
        let mut difference = Self::default();
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert_eq!(a.prediction, b.prediction, "{name}, image {i}");
            difference.msp = difference.msp.max((a.msp() - b.msp()).abs());
            difference.odin = difference
                .odin
                .max((a.odin().unwrap() - b.odin().unwrap()).abs());
        }
        difference
    }

    pub(crate) fn check(&self, name: &str) {
        println!("{name}: msp {:.1e}, odin {:.1e}", self.msp, self.odin);
        let holds = self.msp <= TOLERANCE.msp && self.odin <= TOLERANCE.odin;
        assert!(holds, "{name}: {self:?}, allowed are {TOLERANCE:?}");
    }
}

/// Rounding of f32 through a few dozen layers. With ONNX Runtime 1.32 on one machine the largest
/// differences are 2.1e-6 of MSP and 1.0e-9 of ODIN scores at T = 1000; where the sign of a
/// gradient near zero changes, as it may with other kernels, they come near 1e-6.
const TOLERANCE: Difference = Difference {
    msp: 1e-5,
    odin: 1e-6,
};

/// The ONNX fixtures: the name of the file, and the network.
pub(crate) fn fixtures() -> Vec<(String, Classifier)> {
    let index = std::fs::read(folder().join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let open = |file: &Value| {
        let name = file["file"].as_str().unwrap();
        (name.to_string(), fixture(name, file["output"].as_str()))
    };
    index["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(open)
        .collect()
}
