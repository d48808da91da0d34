//! Atomic writes: a file appears under its name when it is complete, or not at all.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file under a temporary name beside its own, which it gets by [`AtomicFile::commit`]; without
/// that it is removed.
pub(crate) struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    /// The option that names the file, for messages.
    option: &'static str,
    committed: bool,
}

impl AtomicFile {
    /// # Errors
    /// When the path names no file.
    pub(crate) fn new(path: &Path, option: &'static str) -> Result<Self> {
        Self::with_suffix(path, option, &std::process::id().to_string())
    }

    /// As [`AtomicFile::new`], under a temporary name that stays the same, so that the next attempt
    /// writes over what a killed one left. Only for paths that no two processes write at once.
    pub(crate) fn of_only_writer(path: &Path, option: &'static str) -> Result<Self> {
        Self::with_suffix(path, option, "whole")
    }

    fn with_suffix(path: &Path, option: &'static str, suffix: &str) -> Result<Self> {
        let Some(name) = path.file_name() else {
            bail!("{option}: {} names no file", path.display());
        };
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{suffix}.part"));
        Ok(Self {
            path: path.to_path_buf(),
            temporary: path.with_file_name(temporary),
            option,
            committed: false,
        })
    }

    /// Creates the file under its temporary name.
    pub(crate) fn create(&self) -> Result<File> {
        File::create(&self.temporary).with_context(|| self.cannot_write())
    }

    /// Gives the file its name.
    pub(crate) fn commit(mut self) -> Result<()> {
        std::fs::rename(&self.temporary, &self.path).with_context(|| self.cannot_write())?;
        self.committed = true;
        Ok(())
    }

    fn cannot_write(&self) -> String {
        format!("{}: cannot write {}", self.option, self.path.display())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a file that an option names, atomically.
pub(crate) fn write(path: &Path, option: &'static str, bytes: &[u8]) -> Result<()> {
    let file = AtomicFile::new(path, option)?;
    std::fs::write(&file.temporary, bytes).with_context(|| file.cannot_write())?;
    file.commit()
}

/// Refuses an output that would write over the model.
pub(crate) fn check_is_not_model(out: &Path, model: &Path) -> Result<()> {
    match (out.canonicalize(), model.canonicalize()) {
        (Ok(out_file), Ok(model)) if out_file == model => bail!(
            "--out: {} is the model itself; name another file",
            out.display()
        ),
        _ => Ok(()),
    }
}
