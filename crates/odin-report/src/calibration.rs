//! The report of `odin calibrate`.

mod page;

use crate::bins::Bins;
use crate::columns::aligned;
use crate::json;
use crate::precision::ComputedIn;
use crate::separation::Separation;
use crate::terms::{POSITIVE_CLASS, counted, percent};
use odin::{
    DetectorRecord, MeasureOptions, Metrics, NoAccuracy, SavedScore, ScoredSet, ThresholdRule,
    measure, minimum_images,
};
use odin_error::{agree, escape};
use odin_metrics::{OperatingPoint, Scores};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A calibrated detector, and what its thresholds let pass.
#[derive(Debug)]
pub struct CalibrationReport<'a> {
    file: PathBuf,
    detector: &'a DetectorRecord,
    computed_in: ComputedIn,
    /// The name of the score that decides.
    deciding: &'a str,
    /// The share of in-distribution images that the network classifies rightly.
    accuracy: Result<f64, NoAccuracy>,
    /// For each score, the thresholds that out-of-distribution images suggest.
    points: Vec<Vec<(ThresholdRule, OperatingPoint)>>,
    /// How well each score that was computed tells the sets apart, the best first by AUROC; empty
    /// without out-of-distribution images.
    compared: Vec<(String, Metrics)>,
    /// For each score, what pictures show.
    shown: Vec<Shown>,
    /// Why scores are not to be trusted.
    of_scores: Vec<String>,
}

/// What pictures show of a score.
#[derive(Debug)]
struct Shown {
    bins: Bins,
    /// With out-of-distribution images.
    separation: Option<Separation>,
}

impl Shown {
    fn new(
        saved: &SavedScore,
        in_set: &ScoredSet,
        out_set: Option<&ScoredSet>,
    ) -> Result<Self, odin::Error> {
        let (score, threshold) = (&saved.name, Some(saved.threshold));
        let in_scores = in_set.scores(score)?;
        let separation = out_set.map(|out_set| -> Result<Separation, odin::Error> {
            let out_scores = out_set.scores(score)?;
            Ok(Separation::starting_at(
                threshold,
                score,
                &in_scores,
                &out_scores,
            )?)
        });
        Ok(Self {
            bins: Bins::of(&[&in_scores]),
            separation: separation.transpose()?,
        })
    }
}

/// The rate of out-of-distribution images that the table shows where none is asked for.
const FPR: f64 = 0.05;

impl<'a> CalibrationReport<'a> {
    /// Of a detector that was written to `file`, and the sets that it was calibrated on.
    ///
    /// # Errors
    /// When the sets are not those, or the detector has no score.
    pub fn new(
        file: &Path,
        detector: &'a DetectorRecord,
        computed_in: ComputedIn,
        accuracy: Result<f64, NoAccuracy>,
        in_set: &ScoredSet,
        out_set: Option<&ScoredSet>,
    ) -> Result<Self, odin::Error> {
        let points = detector.scores.iter().map(|score| match out_set {
            Some(out_set) => points(score, in_set, out_set),
            None => Ok(Vec::new()),
        });
        let saved = detector.scores.iter();
        let shown = saved.map(|score| Shown::new(score, in_set, out_set));
        Ok(Self {
            file: file.to_path_buf(),
            of_scores: Vec::new(),
            shown: shown.collect::<Result<_, _>>()?,
            detector,
            computed_in,
            deciding: &detector.deciding()?.name,
            points: points.collect::<Result<_, _>>()?,
            accuracy,
            compared: match out_set {
                Some(out_set) => compared(in_set, out_set)?,
                None => Vec::new(),
            },
        })
    }

    /// With reasons why its scores are not to be trusted.
    #[must_use]
    pub fn of_scores(self, warnings: Vec<String>) -> Self {
        Self {
            of_scores: warnings,
            ..self
        }
    }

