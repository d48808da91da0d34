//! Standard output, where a broken pipe is no error.
//!
//! Names and texts of files arrive here from everywhere. This is the edge: whatever passes it has
//! escapes for what would act on a terminal ([`printable`]).

use anyhow::{Context, Result};
use odin_error::printable;
use std::io::Write;

/// Writes a text; a broken pipe is no error.
pub(crate) fn write_stdout(text: &str) -> Result<()> {
    let mut out = std::io::stdout();
    let written = out.write_all(printable(text).as_bytes());
    // A program that is not written in Rust does not flush it when it ends.
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Standard output that knows of a broken pipe, which ends the work and is no failure of it. It
/// takes text.
pub(crate) struct Stdout {
    out: Printable<std::io::Stdout>,
    unread: bool,
}

impl Stdout {
    pub(crate) fn new() -> Self {
        Self {
            out: Printable::new(std::io::stdout()),
            unread: false,
        }
    }

    /// Whether writing failed because nobody reads any more.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    fn noted<T>(&mut self, result: std::io::Result<T>) -> std::io::Result<T> {
        let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        self.unread |= result.as_ref().is_err_and(broken);
        result.map_err(|error| {
            let problem = format!("cannot write to standard output: {error}");
            std::io::Error::new(error.kind(), problem)
        })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.out.flush();
        self.noted(flushed)
    }
}

/// Passes text on as [`printable`] has it.
struct Printable<W> {
    out: W,
    /// The first bytes of a character whose others are still to come.
    begun: Vec<u8>,
}

impl<W> Printable<W> {
    fn new(out: W) -> Self {
        let begun = Vec::new();
        Self { out, begun }
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.begun.len(),
        };
        let text: Vec<u8> = self.begun.drain(..whole).collect();
        let text = String::from_utf8_lossy(&text);
        self.out.write_all(printable(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_printable_however_it_is_cut() {
        let text = "ε\u{9b}2J,日本\x1b]0;a\x07\u{202e}\n";
        let expected = "ε\\u{9b}2J,日本\\u{1b}]0;a\\u{7}\\u{202e}\n";
        for size in 1..=text.len() {
            let mut printed = Printable::new(Vec::new());
            for part in text.as_bytes().chunks(size) {
                printed.write_all(part).unwrap();
            }
            assert_eq!(String::from_utf8(printed.out).unwrap(), expected);
        }
        let mut printed = Printable::new(Vec::new());
        printed.write_all(b"a\x9b\xff").unwrap();
        assert_eq!(String::from_utf8(printed.out).unwrap(), "a\u{fffd}\u{fffd}");
    }
}
