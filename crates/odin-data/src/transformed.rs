//! A data set with a transform applied to every image.

use crate::error::Error;
use crate::sets::{DataSet, Sample};
use crate::transform::Transform;

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

    fn label(&self, i: usize) -> Option<usize> {
        self.set.label(i)
    }

    fn size(&self, i: usize) -> Option<[usize; 3]> {
        self.transform.is_identity().then(|| self.set.size(i))?
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
