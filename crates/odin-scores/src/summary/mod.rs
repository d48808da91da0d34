//! What scores are fitted from, made where the images are and merged.

mod bytes;
mod classes;
mod keeps;
mod levels;
mod moments;
mod patterns;
mod rows;
mod sample;
mod shifts;

use crate::activation_shift::ActivationShift;
use crate::error::{Error, ErrorKind};
use crate::head::{Head, check_match};
use crate::linalg::check_features;
use crate::method::Method;
use crate::numeric::{add, argmax, max, softmax, unit};
use crate::parameters::Parameters;
use crate::training::Training;

use classes::ClassMoments;
use keeps::draws_of;
use rows::Rows;
use sample::hash;
use shifts::Shifts;

pub(crate) use keeps::{Keeps, draw_of};
pub(crate) use levels::{Levels, coarse};
pub(crate) use moments::Moments;
pub(crate) use patterns::Patterns;
pub(crate) use sample::{Draw, Sample};

/// So many features of all images, or images without any. Counts up to here are exact as f64.
const MAX_COUNT: u64 = 1 << 53;

/// What scores are fitted from: each machine makes a summary of the images that it has, and
/// [`fit_summary`](crate::fit_summary) fits to the merge as [`fit`](crate::fit) does to all of them.
///
/// It keeps what the methods need that it is made for, for C classes and D features:
///
/// | methods | what is kept | bytes |
/// |---|---|---|
/// | `fdbd`, `nci`, `dice` | the sum of the features | 8 D |
/// | `mahalanobis`, `relative-mahalanobis` | this, the sums of the features of each class, and their products about the means of the classes | 8 (D + C D + D²), and 4096 D while images are added |
/// | `mahalanobis-pp`, `relative-mahalanobis-pp` | the same but for the first, of the features divided by their norm | 8 (C D + D²), and 4096 D |
/// | `gmm` | the sums of the features and their products about the mean, of each class by itself | 8 C (D + D²), at most 1 GiB, and 2 C D² while images are added |
/// | `she` | the sums of the features of the correctly classified images of each class | 8 C D |
/// | `kl-matching` | sums of the softmax of each predicted class | 8 C² |
/// | `temperature-scaling` | the logits of images that are drawn, and that of the label | 4 (C + 1) an image |
/// | `knn`, `nn-guide`, `vim`, `vra`, `weiper-kld` | the features of images that are drawn, and the largest logit; those of one seed are kept once | 4 (D + 1) an image |
/// | `vim`, of more images | and the products of the features of all about their mean | 8 (D + D²), and 4096 D |
/// | `adascale-a`, `adascale-l` | how far the largest activations of images that are drawn shift | 16 an image |
/// | `react-map` | how often each activation of the feature maps occurs, rounded to 12 binary digits | up to 16 a different one of those: 16 MiB |
/// | `react` | how often each activation occurs, rounded to 16 binary digits where more than 2²² are different | up to 12 a different one |
///
/// **Memory** does not grow with the number of images beyond those that are drawn: up to
/// [`kept_images`](Parameters::kept_images), 65,536, and for KNN, NNGuide and WeiPer+KLD the numbers
/// that their own parameters say. Up to there all images count and nothing is approximated. Drawn are those with the least
/// hashes of their features (or logits), a random sample unless images repeat. ViM needs single images because its α is the mean length of residuals in
/// directions that are known only once all images were seen, VRA because it takes quantiles of each feature. A quantile q of n images drawn has the
/// rank q to within √(q (1 - q) / n), one standard deviation: 0.002 for 65,536. α and the temperature are within a few thousandths for
/// the same reason; the principal directions of ViM are those of all images. ReAct counts all activations: its quantile is within a share of 2⁻¹⁶ of
/// the exact one. Counts of images are kept, 16 C bytes, and of features that are negative wherever features are read, those of `ash`, `scale`,
/// `lts` and `grad-norm` among them, which are not fitted: they are warned of.
///
/// **Any order.** Images are drawn by what is in them and ordered by it, and counts are whole numbers.
/// What is fitted from those is therefore the same, bit for bit, however the images were cut into
/// parts and in whatever order they are merged: `knn`, `nn-guide`, `weiper-kld`, `react`, `react-map`, `vra`,
/// AdaSCALE, `temperature-scaling`, and `vim` of as many images as are kept.
/// Sums are in f64, and their last bits depend on the order: sums of n numbers to within n · 2⁻⁵³
/// relative to the sum of the magnitudes, products about means without cancellation. `fdbd`, `nci`,
/// `dice`, `she`, `kl-matching` and `vim` of more images differ by as little; Mahalanobis distances and `gmm` by that times the condition
/// number of the covariance, and at least by the 2⁻²⁴ of their inverse root, which is kept in f32.
///
/// ```
/// use odin_scores::{Head, Method, Parameters, Training, TrainingSummary, fit_summary};
///
/// # fn main() -> Result<(), odin_scores::Error> {
/// let head = Head::new(vec![1.0, 0.0, 0.0, 1.0], vec![0.0, 0.0])?;
/// let methods = [Method::Nci, Method::Knn];
/// let of = |features: &[f32], labels: &[usize]| {
///     let mut summary = TrainingSummary::new(&methods, 2, 2);
///     summary.observe(&Training::new(features, features, Some(labels), 2)?, Some(&head))?;
///     Ok::<_, odin_scores::Error>(summary)
/// };
/// let mut here = of(&[3.0, 0.5, 2.5, 0.0], &[0, 0])?;
/// let there = of(&[0.2, 2.8, 0.0, 2.4], &[1, 1])?;
///
/// here.merge(&TrainingSummary::from_bytes(&there.to_bytes())?)?;
/// let fitted = fit_summary(&Parameters::default(), &methods, Some(&head), Some(&here))?;
/// assert_eq!(here.images(), 4);
/// assert_eq!(fitted.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TrainingSummary {
    /// In their order, each once.
    methods: Vec<Method>,
    keeps: Keeps,
    network: [u8; 32],
    classes: usize,
    /// 0 where none are read, or none are there.
    features: usize,
    images: u64,
    /// Unknown before the first image.
    labelled: Option<bool>,
    /// By label, or else by the class that is predicted.
    class_images: Vec<u64>,
    predicted_images: Vec<u64>,
    /// Of each predicted class; empty for one that is predicted for none.
    typical: Vec<Vec<f64>>,
    sum: Vec<f64>,
    moments: Option<Moments>,
    unit_moments: Option<Moments>,
    class_moments: ClassMoments,
    patterns: Patterns,
    /// How many features of all images are negative; unknown where none are read, and of summaries
    /// that an earlier version wrote.
    negative: Option<u64>,
    /// To how many images at most scores are fitted that need single images.
    kept_images: u64,
    logits: Sample,
    rows: Rows,
    levels: Levels,
    map_levels: Levels,
    /// Images whose feature maps are in the levels.
    mapped_images: u64,
    activation_shift: ActivationShift,
    shifts: Shifts,
}

