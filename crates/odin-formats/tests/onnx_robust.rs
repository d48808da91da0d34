//! Whatever a file holds, reading it ends in a graph or an error, soon and in bounded memory.

// Clippy lets only functions marked as tests unwrap, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use odin_formats::onnx::{self, ReadOptions};
use odin_graph::{odin, verify};
use proptest::prelude::*;
use std::path::PathBuf;

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
    files.into_iter().map(read).collect()
}

/// A damaged file that is still read gives a sound graph, and ODIN around it or an error.
fn try_to_read(bytes: &[u8]) {
    match onnx::read(bytes, "damaged.onnx", &ReadOptions::default()) {
        Ok(model) => {
            verify(&model.graph).unwrap();
            let _ = odin::transform(&model.graph, 1);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("damaged.onnx: "), "{message}");
            assert!(message.len() < 20_000, "{}", message.len());
        }
    }
    if let Ok(graph) = onnx::read_graph(bytes, "damaged.onnx") {
        verify(&graph).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        try_to_read(&bytes);
    }

    #[test]
    fn truncated(pick: prop::sample::Index, cut: prop::sample::Index) {
        let files = fixtures();
        let (_, bytes) = pick.get(&files);
        try_to_read(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn damaged(pick: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let files = fixtures();
        let (_, mut bytes) = pick.get(&files).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        try_to_read(&bytes);
    }
}

/// Damage among the first bytes of each node, where names, operators and attributes are, rather
/// than in the weights.
#[test]
fn damage_outside_of_weights() {
    for (path, bytes) in fixtures() {
        let text = |b: u8| b.is_ascii_graphic();
        let places: Vec<usize> = (1..bytes.len())
            .filter(|&i| text(bytes[i]) != text(bytes[i - 1]))
            .collect();
        let step = places.len().div_ceil(40).max(1);
        for (k, &at) in places.iter().step_by(step).enumerate() {
            let mut damaged = bytes.clone();
            damaged[at] = [0, 1, 0x7f, 0xff, bytes[at] ^ 1][k % 5];
            try_to_read(&damaged);
        }
        assert!(path.exists());
    }
}
