//! `model.toml`: what it says, over what it wins, and what is refused.

use crate::{RGB_NETWORK, fixture, folder, refused};
use odin::{
    ChannelOrder, Classifier, ClassifierOptions, Error, ErrorKind, Layout, ModelConfig,
    Normalization, Provenance,
};
use std::path::Path;

fn read(text: &str) -> Result<ModelConfig, Error> {
    let folder = folder(&[
        ("names.txt", b"cat\ndog\n".to_vec()),
        ("model.toml", text.into()),
    ]);
    ModelConfig::open(&folder.path().join("model.toml"))
}

#[test]
fn every_key_is_read() {
    let config = read(
        r#"
size = [48, 64]
transform = "resize:64:bicubic,centre-crop:48x64"
mean = [0.5, 0.4, 0.3]
std = [0.2, 0.2, 0.3]
scale = 255
channels = "bgr"
layout = "NHWC"
class_names = "names.txt"
output = "scores"
"#,
    )
    .unwrap();
    assert_eq!(config.size, Some([48, 64]));
    assert_eq!(config.transform.unwrap().steps().len(), 2);
    assert_eq!(config.normalization.unwrap().mean(), [0.5, 0.4, 0.3]);
    assert_eq!(config.scale, Some(255.0));
    assert_eq!(config.channels, Some(ChannelOrder::Bgr));
    assert_eq!(config.layout, Some(Layout::Nhwc));
    assert_eq!(config.class_names.unwrap(), ["cat", "dog"]);
    assert_eq!(config.output.as_deref(), Some("scores"));
    assert_eq!(read("").unwrap(), ModelConfig::default());
    assert_eq!(read("size = 32").unwrap().size, Some([32, 32]));
    let one_for_all = read("mean = 0.5\nstd = [0.2, 0.2, 0.3]").unwrap();
    assert_eq!(one_for_all.normalization.unwrap().mean(), [0.5; 3]);
    let names = read(r#"class_names = ["a", "b"]"#).unwrap().class_names;
    assert_eq!(names.unwrap(), ["a", "b"]);
}

/// A text, and what the error must contain beside the file's name.
#[test]
fn what_is_wrong_is_named() {
    for (text, wanted) in [
        ("mean = [0.5]", "`std` is missing"),
        ("std = [0.5]", "`mean` is missing"),
        ("mean = [0.5]\nstd = [0.0]", "std must be positive"),
        ("mean = [nan]\nstd = [1.0]", "mean must be finite"),
        (
            "mean = [0.5, 0.5, 0.5]\nstd = [1.0, 1.0]",
            "they have 3 and 2",
        ),
        ("mean = [0.5]\nstd = []", "they have 1 and 0"),
        ("mean = \"0.5\"\nstd = 1.0", "one number, or one for each"),
        ("scale = 0", "`scale`"),
        ("scale = inf", "`scale`"),
        ("scale = \"255\"", "scale"),
        ("channels = \"GBR\"", "`channels`"),
        ("channels = 3", "channels"),
        ("men = [0.5]", "men"),
        ("size = 0", "`size`"),
        ("size = [32]", "size"),
        ("size = \"32\"", "size"),
        ("layout = \"NWHC\"", "`layout`"),
        ("transform = \"crop\"", "`transform`"),
        ("class_names = []", "`class_names`"),
        ("class_names = \"absent.txt\"", "absent.txt"),
        ("class_names = \"../names.txt\"", "`class_names`"),
        ("class_names = \"/etc/hostname\"", "`class_names`"),
        ("size = ", "TOML"),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
            "git lfs pull",
        ),
    ] {
        refused(read(text), ErrorKind::Invalid, &["model.toml", wanted]);
    }
    let absent = ModelConfig::open(Path::new("absent.toml"));
    refused(absent, ErrorKind::NotFound, &["absent.toml"]);
}

