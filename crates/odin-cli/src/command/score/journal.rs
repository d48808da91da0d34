//! The journal of a scoring job, by which a killed one resumes.
//!
//! The journal of `FILE` is `FILE.part`: a heading and then a record on each line, as JSON, with a
//! tab and a checksum behind it. Only whole lines count. `FILE` itself is made of it at the end.

use crate::output::atomic::{Output, identity};
use crate::output::score_files::journal_of;
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

/// Records of the first format have no checksum; it is only gone on with.
const FORMATS: [u32; 2] = [1, 2];

impl Heading {
    fn to_json(&self, format: u32) -> Value {
        json!({
            "odin_score": format,
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

/// A line longer than this is no record.
const MAX_LINE: u64 = 1 << 20;

pub(super) struct Journal {
    path: PathBuf,
    heading: Heading,
    format: u32,
    out: BufWriter<File>,
    /// How many records there are.
    records: usize,
    flushed: Instant,
}

impl Journal {
    /// Whether a job for `out` was begun and not finished.
    pub(super) fn is_there(out: &Path) -> bool {
        journal_of(out).symlink_metadata().is_ok()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The journal of `out`: a new one, or with `resume` the one that is there.
    pub(super) fn open(out: &Path, heading: Heading, resume: bool) -> Result<Self> {
        let path = journal_of(out);
        if Self::is_there(out) && !resume {
            bail!(
                "{} is there: a job for {} was stopped; --resume goes on with it, or remove the file to begin anew",
                path.display(),
                out.display()
            );
        }
        let file = create_or_open(&path)?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!("{} is being written by another odin score", path.display());
        }
        let mut journal = Self {
            path: path.clone(),
            heading,
            format: FORMATS[1],
            out: BufWriter::new(file),
            records: 0,
            flushed: Instant::now(),
        };
        journal
            .check_heading()
            .with_context(|| format!("{}", path.display()))?;
        Ok(journal)
    }

    /// Writes the heading of a new journal; that of another job is refused.
    fn check_heading(&mut self) -> Result<()> {
        let own = self.heading.to_json(self.format);
        let file = self.out.get_mut();
        file.seek(SeekFrom::Start(0))?;
        let first = Lines::new(BufReader::new(&mut *file)).next_line()?;
        let begins = |format| {
            let heading = self.heading.to_json(format).to_string();
            heading.as_bytes().starts_with(&first)
        };
        if !first.ends_with(b"\n") && FORMATS.into_iter().any(begins) {
            // It was killed before the heading was written, or has just been made.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{own}")?;
            return Ok(());
        }
        let found: Value =
            serde_json::from_slice(&first).context("this is no journal of odin score")?;
        let format = FORMATS
            .into_iter()
            .find(|format| found["odin_score"] == *format);
        let own = self.heading.to_json(format.unwrap_or(self.format));
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
        self.format = format.unwrap_or(self.format);
        Ok(())
    }

    /// Sees whether the records are the first of the images that `expected` names. From the first
    /// on that is damaged they are cut off, to be made again; gives how many are left, and the
    /// line that is damaged, unless it is only torn, as a kill leaves the last one.
    pub(super) fn check(
        &mut self,
        expected: impl Fn(usize) -> String,
        images: usize,
    ) -> Result<(usize, Option<usize>)> {
        let mut lines = self.lines()?;
        let (mut done, mut end, mut damaged) = (0, lines.read, None);
        loop {
            let line = lines.next_line()?;
            let Some(whole) = line.strip_suffix(b"\n") else {
                break;
            };
            let Some(record) = self.record(done, whole) else {
                damaged = Some(done + 2);
                break;
            };
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
            end = lines.read;
        }
        self.records = done;
        let file = self.out.get_mut();
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        Ok((done, damaged))
    }

    pub(super) fn add(&mut self, record: &ScoreRecord) -> Result<()> {
        let json = record_to_json(record, &self.heading.scores);
        let cannot = || format!("cannot write {}", self.path.display());
        match self.format {
            1 => writeln!(self.out, "{json}"),
            _ => {
                let checksum = checksum(self.records, json.as_bytes());
                writeln!(self.out, "{json}\t{checksum:08x}")
            }
        }
        .with_context(cannot)?;
        self.records += 1;
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.out.flush().with_context(cannot)?;
            self.flushed = Instant::now();
        }
        Ok(())
    }

    /// The record of a line, the `place`-th of all; `None` where it is damaged.
    fn record(&self, place: usize, line: &[u8]) -> Option<ScoreRecord> {
        let json = match self.format {
            1 => line,
            _ => {
                let (json, digits) = line.split_at_checked(line.len().checked_sub(9)?)?;
                let expected = format!("\t{:08x}", checksum(place, json));
                (digits == expected.as_bytes()).then_some(json)?
            }
        };
        record_from_json(std::str::from_utf8(json).ok()?, &self.heading.scores).ok()
    }

    /// Makes `out` of a complete journal, which then goes: that of the images that `expected`
    /// names, decided by a score of this name. `each` sees every record.
    pub(super) fn finish(
        mut self,
        out: &Output,
        format: ScoreFormat,
        decided_by: &str,
        expected: impl Fn(usize) -> String,
        mut each: impl FnMut(&ScoreRecord),
    ) -> Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        self.out.flush().with_context(cannot)?;
        let file = BufWriter::new(out.create()?);
        let Heading {
            scores, detector, ..
        } = &self.heading;
        let mut writer = ScoreWriter::of_detector(file, format, scores, detector, decided_by)?;
        let mut lines = self.lines()?;
        for place in 0..self.records {
            let line = lines.next_line()?;
            let record = line.strip_suffix(b"\n");
            let record = record.and_then(|line| self.record(place, line));
            let record = record.filter(|record| record.file == expected(place));
            let Some(record) = record else {
                bail!(
                    "{}: line {} of {} was changed or cut off while the job ran; the same command with --resume scores again what is lost",
                    self.path.display(),
                    place + 2,
                    self.records + 1
                );
            };
            each(&record);
            writer.write(&record)?;
        }
        let file = writer.finish()?;
        file.into_inner().map_err(|e| e.into_error())?.commit()?;
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The lines behind the heading.
    fn lines(&mut self) -> Result<Lines<BufReader<File>>> {
        let file = self.out.get_mut();
        file.seek(SeekFrom::Start(0))?;
        let mut lines = Lines::new(BufReader::new(file.try_clone()?));
        lines.next_line()?;
        Ok(lines)
    }
}

/// The checksum of a record: another one in its place has another, too.
fn checksum(place: usize, json: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&(place as u64).to_le_bytes());
    hash.update(json);
    hash.finalize()
}

/// A new file, or the one that is there: no symbolic link, which might lead anywhere.
fn create_or_open(path: &Path) -> Result<File> {
    let cannot = || format!("--out: cannot write {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        other => return other.with_context(cannot),
    }
    let there = path.symlink_metadata().with_context(cannot)?;
    if !there.is_file() {
        bail!(
            "--out: {} is there and no regular file, so no journal of odin score; remove it, or name another file",
            path.display()
        );
    }
    let before = identity(path);
    let file = options.open(path).with_context(cannot)?;
    let is_link = path.symlink_metadata().with_context(cannot)?.is_symlink();
    if is_link || identity(path) != before {
        bail!("--out: {} changes while it is opened", path.display());
    }
    Ok(file)
}

/// Lines with their ends, of bounded length; the last may have none.
struct Lines<R> {
    reader: R,
    /// How many bytes were read.
    read: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self { reader, read: 0 }
    }

    fn next_line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut self.reader, MAX_LINE);
        self.read += limited.read_until(b'\n', &mut line)? as u64;
        Ok(line)
    }
}
