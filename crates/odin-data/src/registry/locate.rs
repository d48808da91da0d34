//! Finds the content of a registry entry on disk.

use std::path::{Path, PathBuf};

use super::{Entry, Registry, RemoteFile};
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

/// The extensions that a network's file may have when the user puts it there.
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
        let found = || ready.iter().find(|path| has_content(path));
        // What is unpacked meanwhile appears at once, and may do so after the better of its paths
        // was tried: the second look is at all of it.
        if let Some(path) = found().and_then(|_| found()) {
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
        for file in &self.files {
            paths.extend(member_paths(self, file, data_dir));
        }
        for file in self.files.iter().filter(|file| !file.unpack) {
            paths.extend(archive_paths(self, &file.name, data_dir));
        }
        if self.network().is_some() {
            paths.extend(self.weight_names().map(|name| data_dir.join(name)));
        } else if !self.has_archive_in(&own, data_dir) && !self.is_half_moved(data_dir) {
            paths.push(own);
        }
        let mut seen = std::collections::HashSet::new();
        paths.retain(|path| seen.insert(path.clone()));
        paths
    }

    /// The names that a network's file has when somebody brings it along.
    pub(super) fn weight_names(&self) -> [String; 4] {
        WEIGHT_EXTENSIONS.map(|extension| format!("{}.{extension}", self.name))
    }

    /// Whether the entry's own folder holds just its archive, and so is not the content.
    fn has_archive_in(&self, own: &Path, data_dir: &Path) -> bool {
        let packed = self.packed_paths(data_dir);
        packed.iter().any(|p| p.starts_with(own) && p.is_file())
    }

    /// Whether the entry's own folder may hold just the half of what was unpacked: earlier
    /// versions moved it there piece by piece, and left their folder when they were stopped.
    fn is_half_moved(&self, data_dir: &Path) -> bool {
        data_dir.join(earlier_staging(&self.name)).exists()
    }

    fn packed_paths(&self, data_dir: &Path) -> Vec<PathBuf> {
        let packed = self.files.iter().filter(|file| file.unpack);
        packed
            .flat_map(|file| archive_paths(self, &file.name, data_dir))
            .collect()
    }

    fn how_to_get(&self, data_dir: &Path) -> String {
        let own = data_dir.join(&self.name);
        let how = match self.files.first() {
            Some(file) => format!(
                "download it, or put {} (or its unpacked content) into {}",
                file.name,
                data_dir.display()
            ),
            None => format!(
                "the registry knows no address for it; put it at {}",
                own.display()
            ),
        };
        if self.dataset().is_none() || !self.is_half_moved(data_dir) || !has_content(&own) {
            return how;
        }
        format!(
            "{how}; {} is not used because {} says that it was not completely unpacked",
            own.display(),
            data_dir.join(earlier_staging(&self.name)).display()
        )
    }

    /// Whether what lies at `path`, where it was found, comes from a file of which the registry
    /// knows no full checksum.
    pub(super) fn is_unverified(&self, path: &Path, data_dir: &Path) -> bool {
        let comes_from = |file: &&RemoteFile| {
            let archives = archive_paths(self, &file.name, data_dir);
            let members = member_paths(self, file, data_dir);
            archives.into_iter().chain(members).any(|p| p == path)
        };
        let file = self.files.iter().find(comes_from);
        file.is_some_and(|file| !file.checksums.is_complete())
    }
}

/// Where a downloaded file may lie: in the data folder, or in the entry's own folder there.
pub(crate) fn archive_paths(entry: &Entry, file: &str, data_dir: &Path) -> [PathBuf; 2] {
    [data_dir.join(file), data_dir.join(&entry.name).join(file)]
}

/// Where the member of an archive may lie unpacked: in the data folder, unless that may be another
/// entry's, or in the entry's own folder there.
fn member_paths(entry: &Entry, file: &RemoteFile, data_dir: &Path) -> Vec<PathBuf> {
    let Some(member) = &file.member else {
        return Vec::new();
    };
    let own = data_dir.join(&entry.name).join(member);
    match file.member_is_shared {
        true => vec![own],
        false => vec![data_dir.join(member), own],
    }
}

/// The folder that earlier versions unpacked an archive into before they moved the pieces to the
/// entry's own folder.
pub(crate) fn earlier_staging(name: &str) -> String {
    format!(".unpacking-{name}")
}

/// A file, or a folder that is not empty.
pub(crate) fn has_content(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut children) => children.next().is_some(),
        Err(_) => path.is_file(),
    }
}