    /// As text for a terminal.
    pub fn to_table(&self) -> String {
        let (d, images) = (self.detector, &self.detector.images);
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<24}{}", escape(&value));
        };
        line("Detector", self.file.display().to_string());
        line(
            "Model",
            format!("{} ({})", d.model.path.display(), d.model.architecture),
        );
        let (t, magnitude) = (d.setting.temperature, d.setting.magnitude);
        line("ODIN", format!("T = {t}, ε = {magnitude}"));
        line("Precision", self.computed_in.to_string());
        line(
            "In-distribution",
            format!(
                "{}, {}",
                images.in_dataset,
                counted(images.in_images, "image")
            ),
        );
        if let Some(out_dataset) = &images.out_dataset {
            line(
                "Out-of-distribution",
                format!("{out_dataset}, {}", counted(images.out_images, "image")),
            );
        }
        line(
            "Accuracy",
            match &self.accuracy {
                Ok(accuracy) => percent(*accuracy),
                Err(reason) => format!("unknown: {reason}"),
            },
        );
        line("Positive class", POSITIVE_CLASS.to_string());
        for (i, (score, points)) in d.scores.iter().zip(&self.points).enumerate() {
            let _ = write!(text, "\n{}", score_text(score, points, i == 0));
        }
        let _ = write!(text, "\n{}", self.comparison());
        text
    }

    /// The scores that cost nothing beside the one that decides, and which of them are better.
    fn comparison(&self) -> String {
        let deciding = self.deciding;
        let of = |name: &str| self.compared.iter().find(|(own, _)| own == name);
        let Some((_, decides)) = of(deciding) else {
            let others = match deciding {
                "msp" => "odin or energy",
                "energy" => "the baseline (msp) or odin",
                _ => "the baseline (msp) or energy",
            };
            return format!(
                "Whether {deciding} suits this network, in-distribution images cannot tell: on some networks\n{others} is better. odin eval tells, or --out-dataset here.\n"
            );
        };
        let head = ["All scores, by AUROC", "AUROC", "FPR95"].map(str::to_string);
        let rows: Vec<Vec<String>> = self
            .compared
            .iter()
            .map(|(name, m)| vec![name.clone(), percent(m.auroc), percent(m.fpr_at_95_tpr)])
            .collect();
        let mut text = aligned(&head, &rows);
        let better = self
            .compared
            .iter()
            .filter(|(_, m)| m.auroc > decides.auroc);
        let better: Vec<&str> = better.map(|(name, _)| name.as_str()).collect();
        if !better.is_empty() {
            let _ = writeln!(
                text,
                "Better than {deciding} on these images: {}; --score {} makes it decide.",
                better.join(", "),
                better[0]
            );
        }
        text
    }

    /// Where images are too few for the threshold that decides.
    pub fn warnings(&self) -> Vec<String> {
        let deciding = self.detector.scores.first();
        deciding.map_or(Vec::new(), |score| {
            let images = &self.detector.images;
            let of_in = in_warning(score, images.in_images);
            let of_out = out_warning(score, images.out_images);
            of_in.into_iter().chain(of_out).collect()
        })
    }

    /// As a JSON object; rates are fractions.
    pub fn to_json(&self) -> String {
        let (d, images) = (self.detector, &self.detector.images);
        let warnings = [self.warnings(), self.of_scores.clone()].concat();
        let scores = d.scores.iter().zip(&self.points);
        let scores: Vec<Value> = scores.map(|(s, points)| score_json(s, points)).collect();
        let value = json!({
            "odin_version": d.version,
            "detector": self.file.display().to_string(),
            "model": d.model.path.display().to_string(),
            "model_sha256": d.model.sha256,
            "architecture": d.model.architecture,
            "temperature": d.setting.temperature,
            "magnitude": d.setting.magnitude,
            "precision": d.setting.precision.as_str(),
            "instructions": self.computed_in.instructions,
            "in_dataset": images.in_dataset,
            "n_in": images.in_images,
            "in_skipped": images.in_skipped,
            "out_dataset": images.out_dataset,
            "n_out": images.out_dataset.as_ref().map(|_| images.out_images),
            "accuracy": self.accuracy.as_ref().ok(),
            "positive_class": POSITIVE_CLASS,
            "warnings": warnings,
            "scores": scores,
            "compared": self.compared.iter().map(|(name, m)| {
                json!({"name": name, "auroc": m.auroc, "fpr_at_95_tpr": m.fpr_at_95_tpr})
            }).collect::<Vec<Value>>(),
        });
        json::indented(&value)
    }
}

