//! CSV rows as RFC 4180 defines them, without cells that a spreadsheet would compute.

use std::fmt::{Display, Write};

const GUARDED: [char; 5] = ['=', '+', '-', '@', '\''];

/// The text that [`Line::text`] wrote.
pub(crate) fn text_of(cell: &str) -> &str {
    cell.strip_prefix('\'').unwrap_or(cell)
}

/// A line in the making.
#[derive(Debug, Default)]
pub(crate) struct Line {
    text: String,
    begun: bool,
}

impl Line {
    /// Adds a text of anybody's choice, such as the name of a file. A spreadsheet takes what begins
    /// with one of these characters for a formula: an apostrophe comes before it, and before an
    /// apostrophe, so that who removes the first one has the text again.
    pub(crate) fn text(self, text: &str) -> Self {
        match text.starts_with(GUARDED) && text.parse::<f64>().is_err() {
            true => self.cell(format_args!("'{text}")),
            false => self.cell(text),
        }
    }

    /// Adds some texts.
    pub(crate) fn texts<'a>(self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        texts.into_iter().fold(self, Self::text)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_no_formulas_and_come_back() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+a", "'+a"),
            ("-a.png", "'-a.png"),
            ("@a", "'@a"),
            ("'a", "''a"),
            ("''", "'''"),
            ("-1", "-1"),
            ("+2.5e3", "+2.5e3"),
            ("a=b", "a=b"),
            ("", ""),
            ("=a,b", "\"'=a,b\""),
        ] {
            assert_eq!(Line::default().text(text).end(), format!("{cell}\n"));
            assert_eq!(text_of(cell.trim_matches('"')), text);
        }
    }
}
