//! Whether a finished file of scores is of a certain job: the detector, the scores and the images.

use super::detector::{COLUMN, DECIDED_BY, DetectorId};
use super::record::{BEFORE_SCORES, BEHIND_SCORES, ScoreFileError, problem};
use super::{ScoreFormat, csv, jsonl, parquet};
use odin_error::counted;
use std::fs::File;

/// Sees whether a file that [`ScoreWriter::of_detector`](super::ScoreWriter::of_detector) wrote
/// has these columns of scores, is of the detector with this checksum, and has a record for each of
/// these images, in their order.
///
/// # Errors
/// When it cannot be read, or what differs first.
pub fn check_score_file(
    file: File,
    format: ScoreFormat,
    scores: &[String],
    checksum: &str,
    images: impl Iterator<Item = String>,
) -> Result<(), ScoreFileError> {
    let detector = DetectorId::of_checksum(checksum);
    let none = || problem(format!("{checksum:?} is no checksum of a detector"));
    let columns = BEFORE_SCORES
        .into_iter()
        .chain(scores.iter().map(String::as_str));
    let columns = columns.chain(BEHIND_SCORES).chain([COLUMN]);
    let columns = columns.map(str::to_string).collect();
    let mut images = images;
    let mut outline = Outline {
        columns,
        detector: detector.ok_or_else(none)?,
        images: &mut images,
        records: 0,
    };
    match format {
        ScoreFormat::Csv => csv::outline(file, &mut outline)?,
        ScoreFormat::JsonLines => jsonl::outline(file, &mut outline)?,
        ScoreFormat::Parquet => parquet::outline(file, &mut outline)?,
    }
    match outline.images.count() {
        0 => Ok(()),
        missing => Err(problem(format!(
            "it has {}, the job {}",
            counted(outline.records, "record"),
            counted(outline.records + missing, "image")
        ))),
    }
}

/// What is expected of a file; readers tell it what they find.
pub(super) struct Outline<'a> {
    columns: Vec<String>,
    detector: DetectorId,
    images: &'a mut dyn Iterator<Item = String>,
    records: usize,
}

impl Outline<'_> {
    pub(super) fn columns<'b>(
        &self,
        found: impl Iterator<Item = &'b str> + Clone,
    ) -> Result<(), ScoreFileError> {
        // Files of earlier versions do not say which score decided.
        let those_of_all = found.clone().filter(|name| *name != DECIDED_BY);
        match those_of_all.eq(&self.columns) {
            true => Ok(()),
            false => Err(problem(format!(
                "its columns are {}, those of the job {}",
                found.collect::<Vec<_>>().join(", "),
                self.columns.join(", ")
            ))),
        }
    }

    /// The next record.
    pub(super) fn record(
        &mut self,
        file: Option<&str>,
        detector: Option<&str>,
    ) -> Result<(), ScoreFileError> {
        self.records += 1;
        let (number, file) = (self.records, file.unwrap_or_default());
        if detector != Some(self.detector.as_str()) {
            return Err(problem(format!(
                "record {number} is of the detector {}, the job is of {}",
                detector.unwrap_or("that is not named"),
                self.detector
            )));
        }
        match self.images.next() {
            Some(image) if image == file => Ok(()),
            Some(image) => Err(problem(format!(
                "record {number} is of {file:?}, the job's image there is {image:?}"
            ))),
            None => Err(problem(format!(
                "record {number} is of {file:?}, the job has {}",
                counted(number - 1, "image")
            ))),
        }
    }
}
