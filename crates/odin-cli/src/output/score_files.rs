//! The files of `odin eval --scores`: one CSV for each set, under distinct names. Where the journal
//! of `odin score` lies.

use super::atomic::{Output, SourceFile};
use super::free_names::FreeNames;
use anyhow::{Context, Result, bail};
use odin::ScoredSet;
use odin_report::set_to_csv;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const OPTION: &str = "--scores";

/// The folder, and the names in it that this run has taken. No other run writes there meanwhile.
pub(crate) struct ScoreFiles {
    folder: PathBuf,
    names: FreeNames,
    files: Vec<Output>,
    /// Holds the lock.
    _locked: Option<File>,
}

impl ScoreFiles {
    /// # Errors
    /// When the folder cannot be made, or another run writes there.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{OPTION}: cannot make the folder {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            names: FreeNames::default(),
            files: Vec::new(),
            _locked: lock(folder)?,
        })
    }

    /// Sets `<name>.csv` aside, or `<name>-2.csv` where that is taken by another set of this run,
    /// and sees whether it can be written: it is none of what is read, and no job of `odin score`.
    pub(crate) fn reserve(&mut self, name: &str, sources: &[SourceFile]) -> Result<()> {
        let name = self.names.take(name, "csv");
        let path = self.folder.join(name);
        let file = Output::new(&path, OPTION)?;
        file.is_none_of(sources)?;
        let journal = journal_of(file.destination().path());
        if journal.exists() {
            bail!(
                "{OPTION}: {} belongs to a job of odin score, which is running or was stopped; let it end (--resume), or name another folder",
                journal.display()
            );
        }
        self.files.push(file);
        Ok(())
    }

    /// Writes the scores of a set into the file that was set aside as the `place`-th.
    pub(crate) fn write(&self, place: usize, set: &ScoredSet) -> Result<()> {
        match self.files.get(place) {
            Some(file) => file.write(set_to_csv(set).as_bytes()),
            None => Ok(()),
        }
    }
}

/// Where `odin score` keeps what it has done of a file.
pub(crate) fn journal_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_os_string();
    name.push(".part");
    PathBuf::from(name)
}

/// A lock on the folder for as long as the file lives; `None` where the system has none.
fn lock(folder: &Path) -> Result<Option<File>> {
    let Ok(file) = File::open(folder) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => bail!(
            "{OPTION}: another odin eval is writing into {}; wait for it, or name another folder",
            folder.display()
        ),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
