//! Score files as JSON lines.

use super::column::ScoreColumn;
use super::detector::{COLUMN, DECIDED_BY, Signature};
use super::finished::Outline;
use super::record::{ScoreFileError, ScoreRecord, ScoreValues, problem, scores_of};
use super::short_lines::ShortLines;
use crate::json;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};

pub(super) fn write(
    out: &mut impl Write,
    record: &ScoreRecord,
    scores: &[String],
    signature: Option<&Signature>,
) -> std::io::Result<()> {
    writeln!(out, "{}", line(record, scores, signature))
}

pub(super) fn line(
    record: &ScoreRecord,
    scores: &[String],
    signature: Option<&Signature>,
) -> String {
    let values = record.outcome.as_ref().ok();
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_string(), value);
    put("file", json!(record.file));
    put("prediction", json!(values.map(|v| v.prediction)));
    put("class", json!(values.and_then(|v| v.class.as_ref())));
    for (i, name) in scores.iter().enumerate() {
        put(name, json!(values.and_then(|v| v.scores.get(i))));
    }
    put("percentile", json!(values.map(|v| v.percentile)));
    put("p_value", json!(values.map(|v| v.p_value)));
    put(
        "is_in_distribution",
        json!(values.map(|v| v.is_in_distribution)),
    );
    put("error", json!(record.outcome.as_ref().err()));
    if let Some(signature) = signature {
        put(DECIDED_BY, json!(signature.decided_by));
        put(COLUMN, json!(signature.detector.as_str()));
    }
    json::line(&Value::Object(object))
}

/// As of CSV.
pub(super) fn outline(file: File, outline: &mut Outline<'_>) -> Result<(), ScoreFileError> {
    for (number, line) in (1..).zip(BufReader::new(ShortLines::new(file)).lines()) {
        let line = line.map_err(problem)?;
        let object: Map<String, Value> =
            serde_json::from_str(&line).map_err(|e| problem(format!("line {number}: {e}")))?;
        outline.columns(object.keys().map(String::as_str))?;
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        outline.record(text("file"), text(COLUMN))?;
    }
    Ok(())
}

pub(super) fn record(
    object: &Map<String, Value>,
    scores: &[String],
) -> Result<ScoreRecord, ScoreFileError> {
    let missing = |name: &str| problem(format!("the record lacks {name:?}"));
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_string);
    let number = |name: &str| {
        let value = object.get(name).and_then(Value::as_f64);
        value.ok_or_else(|| missing(name))
    };
    let file = text("file").ok_or_else(|| missing("file"))?;
    if let Some(error) = text("error") {
        let outcome = Err(error);
        return Ok(ScoreRecord { file, outcome });
    }
    let prediction = object.get("prediction").and_then(Value::as_u64);
    let decision = object.get("is_in_distribution").and_then(Value::as_bool);
    let values = ScoreValues {
        prediction: prediction.ok_or_else(|| missing("prediction"))? as usize,
        class: text("class"),
        scores: scores.iter().map(|s| number(s)).collect::<Result<_, _>>()?,
        percentile: number("percentile")?,
        p_value: number("p_value")?,
        is_in_distribution: decision.ok_or_else(|| missing("is_in_distribution"))?,
    };
    let outcome = Ok(values);
    Ok(ScoreRecord { file, outcome })
}

/// The objects of a file with the numbers of their lines.
fn objects(
    file: File,
) -> impl Iterator<Item = Result<(usize, Map<String, Value>), ScoreFileError>> {
    let lines = (1..).zip(BufReader::new(ShortLines::new(file)).lines());
    let is_blank =
        |line: &std::io::Result<String>| matches!(line, Ok(text) if text.trim().is_empty());
    let lines = lines.filter(move |(_, line)| !is_blank(line));
    lines.map(|(number, line)| {
        let line = line.map_err(|e| problem(format!("line {number}: {e}")))?;
        let object = serde_json::from_str(&line)
            .map_err(|e| problem(format!("line {number} is no JSON object: {e}")))?;
        Ok((number, object))
    })
}

/// Those of the first line, which are those of all.
pub(super) fn score_names(file: File) -> Result<Vec<String>, ScoreFileError> {
    let first = objects(file).next().transpose()?;
    let columns = first.iter().flat_map(|(_, object)| object.keys());
    Ok(scores_of(columns.map(String::as_str)))
}

/// As of CSV.
pub(super) fn decided_by(file: File) -> Result<Option<String>, ScoreFileError> {
    let Some((_, object)) = objects(file).next().transpose()? else {
        return Ok(None);
    };
    let score = object.get(DECIDED_BY).and_then(Value::as_str);
    let known = score.filter(|score| object.contains_key(*score));
    Ok(known.map(str::to_string))
}

pub(super) fn read_column(file: File, score: &str) -> Result<ScoreColumn, ScoreFileError> {
    let mut column = ScoreColumn::default();
    for object in objects(file) {
        let (number, object) = object?;
        let value =
            match object.get(score) {
                None => {
                    let names: Vec<&str> = object.keys().map(String::as_str).collect();
                    return Err(problem(format!(
                        "line {number} has no {score:?}; it has {}",
                        names.join(", ")
                    )));
                }
                Some(Value::Null) => None,
                Some(value) => Some(value.as_f64().ok_or_else(|| {
                    problem(format!("line {number}: {score} is no number: {value}"))
                })?),
            };
        let decision = match object.get("is_in_distribution") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(decision)) => Some(*decision),
            Some(other) => {
                return Err(problem(format!(
                    "line {number}: is_in_distribution is neither true nor false: {other}"
                )));
            }
        };
        let detector = object.get(COLUMN).and_then(Value::as_str);
        column.push(value, decision, detector);
    }
    Ok(column)
}
