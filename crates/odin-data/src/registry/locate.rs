//! Finds the content of a registry entry on disk.

use std::path::{Path, PathBuf};

use super::{Entry, Registry};
use crate::error::Error;
use crate::noise::NoiseKind;

/// Where the content of an entry was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Located {
    /// The content lies here, ready to be read.
    Here(PathBuf),
    /// It lies here as an archive that has to be unpacked first, which [`crate::fetch::fetch`]
    /// does without using the network.
    Packed(PathBuf),
    /// Noise, which is generated and needs no file.
    Generated(NoiseKind),
    /// It was not found.
    Missing {
        /// Where it was looked for, in this order.
        looked_at: Vec<PathBuf>,
        /// What to do about it.
        how: String,
    },
}

/// The file names under which a network is looked for that the user has put there.
const WEIGHT_EXTENSIONS: [&str; 4] = ["pth", "pt", "safetensors", "onnx"];

impl Registry {
    /// Looks for the content of a name below the data folder. Reads no file.
    ///
    /// # Errors
    /// `NotFound` if the registry does not know the name.
    pub fn locate(&self, name: &str, data_dir: &Path) -> Result<Located, Error> {
        Ok(self.entry(name)?.locate(data_dir))
    }
}

impl Entry {
    /// Looks for the content below the data folder, in the places that `docs/registry.md` lists.
    /// Reads no file.
    pub fn locate(&self, data_dir: &Path) -> Located {
        if let Some(kind) = self.dataset().and_then(|dataset| dataset.generator) {
            return Located::Generated(kind);
        }
        let ready = self.ready_paths(data_dir);
        if let Some(path) = ready.iter().find(|path| has_content(path)) {
            return Located::Here(path.clone());
        }
        let packed = self.packed_paths(data_dir);
        if let Some(path) = packed.iter().find(|path| path.is_file()) {
            return Located::Packed(path.clone());
        }
        Located::Missing {
            looked_at: ready.into_iter().chain(packed).collect(),
            how: self.how_to_get(data_dir),
        }
    }

    /// Paths that can be read as they are, best first.
    fn ready_paths(&self, data_dir: &Path) -> Vec<PathBuf> {
        let own = data_dir.join(&self.name);
        let mut paths: Vec<PathBuf> = self.places.iter().map(|p| data_dir.join(p)).collect();
        for member in self.files.iter().filter_map(|file| file.member.as_ref()) {
            paths.push(data_dir.join(member));
            paths.push(own.join(member));
        }
        for file in self.files.iter().filter(|file| !file.unpack) {
            paths.extend(archive_paths(self, &file.name, data_dir));
        }
        if self.network().is_some() {
            let with = |extension: &str| data_dir.join(format!("{}.{extension}", self.name));
            paths.extend(WEIGHT_EXTENSIONS.map(with));
        } else if !self.has_archive_in(&own, data_dir) {
            paths.push(own);
        }
        let mut seen = std::collections::HashSet::new();
        paths.retain(|path| seen.insert(path.clone()));
        paths
    }

    /// Whether the entry's own folder holds just its archive, and so is not the content.
    fn has_archive_in(&self, own: &Path, data_dir: &Path) -> bool {
        let packed = self.packed_paths(data_dir);
        packed.iter().any(|p| p.starts_with(own) && p.is_file())
    }

    fn packed_paths(&self, data_dir: &Path) -> Vec<PathBuf> {
        let packed = self.files.iter().filter(|file| file.unpack);
        packed
            .flat_map(|file| archive_paths(self, &file.name, data_dir))
            .collect()
    }

    fn how_to_get(&self, data_dir: &Path) -> String {
        let name = &self.name;
        match self.files.first() {
            Some(file) => format!(
                "get it with `odin fetch {name}`, or put {} (or its unpacked content) into {}",
                file.name,
                data_dir.display()
            ),
            None => format!(
                "the registry knows no address for it; put it at {}",
                data_dir.join(name).display()
            ),
        }
    }
}

/// Where a downloaded file may lie: in the data folder, or in the entry's own folder there.
pub(crate) fn archive_paths(entry: &Entry, file: &str, data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join(file), data_dir.join(&entry.name).join(file)]
}

/// A file, or a folder that is not empty.
fn has_content(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut children) => children.next().is_some(),
        Err(_) => path.is_file(),
    }
}
