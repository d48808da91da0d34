//! Standard error: messages and progress. As on standard output, nothing that a file brings passes
//! as it is ([`printable`]).

use odin::Progress;
use odin_error::printable;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Prints to standard error; write errors are ignored.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// Images done, images per second and time left.
pub(crate) struct Meter {
    label: String,
    started: Instant,
    line: OverwrittenLine,
}

impl Meter {
    pub(crate) fn new(label: &str, quiet: bool) -> Self {
        Self {
            label: label.to_string(),
            started: Instant::now(),
            line: OverwrittenLine::new(quiet),
        }
    }

    pub(crate) fn update(&mut self, progress: Progress) {
        if !self.line.is_due() && progress.done != progress.total {
            return;
        }
        let rate = progress.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = (progress.total - progress.done) as f64 / rate.max(1e-9);
        let (label, done, total) = (&self.label, progress.done, progress.total);
        self.line.draw(&format!(
            "{label}: {done}/{total} images, {rate:.1}/s, {} left",
            duration(left)
        ));
    }
}

/// A line of a terminal that is written over; nothing where standard error is no terminal.
pub(crate) struct OverwrittenLine {
    visible: bool,
    drawn: Option<Instant>,
}

impl OverwrittenLine {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            visible: !quiet && std::io::stderr().is_terminal(),
            drawn: None,
        }
    }

    /// Whether the last drawing is at least 100 ms old.
    pub(crate) fn is_due(&self) -> bool {
        let age = self.drawn.map(|at| at.elapsed());
        self.visible && age.is_none_or(|age| age >= Duration::from_millis(100))
    }

    /// Draws in the place of what was drawn last. The terminal cuts the line at its edge instead of
    /// going on in the next one, which would be left behind.
    pub(crate) fn draw(&mut self, line: &str) {
        if self.visible {
            self.drawn = Some(Instant::now());
            let line = printable(line);
            let _ = write!(std::io::stderr(), "\x1b[?7l\r\x1b[2K{line}\x1b[?7h");
        }
    }

    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

impl Drop for OverwrittenLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Seconds, minutes or hours, for people.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        0..=59 => format!("{s} s"),
        60..=3599 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02} h", s / 3600, s / 60 % 60),
    }
}
