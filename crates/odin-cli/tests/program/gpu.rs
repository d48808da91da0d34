//! `odin explain` on a Vulkan driver in software.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// `None` where there is no such driver, which is said, or is an error where nothing may be missing.
fn explain(options: &str) -> Option<Output> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../odin-formats/tests/fixtures");
    let network = fixtures.join("onnx/mlp.torchscript9.onnx");
    let output = Command::new(env!("CARGO_BIN_EXE_odin"))
        .arg("explain")
        .arg("--nn")
        .arg(network)
        .args([
            "--device",
            "cpu-vulkan",
            "--repetitions",
            "1",
            "--batch-size",
            "2",
        ])
        .args(options.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("no Vulkan device in software was found") {
        odin_test::skip(said);
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(output)
}

#[test]
fn the_program_of_a_graphics_processor_is_explained() {
    let Some(table) = explain("") else { return };
    let table = String::from_utf8_lossy(&table.stdout);
    for part in [
        "cpu-vulkan",
        "Vulkan",
        "GFLOP an image",
        "images at a time",
        "gemm > batchnormalization relu",
        "gradient of Gemm_5",
        "Shaders:        11, of 14 steps",
        "GB/s",
    ] {
        assert!(table.contains(part), "{part}\n{table}");
    }
    let Some(report) = explain("--format json") else {
        return;
    };
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap();
    let shaders = report["shaders"].as_u64().unwrap();
    assert!(shaders < steps.len() as u64, "{shaders} of {}", steps.len());
    let sum = |key: &str| steps.iter().map(|s| s[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(report["flops"].as_u64(), Some(sum("flops")));
    // Seven logits of both passes, and the class.
    assert_eq!(report["output_bytes"].as_u64(), Some(4 * 15));
    assert!(
        steps
            .iter()
            .all(|s| s["shader"].as_u64().unwrap() < shaders)
    );
    assert!(sum("bytes") > report["image_bytes"].as_u64().unwrap());
    assert!(sum("weight_bytes") > 0);
    // Not every device has a clock.
    if let Some(seconds) = report["seconds"].as_f64() {
        let times = steps.iter().map(|s| s["seconds"].as_f64().unwrap());
        assert!((times.sum::<f64>() - seconds).abs() < 1e-6);
    }
}
