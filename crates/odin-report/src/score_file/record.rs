//! The record of one image in a score file, and errors of reading one.

use super::detector;
use std::fmt;

/// The columns before the scores.
pub(super) const BEFORE_SCORES: [&str; 3] = ["file", "prediction", "class"];

/// The columns behind the scores, but for those of the detector.
pub(super) const BEHIND_SCORES: [&str; 4] =
    ["percentile", "p_value", "is_in_distribution", "error"];

/// The columns that are scores: all but ours of other things, and those without a name.
pub(super) fn scores_of<'a>(columns: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scores: Vec<String> = Vec::new();
    for column in columns {
        let is_other = column.is_empty()
            || [detector::COLUMN, detector::DECIDED_BY].contains(&column)
            || BEFORE_SCORES.contains(&column)
            || BEHIND_SCORES.contains(&column);
        if !is_other && !scores.iter().any(|known| known == column) {
            scores.push(column.to_string());
        }
    }
    scores
}

/// One image.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRecord {
    /// Its name, unique in the file.
    pub file: String,
    /// What was found, or why nothing was.
    pub outcome: Result<ScoreValues, String>,
}

/// What was found of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreValues {
    /// The predicted class.
    pub prediction: usize,
    /// Its name, where known.
    pub class: Option<String>,
    /// The scores, in the order of the columns; high for in-distribution images.
    pub scores: Vec<f64>,
    /// The percentile of the score that decides among in-distribution scores.
    pub percentile: f64,
    /// Its conformal p-value.
    pub p_value: f64,
    /// The decision.
    pub is_in_distribution: bool,
}

/// A problem with a score file; the text names what and where, but not the file.
#[derive(Debug)]
pub struct ScoreFileError(String);

impl fmt::Display for ScoreFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ScoreFileError {}

pub(super) fn problem(text: impl fmt::Display) -> ScoreFileError {
    ScoreFileError(text.to_string())
}
