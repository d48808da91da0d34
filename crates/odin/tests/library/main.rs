//! The library from outside: what is read, computed, decided and written, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod activations;
mod cache;
mod calibrated;
mod channels;
mod compile;
mod containers;
mod detector;
#[cfg(any(feature = "gpu", feature = "onnxruntime"))]
mod engines;
mod errors;
mod evaluate;
mod examples;
#[cfg(feature = "gpu")]
mod gpu;
mod in_memory;
mod model_config;
mod multi_label;
mod names;
mod onnx;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod own_score;
mod parts;
mod photo_input;
mod photos;
mod precision;
mod refdata;
mod summary;
mod sweep;
mod tuned;
mod unfit;

use odin::data::NoiseKind;
use odin::{Classifier, ClassifierOptions, Error, ErrorKind, Image, Images};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn demo(file: &str) -> PathBuf {
    repository().join("demo").join(file)
}

/// Of a checkpoint or, in `onnx/`, of an ONNX file.
fn fixture(file: &str) -> PathBuf {
    let folder = repository().join("crates/odin-formats/tests/fixtures");
    folder.join(file)
}

/// A network for RGB images of 32x32 pixels.
const RGB_NETWORK: &str = "onnx/resnet.torchscript9.onnx";

fn open(path: impl AsRef<Path>) -> Classifier {
    Classifier::open(path, ClassifierOptions::default()).unwrap()
}

/// Noise of the shape that a network takes.
fn noise(classifier: &Classifier, count: usize) -> Images {
    classifier.noise(NoiseKind::Uniform, count, 7).unwrap()
}

/// The images themselves.
fn pixels(images: &Images) -> Vec<Image> {
    let read = (0..images.len()).map(|i| images.get(i).unwrap().image);
    read.collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

/// An RGB image as a BMP file: a slope in each channel, and a speckle that `seed` moves.
fn photo(height: usize, width: usize, seed: usize) -> Vec<u8> {
    let row = (3 * width).next_multiple_of(4);
    let size = 54 + row * height;
    let word = |value: usize| (value as u32).to_le_bytes();
    let mut file = b"BM".to_vec();
    for value in [size, 0, 54, 40, width, height, 24 << 16 | 1] {
        file.extend(word(value));
    }
    file.resize(54, 0);
    for y in 0..height {
        for x in 0..width {
            let speckle = (x * x + seed * y * 7 + seed * 31) % 97;
            file.extend([4 * x + speckle, 5 * y, x * y / 9 + speckle].map(|v| v as u8));
        }
        file.resize(54 + row * (y + 1), 0);
    }
    file
}

/// An array of bytes as a `.npy` file.
fn npy(shape: &[usize], levels: &[u8]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sides}), }}");
    let header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(levels);
    file
}

/// The error of this kind, whose message holds these parts, and no option of a program: the
/// library does not know who calls it.
#[track_caller]
fn refused<T: Debug>(result: Result<T, Error>, kind: ErrorKind, parts: &[&str]) -> Error {
    let error = match result {
        Ok(value) => panic!("nobody minds {parts:?}: {value:?}"),
        Err(error) => error,
    };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{message}\nlacks {part:?}");
    }
    assert_eq!(error.kind(), kind, "{message}");
    assert!(!message.contains("--"), "{message}");
    error
}
