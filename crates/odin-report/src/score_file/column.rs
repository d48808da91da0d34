//! One score of a score file, read back.

use super::detector::DetectorId;
use super::record::{ScoreFileError, problem};
use odin_error::{agree, counted};
use std::collections::BTreeSet;

/// The scores of one name in a file, and the decisions.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ScoreColumn {
    /// The score of every image that has one.
    pub scores: Vec<f64>,
    /// Whether each of these images was taken for in-distribution; empty where the file has no
    /// decisions.
    pub decisions: Vec<bool>,
    /// How many images have an error in place of a score.
    pub errors: usize,
    /// The detectors that the records name; none where the file has no such column.
    pub(crate) detectors: BTreeSet<DetectorId>,
}

impl ScoreColumn {
    /// `detector` is what the cell of that column holds.
    pub(super) fn push(
        &mut self,
        score: Option<f64>,
        decision: Option<bool>,
        detector: Option<&str>,
    ) {
        self.detectors.extend(detector.and_then(DetectorId::read));
        match score {
            Some(score) => {
                self.scores.push(score);
                self.decisions.extend(decision);
            }
            None => self.errors += 1,
        }
    }

    /// Decisions are for all images or for none.
    pub(super) fn checked(self) -> Result<Self, ScoreFileError> {
        match self.decisions.len() {
            0 => Ok(self),
            n if n == self.scores.len() => Ok(self),
            n => Err(problem(format!(
                "{} {} a score and {n} a decision",
                counted(self.scores.len(), "image"),
                agree(self.scores.len(), "has", "have")
            ))),
        }
    }
}
