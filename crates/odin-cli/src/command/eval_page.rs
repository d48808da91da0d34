//! What the page of `odin eval` shows beside the metrics: how each score separates the sets, and
//! some images, which are read again.

use anyhow::Result;
use odin::{Detector, Image, Images, InputGradient, Row, ScoredSet, Setting};
use odin_report::{ImageFacts, ImageGroup, Separation, ShownImage};

/// How many images of a kind are shown, where there are few sets and many.
const SHOWN: (usize, usize) = (6, 3);
const FEW_SETS: usize = 2;

/// The score that images are chosen by.
const ODIN: &str = "odin";

/// A set with its scores.
#[derive(Clone, Copy)]
pub(super) struct Scored<'a> {
    pub(super) images: &'a Images,
    pub(super) set: &'a ScoredSet,
}

/// What is shown of the sets that were scored so far. Of their images only thumbnails are kept.
pub(super) struct PageParts {
    gradient: InputGradient,
    shown: usize,
    pub(super) separations: Vec<Vec<Separation>>,
    pub(super) images: Vec<ImageGroup>,
}

impl PageParts {
    pub(super) fn new(detector: &Detector, out_sets: usize) -> Result<Self> {
        Ok(Self {
            gradient: detector.input_gradient()?,
            shown: if out_sets > FEW_SETS {
                SHOWN.1
            } else {
                SHOWN.0
            },
            separations: Vec::new(),
            images: Vec::new(),
        })
    }

    /// Adds an out-set and the in-set that it is compared with; images of the in-set only for the
    /// first.
    pub(super) fn add(
        &mut self,
        detector: &Detector,
        in_set: Scored<'_>,
        out_set: Scored<'_>,
    ) -> Result<()> {
        let separations = detector
            .score_names()
            .iter()
            .map(|name| -> Result<Separation> {
                let (ins, outs) = (in_set.set.scores(name)?, out_set.set.scores(name)?);
                Ok(Separation::new(name, &ins, &outs)?)
            });
        let separations = separations.collect::<Result<Vec<_>>>()?;
        let of_odin = separations.iter().find(|s| s.score() == ODIN);
        let threshold = of_odin.map_or(f64::NAN, Separation::threshold_at_95);
        if self.separations.is_empty() {
            self.show(detector, in_set, &rejected(in_set, threshold), true)?;
            self.show(detector, in_set, &typical(in_set), true)?;
        }
        self.show(detector, out_set, &passed(out_set, threshold), false)?;
        self.show(detector, out_set, &typical(out_set), false)?;
        self.separations.push(separations);
        Ok(())
    }

    fn show(
        &mut self,
        detector: &Detector,
        scored: Scored<'_>,
        choice: &Choice,
        is_in: bool,
    ) -> Result<()> {
        let classifier = detector.classifier();
        let rows: Vec<&Row> = choice.rows(scored.set, self.shown);
        let places = choice.places(scored, self.shown);
        let subset = scored.images.these(places);
        let read = (0..subset.len()).map(|i| -> Result<Image> { Ok(subset.get(i)?.image) });
        let images = read.collect::<Result<Vec<Image>>>()?;
        let gradients = self.gradient.of_prepared(&images)?;
        let unperturbed = unperturbed(detector, &subset)?;
        let has_labels = is_in && scored.set.accuracy(classifier).is_ok();
        let of_set = scored.set.class_names.as_deref().filter(|_| has_labels);
        let mut shown = Vec::new();
        for (((row, image), gradient), unperturbed) in rows
            .into_iter()
            .zip(&images)
            .zip(&gradients)
            .zip(unperturbed)
        {
            let facts = ImageFacts {
                row,
                class_names: classifier.class_names().or(of_set),
                label: row.label.filter(|_| has_labels),
                unperturbed,
            };
            shown.push(ShownImage::new(facts, image, gradient));
        }
        self.images.push(ImageGroup {
            title: choice.title.clone(),
            note: choice.note.clone(),
            images: shown,
        });
        Ok(())
    }
}

