//! Preprocessing: from decoded images to a batch of a network's input.

use crate::{Classifier, Error, ErrorKind, Layout, Normalization};
use odin_data::{Image, Transform};
use std::borrow::Cow;

/// How images become the input of a network.
#[derive(Debug, Clone)]
pub(crate) struct InputPipeline {
    /// The name of the graph's input.
    pub(crate) name: String,
    image_shape: [usize; 3],
    layout: Layout,
    normalization: Normalization,
    transform: Option<Transform>,
}

impl InputPipeline {
    pub(crate) fn of(classifier: &Classifier) -> Self {
        let input = classifier.graph().inputs().next();
        Self {
            name: input
                .map(|(_, input)| input.name.clone())
                .unwrap_or_default(),
            image_shape: classifier.image_shape(),
            layout: classifier.layout(),
            normalization: classifier.normalization().clone(),
            transform: classifier.transform().cloned(),
        }
    }

    /// Images as they were decoded, transformed as the model asks.
    ///
    /// # Errors
    /// When the transform cannot be applied to an image.
    pub(crate) fn transform<'a>(&self, decoded: &'a [Image]) -> Result<Cow<'a, [Image]>, Error> {
        let Some(transform) = &self.transform else {
            return Ok(Cow::Borrowed(decoded));
        };
        let images = decoded.iter().enumerate();
        let images = images.map(|(i, image)| Ok(transform.apply(image, i)?));
        images.collect::<Result<_, Error>>().map(Cow::Owned)
    }

    /// The batch, normalised, in the order of the network's input.
    ///
    /// # Errors
    /// When an image has not the shape that the network takes.
    pub(crate) fn normalize(&self, images: &[Image]) -> Result<Vec<f32>, Error> {
        let mut batch = Vec::with_capacity(images.len() * self.len());
        for (i, image) in images.iter().enumerate() {
            let about = |e: Error| e.about(format_args!("image {i} of the batch"));
            self.check_shape(image).map_err(about)?;
            self.normalization
                .apply(&image.pixels, self.layout, &mut batch);
        }
        Ok(batch)
    }

    /// The number of values of one image.
    pub(crate) fn len(&self) -> usize {
        self.image_shape.iter().product()
    }

    /// ε / std for each channel, in the network's units.
    pub(crate) fn step(&self, magnitude: f64) -> Vec<f32> {
        self.normalization.step(magnitude)
    }

    /// A gradient with respect to one image's input as one with respect to its pixels, CHW.
    pub(crate) fn pull_back(&self, gradient: &[f32]) -> Vec<f32> {
        self.normalization.pull_back(gradient, self.layout)
    }

    /// Adds `x̃ = x - step · s` of one image to a batch: what the graph of ODIN computes, bit for
    /// bit, since `step · s` is exact for a direction of +1 and -1.
    pub(crate) fn perturb(&self, x: &[f32], direction: &[f32], step: &[f32], batch: &mut Vec<f32>) {
        let channels = step.len();
        let area = x.len() / channels.max(1);
        let moved = |(x, s): (&f32, &f32), step: f32| x - s * step;
        let pairs = x.iter().zip(direction);
        match self.layout.channels_last() {
            true => batch.extend(
                pairs
                    .zip(step.iter().cycle())
                    .map(|(p, &step)| moved(p, step)),
            ),
            false => {
                let steps = step
                    .iter()
                    .flat_map(|&step| std::iter::repeat_n(step, area));
                batch.extend(pairs.zip(steps).map(|(p, step)| moved(p, step)));
            }
        }
    }

    /// Whether an image has the shape that the network takes.
    ///
    /// # Errors
    /// When it has not; the message gives both.
    pub(crate) fn check_shape(&self, image: &Image) -> Result<(), Error> {
        self.check_values(
            [image.channels, image.height, image.width],
            image.pixels.len(),
        )
    }

    /// The same of an image that has not been read.
    pub(crate) fn check_size(&self, size: [usize; 3]) -> Result<(), Error> {
        let values = size.iter().copied().fold(1, usize::saturating_mul);
        self.check_values(size, values)
    }

    /// `found` is `[C, H, W]`.
    fn check_values(&self, found: [usize; 3], values: usize) -> Result<(), Error> {
        let ([c, h, w], [fc, fh, fw]) = (self.image_shape, found);
        let fits = match self.layout {
            Layout::Nchw | Layout::Nhwc => found == [c, h, w],
            // Which of the other axes are channels and which rows makes no difference.
            Layout::Nf => true,
            _ => fw == w,
        };
        let expected = self.image_shape.iter().product::<usize>();
        let area = found.iter().copied().fold(1, usize::saturating_mul);
        if fits && values == expected && area == expected {
            return Ok(());
        }
        if self.layout == Layout::Nf {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the image is {fh}x{fw} (height x width) with {}, {} values; the network takes vectors of {expected}",
                    channels(fc),
                    values
                ),
            ));
        }
        if matches!(self.layout, Layout::Ncl | Layout::Nlc) {
            let found = channels(fc.saturating_mul(fh));
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the signal has {found} and {fw} positions, the network takes {} and {w} positions",
                    channels(c)
                ),
            ));
        }
        // Files are decoded to the channels of the network: those say nothing of the file.
        let with = |count: usize| match fc == c {
            true => String::new(),
            false => format!(" with {}", channels(count)),
        };
        Err(Error::new(
            ErrorKind::Shape,
            format!(
                "the image is {fh}x{fw} (height x width){}, the network takes {h}x{w}{}",
                with(fc),
                with(c)
            ),
        ))
    }
}

fn channels(count: usize) -> String {
    match count {
        1 => "1 channel".to_string(),
        count => format!("{count} channels"),
    }
}

impl Classifier {
    /// Whether an image has the shape that the network takes.
    ///
    /// # Errors
    /// When it has not; the message gives both.
    pub fn check_shape(&self, image: &Image) -> Result<(), Error> {
        InputPipeline::of(self).check_shape(image)
    }
}
