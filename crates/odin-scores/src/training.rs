//! Logits, features, feature maps and labels of training images.

use crate::error::{Error, ErrorKind};
use odin_error::counted;

/// What the network says of n training images, and their labels where they are known.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    features: &'a [f32],
    logits: &'a [f32],
    labels: Option<&'a [usize]>,
    classes: usize,
    feature_maps: &'a [f32],
    shifted_features: &'a [f32],
}

impl<'a> Training<'a> {
    /// From features, n x D, and logits, n x C, row by row, and n labels in `0..classes`, where
    /// C = `classes`. The features may be empty where no score needs them. Where labels are
    /// missing, the classes that the network predicts stand in for them wherever a score allows
    /// it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where lengths do not fit each other or there is no image;
    /// [`ErrorKind::Invalid`] for a value that is not finite or a label out of range. The message
    /// names the image.
    pub fn new(
        features: &'a [f32],
        logits: &'a [f32],
        labels: Option<&'a [usize]>,
        classes: usize,
    ) -> Result<Self, Error> {
        let training = Self {
            features,
            logits,
            labels,
            classes,
            feature_maps: &[],
            shifted_features: &[],
        };
        training.check_lengths()?;
        training.check_finite("logit", logits)?;
        training.check_finite("feature", features)?;
        training.check_labels()?;
        Ok(training)
    }

    /// With what the features are pooled from, as
    /// [`Observation::feature_map`](crate::Observation::feature_map) has it, image by image.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where they do not divide among the images, or those among the features;
    /// [`ErrorKind::Invalid`] for a value that is not finite.
    pub fn with_feature_maps(self, feature_maps: &'a [f32]) -> Result<Self, Error> {
        let (images, features) = (self.images(), self.features().max(1));
        if !feature_maps.len().is_multiple_of(images * features) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "{} values of feature maps do not divide among {images} training images of \
                     {features} features",
                    feature_maps.len()
                ),
            ));
        }
        self.check_finite("value of the feature map", feature_maps)?;
        Ok(Self {
            feature_maps,
            ..self
        })
    }

    /// With the features of the shifted images, n x D.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where there are not as many as there are features;
    /// [`ErrorKind::Invalid`] for a value that is not finite.
    pub fn with_shifted_features(self, shifted_features: &'a [f32]) -> Result<Self, Error> {
        if shifted_features.len() != self.features.len() {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "{} shifted features for {} features",
                    shifted_features.len(),
                    self.features.len()
                ),
            ));
        }
        self.check_finite("shifted feature", shifted_features)?;
        Ok(Self {
            shifted_features,
            ..self
        })
    }

    fn check_lengths(&self) -> Result<(), Error> {
        let Self {
            features,
            logits,
            labels,
            classes,
            ..
        } = *self;
        let shape = |message| Err(Error::new(ErrorKind::Shape, message));
        if logits.is_empty() || classes == 0 || !logits.len().is_multiple_of(classes) {
            return shape(format!(
                "{} logits are not one image or more of {classes} classes",
                logits.len()
            ));
        }
        let images = logits.len() / classes;
        if !features.len().is_multiple_of(images) {
            return shape(format!(
                "{} do not divide among {}",
                counted(features.len(), "feature"),
                counted(images, "training image")
            ));
        }
        match labels {
            Some(labels) if labels.len() != images => shape(format!(
                "{} for {}",
                counted(labels.len(), "label"),
                counted(images, "training image")
            )),
            _ => Ok(()),
        }
    }

    fn check_finite(&self, what: &str, values: &[f32]) -> Result<(), Error> {
        match values.iter().position(|value| !value.is_finite()) {
            Some(i) => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a {what} of training image {} is {}; all must be finite",
                    i / (values.len() / self.images()),
                    values[i]
                ),
            )),
            None => Ok(()),
        }
    }

    fn check_labels(&self) -> Result<(), Error> {
        let labels = self.labels.unwrap_or_default();
        match labels.iter().position(|&label| label >= self.classes) {
            Some(i) => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "training image {i} has the label {}, but the {} classes are numbered from 0",
                    labels[i], self.classes
                ),
            )),
            None => Ok(()),
        }
    }

    /// Number of images, n.
    pub fn images(&self) -> usize {
        self.logits.len() / self.classes
    }

    /// Number of classes, C.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of features of an image, D; 0 where none were given.
    pub fn features(&self) -> usize {
        self.features.len() / self.images()
    }

    /// Whether the labels are known.
    pub fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    pub(crate) fn labels(&self) -> Option<&'a [usize]> {
        self.labels
    }

    /// The features of each image; none where none were given.
    pub(crate) fn feature_rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.features.chunks_exact(self.features().max(1))
    }

    /// The feature maps of all images; none where none were given.
    pub(crate) fn feature_maps(&self) -> &'a [f32] {
        self.feature_maps
    }

    /// The shifted features of each image; none where none were given.
    pub(crate) fn shifted_rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.shifted_features.chunks_exact(self.features().max(1))
    }

    pub(crate) fn logit_rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.logits.chunks_exact(self.classes)
    }
}