/// ODIN's scores of the images as they are.
fn unperturbed(detector: &Detector, images: &Images) -> Result<Vec<f64>> {
    let temperature = detector.setting().temperature;
    let precision = detector.setting().precision;
    let still = Setting::new(temperature, 0.0)?.with_precision(precision);
    let detector = detector.with_setting(still)?;
    let rows = detector.rows(images);
    rows.map(|row| match row {
        Ok(row) => Ok(odin_of(&row)),
        Err(image) => Err(image.error.into()),
    })
    .collect()
}

/// ODIN's score, which an evaluation always has.
fn odin_of(row: &Row) -> f64 {
    row.score.odin().unwrap_or(f64::NAN)
}

/// Rows of a set that are worth to be looked at, those first that are most so.
struct Choice {
    title: String,
    note: String,
    order: Vec<usize>,
}

impl Choice {
    fn rows<'a>(&self, set: &'a ScoredSet, most: usize) -> Vec<&'a Row> {
        let order = self.order.iter().take(most);
        order.filter_map(|&row| set.rows.get(row)).collect()
    }

    /// The places of these rows among the images.
    fn places(&self, scored: Scored<'_>, most: usize) -> Vec<usize> {
        let places = places(scored);
        let order = self.order.iter().take(most);
        order.filter_map(|&row| places.get(row).copied()).collect()
    }
}

/// The place among the images of each row: rows are in their order, without those that could not
/// be read.
fn places(scored: Scored<'_>) -> Vec<usize> {
    let Scored { images, set } = scored;
    if set.skipped.is_empty() {
        return (0..set.rows.len()).collect();
    }
    let mut rows = set.rows.iter().peekable();
    let mut is_next = |i: usize| {
        rows.next_if(|row| row.name == images.image_name(i))
            .is_some()
    };
    (0..images.len()).filter(|&i| is_next(i)).collect()
}

/// In-distribution images below the threshold, the lowest first.
fn rejected(scored: Scored<'_>, threshold: f64) -> Choice {
    let set = scored.set;
    let order = ordered(set, |score| score < threshold, |score| score);
    Choice {
        title: format!("{}: rejected, the most confident mistakes", set.name),
        note: note(order.len(), set, "below", threshold, "lowest"),
        order,
    }
}

/// Out-of-distribution images at the threshold or above, the highest first.
fn passed(scored: Scored<'_>, threshold: f64) -> Choice {
    let set = scored.set;
    let order = ordered(set, |score| score >= threshold, |score| -score);
    Choice {
        title: format!(
            "{}: taken for in-distribution, the most confident mistakes",
            set.name
        ),
        note: note(order.len(), set, "not below", threshold, "highest"),
        order,
    }
}

fn note(count: usize, set: &ScoredSet, side: &str, threshold: f64, first: &str) -> String {
    let (of, name) = (set.rows.len(), &set.name);
    format!(
        "{count} of {of} images of {name} have an ODIN score {side} {threshold}, the threshold at 95 % TPR; the {first} first."
    )
}

/// Images in the middle of their set.
fn typical(scored: Scored<'_>) -> Choice {
    let set = scored.set;
    let ascending = ordered(set, |_| true, |score| score);
    let middle = ascending.get(ascending.len() / 2).copied();
    let median = middle.map_or(f64::NAN, |row| odin_of(&set.rows[row]));
    Choice {
        title: format!("{}: most typical", set.name),
        note: format!("The ODIN scores nearest to their median, {median}."),
        order: ordered(set, |_| true, |score| (score - median).abs()),
    }
}

/// The rows whose ODIN score is wanted, in the order of a key; equal ones stay in the set's order.
fn ordered(set: &ScoredSet, wanted: impl Fn(f64) -> bool, key: impl Fn(f64) -> f64) -> Vec<usize> {
    let score = |row: usize| odin_of(&set.rows[row]);
    let mut order: Vec<usize> = (0..set.rows.len())
        .filter(|&row| wanted(score(row)))
        .collect();
    order.sort_by(|&a, &b| key(score(a)).total_cmp(&key(score(b))));
    order
}
