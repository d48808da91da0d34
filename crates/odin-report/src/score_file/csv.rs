//! Score files as CSV.

use super::column::ScoreColumn;
use super::detector::{COLUMN, DECIDED_BY, Signature};
use super::finished::Outline;
use super::record::{
    BEFORE_SCORES, BEHIND_SCORES, ScoreFileError, ScoreRecord, problem, scores_of,
};
use super::short_lines::ShortLines;
use crate::csv::{Line, text_of};
use odin::ScoredSet;
use std::fs::File;
use std::io::{Result, Write};

pub(super) fn write_header(
    out: &mut impl Write,
    scores: &[String],
    signature: Option<&Signature>,
) -> Result<()> {
    let signed = signature.map(|_| [DECIDED_BY, COLUMN]);
    let line = Line::default()
        .cells(BEFORE_SCORES)
        .cells(scores)
        .cells(BEHIND_SCORES)
        .cells(signed.into_iter().flatten());
    out.write_all(line.end().as_bytes())
}

pub(super) fn write(
    out: &mut impl Write,
    record: &ScoreRecord,
    scores: usize,
    signature: Option<&Signature>,
) -> Result<()> {
    let line = Line::default().text(&record.file);
    let line = match &record.outcome {
        Ok(values) => line
            .cell(values.prediction)
            .text(values.class.as_deref().unwrap_or_default())
            .cells(&values.scores)
            .cells([values.percentile, values.p_value])
            .cell(values.is_in_distribution)
            .cell(""),
        // No prediction, class and scores; no percentile, p-value and decision.
        Err(error) => line.cells(vec![""; scores + 5]).text(error),
    };
    let line = match signature {
        Some(signature) => line.text(&signature.decided_by).cell(&signature.detector),
        None => line,
    };
    out.write_all(line.end().as_bytes())
}

/// The scores of a set that nothing was decided of.
pub(super) fn of_set(set: &ScoredSet) -> String {
    let mut csv = Line::default()
        .cells(["file", "prediction"])
        .cells(&set.score_names)
        .end();
    for row in &set.rows {
        let score = &row.score;
        let line = Line::default()
            .text(&row.name)
            .cell(score.prediction)
            .cells(score.values());
        csv.push_str(&line.end());
    }
    csv
}

/// The columns, and of each record the file and the detector.
pub(super) fn outline(
    file: File,
    outline: &mut Outline<'_>,
) -> std::result::Result<(), ScoreFileError> {
    let mut reader = csv::Reader::from_reader(ShortLines::new(file));
    let header = reader.headers().map_err(problem)?.clone();
    outline.columns(header.iter())?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(problem)? {
        let file = record.get(0).map(text_of);
        outline.record(file, record.get(header.len() - 1))?;
    }
    Ok(())
}

pub(super) fn score_names(file: File) -> std::result::Result<Vec<String>, ScoreFileError> {
    let mut reader = csv::Reader::from_reader(ShortLines::new(file));
    let header = reader.headers().map_err(problem)?;
    Ok(scores_of(header.iter().map(str::trim)))
}

/// The score that the first record was decided by, where a column says so.
pub(super) fn decided_by(file: File) -> std::result::Result<Option<String>, ScoreFileError> {
    let mut reader = csv::Reader::from_reader(ShortLines::new(file));
    let header = reader.headers().map_err(problem)?.clone();
    let Some(place) = header.iter().position(|name| name.trim() == DECIDED_BY) else {
        return Ok(None);
    };
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(problem)?;
    let score = record.get(place).map(|cell| text_of(cell.trim()));
    let known = score.filter(|score| header.iter().any(|name| name.trim() == *score));
    Ok(known.map(str::to_string))
}

pub(super) fn read_column(
    file: File,
    score: &str,
) -> std::result::Result<ScoreColumn, ScoreFileError> {
    let mut reader = csv::Reader::from_reader(ShortLines::new(file));
    let header = reader.headers().map_err(problem)?.clone();
    let place = |name: &str| header.iter().position(|column| column.trim() == name);
    let column = place(score).ok_or_else(|| {
        let columns: Vec<&str> = header.iter().collect();
        problem(format!(
            "there is no column {score:?}; the columns are {}",
            columns.join(", ")
        ))
    })?;
    let decision = place("is_in_distribution");
    let detector = place(COLUMN);
    let mut scores = ScoreColumn::default();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(problem)? {
        let line = record.position().map_or(0, csv::Position::line);
        let value = match record.get(column).map(str::trim) {
            None | Some("") => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| problem(format!("line {line}: {score} is no number: {text:?}")))?,
            ),
        };
        let decision = match decision.and_then(|place| record.get(place)).map(str::trim) {
            Some("true" | "True" | "1") => Some(true),
            Some("false" | "False" | "0") => Some(false),
            None | Some("") => None,
            Some(text) => {
                return Err(problem(format!(
                    "line {line}: is_in_distribution is neither true nor false: {text:?}"
                )));
            }
        };
        let detector = detector.and_then(|place| record.get(place));
        scores.push(value, decision, detector.map(str::trim));
    }
    Ok(scores)
}
