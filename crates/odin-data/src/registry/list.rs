//! The rows of `odin list`.

use std::path::Path;

use super::{Located, Registry};

/// One line of the list of what is known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListRow {
    /// The name that commands take.
    pub name: String,
    /// "data set" or "network".
    pub kind: &'static str,
    /// The name for people.
    pub title: String,
    /// Size of the download in bytes, where known.
    pub download_bytes: Option<u64>,
    /// Number of images, for a data set, where known.
    pub images: Option<u64>,
    /// The licence that the publisher states.
    pub licence: String,
    /// A short citation.
    pub citation: String,
    /// Whether it is here, and where.
    pub located: Located,
    /// Whether it is here and comes from a file of which the registry knows no full checksum, so
    /// that nobody has said that it is the right one.
    pub unverified: bool,
}

impl Registry {
    /// One row per entry, in the order of the registry.
    pub fn list(&self, data_dir: &Path) -> Vec<ListRow> {
        self.entries()
            .iter()
            .map(|entry| (entry, entry.locate(data_dir)))
            .map(|(entry, located)| ListRow {
                name: entry.name.clone(),
                kind: entry.kind.as_str(),
                title: entry.title.clone(),
                download_bytes: entry.files.first().and_then(|file| file.size),
                images: entry.dataset().and_then(|dataset| dataset.images),
                licence: entry.licence.clone(),
                citation: entry.citation.clone(),
                unverified: match &located {
                    Located::Here(path) | Located::Packed(path) => {
                        entry.is_unverified(path, data_dir)
                    }
                    _ => false,
                },
                located,
            })
            .collect()
    }
}
