//! Keeps the entries of a registry apart in the data folder, which all of them share.

use super::{Entry, EntryKind, Registry, RemoteFile};
use crate::error::Error;

/// Whether two paths are one on some file system.
fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// Whether `path` is `folder` or lies below it, on some file system.
fn is_below(path: &str, folder: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    same(first, folder)
}

impl Registry {
    /// Refuses a file whose name in the data folder is also that of another file, or of another
    /// entry's content. One file that several entries use is none of these.
    pub(super) fn check_places(&self) -> Result<(), Error> {
        for (index, entry) in self.entries.iter().enumerate() {
            for earlier in self.entries.iter().take(index) {
                entry.check_apart_from(earlier)?;
            }
            if let Some(file) = entry.own_folder_is_file() {
                return Err(Error::malformed(format!(
                    "registry {}, `{}`: its file `{file}` has the name of the folder that it is \
                     unpacked into; give it another `file.name`",
                    entry.origin, entry.name
                )));
            }
        }
        Ok(())
    }

    /// Marks the members of archives that are not looked for right in the data folder, because
    /// another entry's content may lie there.
    pub(super) fn mark_shared_members(&mut self) {
        let others = self.entries.clone();
        for entry in &mut self.entries {
            let others = others.iter().filter(|other| other.name != entry.name);
            let others: Vec<_> = others.collect();
            for file in &mut entry.files {
                let Some(member) = &file.member else {
                    continue;
                };
                file.member_is_shared = others.iter().any(|other| {
                    let of_another_file = |theirs: &RemoteFile| {
                        let there = theirs.member.as_deref();
                        there.is_some_and(|there| same(there, member)) && !theirs.is_same_as(file)
                    };
                    other.files.iter().any(of_another_file) || other.may_lie_below(member)
                });
            }
        }
    }
}

impl Entry {
    fn check_apart_from(&self, earlier: &Self) -> Result<(), Error> {
        let Self { name, origin, .. } = self;
        let of_other = format!("of `{}` of registry {}", earlier.name, earlier.origin);
        if let Some((file, what)) = self.takes_place_of(earlier) {
            return Err(Error::malformed(format!(
                "registry {origin}, `{name}`: its file `{file}` would lie in the data folder where \
                 {what} {of_other} lies; give it another `file.name`"
            )));
        }
        if let Some((file, what)) = earlier.takes_place_of(self) {
            return Err(Error::malformed(format!(
                "registry {origin}, `{name}`: {what} of it would lie in the data folder where the \
                 file `{file}` {of_other} lies; choose another `name`"
            )));
        }
        Ok(())
    }

    /// A file of this entry that would lie in a place of the other one, and what lies there.
    fn takes_place_of(&self, other: &Self) -> Option<(&str, &'static str)> {
        self.files.iter().find_map(|file| {
            let name = file.name.as_str();
            let is_other_file =
                |theirs: &RemoteFile| same(&theirs.name, name) && !theirs.is_same_as(file);
            let what = if other.files.iter().any(is_other_file) {
                "another file"
            } else if same(&other.name, name) {
                "the folder"
            } else if other.has_weights_named(name) {
                "the content"
            } else {
                return None;
            };
            Some((name, what))
        })
    }

    fn has_weights_named(&self, name: &str) -> bool {
        let is_file = |own: &str| self.files.iter().any(|file| same(&file.name, own));
        match self.kind {
            EntryKind::Network(_) => self
                .weight_names()
                .iter()
                .any(|own| same(own, name) && !is_file(own)),
            EntryKind::Dataset(_) => false,
        }
    }

    fn own_folder_is_file(&self) -> Option<&str> {
        let mut packed = self.files.iter().filter(|file| file.unpack);
        let file = packed.find(|file| same(&file.name, &self.name))?;
        Some(&file.name)
    }

    /// Whether a path of the data folder leads into what is this entry's.
    fn may_lie_below(&self, path: &str) -> bool {
        let mut files = self.files.iter().map(|file| file.name.as_str());
        files.any(|own| is_below(path, own))
            || is_below(path, &self.name)
            || self.has_weights_named(path)
    }
}
