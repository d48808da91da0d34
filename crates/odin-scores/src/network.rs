//! What is known of a network before an image passes it, and which scores do not fit it.

use crate::method::Method;

/// What is known of a network from its graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// The operator that features which may be negative come from; `None` where they cannot be, as
    /// behind a ReLU.
    pub negative_features_from: Option<String>,
    /// Whether it attends, as transformers do.
    pub attends: bool,
}

impl NetworkFacts {
    /// Why a score may not be the one for this network. Of features whose signs were seen nothing is
    /// guessed.
    pub(crate) fn warnings(&self, method: Method, signs_seen: bool) -> Vec<String> {
        let negative = self.negative_features_from.as_ref();
        let negative = negative.filter(|_| method.assumes_rectified() && !signs_seen);
        let negative = negative.map(|from| {
            made_for_rectified(&format!(
                "The features come from {from} and may be negative"
            ))
        });
        let attends = self.attends.then(|| of_transformers(method)).flatten();
        negative.into_iter().chain(attends).collect()
    }
}

/// Why a score that is made for features behind a ReLU should not be used.
pub(crate) fn made_for_rectified(problem: &str) -> String {
    format!(
        "{problem}, and the score is made for features behind a ReLU: it may rank in-distribution \
         images below others. {}, {} and {} make no such assumption.",
        Method::MahalanobisPp,
        Method::Knn,
        Method::Vim
    )
}

/// What OpenOOD's leaderboard shows of a score on ViT-B/16 (ImageNet-1K, July 2025).
fn of_transformers(method: Method) -> Option<String> {
    let (near, far) = match method {
        Method::Energy => (62, 79),
        Method::MaxLogit => (68, 84),
        _ => return None,
    };
    Some(format!(
        "The network attends as transformers do, for which the score is known to be weak: OpenOOD's \
         leaderboard gives it an AUROC of {near} % (near) and {far} % (far) on ViT-B/16, and {} 74 and \
         86 %, {} 76 and 91 %.",
        Method::Msp,
        Method::Gen
    ))
}
