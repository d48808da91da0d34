//! Replays what fuzzing starts from, and what it has found (`found/<target>/`), through every target.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use odin_fuzz::{seeds, target};

/// The inputs of each target, by their names.
fn inputs() -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut inputs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for seed in seeds::all().expect("the fixtures are sound") {
        let of_target = inputs.entry(seed.target.to_string()).or_default();
        of_target.push((format!("seed {}", seed.name), seed.bytes));
    }
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    for folder in fs::read_dir(found).expect("a folder") {
        let folder = folder.expect("an entry").path();
        let target = folder.file_name().expect("a name").to_string_lossy();
        for input in fs::read_dir(&folder).expect("a folder of inputs") {
            let path = input.expect("an entry").path();
            let bytes = fs::read(&path).expect("a readable input");
            let of_target = inputs.entry(target.to_string()).or_default();
            of_target.push((path.display().to_string(), bytes));
        }
    }
    inputs
}

#[test]
fn no_input_of_the_corpus_shows_a_defect() {
    let mut inputs = inputs();
    let mut defects = Vec::new();
    for (name, run) in target::ALL {
        let of_target = inputs.remove(name).unwrap_or_default();
        assert!(!of_target.is_empty(), "no input for the target {name}");
        for (input, bytes) in of_target {
            if catch_unwind(AssertUnwindSafe(|| run(&bytes))).is_err() {
                defects.push(format!("{name}: {input}"));
            }
        }
    }
    assert!(
        inputs.is_empty(),
        "inputs of no target: {:?}",
        inputs.keys()
    );
    assert!(defects.is_empty(), "{defects:#?}");
}
