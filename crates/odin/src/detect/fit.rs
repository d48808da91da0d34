//! Fits scores beside ODIN to training images.

use super::backend::{Backend, EngineOptions};
use super::collect::usable;
use super::detector::DetectorBuilder;
use super::run::Progress;
use crate::input::{Batches, InputPipeline, Reading};
use crate::model::features;
use crate::model::labels_of_classifier;
use crate::{Classifier, Error, ErrorKind, Images};
use odin_cpu::Output;
use odin_graph::odin::names;
use odin_scores::{Fitted, Head, Method, Training, fit_with};

impl DetectorBuilder {
    /// Makes scores, fitting those that are fitted to what the network says of `training` images.
    /// Only the forward pass is run; memory grows with the number of images by their features and
    /// logits. Where not all images have labels of the classifier's classes, the predicted classes
    /// stand in for them.
    ///
    /// # Errors
    /// When a score needs training images and there are none, or their labels, or a last linear
    /// layer, and the network has none; when an image does not decode (unless such are skipped)
    /// or has the wrong shape; and as [`DetectorBuilder::build`].
    pub fn fit(
        self,
        methods: &[Method],
        training: Option<&Images>,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<Fitted>, Error> {
        let parameters = self.parameters;
        self.fit_by(methods, training, progress, |head, training| {
            Ok(fit_with(&parameters, methods, head, training)?)
        })
    }

    /// Adds the scores that cost nothing beside ODIN and need nothing but logits, unless they are
    /// computed already: max logit, max minus mean logit, energy, entropy, GEN.
    ///
    /// # Errors
    /// When a parameter is out of its range.
    pub fn free_scores(mut self) -> Result<Self, Error> {
        const FREE: [Method; 5] = [
            Method::MaxLogit,
            Method::MaxMinusMean,
            Method::Energy,
            Method::Entropy,
            Method::Gen,
        ];
        let fitted = &mut self.scorers.fitted;
        let known: Vec<Method> = fitted.iter().map(Fitted::method).collect();
        let new: Vec<Method> = FREE.into_iter().filter(|m| !known.contains(m)).collect();
        fitted.extend(fit_with(&self.parameters, &new, None, None)?);
        Ok(self)
    }

    /// As [`DetectorBuilder::fit`], with what is wrong with each score apart.
    ///
    /// # Errors
    /// When the training images cannot be run through the network, or a score needs a last linear
    /// layer and the network has none.
    pub fn fit_each(
        self,
        methods: &[Method],
        training: Option<&Images>,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<Result<Fitted, Error>>, Error> {
        let parameters = self.parameters;
        let fit = |methods: &[Method], head: Option<&Head>, training: Option<&Training<'_>>| {
            fit_with(&parameters, methods, head, training)
        };
        self.fit_by(methods, training, progress, |head, training| {
            let alone = |&method: &Method| fit(&[method], head, training).map(|_| method);
            if let Ok(fitted) = fit(methods, head, training) {
                return Ok(fitted.into_iter().map(Ok).collect());
            }
            let checked: Vec<_> = methods.iter().map(alone).collect();
            // Together they share what several of them need.
            let sound: Vec<Method> = checked
                .iter()
                .filter_map(|c| c.as_ref().ok().copied())
                .collect();
            let mut fitted = fit(&sound, head, training)?.into_iter();
            let each = checked
                .into_iter()
                .map(|checked| match (checked, &mut fitted) {
                    (Err(error), _) => Err(Error::from(error)),
                    (Ok(_), fitted) => fitted.next().ok_or_else(|| {
                        Error::new(ErrorKind::Scores, "a score was left out of the fit")
                    }),
                });
            Ok(each.collect())
        })
    }

    /// Runs training images through the network, where a score needs them, for `fit`.
    fn fit_by<T>(
        self,
        methods: &[Method],
        training: Option<&Images>,
        mut progress: impl FnMut(Progress),
        fit: impl FnOnce(Option<&Head>, Option<&Training<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (classifier, engine) = (&self.classifier, &self.engine);
        let head = classifier.head_for(methods)?;
        let needed = methods.iter().any(|method| method.needs_training());
        let Some(images) = training.filter(|_| needed) else {
            return fit(head.as_ref(), None);
        };
        let mut forward = Forward {
            engine: forward_engine(classifier, head.is_some(), engine)?,
            input: InputPipeline::of(classifier),
            has_features: head.is_some(),
            features: Vec::new(),
            logits: Vec::new(),
            labels: Vec::new(),
        };
        let mut batches = Batches::new(images, self.batch_size, engine.threads);
        let mut done = 0;
        while let Some(readings) = batches.next_batch() {
            done += readings.len();
            forward.take(images, readings)?;
            progress(Progress::new(done, images.len()));
        }
        let names = images.class_names();
        let labels = labels_of_classifier(&forward.labels, names, classifier).ok();
        let training = Training::new(
            &forward.features,
            &forward.logits,
            labels.as_deref(),
            classifier.classes(),
        )?;
        fit(head.as_ref(), Some(&training))
    }
}

/// What the network says of images, collected.
struct Forward {
    engine: Backend,
    input: InputPipeline,
    has_features: bool,
    features: Vec<f32>,
    logits: Vec<f32>,
    labels: Vec<Option<usize>>,
}

impl Forward {
    fn take(&mut self, images: &Images, readings: Vec<Reading>) -> Result<(), Error> {
        let mut batch = Vec::with_capacity(readings.len());
        for sample in usable(images, readings, &self.input, &mut Vec::new())? {
            self.labels.push(sample.label);
            batch.push(sample.image);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let pixels = self.input.normalize(&batch)?;
        let inputs = [(self.input.name.as_str(), &pixels[..])];
        let outputs = self.engine.run(batch.len(), &inputs);
        let mut outputs = outputs.map_err(|e| e.about(images.name()))?.into_iter();
        let (logits, features) = (outputs.next(), outputs.next());
        match (logits, features, self.has_features) {
            (Some(Output::Float(logits)), Some(Output::Float(features)), true) => {
                self.logits.extend(logits);
                self.features.extend(features);
            }
            (Some(Output::Float(logits)), None, false) => self.logits.extend(logits),
            _ => {
                let message = "the engine left out an output of the network";
                return Err(Error::new(ErrorKind::Engine, message));
            }
        }
        Ok(())
    }
}

/// The network alone: its logits, and the input of its last linear layer if asked for.
fn forward_engine(
    classifier: &Classifier,
    with_features: bool,
    options: &EngineOptions,
) -> Result<Backend, Error> {
    let mut graph = classifier.graph().clone();
    if with_features {
        // The classifier's own outputs may have any name.
        let outputs = graph.outputs().to_vec();
        graph.clear_outputs();
        for logits in outputs {
            graph.output(names::LOGITS, logits.value);
        }
        graph.output(names::FEATURES, features(classifier)?);
    }
    Backend::new(&graph, options)
}
