//! Names for files of one folder that come from names of sets: safe on every system, no two alike.

/// The names that this run has taken.
#[derive(Debug, Default)]
pub(crate) struct FreeNames {
    taken: Vec<String>,
}

impl FreeNames {
    /// `<name>.<extension>`, or `<name>-2.<extension>` where that is taken.
    pub(crate) fn take(&mut self, name: &str, extension: &str) -> String {
        let is_unsafe = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
        let safe: String = name.replace(is_unsafe, "_");
        let stem = match safe.trim_matches('.') {
            "" => "set".to_string(),
            stem => stem.to_string(),
        };
        let mut file = format!("{stem}.{extension}");
        let mut number = 2;
        // Some file systems do not tell upper from lower case.
        while self.taken.contains(&file.to_lowercase()) {
            file = format!("{stem}-{number}.{extension}");
            number += 1;
        }
        self.taken.push(file.to_lowercase());
        file
    }
}
