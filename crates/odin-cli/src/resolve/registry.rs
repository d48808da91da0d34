//! The registry of data sets and networks, and where their content is on disk.

use crate::args::RegistryOptions;
use crate::output::advice;
use anyhow::{Context, Result, bail};
use odin_data::fetch::{FetchOptions, fetch};
use odin_data::registry::{Entry, Located, Registry};
use std::path::{Path, PathBuf};

/// The embedded registry and the user's own files.
pub(crate) fn open(options: &RegistryOptions) -> Result<Registry> {
    let mut registry = Registry::embedded()?;
    for path in &options.files {
        registry.extend_from_file(path)?;
    }
    Ok(registry)
}

/// Where the content of a registry entry lies, unpacked if need be; an error that says how to get
/// it where it is not here.
pub(crate) fn located(entry: &Entry, data_dir: &Path) -> Result<PathBuf> {
    match entry.locate(data_dir) {
        Located::Here(path) => Ok(path),
        Located::Packed(archive) => {
            let mut options = FetchOptions::default();
            options.offline = true;
            let fetched = fetch(entry, data_dir, &options, &mut |_| {})?;
            let unpacked = fetched.path().map(Path::to_path_buf);
            unpacked.with_context(|| format!("{} holds no file to use", archive.display()))
        }
        Located::Missing { looked_at, how } => {
            let places: Vec<String> = looked_at
                .iter()
                .map(|p| format!("  {}", p.display()))
                .collect();
            bail!(
                "{} is not here. It was looked for at\n{}\n{how}{}",
                entry.name,
                places.join("\n"),
                advice::of_missing(entry)
            )
        }
        _ => bail!("{} is generated, there is no file of it", entry.name),
    }
}

/// The entry of this name, spelled as in the registry; only then it precedes a file or folder.
pub(crate) fn named<'a>(text: &str, registry: &'a Registry) -> Option<&'a Entry> {
    let entry = registry.get(text)?;
    let mut names = std::iter::once(&entry.name).chain(&entry.aliases);
    names.any(|name| name == text).then_some(entry)
}

/// Why the registry has nothing for a name.
pub(crate) fn unknown(
    text: &str,
    registry: &Registry,
    lookup: Result<&Entry, odin_data::Error>,
) -> String {
    match (lookup, registry.get(text)) {
        (Ok(entry), _) => format!("the registry spells it {}", entry.name),
        (Err(_), Some(entry)) => format!(
            "{} is a {} of the registry",
            entry.name,
            entry.kind.as_str()
        ),
        (Err(error), None) => error.to_string(),
    }
}
