//! ONNX Runtime against the built-in engine: the same classes and scores for every ONNX fixture,
//! and for real weights and images where they are. The library is that which `ORT_DYLIB_PATH`
//! names; without it nothing is checked, and the tests say so.

use crate::engines::{Difference, first, fixture, fixtures, images};
use odin::{Classifier, Detector, Device, ErrorKind, Normalization, Score};
use std::path::{Path, PathBuf};

fn library() -> Option<PathBuf> {
    odin_test::named_by("ORT_DYLIB_PATH", "library of ONNX Runtime")
}

fn detector(classifier: &Classifier, device: Device, library: &Path) -> Detector {
    let builder = Detector::builder(classifier).threads(2).device(device);
    builder
        .onnx_runtime([library.to_path_buf()])
        .build()
        .unwrap()
}

#[test]
fn every_fixture_has_the_scores_of_the_built_in_engine() {
    let Some(library) = library() else { return };
    for (name, classifier) in fixtures() {
        let images = images(&classifier, 5);
        let scores = |device| {
            let detector = detector(&classifier, device, &library);
            detector.score(&images).unwrap()
        };
        let difference = Difference::of(&name, &scores(Device::CpuOrt), &scores(Device::Cpu));
        difference.check(&name);
    }
}

#[test]
fn real_networks_have_the_scores_of_the_built_in_engine() {
    let Some(library) = library() else { return };
    let Some(refdata) = odin_test::refdata("") else {
        return;
    };
    let imagenet = Normalization::new(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]).unwrap();
    for (weights, normalization) in [
        ("resnet20_cifar10.th", imagenet),
        ("densenet_bc_100_12_cifar10.pth", Normalization::cifar()),
    ] {
        let classifier =
            Classifier::open(refdata.join("weights").join(weights), normalization).unwrap();
        let set = classifier.open_images(refdata.join("sets/Imagenet_resize"));
        let images = first(&set.unwrap(), 24);
        let scores = |device| {
            let detector = detector(&classifier, device, &library);
            detector.score(&images).unwrap()
        };
        let difference = Difference::of(weights, &scores(Device::CpuOrt), &scores(Device::Cpu));
        difference.check(weights);
    }
}

#[test]
fn batches_of_any_size_are_taken() {
    let Some(library) = library() else { return };
    let classifier = fixture("resnet.torchscript9.onnx", None);
    let images = images(&classifier, 7);
    let detector = detector(&classifier, Device::CpuOrt, &library);
    assert_eq!(detector.device(), Device::CpuOrt);
    assert!(detector.engine().starts_with("ONNX Runtime 1."));
    let together = detector.score(&images).unwrap();
    for size in [1, 3] {
        let batches = images.chunks(size);
        let scores = batches.flat_map(|batch| detector.score(batch).unwrap());
        let scores: Vec<Score> = scores.collect();
        let name = format!("batches of {size}");
        Difference::of(&name, &scores, &together).check(&name);
    }
    assert!(detector.score(&[]).unwrap().is_empty());
}

/// Nothing else steps in for a device that is not there.
#[test]
fn a_missing_provider_or_another_library_is_an_error() {
    let Some(library) = library() else { return };
    let classifier = fixture("mlp.torchscript9.onnx", None);
    let build = |device, library: &Path| {
        let builder = Detector::builder(&classifier).device(device);
        builder.onnx_runtime([library.to_path_buf()]).build()
    };
    build(Device::CpuOrt, &library).unwrap();
    for (device, library, parts) in [
        (
            Device::Rocm(0),
            &*library,
            ["ROCMExecutionProvider", "pip install onnxruntime-rocm"],
        ),
        (
            Device::DirectMl(1),
            &*library,
            ["DmlExecutionProvider", "pip install onnxruntime-directml"],
        ),
        (
            Device::CpuOrt,
            Path::new("/absent/libonnxruntime.so"),
            ["already", "/absent/"],
        ),
    ] {
        let error = build(device, library).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{device}: {error}");
        }
    }
}
