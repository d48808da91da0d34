//! `odin fetch`: downloads data sets and networks of the registry.

use crate::args::Fetch;
use crate::output::progress::{OverwrittenLine, duration, say};
use crate::output::stdout::write_stdout;
use crate::resolve::registry;
use anyhow::{Result, bail};
use odin_data::fetch::{FetchOptions, Progress, fetch};
use odin_data::registry::Entry;
use odin_report::{FetchReport, FetchRow};
use std::time::Instant;

pub(crate) fn run(args: &Fetch) -> Result<()> {
    let registry = registry::open(&args.registry)?;
    let mut entries: Vec<&Entry> = Vec::new();
    for name in &args.names {
        entries.push(registry.entry(name)?);
    }
    let options = options(args);
    let mut report = FetchReport::default();
    for entry in &entries {
        let mut bar = Bar::new(args.quiet.on);
        let fetched = fetch(entry, &args.registry.data_dir, &options, &mut |p| {
            bar.show(p)
        });
        bar.line.clear();
        let row = FetchRow {
            name: entry.name.clone(),
            outcome: fetched.map_err(|error| error.to_string()),
        };
        match &row.outcome {
            // A download may take hours: each is told of when it is done.
            Ok(_) => write_stdout(&args.format.text(|| row.to_line(), String::new))?,
            Err(error) => say(&format!("{}: {error}", row.name)),
        }
        report.rows.push(row);
    }
    write_stdout(&args.format.text(String::new, || report.to_json()))?;
    let failures = report.rows.iter().filter(|row| row.outcome.is_err());
    match failures.count() {
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

/// The progress of a download.
struct Bar {
    quiet: bool,
    line: OverwrittenLine,
    started: Instant,
    resumed_at: u64,
}

impl Bar {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            line: OverwrittenLine::new(quiet),
            started: Instant::now(),
            resumed_at: 0,
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
        self.line.clear();
        say(line);
    }

    fn draw(&mut self, bytes: u64, total: Option<u64>) {
        if !self.line.is_due() {
            return;
        }
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
        self.line.draw(&line);
    }
}
