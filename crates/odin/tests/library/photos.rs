//! Photos of any size, for a network that asks for a transform: whichever way they go to it, they
//! get the same scores.

use crate::{RGB_NETWORK, fixture, folder, open, photo};
use odin::{CalibratedDetector, CalibrationOptions, Detector, Image, Score, Transform};
use tempfile::TempDir;

const TRANSFORM: &str = "resize:40,centre-crop:32";

/// A network whose `model.toml` asks for a transform, and `photos/` of several sizes and formats.
fn studio() -> TempDir {
    let images = fixture("../../../odin-data/tests/fixtures/images");
    let read = |file| std::fs::read(images.join(file)).unwrap();
    folder(&[
        ("net.onnx", std::fs::read(fixture(RGB_NETWORK)).unwrap()),
        ("net.toml", format!("transform = \"{TRANSFORM}\"").into()),
        ("photos/a/53x47.bmp", photo(53, 47, 1)),
        ("photos/a/47x53.bmp", photo(47, 53, 2)),
        ("photos/b/32x32.bmp", photo(32, 32, 3)),
        ("photos/b/100x41.bmp", photo(100, 41, 4)),
        ("photos/b/small.png", read("rgb.png")),
        ("photos/c/small.jpg", read("420.jpg")),
        ("photos/c/grey.png", read("grey16.png")),
    ])
}

#[test]
fn a_photo_has_one_score_whichever_way_it_comes() {
    let studio = studio();
    let (photos, file) = (studio.path().join("photos"), studio.path().join("net.onnx"));
    let classifier = open(&file);
    let detector = Detector::builder(&classifier).threads(2).batch_size(3);
    let detector = detector.build().unwrap();

    // By hand, for the same network without a transform.
    let plain = open(fixture(RGB_NETWORK));
    assert_eq!(plain.transform(), None);
    let plain = Detector::builder(&plain).build().unwrap();
    let transform: Transform = TRANSFORM.parse().unwrap();
    let set = odin::data::open(&photos, &plain.classifier().open_options()).unwrap();
    let decoded: Vec<Image> = (0..set.len()).map(|i| set.get(i).unwrap().image).collect();
    let by_hand = decoded
        .iter()
        .map(|image| transform.apply(image, 0).unwrap());
    let by_hand: Vec<Image> = by_hand.collect();
    let expected = plain.score(&by_hand).unwrap();
    let different = |a: &Score, b: &Score| a.odin() != b.odin();
    assert!(
        expected
            .windows(2)
            .all(|pair| different(&pair[0], &pair[1]))
    );

    let images = classifier.open_images(&photos).unwrap();
    assert_eq!(images.len(), decoded.len());
    for (i, by_hand) in by_hand.iter().enumerate() {
        assert_eq!(images.get(i).unwrap().image, *by_hand);
    }
    let rows = detector.rows(&images).map(|row| row.unwrap().score);
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    let scored = detector.score_set(&images, |_| {}).unwrap();
    let alone = decoded
        .iter()
        .map(|image| detector.score(std::slice::from_ref(image)));
    let alone = alone.map(|scores| scores.unwrap().remove(0));
    assert_eq!(alone.collect::<Vec<_>>(), expected);
    assert_eq!(detector.score(&decoded).unwrap(), expected);

    // Calibrated, written and opened again, where no `model.toml` is read any more.
    let toml = studio.path().join("detector.toml");
    let calibrated = CalibrationOptions::default().calibrate(detector, &scored, None);
    calibrated.unwrap().save(&toml).unwrap();
    std::fs::remove_file(studio.path().join("net.toml")).unwrap();
    let calibrated = CalibratedDetector::open(&toml).unwrap();
    assert_eq!(calibrated.classifier().transform(), Some(&transform));
    let photos = calibrated.open_images(&photos).unwrap();
    let judged: Vec<_> = calibrated.judge(&photos).map(Result::unwrap).collect();
    let judged_decoded = calibrated.judge_decoded(&decoded).unwrap();
    let prepared = (0..photos.len()).map(|i| photos.get(i).unwrap().image);
    let prepared = calibrated.judge_prepared(&prepared.collect::<Vec<_>>());
    let prepared = prepared.unwrap().into_iter().map(Result::unwrap);
    assert_eq!(prepared.collect::<Vec<_>>(), judged_decoded);
    assert_eq!(judged.len(), expected.len());
    for (i, score) in expected.iter().enumerate() {
        assert_eq!(judged[i].score, *score);
        assert_eq!(judged_decoded[i].score, *score);
        let decision = calibrated.record().decide(score).unwrap();
        assert_eq!(judged[i].decision, decision);
        assert_eq!(judged_decoded[i].decision, decision);
        assert_eq!(judged[i].name, photos.image_name(i));
        assert_eq!(judged_decoded[i].name, i.to_string());
    }
}

/// A set that is made for the network gets no transform.
#[test]
fn prepared_images_are_taken_as_they_are() {
    let studio = studio();
    let classifier = open(studio.path().join("net.onnx"));
    let plain = open(fixture(RGB_NETWORK));
    let scores = |classifier: &odin::Classifier| -> Vec<Score> {
        let detector = Detector::builder(classifier).build().unwrap();
        let noise = crate::noise(classifier, 3);
        let rows = detector.rows(&noise).map(|row| row.unwrap().score);
        rows.collect()
    };
    assert_eq!(scores(&classifier), scores(&plain));
}
