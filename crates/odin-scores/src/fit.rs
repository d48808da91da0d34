//! Fits scores to training images.

use crate::error::{Error, ErrorKind};
use crate::fitted::Fitted;
use crate::head::Head;
use crate::method::Method;
use crate::parameters::Parameters;
use crate::scores::{Fitting, fit_score};
use crate::training::Training;

/// How far training logits may lie from what the last layer makes of the features, as a share of
/// the magnitudes summed: room for networks that compute in half precision.
const HEAD_TOLERANCE: f64 = 0.02;
/// So many training images are compared with the last layer.
const HEAD_IMAGES: usize = 16;

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
    parameters.check()?;
    for &method in methods {
        check_needs(method, head, training)?;
    }
    if let (Some(head), Some(training)) = (head, training) {
        check_match(head, training)?;
    }
    let fitting = Fitting::new(parameters, head, training);
    methods
        .iter()
        .map(|&method| {
            let score = fit_score(method, &fitting).map_err(|error| {
                Error::new(error.kind(), format!("the score {method}: {error}"))
            })?;
            let notes = notes(method, parameters, training);
            let warnings = warnings(method, parameters, training);
            Ok(Fitted::new(method, score, notes).warned(warnings))
        })
        .collect()
}

fn check_needs(
    method: Method,
    head: Option<&Head>,
    training: Option<&Training<'_>>,
) -> Result<(), Error> {
    let features = training.is_none_or(|training| training.features() > 0);
    let labels = training.is_some_and(Training::has_labels);
    let needs = [
        (
            method.needs_head(),
            head.is_some(),
            "the weight and bias of the last linear layer",
        ),
        (
            method.needs_training(),
            training.is_some(),
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

/// Whether the logits are what the last layer makes of the features.
fn check_match(head: &Head, training: &Training<'_>) -> Result<(), Error> {
    let shape = |message| Err(Error::new(ErrorKind::Shape, message));
    if head.classes() != training.classes() {
        return shape(format!(
            "the last layer has {} classes, the training logits {}",
            head.classes(),
            training.classes()
        ));
    }
    if training.features() == 0 {
        return Ok(());
    }
    if head.features() != training.features() {
        return shape(format!(
            "the last layer reads {} features, the training images have {}",
            head.features(),
            training.features()
        ));
    }
    let images = training.feature_rows().zip(training.logit_rows());
    for (image, (features, logits)) in images.take(HEAD_IMAGES).enumerate() {
        let share = head.disagreement(features, logits);
        if share.is_nan() || share > HEAD_TOLERANCE {
            return shape(format!(
                "the logits of training image {image} are not weight · features + bias (off by \
                 {:.0} %): are the features the input of the last linear layer, and is its \
                 weight [classes, features]?",
                100.0 * share
            ));
        }
    }
    Ok(())
}

fn notes(method: Method, parameters: &Parameters, training: Option<&Training<'_>>) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(training) = training else {
        return notes;
    };
    let images = training.images();
    let classes = match method {
        Method::KlMatching => Some(training.predicted()),
        Method::Mahalanobis | Method::RelativeMahalanobis => {
            if !training.has_labels() {
                notes.push("Predicted classes stood in for the missing labels.".to_owned());
            }
            Some(training.classes_of_images())
        }
        _ => None,
    };
    if let Some(classes) = classes {
        let mut seen = vec![false; training.classes()];
        for class in classes {
            seen[class] = true;
        }
        let unseen = seen.iter().filter(|seen| !**seen).count();
        if unseen > 0 {
            notes.push(format!(
                "{unseen} of {} classes have no training image and are left out.",
                seen.len()
            ));
        }
    }
    if method == Method::Knn && images < parameters.knn_k {
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
    training: Option<&Training<'_>>,
) -> Vec<String> {
    let Some(training) = training.filter(|_| method == Method::Knn) else {
        return Vec::new();
    };
    let k = parameters.knn_k.min(training.images());
    let mut images = vec![0; training.classes()];
    for class in training.classes_of_images() {
        images[class] += 1;
    }
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
