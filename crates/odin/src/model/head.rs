//! The last linear layer of a network, whose input scores such as Mahalanobis are computed from, and
//! the feature map that this input is pooled from.

use crate::{Classifier, Error, ErrorKind};
use odin_graph::odin::names;
use odin_graph::{
    FeatureMap, Graph, Shift, ValueId, has_attention, maybe_negative, shifted_features,
};
use odin_scores::{Head, Method, Needs, NetworkFacts, Parameters};

/// The input of the last linear layer.
pub(crate) fn features(classifier: &Classifier) -> Result<ValueId, Error> {
    Ok(linear_head(classifier)?.features)
}

/// The last linear layer as values and tensors of the classifier's graph.
pub(crate) fn linear_head(classifier: &Classifier) -> Result<odin_graph::LinearHead, Error> {
    odin_graph::linear_head(classifier.graph()).map_err(|reason| {
        refused(
            classifier,
            "the input of the last linear layer",
            reason.as_str(),
        )
    })
}

fn feature_map(classifier: &Classifier) -> Result<FeatureMap, Error> {
    let features = features(classifier)?;
    odin_graph::feature_map(classifier.graph(), features)
        .map_err(|reason| refused(classifier, "the feature map before pooling", &reason))
}

fn refused(classifier: &Classifier, from: &str, reason: &str) -> Error {
    let name = &classifier.file().name;
    let message = format!("{name}: scores from {from} cannot be computed: {reason}; choose others");
    Error::new(ErrorKind::Classifier, message)
}

/// What scores need of a classifier beside logits and features.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    /// `[N, D, ...]`.
    pub(crate) feature_map: Option<ValueId>,
    /// As the features, of the shifted images.
    pub(crate) shifted_features: Option<ValueId>,
}

/// Adds to a graph that begins with the values of a classifier what scores need besides.
pub(crate) fn needed(
    graph: &mut Graph,
    classifier: &Classifier,
    needs: Needs,
) -> Result<Needed, Error> {
    let map = needs.feature_map.then(|| {
        let map = feature_map(classifier)?;
        Ok::<_, Error>(map.channels_first(graph.at("feature map"))?)
    });
    let feature_map = map.transpose()?;
    let shifted = needs.shift.map(|shift| shifted(graph, classifier, shift));
    Ok(Needed {
        feature_map,
        shifted_features: shifted.transpose()?,
    })
}

fn shifted(
    graph: &mut Graph,
    classifier: &Classifier,
    shift: odin_scores::Shift,
) -> Result<ValueId, Error> {
    let network = classifier.graph();
    let (Some((x, _)), [logits]) = (network.inputs().next(), network.outputs()) else {
        let problem = "the network has not one input and one output";
        return Err(Error::new(ErrorKind::Classifier, problem));
    };
    let (share, step) = (shift.share, shift.step as f32);
    let shift = Shift { share, step };
    let features = features(classifier)?;
    Ok(shifted_features(graph, x, logits.value, features, shift)?)
}

/// The same, as outputs.
pub(crate) fn add_needed(
    graph: &mut Graph,
    classifier: &Classifier,
    needs: Needs,
) -> Result<(), Error> {
    let needed = needed(graph, classifier, needs)?;
    let outputs = [
        (names::FEATURE_MAP, needed.feature_map),
        (names::SHIFTED_FEATURES, needed.shifted_features),
    ];
    for (name, value) in outputs {
        if let Some(value) = value {
            graph.output(name, value);
        }
    }
    Ok(())
}

impl Classifier {
    /// The last linear layer, whose input scores such as Mahalanobis are computed from.
    ///
    /// # Errors
    /// When the logits come from something else; the message says from what.
    pub fn head(&self) -> Result<Head, Error> {
        let head = linear_head(self)?;
        let (weight, bias) = (head.weight.data().to_vec(), head.bias.data().to_vec());
        Ok(Head::new(weight, bias)?)
    }

    /// Whether the network has what a score is computed from: classes that exclude each other, or
    /// labels that do not, a last linear layer, a feature map before it, an input gradient.
    ///
    /// # Errors
    /// When it has not; the message says what stands in its place.
    pub fn check_score(&self, method: Method) -> Result<(), Error> {
        self.check_labels(method)?;
        if method.needs_head() || method.needs_features() {
            let head = self.head()?;
            let size = method.check_size(head.classes(), head.features());
            size.map_err(|e| Error::from(e).about(format_args!("the score {method}")))?;
        }
        let mut needs = Needs::LOGITS;
        needs.feature_map = method.needs_feature_map();
        needs.shift = method.needs_shift().then(|| Parameters::default().shift());
        add_needed(&mut self.graph().clone(), self, needs)
    }

    /// # Errors
    /// When the score is of classes that exclude each other, and these do not, or the reverse.
    pub(crate) fn check_labels(&self, method: Method) -> Result<(), Error> {
        let reason = match self.is_multi_label() {
            true if method.takes_exclusive_classes() => {
                "is a multi-label network, and this score is of classes that exclude each other (a softmax over them, or boundaries between them); take msp, odin, max-logit or joint-energy, which are of labels, or a distance of features"
            }
            false if method.takes_labels() => {
                "has classes that exclude each other, and this score is of labels that do not; energy is the same for classes. `multi_label = true` in a model.toml says otherwise"
            }
            _ => return Ok(()),
        };
        let name = &self.file().name;
        let message = format!("the score {method}: {name} {reason}");
        Err(Error::new(ErrorKind::Classifier, message))
    }

    /// What its graph tells of the scores that do not suit it.
    pub(crate) fn facts(&self) -> NetworkFacts {
        let graph = self.graph();
        let source = features(self).ok().and_then(|v| maybe_negative(graph, v));
        NetworkFacts {
            negative_features_from: source.map(|value| graph.describe(value)),
            attends: has_attention(graph),
        }
    }

    /// The last linear layer, where one of these scores needs it.
    pub(crate) fn head_for(&self, methods: &[Method]) -> Result<Option<Head>, Error> {
        let needed = methods.iter().any(|m| m.needs_head() || m.needs_features());
        needed.then(|| self.head()).transpose()
    }
}
