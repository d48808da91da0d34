//! Fits scores beside ODIN to training images, and makes the summaries that they are fitted from.

use super::backend::{Backend, EngineOptions};
use super::cache::{Kind, OutputCache, Outputs, network_key, of_images, shift_key};
use super::collect::usable;
use super::detector::DetectorBuilder;
use super::run::Progress;
use crate::input::{Batches, InputPipeline, Reading};
use crate::model::{add_needed, features, labels_of_classifier};
use crate::{Classifier, Error, ErrorKind, Images, Precision};
use odin_cpu::Output;
use odin_graph::odin::names;
use odin_scores::{
    Fitted, Head, Method, Needs, Parameters, Training, TrainingSummary, fit_summary,
    fit_summary_each, fit_with,
};
use std::collections::BTreeMap;

impl DetectorBuilder {
    /// Makes scores, fitting those that are fitted to what the network says of `training` images.
    /// Only the forward pass is run, except for AdaSCALE; memory is that of a [`TrainingSummary`] and
    /// grows with the number of images only for some scores. Where not all images have labels of the
    /// classifier's classes, the predicted classes stand in for them.
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
        self.check(methods)?;
        let (head, summary) = self.summary_of(methods, training, progress)?;
        let (head, summary) = (head.as_ref(), summary.as_ref());
        let fitted = fit_summary(&self.parameters, methods, head, summary)?;
        Ok(self.of_network(fitted))
    }

    /// Adds the scores that cost nothing beside ODIN and need nothing but logits, unless they are
    /// computed already: max logit, max minus mean logit, energy, entropy, GEN; of multi-label
    /// networks max logit and JointEnergy.
    ///
    /// # Errors
    /// When a parameter is out of its range.
    pub fn free_scores(mut self) -> Result<Self, Error> {
        const FREE: [Method; 6] = [
            Method::MaxLogit,
            Method::MaxMinusMean,
            Method::Energy,
            Method::JointEnergy,
            Method::Entropy,
            Method::Gen,
        ];
        let fitted = &self.scorers.fitted;
        let known: Vec<Method> = fitted.iter().map(Fitted::method).collect();
        let possible = |method: &Method| self.classifier.check_labels(*method).is_ok();
        let new = FREE.into_iter().filter(|m| !known.contains(m));
        let new: Vec<Method> = new.filter(possible).collect();
        let fitted = self.of_network(fit_with(&self.parameters, &new, None, None)?);
        self.scorers.fitted.extend(fitted);
        Ok(self)
    }

    /// As [`DetectorBuilder::fit`], with what is wrong with each score apart.
    ///
    /// # Errors
    /// When the training images cannot be run through the network, or are not what its last linear
    /// layer says of them.
    pub fn fit_each(
        self,
        methods: &[Method],
        training: Option<&Images>,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<Result<Fitted, Error>>, Error> {
        self.each_possible(methods, |possible| {
            let (head, summary) = self.summary_of(possible, training, progress)?;
            each(&self.parameters, possible, head.as_ref(), summary.as_ref())
        })
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

    /// # Errors
    /// When the network has not what one of these scores is computed from.
    fn check(&self, methods: &[Method]) -> Result<(), Error> {
        let checked = |&method: &Method| self.classifier.check_score(method);
        methods.iter().try_for_each(checked)
    }

    /// What `fit` makes of the scores that the network has all for, and what it lacks for the others.
    fn each_possible(
        &self,
        methods: &[Method],
        fit: impl FnOnce(&[Method]) -> Result<Vec<Result<Fitted, Error>>, Error>,
    ) -> Result<Vec<Result<Fitted, Error>>, Error> {
        let check = |&method: &Method| self.classifier.check_score(method).map(|()| method);
        let checked: Vec<_> = methods.iter().map(check).collect();
        let possible = checked.iter().flatten().copied();
        let fitted = fit(&possible.collect::<Vec<Method>>())?.into_iter();
        let facts = self.classifier.facts();
        let mut fitted = fitted.map(|score| Ok(score?.for_network(&facts)));
        let each = checked.into_iter().map(|checked| {
            checked?;
            fitted.next().unwrap_or_else(|| Err(left_out()))
        });
        Ok(each.collect())
    }

    /// With warnings of what is known of the network.
    fn of_network(&self, fitted: Vec<Fitted>) -> Vec<Fitted> {
        let facts = self.classifier.facts();
        let fitted = fitted.into_iter();
        fitted.map(|score| score.for_network(&facts)).collect()
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
        self.check(methods)?;
        let head = self.classifier.head_for(methods)?;
        let head = head.as_ref();
        let fitted = fit_summary(&self.parameters, methods, head, Some(summary))?;
        Ok(self.of_network(fitted))
    }

    /// As [`DetectorBuilder::fit_summary`], with what is wrong with each score apart.
    ///
    /// # Errors
    /// When the summary is of another network, or a parameter is out of its range.
    pub fn fit_summary_each(
        self,
        methods: &[Method],
        summary: &TrainingSummary,
    ) -> Result<Vec<Result<Fitted, Error>>, Error> {
        self.check_network(summary)?;
        self.each_possible(methods, |possible| {
            let head = self.classifier.head_for(possible)?;
            each(&self.parameters, possible, head.as_ref(), Some(summary))
        })
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

    /// What these scores are fitted to, beside logits; all features where there is a last layer.
    fn needs_of_fit(&self, methods: &[Method], features: bool) -> Needs {
        let fitted = |needed: fn(Method) -> bool| {
            let mut methods = methods.iter();
            methods.any(|&method| method.needs_training() && needed(method))
        };
        let mut needs = Needs::LOGITS;
        needs.features = features;
        needs.feature_map = fitted(Method::needs_feature_map);
        needs.shift = fitted(Method::needs_shift).then(|| self.parameters.shift());
        needs
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
        let summary = summary.with_parameters(&self.parameters);
        let needs = self.needs_of_fit(methods, head.is_some());
        let precision = self.setting.precision;
        let backend = forward_engine(classifier, needs, engine, precision)?;
        let mut forward = Forward {
            network: network_key(classifier, &backend, precision),
            engine: backend,
            needs,
            shift: shift_key(needs),
            input: InputPipeline::of(classifier),
            classes_of_labels: classes_of_labels(images, classifier),
            summary: summary.of_network(classifier.fingerprint()),
            cache: self.cache.clone(),
        };
        let mut batches = Batches::new(images, self.engine.batch_size, engine.threads);
        let mut done = 0;
        while let Some(readings) = batches.next_batch() {
            done += readings.len();
            forward.take(images, readings, head)?;
            progress(Progress::new(done, images.len()));
        }
        Ok(forward.summary)
    }
}

fn left_out() -> Error {
    Error::new(ErrorKind::Scores, "a score was left out of the fit")
}

/// Each score, or what is wrong with it.
fn each(
    parameters: &Parameters,
    methods: &[Method],
    head: Option<&Head>,
    summary: Option<&TrainingSummary>,
) -> Result<Vec<Result<Fitted, Error>>, Error> {
    let each = fit_summary_each(parameters, methods, head, summary)?.into_iter();
    Ok(each.map(|score| score.map_err(Error::from)).collect())
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
    /// What the engine gives beside the logits.
    needs: Needs,
    /// What shifted features depend on.
    shift: Vec<f32>,
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
        let outputs = match &self.cache {
            None => self.run(&pixels, batch.len()),
            Some(cache) => self.run_cached(cache, &pixels, batch.len()),
        }
        .map_err(|e| e.about(images.name()))?;
        let kinds = self.kinds();
        let named = |name: &str| {
            let mut named = kinds.iter().zip(&outputs);
            let found = named.find(|((own, _), _)| *own == name);
            found.map_or(&[][..], |(_, values)| &values[..])
        };
        let (logits, features) = (named(names::LOGITS), named(names::FEATURES));
        let labels = labels.as_deref();
        let mut training = Training::new(features, logits, labels, self.summary.classes())?;
        if self.needs.feature_map {
            training = training.with_feature_maps(named(names::FEATURE_MAP))?;
        }
        if self.needs.shift.is_some() {
            training = training.with_shifted_features(named(names::SHIFTED_FEATURES))?;
        }
        Ok(self.summary.observe(&training, head)?)
    }

    /// The engine's outputs.
    fn kinds(&self) -> Vec<Kind<'_>> {
        let (needs, nothing) = (self.needs, &[][..]);
        let kinds = [
            (true, (names::LOGITS, nothing)),
            (needs.features, (names::FEATURES, nothing)),
            (needs.feature_map, (names::FEATURE_MAP, nothing)),
            (
                needs.shift.is_some(),
                (names::SHIFTED_FEATURES, &self.shift[..]),
            ),
        ];
        let kinds = kinds.into_iter().filter(|(needed, _)| *needed);
        kinds.map(|(_, kind)| kind).collect()
    }

    /// The outputs of a batch.
    fn run(&self, pixels: &[f32], images: usize) -> Result<Outputs, Error> {
        let inputs = [(self.input.name.as_str(), pixels)];
        let outputs = self.engine.run(images, &inputs)?.into_iter();
        let values = outputs.map(|output| match output {
            Output::Float(values) => Some(values),
            _ => None,
        });
        let values: Option<Outputs> = values.collect();
        let expected = self.kinds().len();
        values.filter(|all| all.len() == expected).ok_or_else(|| {
            let message = "the engine left out an output of the network";
            Error::new(ErrorKind::Engine, message)
        })
    }

    fn run_cached(
        &self,
        cache: &OutputCache,
        pixels: &[f32],
        images: usize,
    ) -> Result<Outputs, Error> {
        let kinds = self.kinds();
        let width = (pixels.len() / images.max(1)).max(1);
        let inputs: Vec<&[f32]> = pixels.chunks_exact(width).collect();
        let compute = |batch: &[f32], images: usize| {
            let outputs = self.run(batch, images)?;
            let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
            Ok(of_images(&outputs, images))
        };
        let outputs = cache.outputs(&self.network, &inputs, &kinds, compute)?;
        let mut joined = vec![Vec::new(); kinds.len()];
        for of_image in outputs {
            for (all, values) in joined.iter_mut().zip(of_image) {
                all.extend(values);
            }
        }
        Ok(joined)
    }
}

/// The network alone: its logits, and what is asked for besides.
fn forward_engine(
    classifier: &Classifier,
    needs: Needs,
    options: &EngineOptions,
    precision: Precision,
) -> Result<Backend, Error> {
    let mut graph = classifier.graph().clone();
    if needs != Needs::LOGITS {
        // The classifier's own outputs may have any name.
        let outputs = graph.outputs().to_vec();
        graph.clear_outputs();
        for logits in outputs {
            graph.output(names::LOGITS, logits.value);
        }
        if needs.features {
            graph.output(names::FEATURES, features(classifier)?);
        }
        add_needed(&mut graph, classifier, needs)?;
    }
    Backend::new(&graph, options, precision)
}
