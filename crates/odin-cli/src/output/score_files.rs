//! One CSV of scores for each set.

use anyhow::{Context, Result, bail};
use odin::ScoredSet;
use odin_report::csv_field;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Writes sets to a folder, never two to one file.
pub(crate) struct ScoreFiles {
    folder: PathBuf,
    taken: Vec<String>,
}

impl ScoreFiles {
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {} of --scores", folder.display()))?;
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
            bail!(
                "cannot write the scores to {}: it is a folder",
                path.display()
            );
        }
        let file = ScoreFile { path };
        file.try_out().with_context(|| file.cannot_write())?;
        Ok(file)
    }

    fn free_name(&mut self, name: &str) -> String {
        let safe: String = name
            .chars()
            .map(|c| {
                if c.is_control() || "/\\:*?\"<>|".contains(c) {
                    '_'
                } else {
                    c
                }
            })
            .collect();
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
    /// The file appears under its name only when it is complete.
    pub(crate) fn write(&self, set: &ScoredSet) -> Result<()> {
        let unfinished = self.unfinished();
        let written = std::fs::write(&unfinished, csv(set))
            .and_then(|()| std::fs::rename(&unfinished, &self.path));
        if written.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        written.with_context(|| self.cannot_write())
    }

    /// Whether there may be such a file.
    fn try_out(&self) -> std::io::Result<()> {
        std::fs::write(self.unfinished(), "")?;
        std::fs::remove_file(self.unfinished())
    }

    fn unfinished(&self) -> PathBuf {
        self.path.with_extension("csv.part")
    }

    fn cannot_write(&self) -> String {
        format!(
            "--scores: cannot write the scores to {}",
            self.path.display()
        )
    }
}

fn csv(set: &ScoredSet) -> String {
    let others: String = set.others.iter().map(|name| format!(",{name}")).collect();
    let mut csv = format!("file,prediction,msp,odin{others}\n");
    for row in &set.rows {
        let (name, score) = (csv_field(&row.name), &row.score);
        let others: String = score
            .others
            .iter()
            .map(|score| format!(",{score}"))
            .collect();
        let _ = writeln!(
            csv,
            "{name},{},{},{}{others}",
            score.prediction, score.msp, score.odin
        );
    }
    csv
}