impl TrainingSummary {
    /// Of no image yet, for these methods, and a network of `classes` logits and `features` inputs of
    /// its last linear layer; 0 features where they are not known, which methods that read them
    /// cannot be fitted without.
    pub fn new(methods: &[Method], classes: usize, features: usize) -> Self {
        let keeps = Keeps::of_methods(methods, features);
        let features = if keeps.features() { features } else { 0 };
        let mut methods = methods.to_vec();
        methods.sort_unstable();
        methods.dedup();
        let of = |part: Keeps, length: usize| if keeps.has(part) { length } else { 0 };
        let moments = |part: Keeps| {
            let kept = keeps.has(part) && features > 0;
            kept.then(|| Moments::new(classes, features))
        };
        let summary = Self {
            methods,
            keeps,
            network: [0; 32],
            classes,
            features,
            images: 0,
            labelled: None,
            class_images: vec![0; classes],
            predicted_images: vec![0; classes],
            typical: vec![Vec::new(); of(Keeps::TYPICAL, classes)],
            sum: vec![0.0; of(Keeps::SUM, features)],
            moments: moments(Keeps::PRODUCTS),
            unit_moments: moments(Keeps::UNIT_PRODUCTS),
            class_moments: ClassMoments::new(of(Keeps::CLASS_PRODUCTS, classes), features),
            patterns: Patterns::new(of(Keeps::PATTERNS, classes)),
            negative: (features > 0).then_some(0),
            kept_images: 0,
            logits: Sample::new(Draw::new(0, 1, 1.0), 1),
            rows: Rows::new(0, &[], None),
            levels: Levels::default(),
            map_levels: Levels::default(),
            mapped_images: 0,
            activation_shift: ActivationShift::new(&Parameters::default()),
            shifts: Shifts::new(0),
        };
        summary.with_parameters(&Parameters::default())
    }

