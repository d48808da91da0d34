//! The images of a set, transformed for a network, and subsets of them.

use super::parts::stratified_order;
use super::pipeline::InputPipeline;
use crate::{Classifier, Error, ErrorKind};
use odin_data::{
    DataSet, NoiseKind, OpenOptions, Sample, Synthetic, SyntheticKind, Transformed, noise,
};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Images of a set, seen as a network takes them. They come from a [`Classifier`], which knows how:
/// its transform is applied to each when it is read. A clone shares the set.
///
/// ```
/// # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
/// let classifier = odin::Classifier::open(
///     demo.join("model.safetensors"),
///     odin::ClassifierOptions::default(),
/// )?;
/// let images = classifier.open_images(demo.join("in.npy"))?;
/// let (tune, test) = images.at_most(100, 0).split(30, 0);
/// assert_eq!((tune.len(), test.len()), (30, 70));
/// # Ok::<(), odin::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "it is a detector that scores them"]
pub struct Images {
    set: Arc<dyn DataSet>,
    name: String,
    positions: Positions,
    skip_bad: bool,
    /// What takes them, where that is known.
    input: Option<Arc<InputPipeline>>,
}

/// Places in a set, in the order in which images are read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Positions {
    Range(Range<usize>),
    These(Arc<[usize]>),
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images")
            .field("set", &self.name)
            .field("images", &self.len())
            .field("skip_bad", &self.skip_bad)
            .finish()
    }
}

impl Classifier {
    /// Opens what lies at a path as the network takes it: a folder of images, with or without
    /// folders for classes, an image, a tar or zip archive of such a folder, CIFAR, MNIST-style and
    /// SVHN files, `.npy` and `.npz` arrays, a list of images with labels.
    ///
    /// # Errors
    /// When there is no set at the path that could be this network's.
    pub fn open_images(&self, path: impl AsRef<Path>) -> Result<Images, Error> {
        let set = odin_data::open(path.as_ref(), &self.open_options())?;
        Ok(self.images(set))
    }

    /// How sets are opened for this network: its number of channels, and what tells the axes of
    /// arrays from each other.
    pub fn open_options(&self) -> OpenOptions {
        let shape = self.image_shape();
        let mut options = OpenOptions::default();
        if !self.takes_any_shape() {
            options.channels = Some(shape[0]);
            options.shape = Some(shape);
        }
        options.measurements = self.takes_measurements();
        options
    }

    /// The images of a set, to each of which the model's transform is applied.
    pub fn images(&self, set: Box<dyn DataSet>) -> Images {
        self.taking(match self.transform() {
            Some(transform) => Arc::new(Transformed::new(set, transform.clone())),
            None => Arc::from(set),
        })
    }

    /// The images of a set that is made for this network: they get no transform.
    pub fn prepared_images(&self, set: impl DataSet + 'static) -> Images {
        self.taking(Arc::new(set))
    }

    fn taking(&self, set: Arc<dyn DataSet>) -> Images {
        Images {
            input: Some(Arc::new(InputPipeline::of(self))),
            ..Images::of(set)
        }
    }

    /// `count` images of noise of the network's shape.
    ///
    /// # Errors
    /// When the count is 0, or so many images have no place in memory.
    pub fn noise(&self, kind: NoiseKind, count: usize, seed: u64) -> Result<Images, Error> {
        let [channels, height, width] = self.image_shape();
        let set = noise(kind, channels, height, width, count, seed)?;
        Ok(self.prepared_images(set))
    }
}

impl Images {
    pub(crate) fn of(set: Arc<dyn DataSet>) -> Self {
        Self {
            name: set.name().to_string(),
            positions: Positions::Range(0..set.len()),
            skip_bad: false,
            input: None,
            set,
        }
    }

    /// What reports and errors call the set: its own name, unless set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same under another name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Whether an image that cannot be read is left out (and reported) instead of ending the run.
    pub fn skip_bad(mut self, skip_bad: bool) -> Self {
        self.skip_bad = skip_bad;
        self
    }

    pub(crate) fn skips_bad(&self) -> bool {
        self.skip_bad
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.positions {
            Positions::Range(range) => range.len(),
            Positions::These(positions) => positions.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the classes that labels index, where the set has them.
    pub fn class_names(&self) -> Option<&[String]> {
        self.set.class_names()
    }

    /// What a user should know about how the set was read.
    pub fn notes(&self) -> &[String] {
        self.set.notes()
    }

    /// The place of the `i`-th of these images in its set.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn position(&self, i: usize) -> usize {
        match &self.positions {
            Positions::Range(range) => range.start + i,
            Positions::These(positions) => positions[i],
        }
    }

    /// The name of the `i`-th image, relative to the set's root.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn image_name(&self, i: usize) -> String {
        self.set.sample_name(self.position(i))
    }

