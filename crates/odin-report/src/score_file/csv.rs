use super::{ScoreColumn, ScoreFileError, ScoreRecord, problem};
use crate::csv_field;
use std::fs::File;
use std::io::{BufReader, Result, Write};

pub(super) fn write_header(out: &mut impl Write, scores: &[String]) -> Result<()> {
    write!(out, "file,prediction,class")?;
    for name in scores {
        write!(out, ",{}", csv_field(name))?;
    }
    writeln!(out, ",percentile,p_value,is_in_distribution,error")
}

pub(super) fn write(out: &mut impl Write, record: &ScoreRecord, scores: usize) -> Result<()> {
    write!(out, "{},", csv_field(&record.file))?;
    match &record.outcome {
        Ok(values) => {
            let class = values.class.as_deref().unwrap_or_default();
            write!(out, "{},{}", values.prediction, csv_field(class))?;
            for score in &values.scores {
                write!(out, ",{score}")?;
            }
            writeln!(
                out,
                ",{},{},{},",
                values.percentile, values.p_value, values.is_in_distribution
            )
        }
        // No prediction, class and scores; no percentile, p-value and decision.
        Err(error) => writeln!(out, "{}{}", ",".repeat(scores + 5), csv_field(error)),
    }
}

pub(super) fn read_column(
    file: File,
    score: &str,
) -> std::result::Result<ScoreColumn, ScoreFileError> {
    let mut reader = csv::Reader::from_reader(BufReader::new(file));
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
        scores.push(value, decision);
    }
    Ok(scores)
}