    /// The same, without images, to be fitted with these parameters; the defaults unless set. What is
    /// kept depends on those that say how many images are: `kept_images`, and the images, shares and
    /// seeds of KNN, NNGuide and WeiPer+KLD; and on o, ε, k₁, k₂ and λ of AdaSCALE. Images that were
    /// added already are kept as they are.
    #[must_use]
    pub fn with_parameters(self, parameters: &Parameters) -> Self {
        let activation_shift = ActivationShift::new(parameters);
        if self.images > 0 {
            return Self {
                activation_shift,
                ..self
            };
        }
        let draws = draws_of(&self.methods, parameters);
        Self {
            activation_shift,
            ..self.keeping(parameters.kept_images as u64, &draws)
        }
    }

    /// The same, without images, of which so many are to be kept, and of the features those of draws.
    fn keeping(self, kept_images: u64, draws: &[Draw]) -> Self {
        let of_logits = Draw {
            seed: 0,
            most: kept_images,
            share: 1.0,
        };
        Self {
            kept_images,
            logits: Sample::new(of_logits, self.classes.saturating_add(1)),
            rows: self.rows_of(kept_images, draws),
            shifts: Shifts::new(kept_images),
            ..self
        }
    }

    fn rows_of(&self, kept_images: u64, draws: &[Draw]) -> Rows {
        let draws = if self.features > 0 { draws } else { &[] };
        let spreads = self.methods.contains(&Method::Vim) && check_features(self.features).is_ok();
        let spread_beyond = (spreads && !draws.is_empty()).then_some(kept_images);
        Rows::new(self.features, draws, spread_beyond)
    }

    /// The same, of the network that these bytes identify, such as a hash; zeros unless set.
    /// Summaries of different networks are not merged.
    #[must_use]
    pub fn of_network(self, network: [u8; 32]) -> Self {
        Self { network, ..self }
    }

    /// What identifies the network.
    pub fn network(&self) -> &[u8; 32] {
        &self.network
    }

    /// Number of images, n.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Number of classes, C.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of features of an image, D; 0 where none are read.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Whether the images have labels; false before the first.
    pub fn has_labels(&self) -> bool {
        self.labelled == Some(true)
    }

    /// The methods that it was made for, each once.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whether it keeps what a method needs, one that it was made for or another.
    pub fn is_for(&self, method: Method) -> bool {
        let made =
            self.methods.contains(&method) || draw_of(method, &Parameters::default()).is_none();
        let in_features = Keeps::are_in_features(method) && self.keeps.has(Keeps::FEATURES);
        (made && self.keeps.suffice_for(method, self.features))
            || (in_features && self.images <= self.kept_images && self.rows.all().is_some())
    }

    /// Adds images. Where the last layer is given, those of the first images are compared with it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for images of another number of classes or features, or of another last
    /// layer; [`ErrorKind::Summary`] where some images have labels and others have not, or there are
    /// more than 2⁵³ features of all images. Nothing is added then.
    pub fn observe(&mut self, training: &Training<'_>, head: Option<&Head>) -> Result<(), Error> {
        self.check_shape(training)?;
        if let Some(head) = head {
            check_match(head, training, self.images)?;
        }
        let labelled = self.labelled_with(Some(training.has_labels()))?;
        let images = self.images_with(training.images() as u64)?;
        self.check_maps(training.feature_maps().len() as u64)?;
        let mut features = training.feature_rows();
        for (image, logits) in training.logit_rows().enumerate() {
            let features = features.next().filter(|_| self.features > 0);
            let label = training.labels().map(|labels| labels[image]);
            self.add(features.unwrap_or_default(), logits, label);
        }
        self.add_map(training);
        self.add_shifts(training);
        (self.labelled, self.images) = (labelled, images);
        Ok(())
    }

    fn add_map(&mut self, training: &Training<'_>) {
        let maps = training.feature_maps();
        if self.keeps.has(Keeps::MAP_ACTIVATIONS) && !maps.is_empty() {
            let maps: Vec<f32> = maps.iter().map(|&value| coarse(value)).collect();
            self.map_levels.add(&maps);
            self.mapped_images += training.images() as u64;
        }
    }

    fn add_shifts(&mut self, training: &Training<'_>) {
        if self.keeps.has(Keeps::SHIFTS) && self.features > 0 {
            for (features, shifted) in training.feature_rows().zip(training.shifted_rows()) {
                let shift = self.activation_shift.of(features, shifted);
                self.shifts.push(hash(features, 0), shift);
            }
        }
    }

