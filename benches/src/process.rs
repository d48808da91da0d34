//! What the operating system says of a process.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The most memory that this process has had resident so far, in bytes; `None` where the system
/// has no `/proc`.
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Seconds from starting this program with `arguments` until it prints its first line.
///
/// # Errors
/// When it cannot be started or fails.
pub fn seconds_to_first_line(arguments: &[String]) -> Result<f64> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("no output to read")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let seconds = begun.elapsed().as_secs_f64();
    match child.wait()?.success() && !line.is_empty() {
        true => Ok(seconds),
        false => bail!("the process that was measured failed"),
    }
}
