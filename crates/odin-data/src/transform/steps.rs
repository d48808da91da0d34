//! The steps of a transform and their parameters.

use std::fmt;

use crate::error::Error;
use crate::image::check_size;

const MAX_SIDE: usize = 1 << 14;

/// How a resize weighs the pixels around a point; the names and kernels are Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// The one nearest pixel.
    Nearest,
    /// A triangle of radius 1.
    Bilinear,
    /// The cubic of radius 2 with a = -0.5 (Catmull-Rom).
    Bicubic,
    /// The sinc function windowed to radius 3.
    Lanczos,
}

/// The size that a resize aims at, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Size {
    /// Both sides, whatever that does to the aspect ratio.
    Exact {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The shorter side; the longer one follows the aspect ratio, rounded down.
    ShorterSide(usize),
}

/// One step of a [`Transform`](crate::Transform).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// Resamples the image.
    Resize {
        /// The size afterwards.
        size: Size,
        /// The kernel.
        filter: Filter,
    },
    /// Cuts a rectangle out of the middle, rounding halves to even like torchvision.
    CentreCrop {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Cuts a rectangle out at a random place that depends on the seed and the image's index.
    RandomCrop {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Seed of the places.
        seed: u64,
    },
}

impl Filter {
    const ALL: [Self; 4] = [Self::Nearest, Self::Bilinear, Self::Bicubic, Self::Lanczos];

    /// The name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Filter {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|filter| filter.as_str() == name)
            .ok_or_else(|| {
                let message = format!(
                    "unknown resize filter {name:?}; use nearest, bilinear, bicubic or lanczos"
                );
                Error::invalid(message)
            })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resize {
                size: Size::Exact { height, width },
                filter,
            } => write!(f, "resize to {height}x{width} ({filter})"),
            Self::Resize {
                size: Size::ShorterSide(side),
                filter,
            } => write!(f, "resize the shorter side to {side} ({filter})"),
            Self::CentreCrop { height, width } => {
                write!(f, "crop {height}x{width} from the centre")
            }
            Self::RandomCrop {
                height,
                width,
                seed,
            } => write!(f, "crop {height}x{width} at a random place (seed {seed})"),
        }
    }
}

impl Step {
    /// `Invalid` unless the step gives images that may exist.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (height, width) = match *self {
            Step::Resize {
                size: Size::ShorterSide(side),
                ..
            } => (side, side),
            Step::Resize {
                size: Size::Exact { height, width },
                ..
            }
            | Step::CentreCrop { height, width }
            | Step::RandomCrop { height, width, .. } => (height, width),
        };
        if height > MAX_SIDE || width > MAX_SIDE {
            let message = format!("{self}: a side may have at most {MAX_SIDE} pixels");
            return Err(Error::invalid(message));
        }
        check_size(1, height, width)
            .map_err(|e| Error::new(e.kind(), format!("{self}: sizes must be positive")).because(e))
    }
}
