//! ONNX files of every family, as exporters write them, through the whole library: what is
//! guessed of them, their scores against PyTorch's, and the detectors compiled of them.

use crate::{fixture, refused};
use odin::{
    Agreement, Classifier, ClassifierOptions, CompileOptions, CompiledDetector, Detector,
    DetectorInput, ErrorKind, Image, ModelConfig, Normalization, Provenance, Setting, compile,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::PathBuf;

fn folder() -> PathBuf {
    fixture("onnx")
}

fn index() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("index.json")).unwrap()).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap()).collect()
}

/// The images of a network: a signal is one row, a volume one stack of slices.
fn images(network: &Value) -> Vec<Image> {
    let bytes = std::fs::read(folder().join("images.safetensors")).unwrap();
    let text = network["shape"].as_str().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let levels = tensors.tensor(text).unwrap().data().to_vec();
    let shape: Vec<usize> = text.split('x').map(|v| v.parse().unwrap()).collect();
    let (channels, height, width) = match shape[..] {
        [f] => (1, 1, f),
        [c, l] => (c, 1, l),
        [c, h, w] => (c, h, w),
        [c, d, h, w] => (1, c * d * h, w),
        _ => panic!("{text}"),
    };
    let pixels = |image: &[u8]| image.iter().map(|&b| f32::from(b) / 255.0).collect();
    levels
        .chunks(channels * height * width)
        .map(|image| Image {
            channels,
            height,
            width,
            pixels: pixels(image),
        })
        .collect()
}

fn normalization(network: &Value) -> Normalization {
    let values = |key: &str| -> Vec<f32> {
        let values = floats(&network[key]);
        values.iter().map(|&v| v as f32).collect()
    };
    Normalization::new(&values("mean"), &values("std")).unwrap()
}

fn open(file: &Value, network: &Value) -> Classifier {
    let mut given = ModelConfig::from(normalization(network));
    given.output = file["output"].as_str().map(str::to_string);
    let path = folder().join(file["file"].as_str().unwrap());
    Classifier::open(&path, given).unwrap()
}

#[test]
fn scores_of_every_family_are_those_of_pytorch() {
    let index = index();
    let number = |key: &str| index[key].as_f64().unwrap();
    let setting = Setting::new(number("temperature"), number("magnitude")).unwrap();
    for file in index["files"].as_array().unwrap() {
        let network = &index["networks"][file["network"].as_str().unwrap()];
        let name = file["file"].as_str().unwrap();
        let classifier = open(file, network);
        assert_eq!(classifier.layout().as_str(), network["layout"], "{name}");
        assert_eq!(classifier.file().opset, file["opset"].as_i64(), "{name}");
        let detector = Detector::builder(&classifier).setting(setting);
        let scores = detector.build().unwrap().score(&images(network)).unwrap();
        let (msp, odin) = (floats(&network["msp"]), floats(&network["odin"]));
        for (i, score) in scores.iter().enumerate() {
            let place = format!("{name}, image {i}");
            assert_eq!(network["prediction"][i], score.prediction, "{place}");
            // Rounding of f32 through a few dozen layers; at T = 1000 a thousandth of it is left,
            // and what the signs of components near zero do. Of one network, PyTorch's numbers
            // are those of the weights before they were rounded to 16 bits.
            let rounding = match name.starts_with("resnet_f16") {
                true => 200.0,
                false => 1.0,
            };
            let (msp, odin) = (msp[i] - score.msp(), odin[i] - score.odin().unwrap());
            assert!(msp.abs() < 2e-5 * rounding, "{place}: msp differs by {msp}");
            assert!(
                odin.abs() < 1e-6 * rounding,
                "{place}: odin differs by {odin}"
            );
        }
    }
}

/// A signal may come with its channels as channels or as rows.
#[test]
fn channels_of_signals_may_be_rows() {
    let index = index();
    let network = &index["networks"]["conv1d"];
    let path = folder().join("conv1d.torchscript11.onnx");
    let classifier = Classifier::open(&path, normalization(network)).unwrap();
    assert_eq!(classifier.image_shape(), [2, 1, 96]);
    let detector = Detector::builder(&classifier).build().unwrap();
    let as_channels = images(network);
    let as_rows: Vec<Image> = as_channels
        .iter()
        .map(|image| Image {
            channels: 1,
            height: image.channels,
            ..image.clone()
        })
        .collect();
    let scores = |images: &[Image]| detector.score(images);
    assert_eq!(scores(&as_rows), scores(&as_channels));
    let mut short = as_rows[0].clone();
    (short.width, short.height) = (48, 4);
    refused(scores(&[short]), ErrorKind::Shape, &["96"]);
}

