//! Options for opening sets.

use std::path::PathBuf;

/// Which part of a set that is distributed in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Split {
    /// The part to evaluate on.
    Test,
    /// The part models are trained on.
    Train,
    /// The part that settings and thresholds are chosen on.
    Validation,
}

impl Split {
    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Train => "train",
            Self::Validation => "validation",
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

/// How [`open`](crate::open) reads a set. Start from `OpenOptions::default()` and set what matters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The split of sets that come in several: CIFAR, MNIST-style sets and `.npz` files of splits
    /// (MedMNIST). `None` is the test split. Asking a source for a split that it has not is an
    /// error, `Invalid`.
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
    /// What the paths of a list of images are relative to. `None` looks for the first of them below
    /// the list's folder, each folder above it, and `images_classic` and `images_largescale`
    /// (OpenOOD's) in these; it is an error where none has it.
    pub list_root: Option<PathBuf>,
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
            list_root: None,
            name: None,
            max_unpacked: 16 << 30,
            scratch: None,
        }
    }
}
