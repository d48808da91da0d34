//! Any text as a registry file, on top of the embedded one.

use std::path::Path;
use std::sync::LazyLock;

use odin_data::registry::Registry;

static EMBEDDED: LazyLock<Registry> =
    LazyLock::new(|| Registry::embedded().expect("the embedded registry is sound"));

/// Runs the target on one input.
pub fn run(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut registry = EMBEDDED.clone();
    if registry.extend_from_toml(text, "fuzzed").is_err() {
        return assert_eq!(registry, *EMBEDDED);
    }
    for entry in registry.entries() {
        assert_eq!(registry.get(&entry.name), Some(entry));
    }
    registry.list(Path::new("/nowhere"));
    registry.paper_out_datasets();
}
