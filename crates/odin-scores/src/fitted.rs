//! Fitted scores: evaluated, saved as tensors, and restored.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::head::Head;
use crate::method::Method;
use crate::network::NetworkFacts;
use crate::observation::{Needs, Observation, Scorer};
use crate::scores::{Restoring, Score, restore_score};
use crate::tensor::{NamedTensor, Reader, Writer};

/// A score of this crate, ready to be asked: by [`fit`](crate::fit) or [`restore`].
///
/// A clone shares what was fitted.
#[derive(Debug, Clone)]
pub struct Fitted {
    method: Method,
    score: Arc<dyn Score>,
    notes: Vec<String>,
    warnings: Vec<String>,
    /// Whether it is known if features of training images are negative.
    signs_seen: bool,
}

impl Fitted {
    pub(crate) fn new(method: Method, score: Arc<dyn Score>, notes: Vec<String>) -> Self {
        Self {
            method,
            score,
            notes,
            warnings: Vec::new(),
            signs_seen: false,
        }
    }

    pub(crate) fn warned(self, warnings: Vec<String>, signs_seen: bool) -> Self {
        Self {
            warnings,
            signs_seen,
            ..self
        }
    }

    /// The same, with warnings of what is known of its network.
    #[must_use]
    pub fn for_network(mut self, facts: &NetworkFacts) -> Self {
        let warnings = facts.warnings(self.method, self.signs_seen);
        self.warnings.extend(warnings);
        self
    }

    /// Which score it is.
    pub fn method(&self) -> Method {
        self.method
    }

    /// What a user should know of the fit, in whole sentences: that predicted classes stood in for
    /// labels, that classes had no image, which k was chosen. Not saved.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Why the score is not to be trusted, in whole sentences: that classes have fewer training
    /// images than [`Knn`](Method::Knn) has neighbours, that features are negative where the score
    /// is made for others, that there are fewer images than features. Of scores that are not fitted
    /// only where there are training images all the same, or what [`Fitted::for_network`] knows. Not
    /// saved.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether the observation has what this score reads. [`score`](Scorer::score) gives NaN where
    /// it has not.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of logits or features than the network has,
    /// [`ErrorKind::Missing`] where what is needed is empty, [`ErrorKind::Invalid`] for values that
    /// are not finite.
    pub fn check(&self, observation: &Observation<'_>) -> Result<(), Error> {
        self.parts(observation)
            .into_iter()
            .try_for_each(|part| self.check_part(&part))
    }

    /// What it reads.
    fn parts<'a>(&self, observation: &Observation<'a>) -> Vec<Part<'a>> {
        let (classes, features) = (self.score.classes(), self.score.features());
        let part = |what, values, wanted, each| Part {
            what,
            values,
            wanted,
            each,
        };
        let mut parts = vec![part("logits", observation.logits, classes, false)];
        if self.method.needs_features() {
            parts.push(part("features", observation.features, features, false));
        }
        if self.method.needs_feature_map() {
            let map = observation.feature_map;
            parts.push(part("values of a feature map", map, features, true));
        }
        if self.method.needs_shift() {
            let shifted = observation.shifted_features;
            parts.push(part("shifted features", shifted, features, false));
        }
        parts
    }

    fn check_part(&self, part: &Part<'_>) -> Result<(), Error> {
        let (name, what, values) = (self.method.name(), part.what, part.values);
        let (kind, message) = if values.is_empty() {
            (
                ErrorKind::Missing,
                format!("the score {name} needs {what}, and the observation has none"),
            )
        } else if !part.fits() {
            (
                ErrorKind::Shape,
                format!(
                    "the score {name} was fitted to {} {what}{}, and the observation has {}",
                    part.wanted.unwrap_or_default(),
                    if part.each { " at each position" } else { "" },
                    values.len()
                ),
            )
        } else if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            (
                ErrorKind::Invalid,
                format!("the observation has {value} among its {what}; all must be finite"),
            )
        } else {
            return Ok(());
        };
        Err(Error::new(kind, message))
    }

    fn accepts(&self, observation: &Observation<'_>) -> bool {
        self.parts(observation).iter().all(|part| {
            !part.values.is_empty() && part.fits() && part.values.iter().all(|v| v.is_finite())
        })
    }

    /// What was fitted, and the parameters. [`tensors`] gives those of several scores, each tensor
    /// once.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        tensors(std::slice::from_ref(self))
    }
}

/// The warnings of several scores, each once, behind the names of those that it is about.
pub fn warnings(fitted: &[Fitted]) -> Vec<String> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for score in fitted {
        for warning in &score.warnings {
            let name = score.method.name();
            match found.iter_mut().find(|(known, _)| known == warning) {
                Some((_, names)) => names.push(name),
                None => found.push((warning, vec![name])),
            }
        }
    }
    let text = |(warning, names): (&str, Vec<&str>)| format!("{}: {warning}", names.join(", "));
    found.into_iter().map(text).collect()
}

/// A part of an observation.
struct Part<'a> {
    what: &'static str,
    values: &'a [f32],
    /// How many values there must be, or for `each` position.
    wanted: Option<usize>,
    each: bool,
}

impl Part<'_> {
    fn fits(&self) -> bool {
        self.wanted.is_none_or(|wanted| match self.each {
            true => self.values.len().is_multiple_of(wanted),
            false => self.values.len() == wanted,
        })
    }
}

impl Scorer for Fitted {
    fn name(&self) -> &str {
        self.method.name()
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::LOGITS;
        needs.features = self.method.needs_features();
        needs.feature_map = self.method.needs_feature_map();
        needs.shift = self.score.shift();
        needs
    }

    fn score(&self, observation: &Observation<'_>) -> f64 {
        if self.accepts(observation) {
            self.score.score(observation)
        } else {
            f64::NAN
        }
    }

    fn score_batch(&self, observations: &[Observation<'_>]) -> Vec<f64> {
        let accepted: Vec<bool> = observations.iter().map(|o| self.accepts(o)).collect();
        let fitting = observations.iter().zip(&accepted);
        let fitting: Vec<_> = fitting.filter_map(|(o, &is)| is.then_some(o)).collect();
        let mut scores = self.score.score_batch(&fitting).into_iter();
        let score = |is: bool| if is { scores.next() } else { None };
        let scores = accepted.into_iter().map(score);
        scores.map(|score| score.unwrap_or(f64::NAN)).collect()
    }
}

/// What was fitted, and the parameters, of scores that were fitted together; a tensor that several
/// share comes once. The network's last layer is not among them.
pub fn tensors(scores: &[Fitted]) -> Vec<NamedTensor> {
    let mut writer = Writer::default();
    for score in scores {
        score.score.save(&mut writer);
    }
    writer.finish()
}

/// The scores whose [`tensors`] were saved; they give the same bits as before. Tensors that belong
/// to other scores are passed over.
///
/// # Errors
/// [`ErrorKind::Missing`] where a score needs `head` and there is none; [`ErrorKind::Restore`]
/// where a tensor is missing, or is of another shape or type than was saved, or holds a value that
/// cannot be. The message names the score and the tensor.
pub fn restore(
    methods: &[Method],
    head: Option<&Head>,
    tensors: &[NamedTensor],
) -> Result<Vec<Fitted>, Error> {
    let source = Restoring::new(head, Reader { tensors });
    methods
        .iter()
        .map(|&method| {
            let score = restore_score(method, &source).map_err(|error| {
                Error::new(error.kind(), format!("the score {method}: {error}"))
            })?;
            Ok(Fitted::new(method, score, Vec::new()))
        })
        .collect()
}
