use crate::detector_file::Outcome;
use crate::{Classifier, Error, ErrorKind, Layout, Normalization};
use odin_cpu::{Engine, Output};
use odin_data::Image;
use odin_graph::odin::{names, transform};

/// What the detector says of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Score {
    /// The predicted class: argmax of the logits.
    pub prediction: usize,
    /// The baseline: the maximum softmax probability at T = 1.
    pub msp: f64,
    /// The ODIN score: the maximum softmax probability at temperature T of the perturbed
    /// image.
    pub odin: f64,
}

/// A classifier with ODIN built into it, ready to score images.
pub struct Detector {
    engine: Engine,
    input: String,
    image_shape: [usize; 3],
    layout: Layout,
    classes: usize,
    normalization: Normalization,
    temperature: f64,
    batch_size: usize,
}

/// Settings of a [`Detector`].
pub struct DetectorBuilder<'a> {
    classifier: &'a Classifier,
    temperature: f64,
    threads: usize,
    batch_size: usize,
}

impl DetectorBuilder<'_> {
    /// The temperature T of both the perturbation and the score; 1000 unless set.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// How many images are worked on at once; 1 unless set. The scores do not depend on it.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How many images of a set are read before they are scored; 32 unless set. The scores do
    /// not depend on it.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Prepares the network.
    ///
    /// # Errors
    /// When a setting is out of its range, or an operator of the network has no gradient.
    pub fn build(self) -> Result<Detector, Error> {
        let t = self.temperature;
        let in_f32 = (t as f32).is_finite() && t as f32 > 0.0;
        if !in_f32 {
            return Err(invalid(format!(
                "the temperature must be positive and finite, it is {t}"
            )));
        }
        if self.threads == 0 || self.batch_size == 0 {
            return Err(invalid("threads and batch size must be at least 1"));
        }
        let classifier = self.classifier;
        let input = classifier
            .graph()
            .inputs()
            .next()
            .map(|(_, i)| i.name.clone());
        let graph = transform(classifier.graph(), classifier.layout().channel_axis())?;
        Ok(Detector {
            engine: Engine::new(&graph, self.threads)?,
            input: input.unwrap_or_default(),
            image_shape: classifier.image_shape(),
            layout: classifier.layout(),
            classes: classifier.classes(),
            normalization: classifier.normalization().clone(),
            temperature: t,
            batch_size: self.batch_size,
        })
    }
}

impl Detector {
    /// A detector for this classifier at T = 1000.
    pub fn builder(classifier: &Classifier) -> DetectorBuilder<'_> {
        DetectorBuilder {
            classifier,
            temperature: 1000.0,
            threads: 1,
            batch_size: 32,
        }
    }

    /// The temperature T.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Scores images, perturbing each by ε = `magnitude`, in units of the [0, 1] pixel scale.
    ///
    /// # Errors
    /// When ε is negative or not finite, an image has not the shape that the network takes, or
    /// a score is not a number.
    pub fn score(&self, images: &[Image], magnitude: f64) -> Result<Vec<Score>, Error> {
        let outcomes = self.run(images, magnitude)?;
        let scores = outcomes.into_iter().map(|outcome| Score {
            prediction: outcome.prediction,
            msp: outcome.msp,
            odin: outcome.odin,
        });
        Ok(scores.collect())
    }

    /// As [`Detector::score`], with the logits.
    pub(crate) fn run(&self, images: &[Image], magnitude: f64) -> Result<Vec<Outcome>, Error> {
        if !(magnitude.is_finite() && magnitude >= 0.0) {
            return Err(invalid(format!(
                "the magnitude must be a number from 0, it is {magnitude}"
            )));
        }
        let batch = self.normalize(images)?;
        let temperature = [self.temperature as f32];
        let step = self.step(magnitude);
        let inputs = [
            (self.input.as_str(), &batch[..]),
            (names::TEMPERATURE, &temperature[..]),
            (names::STEP, &step[..]),
        ];
        let outputs = self.engine.run(images.len(), &inputs)?;
        let [
            Output::Float(logits),
            Output::Int(predictions),
            _,
            Output::Float(perturbed),
        ] = &outputs[..]
        else {
            return Err(Error::new(
                ErrorKind::Engine,
                "the engine left out an output of ODIN",
            ));
        };
        let rows = logits
            .chunks_exact(self.classes)
            .zip(perturbed.chunks_exact(self.classes));
        let outcomes = rows.zip(predictions).enumerate();
        outcomes
            .map(|(i, ((logits, perturbed), &prediction))| {
                let outcome = Outcome {
                    logits: logits.to_vec(),
                    prediction: prediction as usize,
                    msp: max_softmax(logits, 1.0),
                    odin: max_softmax(perturbed, self.temperature),
                };
                match outcome.msp.is_finite() && outcome.odin.is_finite() {
                    true => Ok(outcome),
                    false => Err(Error::new(
                        ErrorKind::NotFinite,
                        format!("image {i} of the batch: the network's logits are not finite numbers; check the weights and the normalisation"),
                    )),
                }
            })
            .collect()
    }

    /// The batch, normalised, in the order of the network's input.
    fn normalize(&self, images: &[Image]) -> Result<Vec<f32>, Error> {
        let mut batch =
            Vec::with_capacity(images.len() * self.image_shape.iter().product::<usize>());
        for image in images {
            self.check_shape(image)?;
            self.normalization
                .apply(&image.pixels, self.layout, &mut batch);
        }
        Ok(batch)
    }

    pub(crate) fn check_shape(&self, image: &Image) -> Result<(), Error> {
        let found = [image.channels, image.height, image.width];
        let ([c, h, w], [fc, fh, fw]) = (self.image_shape, found);
        let fits = match self.layout {
            Layout::Nchw | Layout::Nhwc => found == [c, h, w],
            // Which of the other axes are channels and which rows makes no difference.
            Layout::Nf => true,
            _ => fw == w,
        };
        let expected = self.image_shape.iter().product::<usize>();
        if fits && image.pixels.len() == expected && found.iter().product::<usize>() == expected {
            return Ok(());
        }
        if self.layout == Layout::Nf {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the image is {fw}x{fh} with {fc} channels, {} values; the network takes vectors of {expected}",
                    image.pixels.len()
                ),
            ));
        }
        Err(Error::new(
            ErrorKind::Shape,
            format!(
                "the image is {fw}x{fh} with {fc} channels, the network takes {w}x{h} with {c}; images are only resized when asked to (--transform resize:{h}x{w})"
            ),
        ))
    }

    /// ε / std for each channel.
    fn step(&self, magnitude: f64) -> Vec<f32> {
        let std = self.normalization.std().iter();
        std.map(|&std| (magnitude / f64::from(std)) as f32)
            .collect()
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// `max_i softmax(z / T)_i`, in f64: at T = 1000 the scores of a set span a thousandth, which
/// f32 cannot tell apart.
fn max_softmax(logits: &[f32], temperature: f64) -> f64 {
    let scaled = || logits.iter().map(|&z| f64::from(z) / temperature);
    let max = scaled().fold(f64::NEG_INFINITY, f64::max);
    1.0 / scaled().map(|z| (z - max).exp()).sum::<f64>()
}
