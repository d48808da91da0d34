//! Files that are there whole or not at all.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file that gets its name when it is complete; it goes away if it never is.
pub(crate) struct Unfinished {
    path: PathBuf,
    unfinished: PathBuf,
    complete: bool,
}

impl Unfinished {
    /// # Errors
    /// When the path names no file.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        Self::named(path, &std::process::id().to_string())
    }

    /// As [`Unfinished::of`], under a name that stays the same, so that the next attempt writes
    /// over what a killed one left. Only for paths that no two processes write at once.
    pub(crate) fn of_only_writer(path: &Path) -> Result<Self> {
        Self::named(path, "whole")
    }

    fn named(path: &Path, attempt: &str) -> Result<Self> {
        let Some(name) = path.file_name() else {
            bail!("--out: {} names no file", path.display());
        };
        let mut unfinished = std::ffi::OsString::from(".");
        unfinished.push(name);
        unfinished.push(format!(".{attempt}.part"));
        Ok(Self {
            path: path.to_path_buf(),
            unfinished: path.with_file_name(unfinished),
            complete: false,
        })
    }

    /// The file, under its name for the time being.
    pub(crate) fn create(&self) -> Result<File> {
        File::create(&self.unfinished).with_context(|| self.cannot())
    }

    /// Gives the file its name.
    pub(crate) fn complete(mut self) -> Result<()> {
        std::fs::rename(&self.unfinished, &self.path).with_context(|| self.cannot())?;
        self.complete = true;
        Ok(())
    }

    fn cannot(&self) -> String {
        format!("--out: cannot write {}", self.path.display())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.complete {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

/// The file appears under its name only when it is complete.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = Unfinished::of(path)?;
    std::fs::write(&unfinished.unfinished, bytes).with_context(|| unfinished.cannot())?;
    unfinished.complete()
}

/// Whether two paths lead to one file.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
