//! CSV rows as RFC 4180 defines them.

use std::fmt::{Display, Write};

/// A line in the making.
#[derive(Debug, Default)]
pub(crate) struct Line {
    text: String,
    begun: bool,
}

impl Line {
    /// Adds a cell, quoted where need be.
    pub(crate) fn cell(mut self, cell: impl Display) -> Self {
        if self.begun {
            self.text.push(',');
        }
        self.begun = true;
        let start = self.text.len();
        let _ = write!(self.text, "{cell}");
        if self.text[start..].contains([',', '"', '\n', '\r']) {
            let quoted = self.text[start..].replace('"', "\"\"");
            self.text.truncate(start);
            let _ = write!(self.text, "\"{quoted}\"");
        }
        self
    }

    /// Adds some cells.
    pub(crate) fn cells<T: Display>(self, cells: impl IntoIterator<Item = T>) -> Self {
        cells.into_iter().fold(self, Self::cell)
    }

    /// The line, with its end.
    pub(crate) fn end(self) -> String {
        self.text + "\n"
    }
}
