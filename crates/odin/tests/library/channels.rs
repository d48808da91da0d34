//! Networks that take blue first, or levels from 0 to 255: their scores are those of the network
//! that is described the other way, in the library and in every compiled detector.

use crate::{RGB_NETWORK, fixture, folder, noise, open, photo, pixels};
use odin::{
    Agreement, CalibratedDetector, CalibrationOptions, ChannelOrder, Classifier, CompileOptions,
    CompiledDetector, Detector, DetectorInput, Image, Needs, Normalization, Observation, Score,
    Scorer, Setting, compile,
};
use std::path::Path;
use tempfile::TempDir;

const MEAN: [f32; 3] = [0.40625, 0.453125, 0.484375];
const STD: [f32; 3] = [0.21875, 0.234375, 0.25];

/// Networks for RGB images of 32x32 pixels, channels first and channels last.
const NETWORKS: [&str; 2] = [RGB_NETWORK, "onnx/keras_resnet.tf2onnx13.onnx"];

/// A network, and a `model.toml` that says the normalisation on this scale, blue first.
fn blue_first(network: &str, scale: f32) -> TempDir {
    let numbers = |values: [f32; 3]| format!("{:?}", values.map(|value| value * scale));
    let text = format!(
        "channels = \"BGR\"\nscale = {scale}\nmean = {}\nstd = {}\n",
        numbers(MEAN),
        numbers(STD)
    );
    let photos = (1..6).map(|seed| (format!("photos/{seed}.bmp"), photo(32, 32, seed)));
    let photos: Vec<(String, Vec<u8>)> = photos.collect();
    let mut files = vec![
        ("net.onnx", std::fs::read(fixture(network)).unwrap()),
        ("model.toml", text.into()),
    ];
    files.extend(
        photos
            .iter()
            .map(|(name, photo)| (&name[..], photo.clone())),
    );
    folder(&files)
}

fn reversed(image: &Image) -> Image {
    let planes = image.pixels.chunks(image.height * image.width).rev();
    Image {
        pixels: planes.flatten().copied().collect(),
        ..image.clone()
    }
}

/// One logit as a score, which tells how far those of two networks are from each other.
#[derive(Debug)]
struct Logit(String, usize);

impl Scorer for Logit {
    fn name(&self) -> &str {
        &self.0
    }

    fn needs(&self) -> Needs {
        Needs::LOGITS
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        observation.logits[self.1].into()
    }
}

fn detector(classifier: &Classifier, setting: Setting) -> Detector {
    let mut builder = Detector::builder(classifier).setting(setting).threads(2);
    for class in 0..classifier.classes() {
        builder = builder.scorer(Logit(format!("logit {class}"), class));
    }
    builder.build().unwrap()
}

fn settings() -> [Setting; 3] {
    [(1000.0, 0.0014), (1.0, 0.02), (10.0, 0.0)].map(|(t, e)| Setting::new(t, e).unwrap())
}

/// The largest differences: of logits beside the largest of them, of MSP, and of ODIN scores times
/// T, which is about that of logits.
fn differences(a: &[Score], b: &[Score], temperature: f64) -> [f64; 3] {
    let mut worst = [0.0f64; 3];
    let largest = |score: &Score| score.values()[2..].iter().fold(0f64, |m, v| m.max(v.abs()));
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.prediction, b.prediction);
        let pairs = a.values().iter().zip(b.values());
        for (i, difference) in pairs.map(|(a, b)| (a - b).abs()).enumerate() {
            let (kind, difference) = match i {
                0 => (1, difference),
                1 => (2, difference * temperature),
                _ => (0, difference / largest(b)),
            };
            worst[kind] = worst[kind].max(difference);
        }
    }
    worst
}

