//! Detectors compiled for photos of any size. What resizing and cropping in the file give is shown by
//! `scripts/check_photo_input.py`, which runs them; here the file is read, and the rest of it run.

use crate::{RGB_NETWORK, demo, fixture, folder, open, refused};
use odin::data::{ArrayElement, ArrayImages, SharedBytes};
use odin::{
    Agreement, Classifier, ClassifierOptions, CompileOptions, CompiledDetector, Detector,
    DetectorInput, ErrorKind, ModelConfig, compile,
};
use std::sync::Arc;

fn with_transform(path: std::path::PathBuf, transform: &str) -> Classifier {
    let mut given = ModelConfig::default();
    given.transform = (!transform.is_empty()).then(|| transform.parse().unwrap());
    Classifier::open(path, ClassifierOptions::from(given)).unwrap()
}

fn compiled(classifier: &Classifier) -> Vec<u8> {
    let options = CompileOptions::default().input(DetectorInput::PhotoU8);
    compile(classifier, &options).unwrap()
}

#[derive(Debug)]
struct Levels(Vec<u8>);

impl SharedBytes for Levels {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        buffer.copy_from_slice(&self.0[offset as usize..][..buffer.len()]);
        Ok(())
    }
}

#[test]
fn the_file_is_read_behind_its_first_nodes() {
    for (path, transform) in [
        (demo("model.safetensors"), "resize:10:bicubic,centre-crop:8"),
        (demo("model.safetensors"), "resize:8x8"),
        (
            fixture(RGB_NETWORK),
            "resize:40:lanczos,resize:36x34,centre-crop:32",
        ),
    ] {
        let classifier = with_transform(path, transform);
        let folder = folder(&[("detector.onnx", compiled(&classifier))]);
        let file = CompiledDetector::open(folder.path().join("detector.onnx"), 2).unwrap();
        assert_eq!(file.card().input, DetectorInput::PhotoU8);
        let [channels, ..] = classifier.image_shape();
        let (height, width) = (53, 47);
        let levels = (0..3 * height * width * channels).map(|i| (i * i % 251) as u8);
        let photos = ArrayImages {
            name: "photos".to_string(),
            bytes: Arc::new(Levels(levels.collect())),
            shape: vec![3, height, width, channels],
            element: ArrayElement::U8,
            labels: None,
        };
        let photos = photos.open(&classifier.open_options()).unwrap();
        let images = classifier.images(photos);
        let prepared: Vec<_> = (0..3).map(|i| images.get(i).unwrap().image).collect();
        let detector = Detector::builder(&classifier).build().unwrap();
        let agreement = Agreement::of(&file, &detector, &prepared).unwrap();
        assert!(agreement.holds(1e-5), "{transform}: {agreement:?}");
        assert_eq!(file.network().transform(), classifier.transform());
    }
}

/// A file whose first nodes do something else than its properties say is not run as if they did.
#[test]
fn other_nodes_are_noticed() {
    let bytes = compiled(&with_transform(
        demo("model.safetensors"),
        "resize:10,centre-crop:8",
    ));
    let text = b"shorter 10 Bilinear, crop 8 8, images 8 8 1";
    let place = bytes
        .windows(text.len())
        .position(|part| part == text)
        .unwrap();
    let told = |text: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[place..place + text.len()].copy_from_slice(text);
        Classifier::from_bytes(&bytes, "net.onnx", ClassifierOptions::default())
    };
    told(text).unwrap();
    for (other, part) in [
        (
            b"shorter 12 Bilinear, crop 8 8, images 8 8 1",
            "compile the detector again",
        ),
        (
            b"shorter 10 Bilinear, crop 8 8, images 8 9 1",
            "compile the detector again",
        ),
        (b"shorter 10 Bilinear, crop 8 0, images 8 8 1", "ill-formed"),
    ] {
        refused(told(other), ErrorKind::Classifier, &["odin.photo", part]);
    }
}

#[test]
fn what_no_file_can_do_is_refused() {
    let net = || demo("model.safetensors");
    for (classifier, part) in [
        (open(net()), "has no transform"),
        (with_transform(net(), "random-crop:8"), "random places"),
        (with_transform(net(), "resize:8x8:nearest"), "nearest"),
        (
            with_transform(net(), "resize:8"),
            "does not end in images of 8x8",
        ),
        (
            with_transform(net(), "centre-crop:9"),
            "does not end in images of 8x8",
        ),
    ] {
        let options = CompileOptions::default().input(DetectorInput::PhotoU8);
        let parts = ["photos of any size", part];
        refused(compile(&classifier, &options), ErrorKind::Invalid, &parts);
    }
}