    /// The label of the `i`-th image, where the set has labels.
    pub(crate) fn label(&self, i: usize) -> Option<usize> {
        self.set.label(self.position(i))
    }

    /// Reads the `i`-th image, as the network sees it before normalisation.
    ///
    /// # Errors
    /// When it cannot be read.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn get(&self, i: usize) -> Result<Sample, Error> {
        let place = self.position(i);
        // A set that knows the size need not be read to be refused.
        if let (Some(input), Some(size)) = (&self.input, self.set.size(place)) {
            input.check_size(size)?;
        }
        Ok(self.set.get(place)?)
    }

    /// Those of these in a range; what lies behind the end is left out.
    pub fn range(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        self.with(match &self.positions {
            Positions::Range(own) => Positions::Range(own.start + start..own.start + end),
            Positions::These(own) => Positions::These(own[start..end].into()),
        })
    }

    /// Those at these places among these images, in this order; what lies behind the end is left
    /// out.
    pub fn these(&self, places: impl IntoIterator<Item = usize>) -> Self {
        let places = places.into_iter().filter(|&place| place < self.len());
        self.with(Positions::These(places.map(|i| self.position(i)).collect()))
    }

    fn with(&self, positions: Positions) -> Self {
        Self {
            positions,
            ..self.clone()
        }
    }

    /// At most `count` of them, as evenly over the classes as they are
    /// ([`stratified_order`]); they stay in the order of the set.
    pub fn at_most(&self, count: usize, seed: u64) -> Self {
        match count >= self.len() {
            true => self.clone(),
            false => self.split(count, seed).0,
        }
    }

    /// Two parts, the first of `count` images, both as evenly over the classes as the whole
    /// ([`stratified_order`]); each stays in the order of the set.
    pub fn split(&self, count: usize, seed: u64) -> (Self, Self) {
        let mut first = self.order(seed);
        let mut second = first.split_off(count.min(first.len()));
        first.sort_unstable();
        second.sort_unstable();
        (self.these(first), self.these(second))
    }

    fn order(&self, seed: u64) -> Vec<usize> {
        stratified_order(self.len(), |i| self.label(i), |i| self.image_name(i), seed)
    }

    /// An out-of-distribution set made of these images, for those who have no other.
    ///
    /// # Errors
    /// When there are too few images for it.
    pub fn synthetic(&self, kind: SyntheticKind, seed: u64) -> Result<Self, Error> {
        let origin: Arc<dyn DataSet> = Arc::new(Part(self.clone()));
        let set = Synthetic::new(origin, 0..self.len(), kind, seed)?;
        Ok(Self::of(Arc::new(set)))
    }

    /// Noise of as many images, of the shape of the first.
    ///
    /// # Errors
    /// When there is no image, or the first cannot be read.
    pub fn noise_like(&self, kind: NoiseKind, seed: u64) -> Result<Self, Error> {
        if self.is_empty() {
            return Err(self.none_left(&[""; 0]));
        }
        let first = self.get(0)?.image;
        let set = noise(
            kind,
            first.channels,
            first.height,
            first.width,
            self.len(),
            seed,
        )?;
        Ok(Self::of(Arc::new(set)))
    }

    /// The error of a run that found no image to score, but for some that it skipped.
    pub(crate) fn none_left(&self, skipped: &[impl fmt::Display]) -> Error {
        let mut problem = format!(
            "{}: there is no image to score ({} were asked for, {} could not be read)",
            self.name,
            self.len(),
            skipped.len(),
        );
        if let Some(first) = skipped.first() {
            problem += &format!("; the first, {first}");
        }
        Error::new(ErrorKind::Data, problem)
    }
}

/// Some images of a set as a set.
struct Part(Images);

impl DataSet for Part {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.0.class_names()
    }

    fn sample_name(&self, i: usize) -> String {
        match i < self.len() {
            true => self.0.image_name(i),
            false => String::new(),
        }
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.0.label(i)
    }

    fn get(&self, i: usize) -> Result<Sample, odin_data::Error> {
        self.check_index(i)?;
        self.0.set.get(self.0.position(i))
    }

    fn notes(&self) -> &[String] {
        self.0.notes()
    }
}
