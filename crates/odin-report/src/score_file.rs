//! The scores of many images as CSV, JSON lines or Parquet, written a record at a time and read
//! back, and scores that other programs saved as numpy arrays, read. The columns are `file`, `prediction`, `class`, one for each score, `percentile`,
//! `p_value`, `is_in_distribution`, `error` and, where the detector is named, `decided_by` and
//! `detector`.

mod arrays;
mod column;
mod csv;
mod detector;
mod finished;
mod jsonl;
mod parquet;
mod record;
mod short_lines;

pub use column::ScoreColumn;
pub use finished::check_score_file;
pub use record::{ScoreFileError, ScoreRecord, ScoreValues};

use detector::Signature;
pub(crate) use detector::{DetectorId, other_detector};
use record::problem;
use serde_json::{Map, Value};
use std::io::{Seek, Write};
use std::path::Path;

/// How scores are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScoreFormat {
    /// Comma-separated, with a header.
    Csv,
    /// A JSON object on each line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl ScoreFormat {
    /// That of a file's extension, if it is one of these: `csv`, `jsonl` (or `json`, `ndjson`),
    /// `parquet`.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "jsonl" | "json" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// Where scores are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScoreSource {
    /// A file with a record for each image.
    Records(ScoreFormat),
    /// Vectors in a file of numpy: an `.npz` with an array for each score, as OpenOOD saves them,
    /// or a `.npy`.
    Arrays,
}

impl ScoreSource {
    /// That of a file's extension: `npz`, `npy`, or one of [`ScoreFormat::of`].
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "npz" | "npy" => Some(Self::Arrays),
            _ => ScoreFormat::of(path).map(Self::Records),
        }
    }
}

/// Writes records.
pub struct ScoreWriter<W: Write + Send> {
    scores: Vec<String>,
    signature: Option<Signature>,
    inner: Inner<W>,
}

enum Inner<W: Write + Send> {
    Csv(W),
    JsonLines(W),
    Parquet(Box<parquet::Writer<W>>),
}

impl<W: Write + Send> ScoreWriter<W> {
    /// Begins a file with columns for scores of these names.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn new(out: W, format: ScoreFormat, scores: &[String]) -> Result<Self, ScoreFileError> {
        Self::begin(out, format, scores, None)
    }

    /// The same with two last columns, which are the same in all records: `decided_by`, the name
    /// of the score that decides, and `detector`, the first 16 hex digits of the detector's
    /// checksum.
    ///
    /// # Errors
    /// When nothing can be written, or the checksum is none.
    pub fn of_detector(
        out: W,
        format: ScoreFormat,
        scores: &[String],
        checksum: &str,
        decided_by: &str,
    ) -> Result<Self, ScoreFileError> {
        let detector = DetectorId::of_checksum(checksum);
        let none = || problem(format!("{checksum:?} is no checksum of a detector"));
        let signature = Signature {
            decided_by: decided_by.to_string(),
            detector: detector.ok_or_else(none)?,
        };
        Self::begin(out, format, scores, Some(signature))
    }

    fn begin(
        mut out: W,
        format: ScoreFormat,
        scores: &[String],
        signature: Option<Signature>,
    ) -> Result<Self, ScoreFileError> {
        let inner = match format {
            ScoreFormat::Csv => {
                csv::write_header(&mut out, scores, signature.as_ref()).map_err(problem)?;
                Inner::Csv(out)
            }
            ScoreFormat::JsonLines => Inner::JsonLines(out),
            ScoreFormat::Parquet => {
                let writer = parquet::Writer::new(out, scores, signature.clone());
                Inner::Parquet(Box::new(writer.map_err(problem)?))
            }
        };
        Ok(Self {
            scores: scores.to_vec(),
            signature,
            inner,
        })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot be written, or has not a value for each score.
    pub fn write(&mut self, record: &ScoreRecord) -> Result<(), ScoreFileError> {
        if let Ok(values) = &record.outcome
            && values.scores.len() != self.scores.len()
        {
            return Err(problem(format!(
                "{} has {} scores, the file {} columns for them",
                record.file,
                values.scores.len(),
                self.scores.len()
            )));
        }
        match &mut self.inner {
            Inner::Csv(out) => csv::write(out, record, self.scores.len(), self.signature.as_ref()),
            Inner::JsonLines(out) => {
                jsonl::write(out, record, &self.scores, self.signature.as_ref())
            }
            Inner::Parquet(writer) => return writer.write(record).map_err(problem),
        }
        .map_err(problem)
    }

    /// Ends the file; gives what was written to.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn finish(self) -> Result<W, ScoreFileError> {
        match self.inner {
            Inner::Csv(mut out) | Inner::JsonLines(mut out) => {
                out.flush().map_err(problem)?;
                Ok(out)
            }
            Inner::Parquet(writer) => writer.finish().map_err(problem),
        }
    }
}

