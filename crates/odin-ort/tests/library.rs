//! What is said when there is no library of ONNX Runtime. Needs none.

use odin_ort::{ErrorKind, Provider, Runtime};
use std::path::Path;

#[test]
fn every_file_that_was_tried_is_named_with_the_reason() {
    let no_library = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let other_library = "libc.so.6";
    let absent = "absent/libonnxruntime.so";
    let candidates = [
        no_library.as_path(),
        other_library.as_ref(),
        absent.as_ref(),
    ];
    let error = Runtime::load(&candidates.map(Path::to_path_buf), Provider::Cpu).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Library);
    let message = error.to_string();
    for part in [
        "Cargo.toml: ",
        "libc.so.6: ",
        // A path that begins in the working folder, not beside the program.
        std::path::absolute(absent).unwrap().to_str().unwrap(),
        "1.17 or newer",
        "`python3 -m pip install onnxruntime`",
    ] {
        assert!(message.contains(part), "{message}");
    }
    if cfg!(target_os = "linux") {
        assert!(message.contains("not that of ONNX Runtime"), "{message}");
    }
}

#[test]
fn no_candidate_is_an_error() {
    let error = Runtime::load(&[], Provider::Cuda(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Library);
    assert!(
        error.to_string().contains("onnxruntime-gpu[cuda,cudnn]"),
        "{error}"
    );
}
