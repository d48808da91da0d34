//! Errors have a kind to act on, a message that names what is wrong, and their cause where another
//! library gave one; no message speaks of a program's options.

use crate::{RGB_NETWORK, demo, fixture, folder, open, photo, refused};
use odin::{
    CalibratedDetector, ChannelOrder, Classifier, ClassifierOptions, CompiledDetector, Detector,
    DetectorInput, DetectorRecord, Device, Error, ErrorKind, Grid, Image, InOnlyRule, Layout,
    MeasureOptions, Method, ModelConfig, Normalization, Objective, Setting, Shard, choose, measure,
    write_atomically,
};
use std::error::Error as _;

#[test]
fn errors_have_a_kind_and_a_cause() {
    let folder = folder(&[
        ("garbage.safetensors", b"no model".to_vec()),
        ("garbage.onnx", b"no model".to_vec()),
        ("garbage.npy", b"no set".to_vec()),
        ("bad.toml", b"size = ".to_vec()),
        ("photos/large.bmp", photo(99, 99, 0)),
        ("photos/bad.bmp", b"no image".to_vec()),
    ]);
    let at = |name: &str| folder.path().join(name);
    let open_as = |path: &str, options: ClassifierOptions| Classifier::open(at(path), options);
    let default = ClassifierOptions::default;
    let rgb = open(fixture(RGB_NETWORK));
    let digits = open(demo("model.safetensors"));
    let builder = || Detector::builder(&rgb);
    let detector = builder().build().unwrap();
    let photos = rgb.open_images(at("photos")).unwrap();
    let score_set = |place: usize| {
        let images = photos.range(place..place + 1);
        detector.score_set(&images, |_| {}).map(drop)
    };
    let given = |set: fn(&mut ModelConfig)| {
        let mut given = ModelConfig::default();
        set(&mut given);
        Classifier::open(fixture(RGB_NETWORK), given).map(drop)
    };
    let mut config_file = default();
    config_file.config_file = Some(at("bad.toml"));
    let small = Image::new(1, 2, 2, vec![0.0; 4]).unwrap();

    use ErrorKind as Kind;
    // What is done, what the message holds, the kind, and whether there is a cause.
    type Case<'a> = (Result<(), Error>, &'a [&'a str], ErrorKind, bool);
    let cases: Vec<Case<'_>> = vec![
        (
            open_as("absent.pth", default()).map(drop),
            &["absent.pth"],
            Kind::Io,
            true,
        ),
        (
            open_as("", default()).map(drop),
            &["not a regular file"],
            Kind::Io,
            false,
        ),
        (
            open_as("garbage.safetensors", default()).map(drop),
            &["garbage.safetensors"],
            Kind::Classifier,
            true,
        ),
        (
            open_as("garbage.onnx", default()).map(drop),
            &["garbage.onnx"],
            Kind::Classifier,
            true,
        ),
        (
            Classifier::open(demo("model.safetensors"), config_file).map(drop),
            &["bad.toml"],
            Kind::Invalid,
            false,
        ),
        (
            given(|g| g.size = Some([48, 48])),
            &["48x48", "32x32"],
            Kind::Options,
            false,
        ),
        (
            given(|g| g.layout = Some(Layout::Ncl)),
            &["NCL"],
            Kind::Options,
            false,
        ),
        (
            given(|g| g.scale = Some(-1.0)),
            &["scale"],
            Kind::Options,
            false,
        ),
        (
            given(|g| g.normalization = Normalization::new(&[0.5, 0.5], &[1.0]).ok()),
            &["3 channels"],
            Kind::Options,
            false,
        ),
        (
            digits.open_images(at("absent")).map(drop),
            &["absent"],
            Kind::Data,
            true,
        ),
        (
            digits.open_images(at("garbage.npy")).map(drop),
            &["garbage.npy"],
            Kind::Data,
            true,
        ),
        (score_set(0), &["bad.bmp"], Kind::Data, true),
        (
            score_set(1),
            &["large.bmp", "99x99", "32x32"],
            Kind::Shape,
            false,
        ),
        (
            detector.score(&[small]).map(drop),
            &["image 0", "2x2", "1 channel,", "3 channels"],
            Kind::Shape,
            false,
        ),
        (
            Setting::new(0.0, 0.0).map(drop),
            &["temperature"],
            Kind::Invalid,
            false,
        ),
        (
            builder().threads(0).build().map(drop),
            &["thread"],
            Kind::Invalid,
            false,
        ),
        (
            builder().threads(4_294_967_295).build().map(drop),
            &["4294967295 threads", "1 to 1024"],
            Kind::Invalid,
            false,
        ),
        (
            CompiledDetector::open(at("garbage.onnx"), usize::MAX).map(drop),
            &["threads", "1 to 1024"],
            Kind::Invalid,
            false,
        ),
        (
            builder().batch_size(0).build().map(drop),
            &["batch"],
            Kind::Invalid,
            false,
        ),
        (
            builder()
                .device(Device::CpuOrt)
                .onnx_runtime([at("absent.so")])
                .build()
                .map(drop),
            &[],
            Kind::Device,
            cfg!(feature = "onnxruntime"),
        ),
        (
            builder().fit(&[Method::Knn], None, |_| {}).map(drop),
            &["knn"],
            Kind::Scores,
            true,
        ),
        (
            measure(&[], &[1.0], &MeasureOptions::default()).map(drop),
            &[],
            Kind::Metrics,
            true,
        ),
        (
            Grid::new(&[], &[]).map(drop),
            &["grid"],
            Kind::Invalid,
            false,
        ),
        (
            choose(&[], &[], true).map(drop),
            &["nothing to choose"],
            Kind::Invalid,
            false,
        ),
        (
            rgb.noise(odin::data::NoiseKind::Uniform, 0, 0).map(drop),
            &[],
            Kind::Data,
            true,
        ),
        (
            DetectorRecord::open(at("absent.toml")).map(drop),
            &["absent.toml"],
            Kind::NotFound,
            false,
        ),
        (
            CalibratedDetector::open(at("bad.toml")).map(drop),
            &["bad.toml"],
            Kind::Saved,
            false,
        ),
        (
            CompiledDetector::open(fixture(RGB_NETWORK), 1).map(drop),
            &["resnet.torchscript9.onnx", "no compiled detector"],
            Kind::Classifier,
            false,
        ),
        (
            CompiledDetector::open(demo("model.safetensors"), 1).map(drop),
            &["model.safetensors", "no compiled detector"],
            Kind::Classifier,
            false,
        ),
        (
            write_atomically(at("absent/file"), b""),
            &["absent/file"],
            Kind::Io,
            true,
        ),
        (
            "NWHC".parse::<Layout>().map(drop),
            &["NHWC"],
            Kind::Invalid,
            false,
        ),
        (
            "GBR".parse::<ChannelOrder>().map(drop),
            &["BGR"],
            Kind::Invalid,
            false,
        ),
        (
            "abacus".parse::<Device>().map(drop),
            &["cuda:N"],
            Kind::Invalid,
            false,
        ),
        (
            "fpr".parse::<Objective>().map(drop),
            &["fpr95"],
            Kind::Invalid,
            false,
        ),
        (
            "none".parse::<InOnlyRule>().map(drop),
            &["mean-score"],
            Kind::Invalid,
            false,
        ),
        (
            "x".parse::<DetectorInput>().map(drop),
            &["pixels-u8"],
            Kind::Invalid,
            false,
        ),
        (
            "4/3".parse::<Shard>().map(drop),
            &["4/3"],
            Kind::Invalid,
            false,
        ),
    ];
    for (result, parts, kind, has_cause) in cases {
        let error = refused(result, kind, parts);
        assert_eq!(error.source().is_some(), has_cause, "{error}");
        // The message tells all that the cause says.
        if let Some(cause) = error.source() {
            assert!(error.to_string().contains(&cause.to_string()), "{error}");
        }
    }
}
