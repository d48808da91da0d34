//! Any bytes as a score file. The first byte is the format: `c` CSV, `j` JSON lines, `p` Parquet.
#![no_main]

use std::fs::{self, File};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use odin_report::{ScoreFormat, read_column};
use tempfile::NamedTempFile;

/// Written anew for each input: the readers take files.
static FILE: LazyLock<NamedTempFile> =
    LazyLock::new(|| NamedTempFile::new().expect("a temporary file"));

fuzz_target!(|input: &[u8]| {
    let (format, bytes) = match input.split_first() {
        Some((b'c', bytes)) => (ScoreFormat::Csv, bytes),
        Some((b'j', bytes)) => (ScoreFormat::JsonLines, bytes),
        Some((b'p', bytes)) => (ScoreFormat::Parquet, bytes),
        _ => return,
    };
    fs::write(FILE.path(), bytes).expect("room for a small file");
    let file = File::open(FILE.path()).expect("the file that was just written");
    match read_column(file, format, "odin") {
        Ok(column) => {
            let decisions = column.decisions.len();
            assert!(decisions == 0 || decisions == column.scores.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
