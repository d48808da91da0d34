//! The record of one image in a score file, and errors of reading one.

use std::fmt;

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
