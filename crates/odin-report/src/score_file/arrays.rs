//! Scores that other programs saved as numpy arrays, such as OpenOOD's evaluator.

use super::column::ScoreColumn;
use super::record::{ScoreFileError, problem};
use odin_data::{ArrayChoice, read_vector};
use std::fs::File;

/// The array of OpenOOD's files that holds the scores.
const CONFIDENCE: &str = "conf";

/// The scores, and the name of their array where the file has names.
pub(super) fn read(
    file: File,
    score: Option<&str>,
) -> Result<(Option<String>, ScoreColumn), ScoreFileError> {
    let choice = score.map_or(ArrayChoice::Usually(CONFIDENCE), ArrayChoice::Named);
    let vector = read_vector(file, "the file", choice).map_err(problem)?;
    let column = ScoreColumn {
        scores: vector.values,
        ..ScoreColumn::default()
    };
    Ok((vector.name, column))
}
