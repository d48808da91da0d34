//! Loads CUDA, cuDNN and TensorRT from their Python packages, where the dynamic loader does not
//! look for them.

use ort::util::preload_dylib;
use std::fs;
use std::path::{Path, PathBuf};

/// How the names of the libraries begin, each after those that it needs.
const NAMES: [&str; 11] = [
    "libcudart.so.",
    "libnvJitLink.so.",
    "libcublasLt.so.",
    "libcublas.so.",
    "libnvrtc.so.",
    "libcurand.so.",
    "libcufft.so.",
    "libcudnn.so.",
    "libnvinfer.so.",
    "libnvinfer_plugin.so.",
    "libnvonnxparser.so.",
];

/// Loads what lies in `site-packages/nvidia` and `site-packages/tensorrt_libs` beside `site-packages/onnxruntime/capi/<library>`, so
/// that the provider finds it. What is not there, or does not load, is left to the provider: it
/// may find it elsewhere, and its error says what it lacks.
pub(crate) fn preload(library: &Path) {
    let Some(packages) = library.ancestors().nth(3) else {
        return;
    };
    let files = entries(&packages.join("nvidia")).flat_map(|package| entries(&package.join("lib")));
    let files = files.chain(entries(&packages.join("tensorrt_libs")));
    let files: Vec<PathBuf> = files.collect();
    for name in NAMES {
        for file in &files {
            let file_name = file.file_name().unwrap_or_default();
            if file_name.to_string_lossy().starts_with(name) {
                let _ = preload_dylib(file);
            }
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}
