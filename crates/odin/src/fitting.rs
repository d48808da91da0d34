//! Scores that are fitted to training images.

use crate::accuracy::labels_of_classifier;
use crate::detector::{Parts, features};
use crate::engine::Engine;
use crate::network_input::NetworkInput;
use crate::reading::{Reading, read_ahead};
use crate::{Classifier, DetectorBuilder, Error, ErrorKind, Images, Progress};
use odin_cpu::Output;
use odin_graph::linear_head;
use odin_scores::{Fitted, Head, Method, NamedTensor, Training, Values, fit, restore, tensors};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

impl Classifier {
    /// The last linear layer, whose input scores such as Mahalanobis are computed from.
    ///
    /// # Errors
    /// When the logits come from something else; the message says from what.
    pub fn head(&self) -> Result<Head, Error> {
        features(self)?;
        let head = linear_head(self.graph());
        let head = head.map_err(|reason| Error::new(ErrorKind::Classifier, reason))?;
        let (weight, bias) = (head.weight.data().to_vec(), head.bias.data().to_vec());
        Ok(Head::new(weight, bias)?)
    }

    /// The last linear layer, where one of these scores needs it.
    fn head_for(&self, methods: &[Method]) -> Result<Option<Head>, Error> {
        let needed = methods.iter().any(|m| m.needs_head() || m.needs_features());
        needed.then(|| self.head()).transpose()
    }
}

impl DetectorBuilder<'_> {
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
        training: Option<&Images<'_>>,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<Fitted>, Error> {
        self.fit_by(methods, training, progress, |head, training| {
            Ok(fit(methods, head, training)?)
        })
    }

    /// As [`DetectorBuilder::fit`], with what is wrong with each score apart.
    ///
    /// # Errors
    /// When the training images cannot be run through the network, or a score needs a last linear
    /// layer and the network has none.
    pub fn fit_each(
        self,
        methods: &[Method],
        training: Option<&Images<'_>>,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<Result<Fitted, Error>>, Error> {
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
        training: Option<&Images<'_>>,
        mut progress: impl FnMut(Progress),
        fit: impl FnOnce(Option<&Head>, Option<&Training<'_>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Parts {
            classifier,
            engine,
            batch_size,
            ..
        } = self.into_parts()?;
        let head = classifier.head_for(methods)?;
        let needed = methods.iter().any(|method| method.needs_training());
        let Some(images) = training.filter(|_| needed) else {
            return fit(head.as_ref(), None);
        };
        let mut forward = Forward {
            engine: engine.prepare(classifier, head.is_some())?,
            input: NetworkInput::of(classifier),
            has_features: head.is_some(),
            features: Vec::new(),
            logits: Vec::new(),
            labels: Vec::new(),
        };
        let mut done = 0;
        read_ahead(images.set, &images.positions, batch_size, |readings| {
            done += readings.len();
            forward.take(images, readings)?;
            progress(Progress::new(done, images.len()));
            Ok::<(), Error>(())
        })?;
        let names = images.set.class_names();
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
    engine: Engine,
    input: NetworkInput,
    has_features: bool,
    features: Vec<f32>,
    logits: Vec<f32>,
    labels: Vec<Option<usize>>,
}

impl Forward {
    fn take(&mut self, images: &Images<'_>, readings: Vec<Reading>) -> Result<(), Error> {
        let mut batch = Vec::with_capacity(readings.len());
        for sample in images.usable(readings, &self.input, &mut Vec::new())? {
            self.labels.push(sample.label);
            batch.push(sample.image);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let pixels = self.input.normalize(&batch)?;
        let inputs = [(self.input.name.as_str(), &pixels[..])];
        let mut outputs = self.engine.run(batch.len(), &inputs)?.into_iter();
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

impl crate::engine::Settings {
    /// The network alone: its logits, and the input of its last linear layer if asked for.
    fn prepare(&self, classifier: &Classifier, with_features: bool) -> Result<Engine, Error> {
        let mut graph = classifier.graph().clone();
        if with_features {
            graph.output(odin_graph::odin::names::FEATURES, features(classifier)?);
        }
        Engine::new(&graph, self)
    }
}

/// The content of a safetensors file that holds what was fitted; `None` where nothing was.
///
/// # Errors
/// When the tensors are too large for the format.
pub fn statistics_to_bytes(scores: &[Fitted]) -> Result<Option<Vec<u8>>, Error> {
    let tensors = tensors(scores);
    if tensors.is_empty() {
        return Ok(None);
    }
    let data: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|t| bytes_of(&t.values)).collect();
    let about = |e: safetensors::SafeTensorError| {
        let message = format!("what was fitted cannot be saved: {e}");
        Error::new(ErrorKind::Scores, message)
    };
    let views = tensors.iter().zip(&data).map(|(tensor, (dtype, data))| {
        let view = TensorView::new(*dtype, tensor.shape.clone(), data).map_err(about)?;
        Ok((tensor.name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, Error>>()?;
    safetensors::serialize(views, None).map(Some).map_err(about)
}

fn bytes_of(values: &Values) -> (Dtype, Vec<u8>) {
    match values {
        Values::F32(values) => (
            Dtype::F32,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Values::F64(values) => (
            Dtype::F64,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    }
}

/// The scores whose statistics [`statistics_to_bytes`] wrote.
///
/// # Errors
/// When the bytes are damaged, or are those of other scores or of another network.
pub fn restore_statistics(
    classifier: &Classifier,
    methods: &[Method],
    bytes: &[u8],
) -> Result<Vec<Fitted>, Error> {
    let damaged = |what: String| Error::new(ErrorKind::Scores, what);
    let mut tensors = Vec::new();
    if !bytes.is_empty() {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| damaged(format!("it is no safetensors file, or damaged: {e}")))?;
        for (name, view) in file.iter() {
            let values = values_of(view.dtype(), view.data()).ok_or_else(|| {
                damaged(format!(
                    "the tensor {name:?} is of the type {:?}",
                    view.dtype()
                ))
            })?;
            tensors.push(NamedTensor {
                name: name.to_string(),
                shape: view.shape().to_vec(),
                values,
            });
        }
    }
    let head = classifier.head_for(methods)?;
    Ok(restore(methods, head.as_ref(), &tensors)?)
}

fn values_of(dtype: Dtype, data: &[u8]) -> Option<Values> {
    match dtype {
        Dtype::F32 => {
            let (chunks, _) = data.as_chunks::<4>();
            Some(Values::F32(
                chunks.iter().map(|c| f32::from_le_bytes(*c)).collect(),
            ))
        }
        Dtype::F64 => {
            let (chunks, _) = data.as_chunks::<8>();
            Some(Values::F64(
                chunks.iter().map(|c| f64::from_le_bytes(*c)).collect(),
            ))
        }
        _ => None,
    }
}
