//! Maps the labels of a set to the classes of a network.

use super::Classifier;
use std::collections::HashMap;
use std::fmt;

/// Why the accuracy is unknown: the labels of a set are not classes of the classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Both have names for their classes, and these are not the same.
    OtherNames {
        /// The first name of the set that the classifier does not know.
        set: String,
        /// The name of the classifier's first class.
        classifier: String,
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
            NoAccuracy::OtherNames { set, classifier } => write!(
                f,
                "its classes have other names than the network's: {set:?} is none of them (the network's first is {classifier:?})"
            ),
        }
    }
}

impl std::error::Error for NoAccuracy {}

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
pub(crate) fn places_of_classifier(
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
    let places = match names.zip(classifier.class_names()) {
        Some((own, known)) => Some(places(own, known)?),
        None => None,
    };
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

/// Where the names of `own` are among those `known`, each of which must be there once; names that
/// are none of them may be their numbers.
fn places(own: &[String], known: &[String]) -> Result<Vec<usize>, NoAccuracy> {
    let mut at: HashMap<&str, Option<usize>> = HashMap::new();
    for (place, name) in known.iter().enumerate() {
        at.entry(name)
            .and_modify(|place| *place = None)
            .or_insert(Some(place));
    }
    let by_name = own
        .iter()
        .map(|name| at.get(name.as_str()).copied().flatten());
    if let Some(places) = by_name.clone().collect() {
        return Ok(places);
    }
    let number = |name: &String| name.parse().ok().filter(|&number| number < known.len());
    if let Some(numbers) = own.iter().map(number).collect() {
        return Ok(numbers);
    }
    let unknown = own.iter().zip(by_name).find(|(_, place)| place.is_none());
    Err(NoAccuracy::OtherNames {
        set: unknown.map_or(String::new(), |(name, _)| name.clone()),
        classifier: known.first().cloned().unwrap_or_default(),
    })
}
