//! What a detector gives at another setting, and for sets that hold bad images.

use crate::{RGB_NETWORK, demo, fixture, folder, noise, open, photo, refused};
use odin::{CalibrationOptions, Detector, ErrorKind, Image, ImageError, Method, Row, Setting};

#[test]
fn another_setting_gives_what_a_new_detector_gives() {
    let networks = [
        demo("model.safetensors"),
        fixture("onnx/keras_resnet.tf2onnx13.onnx"),
        fixture("resnet_a.safetensors"),
    ];
    let settings = [(1.0, 0.0), (1000.0, 0.0014), (3.5, 0.02)];
    for file in networks {
        let classifier = open(&file);
        let images = noise(&classifier, 5);
        let builder = Detector::builder(&classifier).batch_size(2).i_odin(true);
        let fitted = builder.clone().fit(&[Method::Energy], None, |_| {});
        let builder = builder.fitted(fitted.unwrap());
        let first = builder.clone().build().unwrap();
        for (temperature, magnitude) in settings {
            let setting = Setting::new(temperature, magnitude).unwrap();
            let other = first.with_setting(setting).unwrap();
            let new = builder.clone().setting(setting).build().unwrap();
            let rows = |detector: &Detector| -> Vec<Row> {
                detector.rows(&images).map(Result::unwrap).collect()
            };
            assert_eq!(rows(&other), rows(&new), "{}, {setting}", file.display());
            assert_eq!(other.setting(), setting);
            assert_eq!(other.score_names(), new.score_names());
        }
        assert_eq!(first.setting(), Setting::PAPER);
        let mut cold = Setting::PAPER;
        cold.temperature = 0.0;
        refused(
            first.with_setting(cold),
            ErrorKind::Invalid,
            &["temperature"],
        );
        let built = builder.setting(cold).build();
        refused(built, ErrorKind::Invalid, &["temperature"]);
    }
}

/// Some of six images are bad: which, by what, and the kind of the error.
#[test]
fn a_bad_image_has_an_error_and_the_others_their_scores() {
    let garbage = || b"no image".to_vec();
    let cut = || photo(32, 32, 1)[..700].to_vec();
    let cases: [(&str, Vec<u8>, ErrorKind); 4] = [
        ("garbage.bmp", garbage(), ErrorKind::Data),
        ("empty.bmp", Vec::new(), ErrorKind::Data),
        ("cut.bmp", cut(), ErrorKind::Data),
        ("large.bmp", photo(33, 32, 1), ErrorKind::Shape),
    ];
    let classifier = open(fixture(RGB_NETWORK));
    let good = ["a.bmp", "b.bmp", "d.bmp", "m.bmp", "z.bmp"];
    let photos = good.iter().enumerate();
    let photos: Vec<(&str, Vec<u8>)> = photos.map(|(i, &name)| (name, photo(32, 32, i))).collect();
    let whole = folder(&photos);
    let whole_images = classifier.open_images(whole.path()).unwrap();
    for (name, bytes, kind) in cases {
        let folder = folder(&[&photos[..], &[(name, bytes)]].concat());
        let images = classifier.open_images(folder.path()).unwrap();
        let images = images.named("holiday");
        for batch_size in [1, 2, 32] {
            let builder = Detector::builder(&classifier).threads(2);
            let detector = builder.batch_size(batch_size).build().unwrap();
            let expected: Vec<Row> = detector.rows(&whole_images).map(Result::unwrap).collect();
            let (found, bad): (Vec<_>, Vec<_>) = detector.rows(&images).partition(Result::is_ok);
            let found: Vec<Row> = found.into_iter().map(Result::unwrap).collect();
            assert_eq!(found, expected, "{name}");
            let bad: Vec<ImageError> = bad.into_iter().map(Result::unwrap_err).collect();
            let [problem] = &bad[..] else {
                panic!("{bad:?}")
            };
            assert_eq!(problem.name, name);
            assert_eq!(problem.error.kind(), kind, "{problem}");
            assert_eq!(problem.to_string().matches(name).count(), 1, "{problem}");

            refused(detector.score_set(&images, |_| {}), kind, &[name]);
            let sweep = sweep_of(&detector, batch_size);
            refused(sweep.score_set(&images, |_| {}), kind, &[name]);
            let skipping = images.clone().skip_bad(true);
            let mut progress = Vec::new();
            let scored = detector.score_set(&skipping, |p| progress.push(p.done));
            if kind == ErrorKind::Shape {
                // An image of another size is readable: the set is another than was meant.
                refused(scored, kind, &["holiday", name]);
                continue;
            }
            assert_eq!(progress.last(), Some(&6));
            let scored = scored.unwrap();
            assert_eq!(scored.rows, expected);
            assert_eq!(scored.skipped, bad);
            let swept = sweep.score_set(&skipping, |_| {}).unwrap();
            assert_eq!(swept.skipped, bad);
            assert_eq!(swept.msp, scored.scores("msp").unwrap());

            let calibrated = CalibrationOptions::default().calibrate(detector, &scored, None);
            let calibrated = calibrated.unwrap();
            assert_eq!(calibrated.record().images.in_skipped, 1);
            let verdicts: Vec<_> = calibrated.judge(&images).collect();
            let bad_verdicts: Vec<_> = verdicts.iter().filter(|v| v.is_err()).collect();
            assert_eq!((verdicts.len(), bad_verdicts.len()), (6, 1));
        }
    }
}