#[test]
fn options_win_over_model_toml_and_that_over_guesses() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    std::fs::copy(fixture(RGB_NETWORK), &model).unwrap();
    let open = |options: ClassifierOptions| Classifier::open(&model, options).unwrap();
    let mean = |classifier: &Classifier| classifier.normalization().mean()[0];
    let from = |classifier: &Classifier| classifier.preprocessing().normalization.from.clone();

    let guessed = open(ClassifierOptions::default());
    assert!(matches!(from(&guessed), Provenance::Assumed(_)));

    let mut registry = ClassifierOptions::default();
    registry.defaults = Normalization::new(&[0.1], &[1.0]).unwrap().into();
    assert_eq!(
        (mean(&open(registry.clone())), from(&open(registry.clone()))),
        (0.1, Provenance::Registry)
    );

    let shared = folder.path().join("model.toml");
    std::fs::write(&shared, "mean = [0.2]\nstd = [1.0]").unwrap();
    let found = open(registry.clone());
    assert_eq!(
        (mean(&found), from(&found)),
        (0.2, Provenance::Config(shared))
    );

    let own = folder.path().join("net.toml");
    let names = r#"class_names = ["a", "b", "c", "d", "e", "f", "g"]"#;
    std::fs::write(&own, format!("mean = [0.3]\nstd = [1.0]\n{names}")).unwrap();
    let found = open(registry.clone());
    assert_eq!((mean(&found), from(&found)), (0.3, Provenance::Config(own)));
    assert_eq!(found.class_names().unwrap()[6], "g");

    let other = folder.path().join("other.toml");
    std::fs::write(&other, "mean = [0.4]\nstd = [1.0]").unwrap();
    registry.config_file = Some(other.clone());
    let found = open(registry.clone());
    assert_eq!(
        (mean(&found), from(&found)),
        (0.4, Provenance::Config(other))
    );

    registry.given = Normalization::new(&[0.5], &[1.0]).unwrap().into();
    let found = open(registry);
    assert_eq!((mean(&found), from(&found)), (0.5, Provenance::Given));
    assert_eq!(found.normalization().mean(), [0.5; 3]);
}

/// A model file, what its `model.toml` says, and what the error must contain.
#[test]
fn what_does_not_fit_the_model_is_refused() {
    let (onnx, checkpoint) = (RGB_NETWORK, "resnet_a.safetensors");
    for (file, text, wanted) in [
        (onnx, "class_names = [\"a\"]", "1 class names"),
        (onnx, "mean = [0.5, 0.5]\nstd = [1.0, 1.0]", "3 channels"),
        (onnx, "layout = \"NCL\"", "NCL"),
        (onnx, "size = 48", "48x48"),
        (onnx, "mean = 123.7\nstd = 58.4", "the scale must be 255"),
        (onnx, "mean = 0.5\nstd = 58.4", "contain 58.4"),
        ("onnx/mlp.torchscript9.onnx", "channels = \"BGR\"", "BGR"),
        (checkpoint, "layout = \"NHWC\"", "NHWC"),
        (checkpoint, "output = \"logits\"", "ONNX"),
    ] {
        let folder = folder(&[("this.toml", text.into())]);
        let mut options = ClassifierOptions::default();
        options.config_file = Some(folder.path().join("this.toml"));
        let opened = Classifier::open(fixture(file), options);
        refused(opened, ErrorKind::Invalid, &[wanted, "this.toml"]);
    }
    let mut given = ModelConfig::default();
    given.output = Some("absent".to_string());
    let opened = Classifier::open(fixture(onnx), given);
    let parts = ["torchscript9.onnx", "no output \"absent\"", "[\"output\"]"];
    refused(opened, ErrorKind::Classifier, &parts);
}

/// Numbers of levels from 0 to 255 are taken where the scale says so, and by networks that take no
/// pictures.
#[test]
fn means_of_another_scale_are_refused_with_advice() {
    let levels = Normalization::new(&[123.7], &[58.4]).unwrap();
    let scaled = levels.clone().with_scale(255.0).unwrap();
    let advice: &[&str] = &["123.7", "from 0 to 1", "must be 255", "divide both by 255"];
    let vectors = "onnx/mlp.torchscript9.onnx";
    for (file, normalization, refusal) in [
        (RGB_NETWORK, levels.clone(), Some(advice)),
        ("resnet_a.safetensors", levels.clone(), Some(advice)),
        (RGB_NETWORK, scaled, None),
        (RGB_NETWORK, Normalization::bytes(), None),
        (vectors, levels, None),
    ] {
        let opened = Classifier::open(fixture(file), normalization.clone());
        match refusal {
            Some(parts) => drop(refused(opened, ErrorKind::Options, parts)),
            None => assert_eq!(
                opened.unwrap().normalization().mean()[0],
                normalization.mean()[0]
            ),
        }
    }
}
