//! The readers, transforms and noise sets against fixtures that Python, numpy and Pillow made
//! (`scripts/data_fixtures.py`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod archives;
mod arrays;
mod bmp;
mod cifar;
mod folders;
mod hostile;
mod images;
mod lists;
mod measurements;
mod noise;
mod png;
mod refdata;
mod resize;
mod svhn;
mod synthetic;
mod vectors;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use odin_data::{DataSet, Error, Image, OpenOptions};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn open(path: impl AsRef<Path>) -> Result<Box<dyn DataSet>, Error> {
    open_with(path, |_| {})
}

fn open_with(
    path: impl AsRef<Path>,
    set: impl Fn(&mut OpenOptions),
) -> Result<Box<dyn DataSet>, Error> {
    let mut options = OpenOptions::default();
    set(&mut options);
    odin_data::open(&fixtures().join(path), &options)
}

/// The error of opening or, if that works, of the first image that cannot be read.
fn error_of(set: Result<Box<dyn DataSet>, Error>) -> Error {
    match set {
        Err(error) => error,
        Ok(set) => (0..set.len())
            .find_map(|i| set.get(i).err())
            .expect("some image must fail"),
    }
}

/// 8-bit levels in CHW order.
fn levels(image: &Image) -> Vec<u8> {
    image
        .pixels
        .iter()
        .map(|v| {
            let level = (v * 255.0).round() as u8;
            assert_eq!(f32::from(level) / 255.0, *v);
            level
        })
        .collect()
}

/// The image at `index` of a synthetic set, as the script computes it.
fn pattern(index: usize, (channels, height, width): (usize, usize, usize)) -> Vec<u8> {
    let mut levels = Vec::new();
    for c in 0..channels {
        for y in 0..height {
            levels.extend((0..width).map(|x| (index * 37 + c * 11 + y * 3 + x * 5) as u8));
        }
    }
    levels
}

fn labels(set: &dyn DataSet) -> Vec<Option<usize>> {
    (0..set.len()).map(|i| set.get(i).unwrap().label).collect()
}

fn names(set: &dyn DataSet) -> Vec<String> {
    (0..set.len()).map(|i| set.sample_name(i)).collect()
}

fn gunzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// Unpacks a fixture.
fn unpack(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bytes = gunzip(&fixtures().join(name));
    tar::Archive::new(&bytes[..]).unpack(folder.path()).unwrap();
    folder
}

fn temp_folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}
