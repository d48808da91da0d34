//! Tables: aligned columns, two spaces between them, and lines of a name and a value. A cell is one
//! line, whatever a file calls its parts.

use odin_error::escape;
use std::fmt::Write;

/// The first column to the left, the others to the right. Rows of fewer cells than the head are
/// headings: they stand alone and widen nothing.
pub(crate) fn aligned(head: &[String], rows: &[Vec<String>]) -> String {
    table(head, rows, 1)
}

/// All columns to the left.
pub(crate) fn left_aligned(head: &[String], rows: &[Vec<String>]) -> String {
    table(head, rows, head.len())
}

/// The first `to_the_left` columns to the left, the others to the right.
fn table(head: &[String], rows: &[Vec<String>], to_the_left: usize) -> String {
    let escaped = |row: &[String]| row.iter().map(|cell| escape(cell)).collect();
    let whole: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows.iter().map(Vec::as_slice))
        .map(escaped)
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = whole.iter().filter(|row| row.len() == head.len());
            let widths = cells.map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &whole {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let width = if row.len() == head.len() {
                widths[i]
            } else {
                0
            };
            let space = if i == 0 { "" } else { "  " };
            let _ = match i < to_the_left {
                true => write!(line, "{space}{cell:<width$}"),
                false => write!(line, "{space}{cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A name on the left, a value on the right, as wide as the authors' table.
pub(crate) fn entry(lines: &mut String, name: &str, value: &str) {
    let _ = writeln!(lines, "{:<34}{:>22}", format!("{name}:"), escape(value));
}
