//! Arrays of numbers in NumPy's format.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Writes a matrix of doubles, row by row; all rows have one length.
pub fn write(path: &Path, rows: &[Vec<f64>]) -> Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}, {columns}), }}",
        rows.len()
    );
    // Magic, version and length take ten bytes; data begin at a multiple of 64.
    let padding = (10 + header.len() + 1).next_multiple_of(64) - 11 - header.len();
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
