//! `odin fetch`.

use crate::args::Fetch;
use crate::output::progress::{duration, say, write_over};
use crate::output::stdout::write_stdout;
use crate::resolve::registry;
use anyhow::{Result, bail};
use odin_data::fetch::{Check, FetchOptions, Fetched, Progress, fetch};
use odin_data::registry::Entry;
use std::io::{IsTerminal, Write};
use std::time::Instant;

pub(crate) fn run(args: &Fetch) -> Result<()> {
    let registry = registry::open(&args.registry)?;
    let mut entries: Vec<&Entry> = Vec::new();
    for name in &args.names {
        entries.push(registry.entry(name)?);
    }
    let options = options(args);
    let mut failures = 0;
    for entry in &entries {
        let mut bar = Bar::new(args.quiet.on);
        let fetched = fetch(entry, &args.registry.data_dir, &options, &mut |p| {
            bar.show(p)
        });
        bar.clear();
        match fetched {
            Ok(fetched) => write_stdout(&describe(&entry.name, &fetched))?,
            Err(error) => {
                failures += 1;
                say(&format!("{}: {error}", entry.name));
            }
        }
    }
    match failures {
        0 => Ok(()),
        n => bail!("{n} of {} could not be fetched", entries.len()),
    }
}

fn options(args: &Fetch) -> FetchOptions {
    let env = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|n| std::env::var(n).ok())
            .filter(|v| !v.is_empty())
    };
    let mut options = FetchOptions::default();
    options.offline = args.offline;
    options.proxy = env(["https_proxy", "HTTPS_PROXY"]).or(env(["all_proxy", "ALL_PROXY"]));
    options.no_proxy = env(["no_proxy", "NO_PROXY"])
        .map(|hosts| hosts.split(',').map(|h| h.trim().to_string()).collect())
        .unwrap_or_default();
    options.root_certificates = std::env::var_os("SSL_CERT_FILE").map(Into::into);
    options
}

fn describe(name: &str, fetched: &Fetched) -> String {
    let check = |check: &Check| match check {
        Check::Registry => "checksum as in the registry",
        Check::Recorded => "checksum as recorded when first seen",
        Check::FirstSeen => "no checksum is known; the one seen is recorded",
        _ => "not checked",
    };
    match fetched {
        Fetched::Present { path, check: c } => {
            format!("{name}: {} (was here; {})\n", path.display(), check(c))
        }
        Fetched::Downloaded {
            path,
            check: c,
            url,
        } => {
            format!("{name}: {} (from {url}; {})\n", path.display(), check(c))
        }
        _ => format!("{name}: generated when needed, nothing to fetch\n"),
    }
}

/// The progress of a download: one line that is written over, only on a terminal.
struct Bar {
    quiet: bool,
    terminal: bool,
    started: Instant,
    resumed_at: u64,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            terminal: std::io::stderr().is_terminal(),
            started: Instant::now(),
            resumed_at: 0,
            drawn: None,
        }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        if self.quiet {
            return;
        }
        match progress {
            Progress::Received { bytes, total } => self.draw(*bytes, *total),
            Progress::Started {
                file,
                url,
                resumed_at,
                ..
            } => {
                (self.started, self.resumed_at) = (Instant::now(), *resumed_at);
                let how = if *resumed_at > 0 {
                    "resuming"
                } else {
                    "downloading"
                };
                self.note(&format!("{how} {file} from {url}"));
            }
            Progress::Retrying { url, reason, after } => {
                self.note(&format!(
                    "{url}: {reason}; trying again in {} s",
                    after.as_secs()
                ));
            }
            Progress::Verifying { path } => self.note(&format!("verifying {}", path.display())),
            Progress::Unpacking { path } => self.note(&format!("unpacking {}", path.display())),
            _ => {}
        }
    }

    fn note(&mut self, line: &str) {
        self.clear();
        say(line);
    }

    fn draw(&mut self, bytes: u64, total: Option<u64>) {
        if !self.terminal || self.drawn.is_some_and(|at| at.elapsed().as_millis() < 100) {
            return;
        }
        self.drawn = Some(Instant::now());
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let rate = (bytes - self.resumed_at.min(bytes)) as f64
            / self.started.elapsed().as_secs_f64().max(1e-9);
        let mut line = format!("{:.1} MB, {:.1} MB/s", mb(bytes), rate / 1e6);
        if let Some(total) = total.filter(|t| *t > 0) {
            let filled = (bytes * 30 / total).min(30) as usize;
            let left = duration(total.saturating_sub(bytes) as f64 / rate.max(1.0));
            line = format!(
                "[{:<30}] {line} of {:.1} MB, {left} left",
                "=".repeat(filled),
                mb(total)
            );
        }
        write_over(&line);
    }

    fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}
