//! Fits scores to training images.

use crate::error::{Error, ErrorKind};
use crate::fitted::Fitted;
use crate::head::{Head, check_match, check_shapes};
use crate::method::Method;
use crate::parameters::Parameters;
use crate::scores::{Fitting, fit_score};
use crate::summary::TrainingSummary;
use crate::training::Training;

/// Makes the scores, with the default [`Parameters`]. What a method does not need may be missing.
///
/// # Errors
/// As [`fit_with`].
pub fn fit(
    methods: &[Method],
    head: Option<&Head>,
    training: Option<&Training<'_>>,
) -> Result<Vec<Fitted>, Error> {
    fit_with(&Parameters::default(), methods, head, training)
}

/// Makes the scores. What a method does not need may be missing. Statistics that several methods
/// use are computed and kept once.
///
/// # Errors
/// [`ErrorKind::Missing`] where a method needs training images, their features or labels, or the
/// last layer, and they are not there; [`ErrorKind::Shape`] where training images and last layer
/// do not belong together; [`ErrorKind::Invalid`] for a parameter out of its range;
/// [`ErrorKind::Degenerate`] where the images do not determine what is to be fitted, such as too
/// few of them. The message names the method.
pub fn fit_with(
    parameters: &Parameters,
    methods: &[Method],
    head: Option<&Head>,
    training: Option<&Training<'_>>,
) -> Result<Vec<Fitted>, Error> {
    let Some(training) = training else {
        return fit_summary(parameters, methods, head, None);
    };
    if let Some(head) = head {
        check_match(head, training, 0)?;
    }
    let mut summary = TrainingSummary::new(methods, training.classes(), training.features());
    summary.observe(training, None)?;
    fit_summary(parameters, methods, head, Some(&summary))
}

/// Makes the scores from a summary of the training images, or a merge of several, made for these
/// methods or for more. One of all images gives the bits of [`fit_with`]; what differs where
/// several are merged, [`TrainingSummary`] says.
///
/// # Errors
/// As [`fit_with`], and [`ErrorKind::Summary`] for a method that the summary was not made for.
pub fn fit_summary(
    parameters: &Parameters,
    methods: &[Method],
    head: Option<&Head>,
    summary: Option<&TrainingSummary>,
) -> Result<Vec<Fitted>, Error> {
    parameters.check()?;
    let summary = summary.filter(|summary| summary.images() > 0);
    for &method in methods {
        check_needs(method, head, summary)?;
    }
    if let (Some(head), Some(summary)) = (head, summary) {
        check_shapes(head, summary.classes(), summary.features())?;
    }
    let fitting = Fitting::new(parameters, head, summary);
    methods
        .iter()
        .map(|&method| {
            let score = fit_score(method, &fitting).map_err(|error| {
                Error::new(error.kind(), format!("the score {method}: {error}"))
            })?;
            let notes = notes(method, parameters, summary);
            let warnings = warnings(method, parameters, summary);
            Ok(Fitted::new(method, score, notes).warned(warnings))
        })
        .collect()
}

fn check_needs(
    method: Method,
    head: Option<&Head>,
    summary: Option<&TrainingSummary>,
) -> Result<(), Error> {
    if let Some(summary) = summary.filter(|summary| !summary.is_for(method)) {
        return Err(Error::new(
            ErrorKind::Summary,
            format!(
                "the summary of {} training images was not made for the score {method}; make one for \
                 all scores that are to be fitted",
                summary.images()
            ),
        ));
    }
    let features = summary.is_none_or(|summary| summary.features() > 0);
    let labels = summary.is_some_and(TrainingSummary::has_labels);
    let needs = [
        (
            method.needs_head(),
            head.is_some(),
            "the weight and bias of the last linear layer",
        ),
        (
            method.needs_training(),
            summary.is_some(),
            "training images",
        ),
        (
            method.needs_training() && method.needs_features(),
            features,
            "the features of the training images",
        ),
        (
            method.needs_labels(),
            labels,
            "the labels of the training images",
        ),
    ];
    match needs
        .into_iter()
        .find(|&(needed, there, _)| needed && !there)
    {
        Some((_, _, what)) => Err(Error::new(
            ErrorKind::Missing,
            format!("the score {method} cannot be fitted without {what}"),
        )),
        None => Ok(()),
    }
}

fn notes(
    method: Method,
    parameters: &Parameters,
    summary: Option<&TrainingSummary>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(summary) = summary else {
        return notes;
    };
    let images = match method {
        Method::KlMatching => Some(summary.predicted_images()),
        Method::Mahalanobis | Method::RelativeMahalanobis => {
            if !summary.has_labels() {
                notes.push("Predicted classes stood in for the missing labels.".to_owned());
            }
            Some(summary.class_images())
        }
        _ => None,
    };
    if let Some(images) = images {
        let unseen = images.iter().filter(|&&images| images == 0).count();
        if unseen > 0 {
            notes.push(format!(
                "{unseen} of {} classes have no training image and are left out.",
                images.len()
            ));
        }
    }
    let images = summary.images();
    if method == Method::Knn && images < parameters.knn_k as u64 {
        notes.push(format!(
            "k is {images}, the number of training images, instead of {}.",
            parameters.knn_k
        ));
    }
    notes
}

/// Why the score may rank wrongly.
fn warnings(
    method: Method,
    parameters: &Parameters,
    summary: Option<&TrainingSummary>,
) -> Vec<String> {
    let Some(summary) = summary.filter(|_| method == Method::Knn) else {
        return Vec::new();
    };
    let k = summary.images().min(parameters.knn_k as u64);
    let images = summary.class_images();
    let small = images.iter().filter(|&&images| images < k).count();
    match (small, images.iter().min()) {
        (1.., Some(fewest)) => vec![format!(
            "k is {k}, and {small} of {} classes have fewer training images (the fewest {fewest}): \
             the k-th nearest image of such a class is of another one, so that the score may rank \
             in-distribution images below others. Choose a k well below the images of a class.",
            images.len()
        )],
        _ => Vec::new(),
    }
}
