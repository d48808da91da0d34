//! Files of scores that commands compare: named, opened, read and checked.

use crate::args::UsageError;
use anyhow::{Context, Result, bail};
use odin_report::{ScoreColumn, ScoreSource, read_score_names, read_scores};
use odin_untrusted::file::open_regular;
use std::fmt;
use std::path::Path;

/// A file of scores, by its extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScoreFile<'a> {
    pub(crate) path: &'a Path,
    source: ScoreSource,
}

/// What a file is read for where nothing in it or in the arguments names the score.
const UNNAMED: &str = "score";

impl<'a> ScoreFile<'a> {
    pub(crate) fn resolve(path: &'a Path) -> Result<Self> {
        let Some(source) = ScoreSource::of(path) else {
            let problem = format!(
                "{}: score files end in .csv, .jsonl (.json, .ndjson), .parquet, .npz or .npy",
                path.display()
            );
            return Err(UsageError(problem).into());
        };
        Ok(Self { path, source })
    }

    /// The names of the scores in it; `None` of numpy's files, in which any array may be one.
    pub(crate) fn score_names(self) -> Result<Option<Vec<String>>> {
        let file = open_regular(self.path)?;
        let ScoreSource::Records(format) = self.source else {
            return Ok(None);
        };
        let names = read_score_names(file, format).with_context(|| self.to_string())?;
        Ok(Some(names))
    }

    /// Reads one score, or the usual one, and gives its name where the file has names. All its
    /// values are finite, and there is one.
    pub(crate) fn read(self, wanted: Option<&str>) -> Result<(Option<String>, ScoreColumn)> {
        let file = open_regular(self.path)?;
        let read = read_scores(file, self.source, wanted);
        let (score, column) = read.with_context(|| self.to_string())?;
        let shown = score.as_deref().or(wanted).unwrap_or(UNNAMED);
        if column.scores.is_empty() {
            bail!(
                "{self}: no image has the score {shown} ({} have errors), so there is nothing to compare",
                column.errors
            );
        }
        if let Some(place) = column.scores.iter().position(|score| !score.is_finite()) {
            bail!(
                "{self}: the score {shown} of image {} (of those with a score) is {}; scores must be finite",
                place + 1,
                column.scores[place]
            );
        }
        Ok((score, column))
    }
}

impl fmt::Display for ScoreFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// The score that two files were read for: the one that was wanted, or the one that they name.
pub(crate) fn common_name(
    wanted: Option<&str>,
    one: (ScoreFile<'_>, Option<&str>),
    other: (ScoreFile<'_>, Option<&str>),
) -> Result<String> {
    match (wanted, one, other) {
        (None, (one, Some(name)), (other, Some(other_name))) if name != other_name => {
            let problem = format!(
                "the score is {name} in {one} and {other_name} in {other}; name one that both have by --score"
            );
            Err(UsageError(problem).into())
        }
        (wanted, (_, name), (_, other_name)) => {
            let name = wanted.or(name).or(other_name);
            Ok(name.unwrap_or(UNNAMED).to_string())
        }
    }
}