/// Whether in-distribution images are too few for the true-positive rate.
fn in_warning(score: &SavedScore, images: usize) -> Option<String> {
    let tpr = score.calibration.target_tpr;
    match minimum_images(tpr).ok()? {
        Some(minimum) if images < minimum => Some(format!(
            "{} {} too few for a true-positive rate of {tpr}: from {minimum} on, the threshold has a 95 % confidence interval",
            counted(images, "image"),
            agree(images, "is", "are")
        )),
        Some(_) => None,
        None => Some("no number of images establishes a threshold that keeps all in-distribution images; ask for 0.999 or less".to_string()),
    }
}

/// Whether out-of-distribution images are too few where they chose the threshold.
fn out_warning(score: &SavedScore, images: usize) -> Option<String> {
    let tpr = score.calibration.target_tpr;
    // A threshold that rejects the others is one that keeps the share that passes: the same count.
    let (rate, purpose) = match score.rule {
        ThresholdRule::Fpr(fpr) => (fpr, format!("a false-positive rate of {fpr}")),
        ThresholdRule::DetectionError => (1.0 - tpr, "the lowest detection error".to_string()),
        _ => return None,
    };
    let minimum = minimum_images(1.0 - rate).ok()??;
    if images >= minimum {
        return None;
    }
    let enough = match score.rule {
        ThresholdRule::Fpr(_) => "they establish such a threshold with 95 % confidence".to_string(),
        _ => format!(
            "they tell a false-positive rate of {} from none with 95 % confidence",
            percent(rate)
        ),
    };
    let interval = score.against_out.and_then(|point| point.fpr_interval);
    let interval = interval.map_or(String::new(), |interval| {
        let [lower, upper] = [interval.lower, interval.upper].map(percent);
        format!("; of new ones {lower} to {upper} may pass (95 % interval)")
    });
    Some(format!(
        "{} {} too few for {purpose}: from {minimum} on, {enough}{interval}",
        counted(images, "out-of-distribution image"),
        agree(images, "is", "are")
    ))
}

/// Every score that was computed, the best first.
fn compared(
    in_set: &ScoredSet,
    out_set: &ScoredSet,
) -> Result<Vec<(String, Metrics)>, odin::Error> {
    let exact = MeasureOptions::default();
    let measured = in_set.score_names.iter().map(|name| {
        let measured = measure(&in_set.scores(name)?, &out_set.scores(name)?, &exact)?;
        Ok((name.clone(), measured.metrics))
    });
    let mut compared = measured.collect::<Result<Vec<_>, odin::Error>>()?;
    compared.sort_by(|a, b| b.1.auroc.total_cmp(&a.1.auroc));
    Ok(compared)
}

/// The thresholds for a true-positive rate, for the lowest error, and for a false-positive rate.
fn points(
    score: &SavedScore,
    in_set: &ScoredSet,
    out_set: &ScoredSet,
) -> Result<Vec<(ThresholdRule, OperatingPoint)>, odin::Error> {
    let (in_scores, out_scores) = (in_set.scores(&score.name)?, out_set.scores(&score.name)?);
    let scores = Scores::new(&in_scores, &out_scores)?;
    let tpr = score.calibration.target_tpr;
    let fpr = match score.rule {
        ThresholdRule::Fpr(fpr) => fpr,
        _ => FPR,
    };
    let mut points = vec![
        (ThresholdRule::Tpr(tpr), scores.operating_point(tpr)?),
        (ThresholdRule::DetectionError, scores.lowest_error()),
    ];
    // Where even the highest score lets more pass, there is no such threshold.
    if let Ok(point) = scores.operating_point_at_fpr(fpr) {
        points.push((ThresholdRule::Fpr(fpr), point));
    }
    Ok(points)
}

