//! Serialisation of `detector.toml`. The structs here are its keys.

use super::record::{
    CalibrationImages, ClassThreshold, DetectorRecord, SavedCalibration, SavedModel, SavedPoint,
    SavedScore, Statistics, ThresholdRule, damaged,
};
use crate::model::{DETECTOR_MARK, MAX_DETECTOR_TOML, read_text_of, sha256};
use crate::{
    ChannelOrder, Error, ErrorKind, Layout, ModelConfig, Normalization, Precision, Setting,
};
use odin_metrics::{Interval, ReferenceScores};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The version of the keys. It rises when a reader of the old ones would misread the new ones; a
/// version reads all formats up to its own. The second knows `model.scale` and `model.channels`,
/// the third `odin.precision`; each is written only where these are not what those before it take for
/// granted.
const FORMATS: [u32; 3] = [1, 2, 3];

const CHECKSUM: &str = "checksum";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    odin_detector: u32,
    checksum: String,
    version: String,
    model: RawModel,
    odin: RawOdin,
    calibration: RawImages,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<RawStatistics>,
    score: Vec<RawScore>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    path: String,
    sha256: String,
    architecture: String,
    classes: usize,
    size: [usize; 2],
    layout: String,
    mean: Vec<f32>,
    std: Vec<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_label: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_names: Option<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOdin {
    temperature: f64,
    magnitude: f64,
    /// Missing where it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImages {
    in_dataset: String,
    in_images: usize,
    in_skipped: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_dataset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_images: Option<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatistics {
    file: String,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScore {
    name: String,
    threshold: f64,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fpr: Option<f64>,
    at_tpr: RawCalibration,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_out: Option<RawPoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<RawClasses>,
    in_scores: RawReference,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCalibration {
    target_tpr: f64,
    threshold: f64,
    tpr: f64,
    expected_tpr: f64,
    expected_tpr_ci95: [f64; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold_ci95_lower: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold_ci95_upper: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPoint {
    tpr: f64,
    fpr: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fpr_ci95: Option<[f64; 2]>,
    detection_error: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClasses {
    thresholds: Vec<f64>,
    images: Vec<usize>,
    own: Vec<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReference {
    images: u64,
    /// Which of the scores in ascending order are kept, counted from 1; missing where all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    ranks: Option<Vec<u64>>,
    scores: Vec<f64>,
}

impl DetectorRecord {
    /// Reads a `detector.toml`, without the network that it is about.
    ///
    /// # Errors
    /// When the file cannot be read, is of a newer format, was changed after it was written, or
    /// contradicts itself; the message names the file and the key.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let about = |problem: String| damaged(problem).about(path.display());
        let text = read_text_of(path, MAX_DETECTOR_TOML, ErrorKind::Saved)?;
        read(&text).map_err(about)
    }

    /// Reads the text of a `detector.toml`.
    ///
    /// # Errors
    /// Those of [`DetectorRecord::open`]; the message names the key.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        read(text).map_err(damaged)
    }

    /// The text of the `detector.toml`.
    pub fn to_toml(&self) -> String {
        write(self)
    }

    /// The checksum of [`DetectorRecord::to_toml`]: two detectors of one checksum judge alike.
    pub fn checksum(&self) -> String {
        checksum(&without_checksum(self))
    }
}

fn write(detector: &DetectorRecord) -> String {
    let text = without_checksum(detector);
    let line = format!("{CHECKSUM} = \"{}\"\n", checksum(&text));
    let empty = format!("{CHECKSUM} = \"\"\n");
    text.replacen(&empty, &line, 1)
}

fn without_checksum(detector: &DetectorRecord) -> String {
    let raw = Raw::from(detector);
    // Every value of these structs has a form in TOML.
    let body = toml::to_string(&raw).unwrap_or_default();
    format!(
        "# A calibrated out-of-distribution detector, written by odin {}.\n\
         #   odin score --detector THIS_FILE IMAGE...\n\
         # The checksum covers the rest of the file: after a change by hand it is refused.\n{}",
        detector.version,
        fold(&body)
    )
}

/// Long lists of numbers over several lines.
fn fold(body: &str) -> String {
    const WIDTH: usize = 96;
    // Inside a string of several lines, what looks like a list is none.
    if body.contains("\"\"\"") || body.contains("'''") {
        return body.to_string();
    }
    let mut folded = String::new();
    for line in body.lines() {
        let list = line
            .split_once(" = [")
            .filter(|(_, list)| line.len() > WIDTH && list.ends_with(']') && !list.contains('"'));
        let Some((key, list)) = list else {
            folded.push_str(line);
            folded.push('\n');
            continue;
        };
        folded.push_str(key);
        folded.push_str(" = [\n");
        let mut width = 0;
        for item in list.trim_end_matches(']').split(", ") {
            if width > 0 && width + item.len() + 2 > WIDTH {
                folded.push('\n');
                width = 0;
            }
            folded.push_str(if width == 0 { "    " } else { " " });
            folded.push_str(item);
            folded.push(',');
            width += item.len() + if width == 0 { 5 } else { 2 };
        }
        folded.push_str("\n]\n");
    }
    folded
}

/// The SHA-256 of the text without the line of the checksum, whatever its line ends.
fn checksum(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let own = |line: &&str| line.trim_start().starts_with(CHECKSUM);
    // Only the first is the key; a later one lies in a text.
    if let Some(place) = lines.iter().position(own) {
        lines.remove(place);
    }
    sha256(lines.join("\n").as_bytes())
}

/// Errors are texts without the name of the file.
fn read(text: &str) -> Result<DetectorRecord, String> {
    check_format(text)?;
    let raw: Raw = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_string())?;
    let found = checksum(text);
    if raw.checksum != found {
        return Err(format!(
            "the file was changed after it was written: its checksum is {found}, `{CHECKSUM}` says {:?}; calibrate again",
            raw.checksum
        ));
    }
    DetectorRecord::try_from(raw)
}

/// Before anything else is looked at, which may be unknown in this version.
fn check_format(text: &str) -> Result<(), String> {
    let table: toml::Table =
        toml::from_str(text).map_err(|e| e.to_string().trim_end().to_string())?;
    match table.get(DETECTOR_MARK).and_then(toml::Value::as_integer) {
        None => Err(format!(
            "this is no calibrated detector (it has no `{DETECTOR_MARK}`); calibrating writes one"
        )),
        Some(format) if FORMATS.iter().any(|&known| i64::from(known) == format) => Ok(()),
        Some(format) => Err(format!(
            "the detector has format {format}, this version reads those up to {}; use a newer version, or calibrate again",
            FORMATS[2]
        )),
    }
}

impl From<&DetectorRecord> for Raw {
    fn from(detector: &DetectorRecord) -> Self {
        let statistics = detector.statistics.as_ref();
        let model = RawModel::from(&detector.model);
        let as_format_1 = model.scale.is_none()
            && model.channels.is_none()
            && model.weights.is_none()
            && model.multi_label.is_none();
        let precision = detector.setting.precision;
        let precision = (precision != Precision::Exact).then(|| precision.to_string());
        let format = match (&precision, as_format_1) {
            (Some(_), _) => 2,
            (None, false) => 1,
            (None, true) => 0,
        };
        Self {
            odin_detector: FORMATS[format],
            checksum: String::new(),
            version: detector.version.clone(),
            model,
            odin: RawOdin {
                temperature: detector.setting.temperature,
                magnitude: detector.setting.magnitude,
                precision,
            },
            calibration: RawImages::from(&detector.images),
            statistics: statistics.map(|statistics| RawStatistics {
                file: statistics.file.clone(),
                sha256: statistics.sha256.clone(),
            }),
            score: detector.scores.iter().map(RawScore::from).collect(),
        }
    }
}

impl From<&SavedModel> for RawModel {
    fn from(model: &SavedModel) -> Self {
        let config = &model.config;
        let normalization = config.normalization.as_ref();
        let values = |pick: fn(&Normalization) -> &[f32]| {
            normalization.map_or(Vec::new(), |n| pick(n).to_vec())
        };
        Self {
            path: model.path.to_string_lossy().into_owned(),
            sha256: model.sha256.clone(),
            architecture: model.architecture.clone(),
            classes: model.classes,
            size: config.size.unwrap_or_default(),
            layout: config.layout.unwrap_or(Layout::Nchw).to_string(),
            mean: values(Normalization::mean),
            std: values(Normalization::std),
            scale: normalization
                .map(Normalization::scale)
                .filter(|&scale| scale != 1.0),
            channels: normalization
                .map(Normalization::channels)
                .filter(|&channels| channels != ChannelOrder::Rgb)
                .map(|channels| channels.to_string()),
            transform: config.transform.as_ref().map(|t| t.notation()),
            output: config.output.clone(),
            weights: config.weights.clone(),
            multi_label: config.multi_label.filter(|&is| is),
            class_names: config.class_names.clone(),
        }
    }
}

impl From<&CalibrationImages> for RawImages {
    fn from(images: &CalibrationImages) -> Self {
        Self {
            in_dataset: images.in_dataset.clone(),
            in_images: images.in_images,
            in_skipped: images.in_skipped,
            out_dataset: images.out_dataset.clone(),
            out_images: images.out_dataset.as_ref().map(|_| images.out_images),
        }
    }
}

impl From<&SavedScore> for RawScore {
    fn from(score: &SavedScore) -> Self {
        let (rule, fpr) = match score.rule {
            ThresholdRule::Tpr(_) => ("tpr", None),
            ThresholdRule::Fpr(fpr) => ("fpr", Some(fpr)),
            ThresholdRule::DetectionError => ("detection-error", None),
        };
        let c = &score.calibration;
        let classes = || score.classes.iter();
        let reference = &score.reference;
        Self {
            name: score.name.clone(),
            threshold: score.threshold,
            rule: rule.to_string(),
            fpr,
            at_tpr: RawCalibration {
                target_tpr: c.target_tpr,
                threshold: c.threshold,
                tpr: c.tpr,
                expected_tpr: c.expected_tpr,
                expected_tpr_ci95: [c.tpr_interval.lower, c.tpr_interval.upper],
                threshold_ci95_lower: c.threshold_interval[0],
                threshold_ci95_upper: c.threshold_interval[1],
            },
            against_out: score.against_out.map(|point| RawPoint {
                tpr: point.tpr,
                fpr: point.fpr,
                fpr_ci95: point.fpr_interval.map(|i| [i.lower, i.upper]),
                detection_error: point.detection_error,
            }),
            classes: (!score.classes.is_empty()).then(|| RawClasses {
                thresholds: classes().map(|class| class.threshold).collect(),
                images: classes().map(|class| class.images).collect(),
                own: classes().map(|class| class.own).collect(),
            }),
            in_scores: RawReference {
                images: reference.images(),
                ranks: (reference.scores().len() as u64 != reference.images())
                    .then(|| reference.ranks().to_vec()),
                scores: reference.scores().to_vec(),
            },
        }
    }
}

impl TryFrom<Raw> for DetectorRecord {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let RawOdin {
            temperature,
            magnitude,
            precision,
        } = raw.odin;
        let about = |e: Error| format!("`odin`: {e}");
        let setting = Setting::new(temperature, magnitude).map_err(about)?;
        let precision = precision.map(|text| text.parse()).transpose();
        let setting = setting.with_precision(precision.map_err(about)?.unwrap_or_default());
        if raw.score.is_empty() {
            return Err("`score` is missing: there is nothing to decide by".to_string());
        }
        let (classes, in_images) = (raw.model.classes, raw.calibration.in_images);
        let counts = raw.score.iter().map(|score| score.in_scores.images);
        if let Some(count) = counts.into_iter().find(|count| *count != in_images as u64) {
            return Err(format!(
                "`calibration.in_images` is {in_images}, the `in_scores` of a score have `images` = {count}"
            ));
        }
        let scores = raw.score.into_iter();
        let statistics = raw.statistics.map(|statistics| Statistics {
            file: statistics.file,
            sha256: statistics.sha256,
        });
        if let Some(statistics) = &statistics
            && PathBuf::from(&statistics.file).file_name() != Some(statistics.file.as_ref())
        {
            return Err(format!(
                "`statistics.file`: {:?} must lie in the folder of this file",
                statistics.file
            ));
        }
        Ok(Self {
            version: raw.version,
            setting,
            images: CalibrationImages {
                in_dataset: raw.calibration.in_dataset,
                in_images: raw.calibration.in_images,
                in_skipped: raw.calibration.in_skipped,
                out_dataset: raw.calibration.out_dataset,
                out_images: raw.calibration.out_images.unwrap_or(0),
            },
            scores: scores
                .map(|score| score.check(classes))
                .collect::<Result<_, _>>()?,
            model: raw.model.check()?,
            statistics,
        })
    }
}

impl RawModel {
    fn check(self) -> Result<SavedModel, String> {
        let about = |key: &'static str| move |e: crate::Error| format!("`model.{key}`: {e}");
        let scale = self.scale.unwrap_or(1.0);
        let channels = self.channels.as_deref().map(str::parse::<ChannelOrder>);
        let channels = channels.transpose().map_err(about("channels"))?;
        let normalization = Normalization::new(&self.mean, &self.std)
            .map_err(about("mean` and `model.std"))?
            .with_scale(scale)
            .map_err(about("scale"))?
            .with_channels(channels.unwrap_or_default());
        let transform = self.transform.map(|text| {
            let transform = text.parse();
            transform.map_err(|e: odin_data::Error| format!("`model.transform`: {e}"))
        });
        Ok(SavedModel {
            path: PathBuf::from(self.path),
            sha256: self.sha256,
            architecture: self.architecture,
            classes: self.classes,
            config: ModelConfig {
                size: Some(self.size),
                transform: transform.transpose()?,
                scale: Some(scale),
                channels: Some(normalization.channels()),
                normalization: Some(normalization),
                layout: Some(self.layout.parse().map_err(about("layout"))?),
                class_names: self.class_names,
                output: self.output,
                weights: self.weights,
                multi_label: Some(self.multi_label.unwrap_or(false)),
            },
        })
    }
}

impl RawScore {
    fn check(self, classes: usize) -> Result<SavedScore, String> {
        let name = self.name;
        let about = |problem: String| format!("the score {name:?}: {problem}");
        if !self.threshold.is_finite() {
            return Err(about(format!("`threshold` is {}", self.threshold)));
        }
        let rule = match (self.rule.as_str(), self.fpr) {
            ("tpr", None) => ThresholdRule::Tpr(self.at_tpr.target_tpr),
            ("fpr", Some(fpr)) => ThresholdRule::Fpr(fpr),
            ("detection-error", None) => ThresholdRule::DetectionError,
            (rule, _) => {
                return Err(about(format!(
                    "`rule` is {rule:?}; it must be tpr, fpr (with `fpr`) or detection-error"
                )));
            }
        };
        let class_thresholds = match self.classes {
            None => Vec::new(),
            Some(own) => own.check(classes).map_err(about)?,
        };
        let RawReference {
            images,
            ranks,
            scores,
        } = self.in_scores;
        let ranks = ranks.unwrap_or_else(|| (1..=scores.len() as u64).collect());
        let reference = ReferenceScores::from_parts(images, ranks, scores);
        let reference = reference.map_err(|e| about(format!("`in_scores`: {e}")))?;
        let c = self.at_tpr;
        Ok(SavedScore {
            threshold: self.threshold,
            rule,
            calibration: SavedCalibration {
                target_tpr: c.target_tpr,
                threshold: c.threshold,
                tpr: c.tpr,
                expected_tpr: c.expected_tpr,
                tpr_interval: Interval {
                    lower: c.expected_tpr_ci95[0],
                    upper: c.expected_tpr_ci95[1],
                },
                threshold_interval: [c.threshold_ci95_lower, c.threshold_ci95_upper],
            },
            against_out: self.against_out.map(|point| SavedPoint {
                tpr: point.tpr,
                fpr: point.fpr,
                fpr_interval: point
                    .fpr_ci95
                    .map(|[lower, upper]| Interval { lower, upper }),
                detection_error: point.detection_error,
            }),
            classes: class_thresholds,
            reference,
            name,
        })
    }
}

impl RawClasses {
    fn check(self, classes: usize) -> Result<Vec<ClassThreshold>, String> {
        let lengths = [self.thresholds.len(), self.images.len(), self.own.len()];
        if lengths != [classes; 3] || !self.thresholds.iter().all(|t| t.is_finite()) {
            return Err(format!(
                "`classes` must hold a threshold for each of the {classes} classes"
            ));
        }
        let images = self.images.into_iter().zip(self.own);
        let all = self.thresholds.into_iter().zip(images);
        Ok(all
            .map(|(threshold, (images, own))| ClassThreshold {
                threshold,
                images,
                own,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names may hold line breaks, and lines that look like keys.
    #[test]
    fn texts_of_several_lines_stay_as_they_are() {
        let list = format!("list = [1{}]", ", 1".repeat(60));
        let body = format!("name = \"\"\"\na\n{list}\"\"\"\n");
        assert_eq!(fold(&body), body);
        assert!(fold(&format!("{list}\n")).lines().count() > 2);
    }

    #[test]
    fn the_checksum_covers_all_but_its_own_line() {
        let text = |own: &str, other: &str| {
            format!("a = 1\nchecksum = \"{own}\"\nb = \"\"\"\nchecksum {other}\"\"\"\n")
        };
        assert_eq!(checksum(&text("x", "1")), checksum(&text("y", "1")));
        assert_ne!(checksum(&text("x", "1")), checksum(&text("x", "2")));
        assert_eq!(
            checksum(&text("x", "1")),
            checksum(&text("x", "1").replace('\n', "\r\n"))
        );
    }
}
