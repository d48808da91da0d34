//! Fits scores beside ODIN to training images, and makes the summaries that they are fitted from.

use super::backend::{Backend, EngineOptions};
use super::cache::{OutputCache, network_key};
use super::collect::usable;
use super::detector::DetectorBuilder;
use super::run::Progress;
use crate::input::{Batches, InputPipeline, Reading};
use crate::model::features;
use crate::model::labels_of_classifier;
use crate::{Classifier, Error, ErrorKind, Images};
use odin_cpu::Output;
use odin_graph::odin::names;
use odin_scores::{
    Fitted, Head, Method, Parameters, Training, TrainingSummary, fit_summary, fit_with,
};
use std::collections::BTreeMap;

impl DetectorBuilder {
    /// Makes scores, fitting those that are fitted to what the network says of `training` images.
    /// Only the forward pass is run; memory is that of a [`TrainingSummary`] and grows with the
    /// number of images only for some scores. Where not all images have labels of the classifier's
    /// classes, the predicted classes stand in for them.
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
        let (head, summary) = self.summary_of(methods, training, progress)?;
        let (head, summary) = (head.as_ref(), summary.as_ref());
        Ok(fit_summary(&self.parameters, methods, head, summary)?)
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
        let (head, summary) = self.summary_of(methods, training, progress)?;
        each(&self.parameters, methods, head.as_ref(), summary.as_ref())
    }

    /// Runs images through the network for a summary of what these scores are fitted from. Each
    /// machine makes one of the images that it has, all for the same scores;
    /// [`TrainingSummary::merge`] joins them, and [`DetectorBuilder::fit_summary`] fits to all.
    ///
    /// Where not all of *these* images have labels of the classifier's classes, the predicted classes
    /// stand in for them; summaries with labels are not merged with others.
    ///
    /// ```
    /// # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    /// use odin::{Classifier, ClassifierOptions, Detector, Method, TrainingSummary};
    ///
    /// let model = demo.join("model.safetensors");
    /// let classifier = Classifier::open(model, ClassifierOptions::default())?;
    /// let images = classifier.open_images(demo.join("in.npy"))?;
    /// let builder = Detector::builder(&classifier);
    /// let methods = [Method::Vim, Method::Mahalanobis];
    ///
    /// let summary_of = |part| builder.clone().summarize(&methods, &images.range(part), |_| {});
    /// let mut summary = summary_of(0..100)?;
    /// let elsewhere = summary_of(100..200)?.to_bytes();
    /// summary.merge(&TrainingSummary::from_bytes(&elsewhere)?)?;
    ///
    /// let fitted = builder.clone().fit_summary(&methods, &summary)?;
    /// let detector = builder.fitted(fitted).build()?;
    /// assert_eq!(detector.score_names(), ["msp", "odin", "vim", "mahalanobis"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`DetectorBuilder::fit`], but for what the images do not determine.
    pub fn summarize(
        self,
        methods: &[Method],
        images: &Images,
        progress: impl FnMut(Progress),
    ) -> Result<TrainingSummary, Error> {
        let head = self.classifier.head_for(methods)?;
        self.summarize_with(methods, head.as_ref(), images, progress)
    }

    /// Makes scores from a summary, or a merge of several, made for them or for more by
    /// [`DetectorBuilder::summarize`].
    ///
    /// # Errors
    /// When the summary is of another network or was not made for one of these scores, and as
    /// [`DetectorBuilder::fit`].
    pub fn fit_summary(
        self,
        methods: &[Method],
        summary: &TrainingSummary,
    ) -> Result<Vec<Fitted>, Error> {
        self.check_network(summary)?;
        let head = self.classifier.head_for(methods)?;
        let head = head.as_ref();
        Ok(fit_summary(&self.parameters, methods, head, Some(summary))?)
    }

    /// As [`DetectorBuilder::fit_summary`], with what is wrong with each score apart.
    ///
    /// # Errors
    /// When the summary is of another network, or a score needs a last linear layer and the network
    /// has none.
    pub fn fit_summary_each(
        self,
        methods: &[Method],
        summary: &TrainingSummary,
    ) -> Result<Vec<Result<Fitted, Error>>, Error> {
        self.check_network(summary)?;
        let head = self.classifier.head_for(methods)?;
        each(&self.parameters, methods, head.as_ref(), Some(summary))
    }

    fn check_network(&self, summary: &TrainingSummary) -> Result<(), Error> {
        match *summary.network() == self.classifier.fingerprint() {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::OtherModel,
                "the summary of training images is of another network, or of one with other \
                 preprocessing; make one with this detector",
            )),
        }
    }

    /// The last layer, where a score needs it, and the summary of the images, where one does.
    fn summary_of(
        &self,
        methods: &[Method],
        images: Option<&Images>,
        progress: impl FnMut(Progress),
    ) -> Result<(Option<Head>, Option<TrainingSummary>), Error> {
        let head = self.classifier.head_for(methods)?;
        let needed = methods.iter().any(|method| method.needs_training());
        let summary = images
            .filter(|_| needed)
            .map(|images| self.summarize_with(methods, head.as_ref(), images, progress));
        let summary = summary.transpose()?;
        Ok((head, summary))
    }

    fn summarize_with(
        &self,
        methods: &[Method],
        head: Option<&Head>,
        images: &Images,
        mut progress: impl FnMut(Progress),
    ) -> Result<TrainingSummary, Error> {
        let (classifier, engine) = (&self.classifier, &self.engine);
        let (classes, features) = (classifier.classes(), head.map_or(0, Head::features));
        let summary = TrainingSummary::new(methods, classes, features);
        let backend = forward_engine(classifier, head.is_some(), engine)?;
        let mut forward = Forward {
            network: network_key(classifier, &backend.name()),
            engine: backend,
            input: InputPipeline::of(classifier),
            classes_of_labels: classes_of_labels(images, classifier),
            summary: summary.of_network(classifier.fingerprint()),
            cache: self.cache.clone(),
        };
        let mut batches = Batches::new(images, self.batch_size, engine.threads);
        let mut done = 0;
        while let Some(readings) = batches.next_batch() {
            done += readings.len();
            forward.take(images, readings, head)?;
            progress(Progress::new(done, images.len()));
        }
        Ok(forward.summary)
    }
}

