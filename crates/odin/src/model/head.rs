//! The last linear layer of a network, whose input scores such as Mahalanobis are computed from.

use crate::{Classifier, Error, ErrorKind};
use odin_graph::ValueId;
use odin_scores::{Head, Method};

/// The input of the last linear layer.
pub(crate) fn features(classifier: &Classifier) -> Result<ValueId, Error> {
    Ok(linear_head(classifier)?.features)
}

/// The last linear layer as values and tensors of the classifier's graph.
pub(crate) fn linear_head(classifier: &Classifier) -> Result<odin_graph::LinearHead, Error> {
    odin_graph::linear_head(classifier.graph()).map_err(|reason| {
        let name = &classifier.file().name;
        let message = format!(
            "{name}: scores from the input of the last linear layer cannot be computed: {reason}; choose others"
        );
        Error::new(ErrorKind::Classifier, message)
    })
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

    /// The last linear layer, where one of these scores needs it.
    pub(crate) fn head_for(&self, methods: &[Method]) -> Result<Option<Head>, Error> {
        let needed = methods.iter().any(|m| m.needs_head() || m.needs_features());
        needed.then(|| self.head()).transpose()
    }
}
