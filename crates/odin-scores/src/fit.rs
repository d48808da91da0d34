//! Fits scores to training images.

use crate::error::{Error, ErrorKind};
use crate::fitted::Fitted;
use crate::head::{Head, check_match, check_shapes};
use crate::method::Method;
use crate::network::made_for_rectified;
use crate::parameters::Parameters;
use crate::scores::{Fitting, fit_score, kept_share, neighbours};
use crate::summary::{Draw, TrainingSummary, draw_of};
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
    let summary = TrainingSummary::new(methods, training.classes(), training.features());
    let mut summary = summary.with_parameters(parameters);
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
    let all = FittingAll::new(parameters, head, summary)?;
    // Before anything is computed.
    for &method in methods {
        all.check(method)?;
    }
    methods.iter().map(|&method| all.fit(method)).collect()
}

/// As [`fit_summary`], with what is wrong with each method apart: those that can be fitted are, each
/// once.
///
/// # Errors
/// [`ErrorKind::Shape`] where training images and last layer do not belong together;
/// [`ErrorKind::Invalid`] for a parameter out of its range.
pub fn fit_summary_each(
    parameters: &Parameters,
    methods: &[Method],
    head: Option<&Head>,
    summary: Option<&TrainingSummary>,
) -> Result<Vec<Result<Fitted, Error>>, Error> {
    let all = FittingAll::new(parameters, head, summary)?;
    let each = methods.iter();
    Ok(each.map(|&method| all.fit(method)).collect())
}

/// Several scores that are fitted from the same.
struct FittingAll<'a> {
    parameters: &'a Parameters,
    head: Option<&'a Head>,
    summary: Option<&'a TrainingSummary>,
    fitting: Fitting<'a>,
}

impl<'a> FittingAll<'a> {
    fn new(
        parameters: &'a Parameters,
        head: Option<&'a Head>,
        summary: Option<&'a TrainingSummary>,
    ) -> Result<Self, Error> {
        parameters.check()?;
        let summary = summary.filter(|summary| summary.images() > 0);
        if let (Some(head), Some(summary)) = (head, summary) {
            check_shapes(head, summary.classes(), summary.features())?;
        }
        Ok(Self {
            parameters,
            head,
            summary,
            fitting: Fitting::new(parameters, head, summary),
        })
    }

    fn check(&self, method: Method) -> Result<(), Error> {
        check_needs(method, self.head, self.summary)
    }