    fn add(&mut self, features: &[f32], logits: &[f32], label: Option<usize>) {
        let predicted = argmax(logits);
        let class = label.unwrap_or(predicted);
        if self.keeps.has(Keeps::TYPICAL) {
            let sum = &mut self.typical[predicted];
            sum.resize(self.classes, 0.0);
            for (sum, p) in sum.iter_mut().zip(softmax(logits, 1.0)) {
                *sum += p;
            }
        }
        if let (true, Some(label)) = (self.keeps.has(Keeps::LOGITS), label) {
            self.logits.push(logits[label], logits);
        }
        add(&mut self.sum, features);
        if let Some(moments) = &mut self.moments {
            moments.add(class, self.class_images[class], features);
        }
        if let Some(moments) = &mut self.unit_moments {
            moments.add(class, self.class_images[class], &unit(features));
        }
        self.class_moments
            .add(class, self.class_images[class], features);
        if self.keeps.has(Keeps::PATTERNS) && class == predicted {
            self.patterns.add(class, features);
        }
        if let Some(negative) = &mut self.negative {
            *negative += features.iter().filter(|h| **h < 0.0).count() as u64;
        }
        if self.keeps.has(Keeps::FEATURES) && self.features > 0 {
            self.rows.push(max(logits) as f32, features);
        }
        if self.keeps.has(Keeps::ACTIVATIONS) {
            self.levels.add(features);
        }
        self.class_images[class] += 1;
        self.predicted_images[predicted] += 1;
    }

