//! A transform as a sequence of steps.

use std::borrow::Cow;
use std::fmt;

use super::steps::Step;
use super::{crop, resize};
use crate::error::Error;
use crate::image::Image;

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
            step.check()?;
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
