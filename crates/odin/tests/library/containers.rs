//! The same weights from every container give the same scores, and they are PyTorch's: through
//! the whole library, on the fixtures that `scripts/checkpoint_fixtures.py` made.

use crate::fixture;
use odin::{Classifier, Detector, Image, Normalization, Score, Setting};
use odin_formats::Checkpoint;
use serde_json::Value;

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

/// The images of a model: the first of the channels of all.
fn images(expected: &Value, channels: usize) -> Vec<Image> {
    let shape: Vec<usize> = floats(&expected["input"]["shape"])
        .iter()
        .map(|&d| d as usize)
        .collect();
    let data: Vec<f32> = floats(&expected["input"]["data"])
        .iter()
        .map(|&v| v as f32)
        .collect();
    let (height, width) = (shape[2], shape[3]);
    data.chunks(shape[1] * height * width)
        .map(|image| {
            let own = image[..channels * height * width].to_vec();
            Image::new(channels, height, width, own).unwrap()
        })
        .collect()
}

fn score(file: &str, images: &[Image], setting: Setting) -> Vec<Score> {
    let image = &images[0];
    let shape = [image.channels, image.height, image.width];
    let identity = Normalization::new(&vec![0.0; shape[0]], &vec![1.0; shape[0]]).unwrap();
    let checkpoint = Checkpoint::open(fixture(file)).unwrap();
    let classifier = Classifier::from_checkpoint(&checkpoint, Some(shape), identity).unwrap();
    let detector = Detector::builder(&classifier).setting(setting);
    detector.build().unwrap().score(images).unwrap()
}

#[test]
fn every_container_gives_the_scores_of_pytorch() {
    let text = std::fs::read(fixture("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    let number = |key: &str| expected[key].as_f64().unwrap();
    let setting = Setting::new(number("temperature"), number("magnitude")).unwrap();
    for (name, model) in expected["models"].as_object().unwrap() {
        let images = images(&expected, model["channels"].as_u64().unwrap() as usize);
        let files: Vec<&str> = model["files"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let scored: Vec<Vec<Score>> = files
            .iter()
            .map(|file| score(file, &images, setting))
            .collect();
        for (file, scores) in files.iter().zip(&scored) {
            assert_eq!(scores, &scored[0], "{file} against {}", files[0]);
        }
        let (msp, odin) = (floats(&model["msp"]), floats(&model["odin"]));
        for (i, score) in scored[0].iter().enumerate() {
            assert_eq!(
                model["prediction"][i], score.prediction,
                "{name}, image {i}"
            );
            // f32 logits of magnitude 10 carry 1e-6; at T = 1000 a thousandth of that is left.
            assert!(
                (msp[i] - score.msp()).abs() < 1e-5,
                "{name}, image {i}: msp {} for {}",
                score.msp(),
                msp[i]
            );
            assert!(
                (odin[i] - score.odin().unwrap()).abs() < 1e-7,
                "{name}, image {i}: odin {} for {}",
                score.odin().unwrap(),
                odin[i]
            );
        }
    }
}