    /// Adds the images of another summary. Those that are in both are counted twice.
    ///
    /// # Errors
    /// [`ErrorKind::Summary`] where the two are of different networks or for different methods, where
    /// one has labels and the other has not, or where there are more than 2⁵³ features of all
    /// images. Nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        self.check_alike(other)?;
        let labelled = self.labelled_with(other.labelled)?;
        let images = self.images_with(other.images)?;
        self.check_maps(other.map_levels.count())?;
        for (own, others) in self.typical.iter_mut().zip(&other.typical) {
            own.resize(own.len().max(others.len()), 0.0);
            add_sum(own, others);
        }
        add_sum(&mut self.sum, &other.sum);
        let moments = [
            (&mut self.moments, &other.moments),
            (&mut self.unit_moments, &other.unit_moments),
        ];
        for (own, others) in moments {
            if let (Some(own), Some(others)) = (own, others) {
                own.merge(&self.class_images, others, &other.class_images);
            }
        }
        self.class_moments.merge(
            &self.class_images,
            &other.class_moments,
            &other.class_images,
        );
        self.patterns.merge(&other.patterns);
        let negative = self.negative.zip(other.negative);
        self.negative = negative.map(|(own, others)| own + others);
        self.logits.merge(&other.logits);
        self.rows.merge(&other.rows);
        self.levels.merge(&other.levels);
        self.map_levels.merge(&other.map_levels);
        self.mapped_images += other.mapped_images;
        self.shifts.merge(&other.shifts);
        let counts = [
            (&mut self.class_images, &other.class_images),
            (&mut self.predicted_images, &other.predicted_images),
        ];
        for (own, others) in counts {
            for (own, others) in own.iter_mut().zip(others) {
                *own += others;
            }
        }
        (self.labelled, self.images) = (labelled, images);
        Ok(())
    }

    fn check_shape(&self, training: &Training<'_>) -> Result<(), Error> {
        let (classes, features) = (training.classes(), training.features());
        if classes == self.classes && (self.features == 0 || features == self.features) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Shape,
            format!(
                "the summary is of images with {} logits and {} features, these have {classes} and \
                 {features}",
                self.classes, self.features
            ),
        ))
    }

    fn check_alike(&self, other: &Self) -> Result<(), Error> {
        let what = if self.network != other.network {
            "are of different networks, or of one with different preprocessing"
        } else if (self.classes, self.features) != (other.classes, other.features) {
            "are of networks with different numbers of classes or features"
        } else if self.methods != other.methods {
            "were made for different scores; make both for the same"
        } else if self.keeps.has(Keeps::SHIFTS) && self.activation_shift != other.activation_shift {
            "were made with different parameters of AdaSCALE; make both with the same"
        } else if (self.kept_images, self.rows.draws()) != (other.kept_images, other.rows.draws()) {
            "were made to keep different numbers of images, or draw them by different shares or seeds; \
             make both with the same parameters"
        } else {
            return Ok(());
        };
        Err(apart(what))
    }

    fn labelled_with(&self, more: Option<bool>) -> Result<Option<bool>, Error> {
        match (self.labelled, more) {
            (Some(own), Some(more)) if own != more => Err(apart(
                "have labels in one and none in the other; give the labels of all images, or of none",
            )),
            (own, more) => Ok(own.or(more)),
        }
    }

    fn images_with(&self, more: u64) -> Result<u64, Error> {
        let images = self.images.checked_add(more);
        let activations = |images: u64| images.checked_mul(self.features.max(1) as u64);
        let fits = |images: &u64| activations(*images).is_some_and(|all| all <= MAX_COUNT);
        images.filter(fits).ok_or_else(|| {
            let message =
                format!("a summary holds up to 2^53 features; here are {more} more images");
            Error::new(ErrorKind::Summary, message)
        })
    }

    /// Whether so many more activations of feature maps can be counted.
    fn check_maps(&self, more: u64) -> Result<(), Error> {
        match self.map_levels.count().checked_add(more) {
            Some(all) if all <= MAX_COUNT => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Summary,
                format!("a summary holds up to 2^53 activations; here are {more} more"),
            )),
        }
    }

    /// By label, or else by the class that is predicted.
    pub(crate) fn class_images(&self) -> &[u64] {
        &self.class_images
    }

    /// By the class that is predicted.
    pub(crate) fn predicted_images(&self) -> &[u64] {
        &self.predicted_images
    }

    /// Sums of the softmax of each predicted class; empty for one that is predicted for none.
    pub(crate) fn typical(&self) -> &[Vec<f64>] {
        &self.typical
    }

    /// The mean of the features.
    pub(crate) fn mean(&self) -> Vec<f64> {
        let images = self.images.max(1) as f64;
        self.sum.iter().map(|sum| sum / images).collect()
    }

    pub(crate) fn moments(&self) -> Option<&Moments> {
        self.moments.as_ref()
    }

    /// Of the features divided by their norm.
    pub(crate) fn unit_moments(&self) -> Option<&Moments> {
        self.unit_moments.as_ref()
    }

    /// Of each class by itself.
    pub(crate) fn class_moments(&self) -> &ClassMoments {
        &self.class_moments
    }

    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    /// The share of all features that is negative, where it is known.
    pub(crate) fn negative_share(&self) -> Option<f64> {
        let all = self.images * self.features as u64;
        self.negative
            .map(|negative| negative as f64 / all.max(1) as f64)
    }

    /// To how many images at most scores are fitted that need single images.
    pub(crate) fn kept_images(&self) -> u64 {
        self.kept_images
    }

    /// Rows of the logit of the label and all logits, of labelled images that are drawn.
    pub(crate) fn logits(&self) -> Vec<&[f32]> {
        self.logits.ordered()
    }

    /// Rows of the largest logit and the features, of the images that this method draws.
    pub(crate) fn rows(
        &self,
        method: Method,
        parameters: &Parameters,
    ) -> Result<Vec<&[f32]>, Error> {
        let kept_images = usize::try_from(self.kept_images).unwrap_or(usize::MAX);
        let parameters = Parameters {
            kept_images,
            ..*parameters
        };
        let drawn = draw_of(method, &parameters).and_then(|draw| self.rows.drawn(&draw));
        drawn.ok_or_else(|| {
            let message = format!(
                "the summary of {} training images does not keep those that this score draws; make \
                 it with the parameters by which the score is fitted",
                self.images
            );
            Error::new(ErrorKind::Summary, message)
        })
    }

    /// The products of the features of all images as one class, where there are more than are kept.
    pub(crate) fn spread(&self) -> Option<&Moments> {
        self.rows.spread()
    }

    /// Whether the feature maps of all images were there.
    pub(crate) fn has_maps(&self) -> bool {
        self.mapped_images == self.images
    }

    /// The activations of the feature maps, rounded.
    pub(crate) fn map_activations(&self) -> &Levels {
        &self.map_levels
    }

    /// How the shifts are computed.
    pub(crate) fn activation_shift(&self) -> &ActivationShift {
        &self.activation_shift
    }

    /// Whether the shifted features of all images were there.
    pub(crate) fn has_shifts(&self) -> bool {
        self.shifts.images() == self.images
    }

    /// How far the largest activations of images shift, of those that are drawn, rising.
    pub(crate) fn shifts(&self) -> Vec<f64> {
        self.shifts.rising()
    }

    /// How often each activation occurs.
    pub(crate) fn activations(&self) -> Levels {
        if self.keeps.has(Keeps::ACTIVATIONS) {
            return self.levels.settled();
        }
        let mut levels = Levels::default();
        let rows = self.rows.all().unwrap_or_default();
        rows.iter().for_each(|row| levels.add(&row[1..]));
        levels.settled()
    }
}

/// `sum += more`.
fn add_sum(sum: &mut [f64], more: &[f64]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// The error of two summaries that do not belong together.
fn apart(what: &str) -> Error {
    let message = format!("these training images {what}");
    Error::new(ErrorKind::Summary, message)
}
