//! Aligned columns.

use std::fmt::Write;

/// Rows under a head, the first column to the left, the others to the right, two spaces between
/// them. Rows of fewer cells are headings: they stand alone and widen nothing.
pub(crate) fn aligned(head: &[String], rows: &[Vec<String>]) -> String {
    let whole = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = whole().filter(|row| row.len() == head.len());
            let widths = cells.map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in whole() {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let width = if row.len() == head.len() {
                widths[i]
            } else {
                0
            };
            let _ = match i {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
