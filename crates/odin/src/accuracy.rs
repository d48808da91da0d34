use crate::{Classifier, ScoredSet};
use std::collections::HashMap;
use std::fmt;

/// Why the labels of a set say nothing about how good a classifier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAccuracy {
    /// An image has no label.
    Unlabelled,
    /// The set has other classes than the classifier.
    OtherClasses {
        /// The number of classes of the set, or the largest label and 1.
        set: usize,
        /// The number of classes of the classifier.
        classifier: usize,
    },
}

impl fmt::Display for NoAccuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAccuracy::Unlabelled => f.write_str("its images have no labels"),
            NoAccuracy::OtherClasses { set, classifier } => write!(
                f,
                "it has {set} classes, the network has {classifier}; they cannot be the same"
            ),
        }
    }
}

impl ScoredSet {
    /// The share of images whose predicted class is the true one.
    ///
    /// Where set and classifier both know the names of their classes, and the classifier knows
    /// all of the set's, classes of one name are the same. Otherwise they are the same in their
    /// order, if there are equally many.
    ///
    /// # Errors
    /// When the labels are missing, or are not of the classifier's classes.
    pub fn accuracy(&self, classifier: &Classifier) -> Result<f64, NoAccuracy> {
        let labels: Vec<Option<usize>> = self.rows.iter().map(|row| row.label).collect();
        let names = self.class_names.as_deref();
        let places = places_of_classifier(&labels, names, classifier)?;
        let predictions = self.rows.iter().map(|row| row.score.prediction);
        let hits = predictions
            .zip(&places)
            .filter(|(prediction, place)| **place == Some(*prediction))
            .count();
        Ok(hits as f64 / labels.len() as f64)
    }
}

/// Labels of a set as classes of the classifier.
pub(crate) fn labels_of_classifier(
    labels: &[Option<usize>],
    names: Option<&[String]>,
    classifier: &Classifier,
) -> Result<Vec<usize>, NoAccuracy> {
    let places = places_of_classifier(labels, names, classifier)?;
    let places = places.into_iter().collect::<Option<Vec<usize>>>();
    places.ok_or(NoAccuracy::Unlabelled)
}

/// For each image the class of the classifier that its label is, `None` for one that has none.
fn places_of_classifier(
    labels: &[Option<usize>],
    names: Option<&[String]>,
    classifier: &Classifier,
) -> Result<Vec<Option<usize>>, NoAccuracy> {
    let labels: Vec<usize> = labels
        .iter()
        .copied()
        .collect::<Option<_>>()
        .filter(|labels: &Vec<usize>| !labels.is_empty())
        .ok_or(NoAccuracy::Unlabelled)?;
    let places = names
        .zip(classifier.class_names())
        .and_then(|(own, known)| places(own, known));
    let largest = labels.iter().max().map_or(0, |label| label + 1);
    let own = names.map_or(largest, |names| names.len().max(largest));
    let classes = classifier.classes();
    let same_order = own == classes || (names.is_none() && own < classes);
    if places.is_none() && !same_order {
        return Err(NoAccuracy::OtherClasses {
            set: own,
            classifier: classes,
        });
    }
    let class = |label: usize| match &places {
        Some(places) => places.get(label).copied(),
        None => Some(label),
    };
    Ok(labels.into_iter().map(class).collect())
}

/// Where the names of `own` are among those `known`, if each is there once.
fn places(own: &[String], known: &[String]) -> Option<Vec<usize>> {
    let mut at: HashMap<&str, Option<usize>> = HashMap::new();
    for (place, name) in known.iter().enumerate() {
        at.entry(name)
            .and_modify(|place| *place = None)
            .or_insert(Some(place));
    }
    own.iter()
        .map(|name| at.get(name.as_str()).copied().flatten())
        .collect()
}
