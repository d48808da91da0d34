//! The fuzz targets, as functions of one input: `fuzz_targets/` hands them to libFuzzer, the tests
//! replay the corpus through them.

pub mod checkpoint;
pub mod data_set;
pub mod histogram_sketch;
pub mod image;
pub mod onnx;
pub mod packed_checkpoint;
pub mod packed_data_set;
pub mod registry;
pub mod saved_detector;
pub mod score_file;
pub mod serve_request;
pub mod training_summary;
pub mod unpack;
pub mod zoo;

/// A target: panics if the input shows a defect.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const ALL: [(&str, Target); 14] = [
    ("checkpoint", checkpoint::run),
    ("data_set", data_set::run),
    ("histogram_sketch", histogram_sketch::run),
    ("image", image::run),
    ("onnx", onnx::run),
    ("packed_checkpoint", packed_checkpoint::run),
    ("packed_data_set", packed_data_set::run),
    ("registry", registry::run),
    ("saved_detector", saved_detector::run),
    ("score_file", score_file::run),
    ("serve_request", serve_request::run),
    ("training_summary", training_summary::run),
    ("unpack", unpack::run),
    ("zoo", zoo::run),
];