/// At a scale of 256 all of it is exact. At 255 the input differs in its last bits, which a few
/// dozen layers enlarge: to 2.4e-6 at most on the machine where this was written.
#[test]
fn blue_first_and_levels_are_another_way_to_say_the_same() {
    for network in NETWORKS {
        let said = Normalization::new(&MEAN, &STD).unwrap();
        let plain = Classifier::open(fixture(network), said).unwrap();
        let images = pixels(&noise(&plain, 6));
        let turned: Vec<Image> = images.iter().map(reversed).collect();
        for scale in [256.0, 255.0] {
            let folder = blue_first(network, scale);
            let classifier = open(folder.path().join("net.onnx"));
            let normalization = classifier.normalization();
            assert_eq!(normalization.scale(), scale);
            assert_eq!(normalization.channels(), ChannelOrder::Bgr);
            for setting in settings() {
                let found = detector(&classifier, setting).score(&images).unwrap();
                let expected = detector(&plain, setting).score(&turned).unwrap();
                match scale {
                    256.0 => assert_eq!(found, expected, "{network}, {setting}"),
                    _ => {
                        let found = differences(&found, &expected, setting.temperature);
                        let difference = format!("{network}, {setting}: {found:?}");
                        assert!(found.iter().all(|d| *d < 1e-5), "{difference}");
                    }
                }
                // The order of channels matters.
                let unturned = detector(&plain, setting).score(&images).unwrap();
                assert_ne!(expected, unturned, "{network}, {setting}");
            }
        }
    }
}

fn compiled(folder: &Path, classifier: &Classifier, options: CompileOptions) -> CompiledDetector {
    let path = folder.join("detector.onnx");
    std::fs::write(&path, compile(classifier, &options).unwrap()).unwrap();
    CompiledDetector::open(&path, 2).unwrap()
}

#[test]
fn compiled_detectors_take_blue_first_and_levels_too() {
    for network in NETWORKS {
        let folder = blue_first(network, 255.0);
        let classifier = open(folder.path().join("net.onnx"));
        let photos = folder.path().join("photos");
        let images = classifier.open_images(&photos).unwrap();
        for setting in settings() {
            let detector = Detector::builder(&classifier).setting(setting);
            let detector = detector.build().unwrap();
            let expected: Vec<_> = detector.rows(&images).map(Result::unwrap).collect();
            for input in [
                DetectorInput::Normalized,
                DetectorInput::PixelsF32,
                DetectorInput::PixelsU8,
            ] {
                let what = format!("{network}, {setting}, {input}");
                let options = CompileOptions::default().setting(setting).input(input);
                let compiled = compiled(folder.path(), &classifier, options);
                let card = compiled.card();
                assert_eq!(card.normalization, *classifier.normalization(), "{what}");
                let agreement = Agreement::of(&compiled, &detector, &pixels(&images)).unwrap();
                assert_eq!(agreement.images, 5);
                assert!(agreement.holds(1e-4), "{what}: {agreement:?}");
                // As `holds` has it: a difference of logits is a T-th of it in a score.
                let opened = compiled.open_images(&photos).unwrap();
                let found: Vec<_> = compiled.judge(&opened).map(Result::unwrap).collect();
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let score = &expected.score;
                    assert_eq!(found.name, expected.name, "{what}");
                    assert_eq!(found.prediction, score.prediction, "{what}");
                    let (msp, odin) = (
                        found.scores[0] - score.msp(),
                        found.scores[1] - score.odin().unwrap(),
                    );
                    let allowed = 1e-4 / setting.temperature + 1e-7;
                    assert!(
                        msp.abs() < 1e-5 && odin.abs() < allowed,
                        "{what}: {msp:e} {odin:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn calibrated_detectors_remember_blue_first_and_levels() {
    let folder = blue_first(RGB_NETWORK, 255.0);
    let classifier = open(folder.path().join("net.onnx"));
    let images = classifier
        .open_images(folder.path().join("photos"))
        .unwrap();
    let detector = Detector::builder(&classifier).build().unwrap();
    let scored = detector.score_set(&images, |_| {}).unwrap();
    let toml = folder.path().join("detector.toml");
    let calibrated = CalibrationOptions::default().calibrate(detector, &scored, None);
    calibrated.unwrap().save(&toml).unwrap();
    let text = std::fs::read_to_string(&toml).unwrap();
    for line in ["odin_detector = 2", "scale = 255.0", "channels = \"BGR\""] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    std::fs::remove_file(folder.path().join("model.toml")).unwrap();
    let opened = CalibratedDetector::open(&toml).unwrap();
    let judged = opened.judge(&images).map(|verdict| verdict.unwrap().score);
    assert!(judged.eq(scored.rows.into_iter().map(|row| row.score)));
}
