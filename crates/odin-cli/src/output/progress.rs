//! What goes to standard error.

use odin::Progress;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// A line of talk. A closed standard error is nobody's loss.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Images done, images per second and time left, on one line that is written over; only on a
/// terminal.
pub(crate) struct Meter {
    label: String,
    started: Instant,
    drawn: Option<Instant>,
    visible: bool,
}

impl Meter {
    pub(crate) fn new(label: &str, quiet: bool) -> Self {
        Self {
            label: label.to_string(),
            started: Instant::now(),
            drawn: None,
            visible: !quiet && std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn update(&mut self, progress: Progress) {
        let due = self.drawn.is_none_or(|at| at.elapsed().as_millis() >= 100);
        if !self.visible || !(due || progress.done == progress.total) {
            return;
        }
        self.drawn = Some(Instant::now());
        let rate = progress.done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = (progress.total - progress.done) as f64 / rate.max(1e-9);
        let (label, done, total) = (&self.label, progress.done, progress.total);
        write_over(&format!(
            "{label}: {done}/{total} images, {rate:.1}/s, {} left",
            duration(left)
        ));
    }
}

/// A line of progress in the place of the last one. The terminal cuts it at its edge instead of
/// going on in the next line, which would be left behind.
pub(crate) fn write_over(line: &str) {
    let _ = write!(std::io::stderr(), "\x1b[?7l\r\x1b[2K{line}\x1b[?7h");
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.visible && self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
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
