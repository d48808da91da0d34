//! `model.toml`: what it says, over what it wins, and what is refused.

// Clippy lets only functions marked as tests unwrap, not their helpers.
#![allow(clippy::unwrap_used)]

use odin::{Classifier, ClassifierOptions, Layout, ModelConfig, Normalization, Provenance};
use std::path::{Path, PathBuf};

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../odin-formats/tests/fixtures")
        .join(file)
}

fn read(text: &str) -> Result<ModelConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("names.txt"), "cat\ndog\n").unwrap();
    let path = folder.path().join("model.toml");
    std::fs::write(&path, text).unwrap();
    ModelConfig::open(&path).map_err(|e| e.to_string())
}

#[test]
fn every_key_is_read() {
    let config = read(
        r#"
size = [48, 64]
transform = "resize:64:bicubic,centre-crop:48x64"
mean = [0.5, 0.4, 0.3]
std = [0.2, 0.2, 0.3]
layout = "NHWC"
class_names = "names.txt"
output = "scores"
"#,
    )
    .unwrap();
    assert_eq!(config.size, Some([48, 64]));
    assert_eq!(config.transform.unwrap().steps().len(), 2);
    assert_eq!(config.normalization.unwrap().mean(), [0.5, 0.4, 0.3]);
    assert_eq!(config.layout, Some(Layout::Nhwc));
    assert_eq!(config.class_names.unwrap(), ["cat", "dog"]);
    assert_eq!(config.output.as_deref(), Some("scores"));
    assert_eq!(read("").unwrap(), ModelConfig::default());
    assert_eq!(read("size = 32").unwrap().size, Some([32, 32]));
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
        ("mean = [0.5]\nstd = [1.0, 1.0]", "they have 1 and 2"),
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
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains("model.toml"), "{text}: {error}");
        assert!(error.contains(wanted), "{text}: no {wanted:?} in {error}");
    }
    let error = ModelConfig::open(Path::new("absent.toml")).unwrap_err();
    assert!(error.to_string().contains("absent.toml"), "{error}");
}

#[test]
fn options_win_over_model_toml_and_that_over_guesses() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    std::fs::copy(fixture("onnx/resnet.torchscript9.onnx"), &model).unwrap();
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
    let (onnx, checkpoint) = ("onnx/resnet.torchscript9.onnx", "resnet_a.safetensors");
    for (file, text, wanted) in [
        (onnx, "class_names = [\"a\"]", "1 class names"),
        (onnx, "mean = [0.5, 0.5]\nstd = [1.0, 1.0]", "3 channels"),
        (onnx, "layout = \"NCL\"", "NCL"),
        (onnx, "size = 48", "48x48"),
        (onnx, "output = \"absent\"", "absent"),
        (checkpoint, "layout = \"NHWC\"", "NHWC"),
        (checkpoint, "output = \"logits\"", "ONNX"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("this.toml");
        std::fs::write(&config, text).unwrap();
        let mut options = ClassifierOptions::default();
        options.config_file = Some(config);
        let error = Classifier::open(&fixture(file), options).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(wanted), "{file}, {text}: {error}");
    }
}