fn sweep_of(detector: &Detector, batch_size: usize) -> odin::Sweep {
    let builder = Detector::builder(detector.classifier()).batch_size(batch_size);
    builder.sweep(&[Setting::PAPER]).unwrap()
}

#[test]
fn a_set_without_a_good_image_is_an_error() {
    let folder = folder(&[("a.bmp", b"1".to_vec()), ("b.bmp", b"2".to_vec())]);
    let detector = Detector::builder(&open(fixture(RGB_NETWORK)));
    let detector = detector.build().unwrap();
    let images = detector.open_images(folder.path()).unwrap();
    let images = images.named("holiday").skip_bad(true);
    let scored = detector.score_set(&images, |_| {});
    let parts = ["holiday", "no image to score", "2 could not be read"];
    refused(scored, ErrorKind::Data, &parts);
    let none = detector.score_set(&images.range(2..9), |_| {});
    refused(none, ErrorKind::Data, &["holiday", "no image to score"]);
    assert_eq!(detector.rows(&images.range(2..9)).count(), 0);
    assert!(detector.score(&[]).unwrap().is_empty());
}

/// A file, the shape of an image, and what is said of it.
#[test]
fn images_of_another_shape_are_noticed_before_they_are_scored() {
    let (vectors, signals) = (
        "onnx/mlp.torchscript9.onnx",
        "onnx/conv1d.torchscript11.onnx",
    );
    for (file, [channels, height, width], parts) in [
        (RGB_NETWORK, [3, 32, 32], None),
        (RGB_NETWORK, [3, 32, 31], Some(["32x31", "32x32"])),
        (RGB_NETWORK, [1, 32, 32], Some(["1 channel,", "3 channels"])),
        (vectors, [1, 4, 6], None),
        (vectors, [1, 5, 5], Some(["25 values", "vectors of 24"])),
        (signals, [2, 1, 96], None),
        (signals, [1, 2, 96], None),
        (signals, [2, 1, 48], Some(["48 positions", "96 positions"])),
    ] {
        let classifier = open(fixture(file));
        let count = channels * height * width;
        let image = Image::new(channels, height, width, vec![0.5; count]).unwrap();
        let checked = classifier.check_shape(&image);
        let detector = Detector::builder(&classifier).build().unwrap();
        let scored = detector.score(std::slice::from_ref(&image));
        match parts {
            None => assert_eq!((checked.is_ok(), scored.unwrap().len()), (true, 1)),
            Some(parts) => {
                refused(checked, ErrorKind::Shape, &parts);
                refused(scored, ErrorKind::Shape, &parts);
            }
        }
    }
}
