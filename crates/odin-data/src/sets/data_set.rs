//! The trait of data sets, and their samples.

use crate::error::Error;
use crate::image::Image;
use odin_error::counted;

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

    /// The label of the image of index `i`, where the source has labels. Known without decoding.
    /// `None` if `i` is out of range.
    fn label(&self, i: usize) -> Option<usize>;

    /// `[C, H, W]` of the image of index `i` where it is known without reading the image: arrays
    /// say it of all their images. `None` elsewhere.
    fn size(&self, _i: usize) -> Option<[usize; 3]> {
        None
    }

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
            "{} has {}, none of index {i}",
            self.name(),
            counted(self.len(), "image")
        );
        Err(Error::invalid(message))
    }
}