/// The scores of every image of a set as CSV, with the columns `file`, `prediction`, `msp`, `odin`
/// and one for each other score: those of an evaluation, which decides nothing.
pub fn set_to_csv(set: &odin::ScoredSet) -> String {
    csv::of_set(set)
}

/// A record as one line of JSON, without the line's end and the detector.
pub fn record_to_json(record: &ScoreRecord, scores: &[String]) -> String {
    jsonl::line(record, scores, None)
}

/// The reverse of [`record_to_json`].
///
/// # Errors
/// When the text is no such record.
pub fn record_from_json(text: &str, scores: &[String]) -> Result<ScoreRecord, ScoreFileError> {
    let object: Map<String, Value> = serde_json::from_str(text).map_err(problem)?;
    jsonl::record(&object, scores)
}

/// Reads one score of a file that [`ScoreWriter`] wrote, or of any CSV or JSON lines with a column
/// of this name.
///
/// # Errors
/// When the file cannot be read, lacks the column, or holds what is no number; the message names
/// line and column.
pub fn read_column(
    file: std::fs::File,
    format: ScoreFormat,
    score: &str,
) -> Result<ScoreColumn, ScoreFileError> {
    match format {
        ScoreFormat::Csv => csv::read_column(file, score)?.checked(),
        ScoreFormat::JsonLines => jsonl::read_column(file, score)?.checked(),
        ScoreFormat::Parquet => parquet::read_column(file, score)?.checked(),
    }
}

/// The names of the scores in such a file: of all columns but those of other things that
/// [`ScoreWriter`] writes. Whether they hold numbers shows when they are read.
///
/// # Errors
/// When the file cannot be read.
pub fn read_score_names(
    file: std::fs::File,
    format: ScoreFormat,
) -> Result<Vec<String>, ScoreFileError> {
    match format {
        ScoreFormat::Csv => csv::score_names(file),
        ScoreFormat::JsonLines => jsonl::score_names(file),
        ScoreFormat::Parquet => parquet::score_names(file),
    }
}

/// The score of records that is read where none is named, and they do not say which decided.
const USUAL_SCORE: &str = "odin";

/// Reads one score of a file, and gives its name, which is that of a column or an array; a `.npy`
/// has none. Where none is asked for it is of records the one that they were decided by, or else
/// `odin`, and of arrays `conf` or else the only vector of floats.
///
/// # Errors
/// When the file cannot be read, lacks the score, or holds what is no number.
pub fn read_scores(
    mut file: std::fs::File,
    source: ScoreSource,
    score: Option<&str>,
) -> Result<(Option<String>, ScoreColumn), ScoreFileError> {
    match source {
        ScoreSource::Arrays => arrays::read(file, score),
        ScoreSource::Records(format) => {
            let score = match score {
                Some(score) => score.to_string(),
                None => usual_score(&mut file, format)?,
            };
            let column = read_column(file, format, &score)?;
            Ok((Some(score), column))
        }
    }
}

/// The score that the records of a file were decided by, or else the usual one.
fn usual_score(file: &mut std::fs::File, format: ScoreFormat) -> Result<String, ScoreFileError> {
    let again = file.try_clone().map_err(problem)?;
    let decided_by = match format {
        ScoreFormat::Csv => csv::decided_by(again)?,
        ScoreFormat::JsonLines => jsonl::decided_by(again)?,
        ScoreFormat::Parquet => parquet::decided_by(again)?,
    };
    file.rewind().map_err(problem)?;
    Ok(decided_by.unwrap_or_else(|| USUAL_SCORE.to_string()))
}
