//! The files of `odin eval --scores`: one CSV for each set, under distinct names.

use super::atomic::{self, AtomicFile};
use anyhow::{Context, Result, bail};
use odin::ScoredSet;
use odin_report::set_to_csv;
use std::path::{Path, PathBuf};

const OPTION: &str = "--scores";

/// The folder, and the names in it that this run has taken.
pub(crate) struct ScoreFiles {
    folder: PathBuf,
    taken: Vec<String>,
}

impl ScoreFiles {
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{OPTION}: cannot make the folder {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            taken: Vec::new(),
        })
    }

    /// Sets `<name>.csv` aside, or `<name>-2.csv` where that is taken by another set of this run,
    /// and sees whether it can be written.
    pub(crate) fn reserve(&mut self, name: &str) -> Result<ScoreFile> {
        let name = self.free_name(name);
        let path = self.folder.join(name);
        if path.is_dir() {
            bail!("{OPTION}: cannot write {}: it is a folder", path.display());
        }
        AtomicFile::new(&path, OPTION)?.create()?;
        Ok(ScoreFile { path })
    }

    fn free_name(&mut self, name: &str) -> String {
        let is_unsafe = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
        let safe: String = name.replace(is_unsafe, "_");
        let stem = match safe.trim_matches('.') {
            "" => "set".to_string(),
            stem => stem.to_string(),
        };
        let mut file = format!("{stem}.csv");
        let mut number = 2;
        // Some file systems do not tell upper from lower case.
        while self.taken.contains(&file.to_lowercase()) {
            file = format!("{stem}-{number}.csv");
            number += 1;
        }
        self.taken.push(file.to_lowercase());
        file
    }
}

/// Where the scores of one set go.
pub(crate) struct ScoreFile {
    path: PathBuf,
}

impl ScoreFile {
    pub(crate) fn write(&self, set: &ScoredSet) -> Result<()> {
        atomic::write(&self.path, OPTION, set_to_csv(set).as_bytes())
    }
}