#[test]
fn a_compiled_detector_equals_its_model() {
    let index = index();
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("detector.onnx");
    for name in [
        "resnet.torchscript9.onnx",
        "mobilenet_v2.dynamo18.onnx",
        "vit.torchscript17.onnx",
        "mlp.torchscript9.onnx",
        "conv1d.torchscript11.onnx",
        "conv3d.torchscript13.softmax.onnx",
        "bytes.torchscript13.onnx",
        "keras_resnet.tf2onnx13.onnx",
    ] {
        let mut files = index["files"].as_array().unwrap().iter();
        let file = files.find(|file| file["file"] == name).unwrap();
        let network = &index["networks"][file["network"].as_str().unwrap()];
        let classifier = open(file, network);
        let detector = Detector::builder(&classifier).build().unwrap();
        for input in [
            DetectorInput::Normalized,
            DetectorInput::PixelsF32,
            DetectorInput::PixelsU8,
        ] {
            let options = CompileOptions::default().threshold(0.143).input(input);
            std::fs::write(&path, compile(&classifier, &options).unwrap()).unwrap();
            let file = CompiledDetector::open(&path, 2).unwrap();
            assert_eq!(file.card().threshold, Some(0.143));
            assert_eq!(file.card().source_sha256, classifier.file().sha256);
            let agreement = Agreement::of(&file, &detector, &images(network)).unwrap();
            assert!(agreement.holds(1e-4), "{name}, {input}: {agreement:?}");

            // The network in the file is the same classifier, whatever the file takes.
            let again = Classifier::open(&path, ClassifierOptions::default()).unwrap();
            let scores = |classifier: &Classifier| {
                let detector = Detector::builder(classifier).build().unwrap();
                detector.score(&images(network)).unwrap()
            };
            for (a, b) in scores(&again).iter().zip(scores(&classifier)) {
                assert_eq!(a.prediction, b.prediction, "{name}, {input}");
                assert!(
                    (a.odin().unwrap() - b.odin().unwrap()).abs() < 1e-6,
                    "{name}, {input}: {a:?} {b:?}"
                );
            }
        }
    }
}

#[test]
fn another_setting_or_model_is_noticed() {
    let index = index();
    let (a, b) = (&index["files"][0], &index["files"][6]);
    let of = |file: &Value| &index["networks"][file["network"].as_str().unwrap()];
    let (classifier, other) = (open(a, of(a)), open(b, of(b)));
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("detector.onnx");
    let bytes = compile(&classifier, &CompileOptions::default()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let file = CompiledDetector::open(&path, 1).unwrap();
    let images = images(of(a));
    let other = Detector::builder(&other).build().unwrap();
    let agreement = Agreement::of(&file, &other, &images).unwrap();
    assert!(!agreement.holds(1e-3), "{agreement:?}");
    let own = Detector::builder(&classifier).build().unwrap();
    for (temperature, magnitude, part) in [
        (500.0, 0.0014, "temperature 1000, the model 500"),
        (1000.0, 0.002, "magnitude 0.0014, the model 0.002"),
    ] {
        let setting = Setting::new(temperature, magnitude).unwrap();
        let other = own.with_setting(setting).unwrap();
        let agreement = Agreement::of(&file, &other, &images);
        refused(agreement, ErrorKind::Invalid, &[part]);
    }
    let model = folder().join(a["file"].as_str().unwrap());
    let opened = CompiledDetector::open(&model, 1);
    refused(opened, ErrorKind::Classifier, &["no compiled detector"]);
}

/// Files about whose input nobody says anything.
#[test]
fn what_a_network_takes_is_guessed_from_how_it_begins() {
    let (cifar, pixels, bytes) = ("CIFAR", "in [0, 1]", "0 to 255");
    let any = "as they are";
    for (file, wanted, normalization) in [
        ("resnet.torchscript9.onnx", cifar, Normalization::cifar()),
        ("mlp.torchscript9.onnx", any, Normalization::identity()),
        (
            "pixels.torchscript11.onnx",
            pixels,
            Normalization::identity(),
        ),
        (
            "pixels_f16.torchscript11.cast.onnx",
            pixels,
            Normalization::identity(),
        ),
        (
            "keras_resnet.tf2onnx13.onnx",
            pixels,
            Normalization::identity(),
        ),
        (
            "keras_mobilenet.tf2onnx9.softmax.onnx",
            bytes,
            Normalization::bytes(),
        ),
    ] {
        let path = folder().join(file);
        let classifier = Classifier::open(&path, ClassifierOptions::default()).unwrap();
        let found = &classifier.preprocessing().normalization;
        let reason = found.from.to_string();
        assert!(reason.contains(wanted), "{file}: {reason}");
        assert_eq!(found.value.std()[0], normalization.std()[0], "{file}");
    }
    let path = folder().join("bytes.torchscript13.onnx");
    let classifier = Classifier::open(&path, ClassifierOptions::default()).unwrap();
    let found = &classifier.preprocessing().normalization;
    assert_eq!(found.from, Provenance::File);
    assert_eq!(found.value.std(), [1.0 / 255.0; 3]);
}

/// Also those that read what others give.
#[test]
fn unsupported_operators_are_all_named_at_once() {
    let path = folder().join("vgg.torchscript9.onnx");
    let whole = Classifier::open(&path, ClassifierOptions::default()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for i in 0..bytes.len() - 4 {
        if bytes[i..].starts_with(b"Relu") {
            bytes[i..i + 4].copy_from_slice(b"Rely");
        }
    }
    let error = Classifier::from_bytes(&bytes, "vgg.onnx", ClassifierOptions::default());
    let message = error.unwrap_err().to_string();
    let count = whole.file().operators["Relu"];
    assert!(count > 1);
    let named = message
        .matches("the operator Rely is not supported")
        .count();
    assert_eq!(named, count, "{message}");
    let heading = format!("vgg.onnx: {count} nodes cannot be read");
    assert!(message.contains(&heading), "{message}");
}
