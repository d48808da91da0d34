//! Any bytes as a score file. The first byte is the format: `c` CSV, `j` JSON lines, `p` Parquet,
//! `n` numpy arrays.
//!
//! The Parquet library panics at some damaged files. The reader must make errors of that: what it
//! does not catch is still a defect here.

use std::fs::{self, File};
use std::panic;
use std::sync::LazyLock;

use odin_report::{ScoreFormat, ScoreSource, read_scores};
use tempfile::NamedTempFile;

/// Written anew for each input: the readers take files.
static FILE: LazyLock<NamedTempFile> =
    LazyLock::new(|| NamedTempFile::new().expect("a temporary file"));

/// The fuzzer ends at every panic, caught or not, unless it comes from the Parquet library.
static ONLY_OWN_PANICS: LazyLock<()> = LazyLock::new(|| {
    let ends = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let file = info.location().map_or("", panic::Location::file);
        if !file.contains("/parquet-") {
            ends(info);
        }
    }));
});

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    LazyLock::force(&ONLY_OWN_PANICS);
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    let source = match kind {
        b'c' => ScoreSource::Records(ScoreFormat::Csv),
        b'j' => ScoreSource::Records(ScoreFormat::JsonLines),
        b'p' => ScoreSource::Records(ScoreFormat::Parquet),
        b'n' => ScoreSource::Arrays,
        _ => return,
    };
    fs::write(FILE.path(), bytes).expect("room for a small file");
    let file = File::open(FILE.path()).expect("the file that was just written");
    match read_scores(file, source, None) {
        Ok((_, column)) => {
            let decisions = column.decisions.len();
            assert!(decisions == 0 || decisions == column.scores.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
