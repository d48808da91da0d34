//! The data sets and networks that are known by name.
//!
//! A registry is read from TOML. One is embedded in this crate; a user's own file extends it, and
//! its entries replace those of the same name. `docs/registry.md` describes the format, where a
//! name is looked for, and how its files are downloaded.
//!
//! ```
//! use odin_data::registry::Registry;
//!
//! let registry = Registry::embedded()?;
//! let densenet = registry.network("densenet10")?;
//! assert_eq!(densenet.title, "DenseNet-BC-100");
//! let magnitude = densenet.network().and_then(|n| n.recommended_magnitude("iSUN"));
//! assert_eq!(magnitude, Some(0.0014));
//! # Ok::<(), odin_data::Error>(())
//! ```

mod entry;
mod list;
mod locate;
mod open;
mod parse;
mod places;

pub use entry::{Checksums, DatasetEntry, Entry, EntryKind, NetworkEntry, Rebuild, RemoteFile};
pub use list::ListRow;
pub use locate::Located;

pub(crate) use locate::{archive_paths, earlier_staging, has_content};

use std::path::Path;

use odin_untrusted::file::read_regular;

use crate::error::{Error, ErrorKind};

/// The largest registry file, in bytes.
const FILE_LIMIT: u64 = 16 << 20;

/// Data sets and networks by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// The registry that this crate carries: the sets and networks of the paper and a few others.
    ///
    /// # Errors
    /// None in a build that passed its tests; the embedded file goes through the same checks as
    /// any other.
    pub fn embedded() -> Result<Self, Error> {
        let mut registry = Self {
            entries: Vec::new(),
        };
        registry.extend_from_toml(include_str!("../../registry.toml"), "(embedded)")?;
        Ok(registry)
    }

    /// Adds the entries of a registry file. An entry whose name is known already replaces the
    /// known one as a whole. On an error the registry stays as it was.
    ///
    /// `origin` is what errors call the file, usually its path.
    ///
    /// # Errors
    /// `Malformed`, naming file, entry and field: no TOML, an unknown, missing or ill-formed
    /// field, a name or alias that is taken, a reference to a data set that is not known, a file
    /// that would lie where another entry's content lies.
    pub fn extend_from_toml(&mut self, text: &str, origin: &str) -> Result<(), Error> {
        let new = parse::parse(text, origin)?;
        check_names_within(&new, origin)?;
        let mut entries = self.entries.clone();
        for entry in new {
            let known = entries
                .iter_mut()
                .find(|known| known.name.eq_ignore_ascii_case(&entry.name));
            match known {
                Some(known) => *known = entry,
                None => entries.push(entry),
            }
        }
        let mut extended = Self { entries };
        extended.check_names()?;
        extended.check_references()?;
        extended.check_places()?;
        extended.mark_shared_members();
        *self = extended;
        Ok(())
    }

    /// Adds the entries of the registry file at `path`, as
    /// [`extend_from_toml`](Self::extend_from_toml) does.
    ///
    /// # Errors
    /// Those of `extend_from_toml`; `NotFound` and `Io` if the file cannot be read or is not a
    /// regular file, `Malformed` if it is not UTF-8 or larger than 16 MiB.
    pub fn extend_from_file(&mut self, path: &Path) -> Result<(), Error> {
        let origin = path.display().to_string();
        let text = read_regular(path, FILE_LIMIT);
        let text = text.map_err(|error| Error::unreadable_file(error).about("registry"))?;
        let text = String::from_utf8(text).map_err(|error| {
            Error::malformed(format!("registry {origin} is not a text in UTF-8")).because(error)
        })?;
        self.extend_from_toml(&text, &origin)
    }

    /// All entries, in the order of the files.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this name or alias, if there is one.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.answers_to(name))
    }

    /// The entry with this name or alias.
    ///
    /// # Errors
    /// `NotFound`, with the names that are known.
    pub fn entry(&self, name: &str) -> Result<&Entry, Error> {
        self.get(name)
            .ok_or_else(|| self.unknown(name, "data set or network", |_| true))
    }

    /// The data set with this name or alias.
    ///
    /// # Errors
    /// `NotFound`, with the data sets that are known.
    pub fn dataset(&self, name: &str) -> Result<&Entry, Error> {
        let is_dataset = |entry: &Entry| entry.dataset().is_some();
        self.get(name)
            .filter(|entry| is_dataset(entry))
            .ok_or_else(|| self.unknown(name, "data set", is_dataset))
    }

    /// The network with this name or alias.
    ///
    /// # Errors
    /// `NotFound`, with the networks that are known.
    pub fn network(&self, name: &str) -> Result<&Entry, Error> {
        let is_network = |entry: &Entry| entry.network().is_some();
        self.get(name)
            .filter(|entry| is_network(entry))
            .ok_or_else(|| self.unknown(name, "network", is_network))
    }

    /// The out-of-distribution sets of the paper, in its order.
    pub fn paper_out_datasets(&self) -> Vec<&Entry> {
        let of_paper =
            |entry: &&Entry| matches!(&entry.kind, EntryKind::Dataset(d) if d.paper_out_dataset);
        self.entries.iter().filter(of_paper).collect()
    }

    fn unknown(&self, name: &str, what: &str, wanted: impl Fn(&Entry) -> bool) -> Error {
        let known: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| wanted(entry))
            .map(|entry| entry.name.as_str())
            .collect();
        Error::new(
            ErrorKind::NotFound,
            format!(
                "no {what} is named \"{name}\"; known are {}; a registry file of your own can add \
                 more",
                known.join(", ")
            ),
        )
    }

    fn check_names(&self) -> Result<(), Error> {
        for (index, entry) in self.entries.iter().enumerate() {
            let others = self.entries.iter().take(index);
            for other in others {
                if let Some(name) = entry.names().find(|name| other.answers_to(name)) {
                    return Err(Error::malformed(format!(
                        "registry {}, `{}`: the name `{name}` belongs to `{}` of registry {}; \
                             choose another name, or replace that entry by using its main name",
                        entry.origin, entry.name, other.name, other.origin
                    )));
                }
            }
        }
        Ok(())
    }

    fn check_references(&self) -> Result<(), Error> {
        for entry in &self.entries {
            let (field, name) = match &entry.kind {
                EntryKind::Dataset(dataset) => {
                    ("rebuild.from", dataset.rebuild.as_ref().map(|r| &r.from))
                }
                EntryKind::Network(network) => ("in_dataset", network.in_dataset.as_ref()),
            };
            if let Some(name) = name
                && self.get(name).and_then(Entry::dataset).is_none()
            {
                return Err(Error::malformed(format!(
                    "registry {}, `{}`: `{field}` is \"{name}\", which is not a known data set",
                    entry.origin, entry.name
                )));
            }
        }
        Ok(())
    }
}

fn check_names_within(entries: &[Entry], origin: &str) -> Result<(), Error> {
    for (index, entry) in entries.iter().enumerate() {
        let earlier = entries.iter().take(index);
        if earlier
            .map(|e| &e.name)
            .any(|name| name.eq_ignore_ascii_case(&entry.name))
        {
            return Err(Error::malformed(format!(
                "registry {origin} has two entries named `{}`",
                entry.name
            )));
        }
    }
    Ok(())
}
