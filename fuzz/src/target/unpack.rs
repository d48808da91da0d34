//! Archives that `fetch` finds in the data folder, verifies against its record of checksums and
//! unpacks: nothing may appear outside of the entry's own folder.
//!
//! The input is as [`crate::pack`] says. A member named `checksums.toml` in front is put
//! beside the archive and not into it.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::pack::Packed;
use odin_data::fetch::{FetchOptions, fetch};
use odin_data::registry::{Entry, Registry};

const REGISTRY: &str = "
[[dataset]]
name = 'thing'
title = 'Thing'
licence = 'none'
citation = 'none'
[[dataset.file]]
name = 'thing.pack'
urls = ['http://127.0.0.1:9/']
unpack = true
member = 'images'
";

const RECORD: &str = "checksums.toml";

static ENTRY: LazyLock<Entry> = LazyLock::new(|| {
    let mut registry = Registry::embedded().expect("the embedded registry is sound");
    let extended = registry.extend_from_toml(REGISTRY, "fuzzed");
    extended.expect("the registry of this target is sound");
    registry.entry("thing").expect("it was just added").clone()
});

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a readable folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("a readable entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Some(mut packed) = Packed::of(input) else {
        return;
    };
    let outside = tempfile::tempdir().expect("a temporary folder");
    let data_dir = outside.path().join("data");
    fs::create_dir(&data_dir).expect("a folder for data");
    if packed.members.first().is_some_and(|m| m.0 == RECORD) {
        let (_, record) = packed.members.remove(0);
        fs::write(data_dir.join(RECORD), record).expect("a record of checksums");
    }
    let Some(archive) = packed.bytes() else {
        return;
    };
    fs::write(data_dir.join("thing.pack"), archive).expect("an archive");

    let mut options = FetchOptions::default();
    options.offline = true;
    options.unpack_limits.max_bytes = 1 << 20;
    options.unpack_limits.max_members = 100;
    let fetched = fetch(&ENTRY, &data_dir, &options, &mut |_| {});

    assert_eq!(names(outside.path()), ["data"]);
    let found = names(&data_dir);
    let expected = [RECORD, "thing", "thing.pack"];
    assert!(
        found.iter().all(|name| expected.contains(&name.as_str())),
        "{found:?}"
    );
    assert!(fetched.is_ok() || !data_dir.join("thing/images").exists());
    if let Ok(fetched) = fetched {
        assert!(
            fetched
                .path()
                .is_some_and(|path| path.starts_with(&data_dir) && path.exists())
        );
    }
}
