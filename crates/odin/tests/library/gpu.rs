//! The engine for graphics processors against the one for the CPU, on a Vulkan driver in software:
//! the same classes and scores for ONNX fixtures, and for real weights and images where they are.

use crate::engines::{Difference, first, fixture, fixtures, images};
use odin::{Classifier, Detector, Device, Error, ErrorKind, Normalization};

/// `None` where there is no such driver, which is said, or is an error where nothing may be missing.
fn detector(classifier: &Classifier) -> Option<Detector> {
    let builder = Detector::builder(classifier).threads(2);
    match builder.device(Device::CpuVulkan).build() {
        Err(e) if e.kind() == ErrorKind::Device => {
            odin_test::skip(e);
            None
        }
        built => Some(built.unwrap()),
    }
}

fn on_cpu(classifier: &Classifier) -> Detector {
    Detector::builder(classifier).threads(2).build().unwrap()
}

/// One of so many fixtures is run, unless `ODIN_GPU_ALL=1` asks for all.
const SLICE: usize = 6;

#[test]
fn fixtures_have_the_scores_of_the_cpu() {
    let all = std::env::var_os("ODIN_GPU_ALL").is_some_and(|value| value == "1");
    for (i, (name, classifier)) in fixtures().into_iter().enumerate() {
        if !all && i % SLICE != 0 {
            continue;
        }
        let images = images(&classifier, 3);
        let Some(gpu) = detector(&classifier) else {
            return;
        };
        let (found, expected) = (gpu.score(&images), on_cpu(&classifier).score(&images));
        Difference::of(&name, &found.unwrap(), &expected.unwrap()).check(&name);
    }
}

#[test]
fn real_networks_have_the_scores_of_the_cpu() {
    let Some(refdata) = odin_test::refdata("") else {
        return;
    };
    let imagenet = Normalization::new(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]).unwrap();
    for (weights, normalization, count) in [
        ("resnet20_cifar10.th", imagenet, 4),
        ("densenet_bc_100_12_cifar10.pth", Normalization::cifar(), 4),
    ] {
        let file = refdata.join("weights").join(weights);
        let classifier = Classifier::open(file, normalization).unwrap();
        let set = classifier.open_images(refdata.join("sets/Imagenet_resize"));
        let images = first(&set.unwrap(), count);
        let Some(gpu) = detector(&classifier) else {
            return;
        };
        let (found, expected) = (gpu.score(&images), on_cpu(&classifier).score(&images));
        Difference::of(weights, &found.unwrap(), &expected.unwrap()).check(weights);
    }
}

/// Nothing else steps in for a device that is not there.
#[test]
fn a_missing_graphics_processor_is_an_error() {
    let classifier = fixture("mlp.torchscript9.onnx", None);
    let builder = Detector::builder(&classifier).device(Device::Gpu(99));
    let error: Error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device, "{error}");
    for part in ["no graphics processor number 99", "driver", "device cpu"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
