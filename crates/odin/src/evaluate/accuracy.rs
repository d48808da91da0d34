//! The accuracy of the network on scored images.

use crate::model::places_of_classifier;
use crate::{Classifier, NoAccuracy, ScoredSet, SweepScores};

impl ScoredSet {
    /// The share of images whose predicted class is the true one.
    ///
    /// Where set and classifier both know the names of their classes, classes of one name are the
    /// same; names that are the numbers of classes stand for these. Where one of them has no names,
    /// they are the same in their order, if there are equally many.
    ///
    /// # Errors
    /// When the labels are missing, or are not of the classifier's classes.
    pub fn accuracy(&self, classifier: &Classifier) -> Result<f64, NoAccuracy> {
        let labels: Vec<Option<usize>> = self.rows.iter().map(|row| row.label).collect();
        let predictions = self.rows.iter().map(|row| row.score.prediction);
        accuracy(
            &labels,
            predictions,
            self.class_names.as_deref(),
            classifier,
        )
    }
}

impl SweepScores {
    /// As [`ScoredSet::accuracy`].
    ///
    /// # Errors
    /// As [`ScoredSet::accuracy`].
    pub fn accuracy(&self, classifier: &Classifier) -> Result<f64, NoAccuracy> {
        let predictions = self.predictions.iter().copied();
        accuracy(
            &self.labels,
            predictions,
            self.class_names.as_deref(),
            classifier,
        )
    }
}

fn accuracy(
    labels: &[Option<usize>],
    predictions: impl Iterator<Item = usize>,
    names: Option<&[String]>,
    classifier: &Classifier,
) -> Result<f64, NoAccuracy> {
    let places = places_of_classifier(labels, names, classifier)?;
    let pairs = predictions.zip(&places);
    let hits = pairs.filter(|(prediction, place)| **place == Some(*prediction));
    Ok(hits.count() as f64 / labels.len() as f64)
}