    fn fit(&self, method: Method) -> Result<Fitted, Error> {
        self.check(method)?;
        let score = fit_score(method, &self.fitting)
            .map_err(|error| Error::new(error.kind(), format!("the score {method}: {error}")))?;
        let (parameters, summary) = (self.parameters, self.summary);
        let mut notes = notes(method, parameters, summary);
        notes.extend(score.notes());
        let warnings = warnings(method, parameters, summary);
        let signs_seen = summary.is_some_and(|summary| summary.negative_share().is_some());
        Ok(Fitted::new(method, score, notes).warned(warnings, signs_seen))
    }
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
            method.needs_training() && method.needs_feature_map(),
            summary.is_some_and(TrainingSummary::has_maps),
            "the feature maps of the training images",
        ),
        (
            method.needs_training() && method.needs_shift(),
            summary.is_some_and(TrainingSummary::has_shifts),
            "the shifted features of the training images",
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

/// What a user should know of the fit.
fn notes(
    method: Method,
    parameters: &Parameters,
    summary: Option<&TrainingSummary>,
) -> Vec<String> {
    let Some(summary) = summary else {
        return Vec::new();
    };
    let notes = [
        missing_labels(method, summary),
        classes_without_images(method, summary),
        nearest_images(method, parameters, summary),
        drawn_images(method, parameters, summary),
        shift_note(method, summary),
    ];
    notes.into_iter().flatten().collect()
}

fn shift_note(method: Method, summary: &TrainingSummary) -> Option<String> {
    let shift = method.needs_shift().then(|| summary.activation_shift())?;
    shift.note(summary.features())
}

/// Whether it fits to the classes of the training images.
fn fits_to_classes(method: Method) -> bool {
    is_mahalanobis(method) || matches!(method, Method::She | Method::Gmm)
}

fn is_mahalanobis(method: Method) -> bool {
    matches!(
        method,
        Method::Mahalanobis
            | Method::RelativeMahalanobis
            | Method::MahalanobisPp
            | Method::RelativeMahalanobisPp
    )
}

fn missing_labels(method: Method, summary: &TrainingSummary) -> Option<String> {
    let stand_in = fits_to_classes(method) && !summary.has_labels();
    stand_in.then(|| "Predicted classes stood in for the missing labels.".to_owned())
}

fn classes_without_images(method: Method, summary: &TrainingSummary) -> Option<String> {
    let (images, what) = match method {
        Method::KlMatching => (
            summary.predicted_images(),
            "have no training image and are left out",
        ),
        Method::She => (
            summary.patterns().images(),
            "have no training image that is classified correctly: images that are taken for them \
             score 0",
        ),
        _ if is_mahalanobis(method) || method == Method::Gmm => (
            summary.class_images(),
            "have no training image and are left out",
        ),
        _ => return None,
    };
    let unseen = images.iter().filter(|&&images| images == 0).count();
    (unseen > 0).then(|| format!("{unseen} of {} classes {what}.", images.len()))
}

fn nearest_images(
    method: Method,
    parameters: &Parameters,
    summary: &TrainingSummary,
) -> Option<String> {
    let images = summary.images();
    let k = match method {
        Method::Knn => neighbours(parameters, summary),
        Method::NnGuide => parameters.nn_guide_k,
        _ => return None,
    };
    let drawn = draw_of(method, parameters)?.count(images);
    if drawn < k as u64 {
        let whose = match drawn == images {
            true => "the number of training images",
            false => "the number of training images that are kept",
        };
        return Some(format!("k is {drawn}, {whose}, instead of {k}."));
    }
    let chosen = method == Method::Knn && parameters.knn_k.is_none();
    chosen.then(|| {
        format!(
            "k is {k}: 50, but at most a tenth of the images of the smallest class, and at least 1."
        )
    })
}

/// Of how many images it is, where there are more than are kept.
fn drawn_images(
    method: Method,
    parameters: &Parameters,
    summary: &TrainingSummary,
) -> Option<String> {
    let images = summary.images();
    let kept = |most: u64| (images > most).then(|| format!("{most} of {images} training images"));
    let drawn = |draw: Draw, share: u64| {
        let kept = kept(draw.most).filter(|_| draw.most < share)?;
        Some(format!(
            "{kept} are kept, drawn by hashes and the seed {}; a larger number for the parameter \
             images keeps more, and takes as much more memory and time.",
            draw.seed
        ))
    };
    let what = match method {
        Method::Knn | Method::NnGuide => {
            let draw = draw_of(method, parameters)?;
            return drawn(draw, (draw.share * images as f64).ceil() as u64);
        }
        Method::Vim => "Alpha is",
        Method::Vra => "The quantiles are",
        Method::TemperatureScaling => "The temperature is",
        Method::AdaScaleA | Method::AdaScaleL => "The distribution of shifts is",
        _ => return None,
    };
    let kept = kept(summary.kept_images())?;
    Some(format!("{what} of {kept}, drawn by hashes."))
}

/// Why the score may rank wrongly.
fn warnings(
    method: Method,
    parameters: &Parameters,
    summary: Option<&TrainingSummary>,
) -> Vec<String> {
    let Some(summary) = summary else {
        return Vec::new();
    };
    let warnings = [
        negative_features(method, summary),
        few_images(method, summary),
        few_images_of_classes(method, summary),
        far_neighbour(method, parameters, summary),
    ];
    warnings.into_iter().flatten().collect()
}

fn negative_features(method: Method, summary: &TrainingSummary) -> Option<String> {
    let share = summary.negative_share().filter(|share| *share > 0.0)?;
    method.assumes_rectified().then(|| {
        made_for_rectified(&format!(
            "{} of the features of the training images are negative",
            percent(share)
        ))
    })
}

/// A share above 0, to two digits.
fn percent(share: f64) -> String {
    match 100.0 * share {
        small if small < 0.01 => "Less than 0.01 %".to_owned(),
        small if small < 1.0 => format!("{small:.2} %"),
        large => format!("{large:.0} %"),
    }
}

/// Covariances of fewer images than features are singular: those about the means of classes have as
/// many dimensions less as there are classes.
fn few_images(method: Method, summary: &TrainingSummary) -> Option<String> {
    let seen = summary.class_images().iter().filter(|&&n| n > 0).count() as u64;
    let (images, features) = (summary.images(), summary.features() as u64);
    let dimensions = match method {
        Method::Vim => images,
        _ if is_mahalanobis(method) => images.saturating_sub(seen),
        _ => return None,
    };
    (dimensions < features).then(|| {
        format!(
            "{images} training images determine at most {dimensions} of the {features} dimensions \
             of the features: the score may rank out-of-distribution images above others. Fit it to \
             more images than features."
        )
    })
}

/// A covariance of fewer images of a class than features is singular.
fn few_images_of_classes(method: Method, summary: &TrainingSummary) -> Option<String> {
    let (images, features) = (summary.class_images().iter(), summary.features() as u64);
    let few = images.filter(|&&images| images > 0 && images <= features);
    let fewest = few.clone().min().filter(|_| method == Method::Gmm)?;
    Some(format!(
        "{} of {} classes have no more training images than there are features ({features}; the fewest \
         {fewest}), too few for a covariance of their own: the score may rank out-of-distribution \
         images above others. Fit it to more images of each class than features, or take {}, whose \
         covariance all classes share.",
        few.count(),
        summary.classes(),
        Method::Mahalanobis
    ))
}

fn far_neighbour(
    method: Method,
    parameters: &Parameters,
    summary: &TrainingSummary,
) -> Option<String> {
    let k = match (method, parameters.knn_k) {
        (Method::Knn, Some(k)) => summary.images().min(k as u64),
        _ => return None,
    };
    // Of a part that is drawn, as many as are to be expected.
    let share = kept_share(parameters, summary.images());
    let kept = |images: &u64| (share * *images as f64) as u64;
    let images: Vec<u64> = summary.class_images().iter().map(kept).collect();
    let small = images.iter().filter(|&&images| images < k).count();
    let fewest = images.iter().min().filter(|_| small > 0)?;
    Some(format!(
        "k is {k}, and {small} of {} classes have fewer training images (the fewest {fewest}): \
         the k-th nearest image of such a class is of another one, so that the score may rank \
         in-distribution images below others. Choose a k well below the images of a class.",
        images.len()
    ))
}