fn describe(rule: ThresholdRule) -> String {
    match rule {
        ThresholdRule::Tpr(tpr) => format!("TPR of {}", percent(tpr)),
        ThresholdRule::Fpr(fpr) => format!("FPR of at most {}", percent(fpr)),
        ThresholdRule::DetectionError => "lowest error (largest Youden's J)".to_string(),
        _ => "another rule".to_string(),
    }
}

fn score_text(
    score: &SavedScore,
    points: &[(ThresholdRule, OperatingPoint)],
    decides: bool,
) -> String {
    let mut text = String::new();
    let decides = if decides { ", which decides" } else { "" };
    let _ = writeln!(text, "The score {}{decides}", score.name);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<22}{value}");
    };
    let c = &score.calibration;
    line(
        "threshold",
        format!("{} ({})", score.threshold, describe(score.rule)),
    );
    let [lower, upper] = c.threshold_interval.map(|end| match end {
        Some(end) => end.to_string(),
        None => "unknown".to_string(),
    });
    line(
        &format!("at TPR {}", percent(c.target_tpr)),
        format!("{}, 95 % interval {lower} to {upper}", c.threshold),
    );
    line("kept of these images", percent(c.tpr));
    line(
        "expected of new ones",
        format!(
            "{}, 95 % interval {} to {}",
            percent(c.expected_tpr),
            percent(c.tpr_interval.lower),
            percent(c.tpr_interval.upper)
        ),
    );
    let out = score.against_out;
    if let Some((fpr, interval)) = out.and_then(|point| Some((point.fpr, point.fpr_interval?))) {
        line(
            "others that pass",
            format!(
                "{} of these, 95 % interval for new ones {} to {}",
                percent(fpr),
                percent(interval.lower),
                percent(interval.upper)
            ),
        );
    }
    let own = score.classes.iter().filter(|class| class.own).count();
    if !score.classes.is_empty() {
        line(
            "classes",
            format!(
                "{own} of {} have a threshold of their own, the others have images too few",
                score.classes.len()
            ),
        );
    }
    if !points.is_empty() {
        let head = [
            "  Threshold for",
            "threshold",
            "TPR",
            "FPR",
            "Det. error",
            "",
        ];
        let rows: Vec<Vec<String>> = points
            .iter()
            .map(|(rule, point)| {
                let in_force = if *rule == score.rule { "in force" } else { "" };
                vec![
                    format!("  {}", describe(*rule)),
                    point.threshold.to_string(),
                    percent(point.tpr),
                    percent(point.fpr),
                    percent(point.detection_error),
                    in_force.to_string(),
                ]
            })
            .collect();
        text.push_str(&aligned(&head.map(str::to_string), &rows));
    }
    text
}

fn score_json(score: &SavedScore, points: &[(ThresholdRule, OperatingPoint)]) -> Value {
    let c = &score.calibration;
    let points: Vec<Value> = points
        .iter()
        .map(|(rule, point)| {
            json!({
                "rule": describe(*rule),
                "threshold": point.threshold,
                "tpr": point.tpr,
                "fpr": point.fpr,
                "detection_error": point.detection_error,
                "youden_j": point.youden_j(),
                "in_force": *rule == score.rule,
            })
        })
        .collect();
    let classes = score.classes.iter();
    let classes: Vec<Value> = classes
        .map(
            |class| json!({"threshold": class.threshold, "images": class.images, "own": class.own}),
        )
        .collect();
    let interval = score.against_out.and_then(|point| point.fpr_interval);
    json!({
        "name": score.name,
        "threshold": score.threshold,
        "rule": describe(score.rule),
        "target_tpr": c.target_tpr,
        "threshold_at_target_tpr": c.threshold,
        "threshold_ci95": c.threshold_interval,
        "tpr": c.tpr,
        "expected_tpr": c.expected_tpr,
        "expected_tpr_ci95": [c.tpr_interval.lower, c.tpr_interval.upper],
        "fpr": score.against_out.map(|point| point.fpr),
        "fpr_ci95": interval.map(|interval| [interval.lower, interval.upper]),
        "thresholds": points,
        "classes": classes,
    })
}
