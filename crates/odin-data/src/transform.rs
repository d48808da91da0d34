use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::image::Image;

mod crop;
mod parse;
mod resize;

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

/// One step of a [`Transform`].
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

/// What is done to every image of a set before a model sees it: steps in their order.
///
/// Parsed from steps separated by commas: `resize:SIZE[:FILTER]`, `centre-crop:SIZE` (or
/// `center-crop`), `random-crop:SIZE[:SEED]`. `SIZE` is `HEIGHTxWIDTH`, or one number: the
/// shorter side of a resize, both sides of a crop. `FILTER` is `nearest`, `bilinear` (the
/// default, as in torchvision), `bicubic` or `lanczos`; `SEED` is 0 unless given. [`fmt::Display`]
/// says the same in words.
///
/// # Agreement with Pillow
/// Resizing antialiases when it shrinks, as Pillow's `Image.resize` and torchvision's `Resize`
/// on Pillow images do. An image whose values are all 8-bit levels stays one: the arithmetic is
/// then that of Pillow's 8-bit images, and the result equals that of Pillow 3.3 to 12 in every
/// pixel. (From version 13 on, Pillow resizes the columns first where the height shrinks much more
/// than the width, which changes results.) Any other image is resized like Pillow's floating-point
/// images (mode `F`) and clipped to [0, 1], or to the range of its values where that is wider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Transform {
    steps: Vec<Step>,
}

impl Transform {
    /// The transform of these steps; without steps, the identity.
    ///
    /// # Errors
    /// `Invalid` if a step asks for a side of 0 or more than 16,384 pixels, or for an image of
    /// more than [`MAX_PIXELS`](crate::MAX_PIXELS).
    pub fn new(steps: Vec<Step>) -> Result<Self, Error> {
        for step in &steps {
            parse::check_step(step)?;
        }
        Ok(Self { steps })
    }

    /// The steps in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether nothing is done.
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// The transformed image. `index` is the image's place in its set, on which random steps
    /// depend.
    ///
    /// # Errors
    /// `Invalid` if the image's fields contradict each other, if a crop is larger than the
    /// image, or if the result would be too large.
    pub fn apply(&self, image: &Image, index: usize) -> Result<Image, Error> {
        image.check()?;
        let mut image = Cow::Borrowed(image);
        for step in &self.steps {
            image = Cow::Owned(match *step {
                Step::Resize { size, filter } => resize::resize(&image, size, filter)?,
                Step::CentreCrop { height, width } => crop::centre(&image, height, width)?,
                Step::RandomCrop {
                    height,
                    width,
                    seed,
                } => crop::random(&image, height, width, seed, index)?,
            });
        }
        Ok(image.into_owned())
    }
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
                Error::new(ErrorKind::Invalid, message)
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

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_identity() {
            return f.write_str("none");
        }
        for (i, step) in self.steps.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", then " };
            write!(f, "{separator}{step}")?;
        }
        Ok(())
    }
}