/// Each score, or what is wrong with it. Together they share what several of them need.
fn each(
    parameters: &Parameters,
    methods: &[Method],
    head: Option<&Head>,
    summary: Option<&TrainingSummary>,
) -> Result<Vec<Result<Fitted, Error>>, Error> {
    let fit = |methods: &[Method]| fit_summary(parameters, methods, head, summary);
    if let Ok(fitted) = fit(methods) {
        return Ok(fitted.into_iter().map(Ok).collect());
    }
    let alone = |&method: &Method| fit(&[method]).map(|_| method);
    let checked: Vec<_> = methods.iter().map(alone).collect();
    let sound = checked.iter().filter_map(|c| c.as_ref().ok().copied());
    let mut fitted = fit(&sound.collect::<Vec<Method>>())?.into_iter();
    let each = checked.into_iter().map(|checked| match checked {
        Err(error) => Err(Error::from(error)),
        Ok(_) => fitted
            .next()
            .ok_or_else(|| Error::new(ErrorKind::Scores, "a score was left out of the fit")),
    });
    Ok(each.collect())
}

/// The class of the classifier that each label of the images is; `None` unless all have one.
fn classes_of_labels(images: &Images, classifier: &Classifier) -> Option<BTreeMap<usize, usize>> {
    let labels: Vec<Option<usize>> = (0..images.len()).map(|i| images.label(i)).collect();
    let classes = labels_of_classifier(&labels, images.class_names(), classifier).ok()?;
    Some(labels.into_iter().flatten().zip(classes).collect())
}

/// The network, and the summary of what it says of images.
struct Forward {
    engine: Backend,
    input: InputPipeline,
    classes_of_labels: Option<BTreeMap<usize, usize>>,
    summary: TrainingSummary,
    cache: Option<OutputCache>,
    /// What the cache knows it by.
    network: [u8; 32],
}

impl Forward {
    fn take(
        &mut self,
        images: &Images,
        readings: Vec<Reading>,
        head: Option<&Head>,
    ) -> Result<(), Error> {
        let samples = usable(images, readings, &self.input, &mut Vec::new())?;
        if samples.is_empty() {
            return Ok(());
        }
        let labels = self.classes_of_labels.as_ref().map(|classes| {
            let class = |label: Option<usize>| classes.get(&label?).copied();
            let labels = samples.iter().map(|sample| class(sample.label));
            labels.collect::<Option<Vec<usize>>>().ok_or_else(|| {
                let message = "an image has another label than its set says";
                Error::new(ErrorKind::Data, message).about(images.name())
            })
        });
        let labels = labels.transpose()?;
        let batch: Vec<_> = samples.into_iter().map(|sample| sample.image).collect();
        let pixels = self.input.normalize(&batch)?;
        let [logits, features] = match &self.cache {
            None => self.run(&pixels, batch.len(), head.is_some()),
            Some(cache) => self.run_cached(cache, &pixels, batch.len(), head.is_some()),
        }
        .map_err(|e| e.about(images.name()))?;
        let labels = labels.as_deref();
        let training = Training::new(&features, &logits, labels, self.summary.classes())?;
        Ok(self.summary.observe(&training, head)?)
    }

    /// Logits and, with a head, features of a batch.
    fn run(&self, pixels: &[f32], images: usize, with_head: bool) -> Result<[Vec<f32>; 2], Error> {
        let inputs = [(self.input.name.as_str(), pixels)];
        let mut outputs = self.engine.run(images, &inputs)?.into_iter();
        match (outputs.next(), outputs.next(), with_head) {
            (Some(Output::Float(logits)), Some(Output::Float(features)), true) => {
                Ok([logits, features])
            }
            (Some(Output::Float(logits)), None, false) => Ok([logits, Vec::new()]),
            _ => {
                let message = "the engine left out an output of the network";
                Err(Error::new(ErrorKind::Engine, message))
            }
        }
    }

    fn run_cached(
        &self,
        cache: &OutputCache,
        pixels: &[f32],
        images: usize,
        with_head: bool,
    ) -> Result<[Vec<f32>; 2], Error> {
        let kinds = [(names::LOGITS, &[][..]), (names::FEATURES, &[][..])];
        let kinds = &kinds[..1 + usize::from(with_head)];
        let width = (pixels.len() / images.max(1)).max(1);
        let inputs: Vec<&[f32]> = pixels.chunks_exact(width).collect();
        let compute = |batch: &[f32], images: usize| {
            let outputs = self.run(batch, images, with_head)?;
            let part = |values: &Vec<f32>, i: usize| {
                let width = values.len() / images;
                values[i * width..][..width].to_vec()
            };
            let of_image = |i: usize| {
                let kept = outputs[..kinds.len()].iter();
                kept.map(|values| part(values, i)).collect()
            };
            Ok((0..images).map(of_image).collect())
        };
        let outputs = cache.outputs(&self.network, &inputs, kinds, compute)?;
        let mut joined = [Vec::new(), Vec::new()];
        for of_image in outputs {
            for (all, values) in joined.iter_mut().zip(of_image) {
                all.extend(values);
            }
        }
        Ok(joined)
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
