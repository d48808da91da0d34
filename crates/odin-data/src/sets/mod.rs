use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::image::{Image, check_size};
use crate::transform::Transform;

mod array;
mod axes;
mod cifar;
mod idx;
mod images;
mod joined;
mod npy;
mod npz;
mod pickle;
mod recognise;
mod svhn;

pub use joined::{ImageList, Joined};

/// One image of a set.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The same as [`DataSet::sample_name`].
    pub name: String,
    /// Index of the class, where the source has labels.
    pub label: Option<usize>,
    /// The decoded image.
    pub image: Image,
}

impl Sample {
    /// A sample of these parts.
    pub fn new(name: impl Into<String>, label: Option<usize>, image: Image) -> Self {
        Self {
            name: name.into(),
            label,
            image,
        }
    }
}

/// Images in a fixed order, read on demand and from several threads. Never empty.
pub trait DataSet: Send + Sync {
    /// A short name: the file or folder without its extensions, or the synthetic set's name.
    fn name(&self) -> &str;

    /// Number of images, at least 1.
    fn len(&self) -> usize;

    /// Always false: an empty set is an error when it is opened.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes that labels index, where the source has them.
    fn class_names(&self) -> Option<&[String]>;

    /// The file's name relative to the set's root, parts separated by '/', or the index as
    /// digits. Known without decoding. Empty if `i` is out of range.
    fn sample_name(&self, i: usize) -> String;

    /// The image of index `i`, decoded.
    ///
    /// # Errors
    /// `Invalid` if `i` is out of range; otherwise what reading and decoding may raise, with the
    /// sample named.
    fn get(&self, i: usize) -> Result<Sample, Error>;

    /// What a user should know about how the source was read, one sentence each: files that
    /// were left out, labels that could not be derived.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// `Invalid` unless there is an image `i`.
    ///
    /// # Errors
    /// `Invalid` with the set's name and length.
    fn check_index(&self, i: usize) -> Result<(), Error> {
        if i < self.len() {
            return Ok(());
        }
        let message = format!(
            "{} has {} images, none of index {i}",
            self.name(),
            self.len()
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

/// Which part of a set that is distributed in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Split {
    /// The part to evaluate on.
    Test,
    /// The part models are trained on.
    Train,
}

impl Split {
    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Train => "train",
        }
    }
}

/// The order of axes in an array of images or signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArrayLayout {
    /// Image, channel, row, column; of signals, channel and position.
    Nchw,
    /// Image, row, column, channel; of signals, position and channel.
    Nhwc,
}

/// How [`open`] reads a set. Start from `OpenOptions::default()` and set what matters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The split of CIFAR and MNIST-style sets; `None` is the test split. Asking a source
    /// without splits for the training split is an error.
    pub split: Option<Split>,
    /// Channels of the images: 1 (grey) or 3 (RGB), and of arrays any number. `None` is 3 for
    /// image files, and what the source has for arrays, CIFAR and MNIST-style sets.
    pub channels: Option<usize>,
    /// The layout of arrays; `None` recognises it from the shape, and is an error where the shape
    /// fits both.
    pub layout: Option<ArrayLayout>,
    /// What the images are for, `[C, H, W]`, which tells the axes of an array from each other: one
    /// of a single row (`[C, 1, L]`) asks for signals, `[N, C, L]` or `[N, L, C]`. Sets of other
    /// sizes are opened all the same.
    pub shape: Option<[usize; 3]>,
    /// Whether arrays hold measurements and not pictures: real numbers are taken as they are,
    /// also outside of [0, 1], and grey does not become RGB. Arrays of vectors, `[N, F]`, always
    /// do.
    pub measurements: bool,
    /// The set's name, if it shall not be that of the file or folder.
    pub name: Option<String>,
    /// The most bytes that a compressed file may unpack to; 16 GiB by default. Whatever this
    /// says, more than 256 MiB must not be more than 100 times the packed size.
    pub max_unpacked: u64,
    /// The folder for the anonymous temporary file that a compressed archive of more than 32 MiB
    /// is unpacked to; `None` is the system's folder for temporary files.
    pub scratch: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            split: None,
            channels: None,
            layout: None,
            shape: None,
            measurements: false,
            name: None,
            max_unpacked: 16 << 30,
            scratch: None,
        }
    }
}

/// Opens the set at `path`, recognised by its content:
///
/// - CIFAR-10 and CIFAR-100 as distributed, python or binary version: the `.tar.gz`, its folder,
///   the folder above, or one batch file;
/// - MNIST-style idx files, plain or gzipped, or a folder of them;
/// - SVHN's cropped digits, a MATLAB file;
/// - `.npy` and `.npz` arrays of images, signals or vectors;
/// - a folder of images, with or without class sub-folders, or a single image;
/// - a tar, tar.gz or zip archive of such a folder.
///
/// No image file is decoded here: one that is damaged is an error of [`DataSet::get`].
///
/// # Errors
/// `NotFound` or `Io` for what the operating system refuses, `Malformed` and `Unsupported` for
/// content, `Empty` if there is no image, `Invalid` for options that do not fit.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn DataSet>, Error> {
    check_options(options)?;
    recognise::open_path(path, options)
}

/// Opens a set that lies in memory: any single file that [`open`] would read. Static bytes, as
/// `include_bytes!` gives them, are not copied.
///
/// # Errors
/// Those of [`open`].
pub fn open_bytes(
    name: &str,
    bytes: impl Into<Cow<'static, [u8]>>,
    options: &OpenOptions,
) -> Result<Box<dyn DataSet>, Error> {
    check_options(options)?;
    recognise::open_bytes(name, bytes.into(), None, options)
}

/// Opens the bytes of an `.npy` or `.npz` file of images, with labels from the bytes of a second
/// `.npy` file if they are given.
///
/// # Errors
/// Those of [`open`].
pub fn from_npy_bytes(
    name: &str,
    images: impl Into<Cow<'static, [u8]>>,
    labels: Option<Cow<'static, [u8]>>,
    options: &OpenOptions,
) -> Result<Box<dyn DataSet>, Error> {
    check_options(options)?;
    recognise::open_bytes(name, images.into(), labels, options)
}

fn check_options(options: &OpenOptions) -> Result<(), Error> {
    check_size(options.channels.unwrap_or(1), 1, 1)
}

/// A set with a [`Transform`] applied to every image.
pub struct Transformed {
    set: Box<dyn DataSet>,
    transform: Transform,
}

impl Transformed {
    /// `set` seen through `transform`.
    pub fn new(set: Box<dyn DataSet>, transform: Transform) -> Self {
        Self { set, transform }
    }

    /// What is applied.
    pub fn transform(&self) -> &Transform {
        &self.transform
    }
}

impl DataSet for Transformed {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.set.class_names()
    }

    fn sample_name(&self, i: usize) -> String {
        self.set.sample_name(i)
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        let sample = self.set.get(i)?;
        let image = self
            .transform
            .apply(&sample.image, i)
            .map_err(|e| Error::new(e.kind(), sample.name.clone()).because(e))?;
        Ok(Sample { image, ..sample })
    }

    fn notes(&self) -> &[String] {
        self.set.notes()
    }
}
