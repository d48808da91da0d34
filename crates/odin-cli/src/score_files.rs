//! One CSV of scores for each set.

use anyhow::{Context, Result};
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

    /// Writes `<name>.csv`, or `<name>-2.csv` where that is taken by another set of this run. The
    /// file appears under its name only when it is complete.
    pub(crate) fn write(&mut self, name: &str, set: &ScoredSet) -> Result<()> {
        let file = self.free_name(name);
        let path = self.folder.join(file);
        let unfinished = path.with_extension("csv.part");
        let written = std::fs::write(&unfinished, csv(set))
            .and_then(|()| std::fs::rename(&unfinished, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
        written.with_context(|| format!("cannot write the scores to {}", path.display()))
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

fn csv(set: &ScoredSet) -> String {
    let mut csv = String::from("file,prediction,msp,odin\n");
    for row in &set.rows {
        let (name, score) = (csv_field(&row.name), &row.score);
        let _ = writeln!(
            csv,
            "{name},{},{},{}",
            score.prediction, score.msp, score.odin
        );
    }
    csv
}
