//! Standard output, where a broken pipe is no error.

use anyhow::{Context, Result};
use std::io::Write;

/// Writes a text; a broken pipe is no error.
pub(crate) fn write_stdout(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Standard output that ends the program successfully on a broken pipe.
pub(crate) struct Stdout(std::io::Stdout);

impl Stdout {
    pub(crate) fn new() -> Self {
        Self(std::io::stdout())
    }

    fn end_if_unread<T>(result: std::io::Result<T>) -> std::io::Result<T> {
        match result {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => other,
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Self::end_if_unread(self.0.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Self::end_if_unread(self.0.flush())
    }
}
