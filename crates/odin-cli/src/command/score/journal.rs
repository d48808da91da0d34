//! The journal of a scoring job, by which a killed one resumes.
//!
//! The journal of `FILE` is `FILE.part`: a heading and then a record on each line, as JSON. Only
//! whole lines count. `FILE` itself is made of it at the end.

use crate::output::atomic::AtomicFile;
use anyhow::{Context, Result, bail};
use odin_report::{ScoreFormat, ScoreRecord, ScoreWriter, record_from_json, record_to_json};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The identity of a job; only the same one resumes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heading {
    /// The checksum of the detector.
    pub(super) detector: String,
    pub(super) shard: String,
    /// Where the network runs: other engines give other last bits.
    pub(super) device: String,
    /// The columns of scores.
    pub(super) scores: Vec<String>,
}

const FORMAT: u32 = 1;

impl Heading {
    fn to_json(&self) -> Value {
        json!({
            "odin_score": FORMAT,
            "odin_version": env!("CARGO_PKG_VERSION"),
            "detector": self.detector,
            "shard": self.shard,
            "device": self.device,
            "scores": self.scores,
        })
    }
}

/// The longest time between flushes.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Journal {
    path: PathBuf,
    heading: Heading,
    out: BufWriter<File>,
    flushed: Instant,
}

impl Journal {
    /// Whether a job for `out` was begun and not finished.
    pub(super) fn is_there(out: &Path) -> bool {
        Self::path(out).exists()
    }

    fn path(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_os_string();
        name.push(".part");
        PathBuf::from(name)
    }

    /// The journal of `out`: a new one, or with `resume` the one that is there.
    pub(super) fn open(out: &Path, heading: Heading, resume: bool) -> Result<Self> {
        let path = Self::path(out);
        if out.is_dir() {
            bail!("--out: {} is a folder", out.display());
        }
        if path.exists() && !resume {
            bail!(
                "{} is there: a job for {} was stopped; --resume goes on with it, or remove the file to begin anew",
                path.display(),
                out.display()
            );
        }
        let cannot = || format!("--out: cannot write {}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).with_context(cannot)?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!("{} is being written by another odin score", path.display());
        }
        let mut journal = Self {
            path: path.clone(),
            heading,
            out: BufWriter::new(file),
            flushed: Instant::now(),
        };
        journal
            .check_heading()
            .with_context(|| format!("{}", path.display()))?;
        Ok(journal)
    }

    /// Writes the heading of a new journal; that of another job is refused.
    fn check_heading(&mut self) -> Result<()> {
        let own = self.heading.to_json();
        let mut first = String::new();
        let file = self.out.get_mut();
        file.seek(SeekFrom::Start(0))?;
        BufReader::new(&mut *file).read_line(&mut first)?;
        if !first.ends_with('\n') && own.to_string().starts_with(&first) {
            // It was killed before the heading was written, or has just been made.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{own}")?;
            return Ok(());
        }
        let found: Value =
            serde_json::from_str(&first).context("this is no journal of odin score")?;
        for (key, what) in [
            ("odin_score", "format of the journal"),
            ("detector", "detector"),
            ("shard", "shard"),
            ("device", "device"),
            ("scores", "scores"),
        ] {
            if found.get(key) != own.get(key) {
                bail!(
                    "it belongs to another job: the {what} is {} there and {} here; remove the file to begin anew",
                    found.get(key).unwrap_or(&Value::Null),
                    own.get(key).unwrap_or(&Value::Null)
                );
            }
        }
        Ok(())
    }

    /// Cuts off what is not a whole record, and sees whether the others are the first of the
    /// images that `expected` names; gives how many there are.
    pub(super) fn check(
        &mut self,
        expected: impl Fn(usize) -> String,
        images: usize,
    ) -> Result<usize> {
        let (mut done, mut end) = (0, 0);
        let mut reader = self.reader()?;
        end += reader.heading;
        let mut line = String::new();
        loop {
            line.clear();
            let length = match reader.lines.read_line(&mut line) {
                Ok(length) => length as u64,
                // Half a character at the end.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => 0,
                Err(error) => return Err(error.into()),
            };
            let record = match line.strip_suffix('\n') {
                Some(line) => record_from_json(line, &self.heading.scores),
                None => break,
            };
            let Ok(record) = record else { break };
            if done >= images || record.file != expected(done) {
                bail!(
                    "{}: record {} is of {:?}, where the inputs now have {:?}: the images have changed since the job began; remove the file to begin anew",
                    self.path.display(),
                    done + 1,
                    record.file,
                    expected(done)
                );
            }
            done += 1;
            end += length;
        }
        let file = self.out.get_mut();
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        Ok(done)
    }

    pub(super) fn add(&mut self, record: &ScoreRecord) -> Result<()> {
        let line = record_to_json(record, &self.heading.scores);
        let cannot = || format!("cannot write {}", self.path.display());
        writeln!(self.out, "{line}").with_context(cannot)?;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.out.flush().with_context(cannot)?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// Makes `out` of a complete journal, which then goes. `each` sees every record.
    pub(super) fn finish(
        mut self,
        out: &Path,
        format: ScoreFormat,
        mut each: impl FnMut(&ScoreRecord),
    ) -> Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        self.out.flush().with_context(cannot)?;
        let atomic = AtomicFile::of_only_writer(out, "--out")?;
        let file = BufWriter::new(atomic.create()?);
        let mut writer =
            ScoreWriter::of_detector(file, format, &self.heading.scores, &self.heading.detector)?;
        for line in self.reader()?.lines.lines() {
            let record = record_from_json(&line?, &self.heading.scores)?;
            each(&record);
            writer.write(&record)?;
        }
        writer
            .finish()?
            .into_inner()
            .map_err(|e| e.into_error())?
            .sync_all()?;
        atomic.commit()?;
        std::fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }

    /// The records from the first on.
    fn reader(&self) -> Result<Records> {
        let file = File::open(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        let mut lines = BufReader::new(file);
        let heading = lines.read_line(&mut String::new())? as u64;
        Ok(Records { lines, heading })
    }
}

struct Records {
    lines: BufReader<File>,
    /// The length of the heading in bytes.
    heading: u64,
}
