//! The file that a classifier was read from.

use crate::{Error, ErrorKind};
use odin_formats::{Checkpoint, onnx, zoo};
use odin_graph::{Graph, Op};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// What is known of the file that a classifier was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelFile {
    /// Its path, or what the caller called it.
    pub name: String,
    /// Its format, such as `PyTorch (zip)` or `ONNX, opset 18`.
    pub format: String,
    /// The SHA-256 of the file in hexadecimal digits (of the main file, where weights lie in
    /// others); `None` for weights that came from memory.
    pub sha256: Option<String>,
    /// The program that wrote it and its version, where the file says so.
    pub producer: Option<String>,
    /// The version of ONNX's standard operators.
    pub opset: Option<i64>,
    /// Whether its input holds bytes, 0 to 255, and not real numbers.
    pub takes_bytes: bool,
    /// The names of its outputs.
    pub outputs: Vec<String>,
    /// How often each operator occurs, by name.
    pub operators: BTreeMap<String, usize>,
    /// The number of trained parameters; running means and variances do not count.
    pub parameters: u64,
    /// Texts that the file carries, by name.
    pub metadata: BTreeMap<String, String>,
    /// What was done on reading that the user should know of.
    pub notices: Vec<String>,
}

/// Whether a file's content is ONNX rather than a checkpoint. A protocol buffer has no magic
/// number: an ONNX file begins with its version (field 1, a small number) and a second field.
pub(crate) fn looks_like_onnx(head: &[u8]) -> bool {
    let safetensors = head.get(8) == Some(&b'{');
    matches!(
        head,
        [
            0x08,
            1..=63,
            0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42,
            ..
        ]
    ) && !safetensors
}

/// Whether a path names an ONNX file, by its extension.
pub(crate) fn is_named_onnx(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

/// All bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let problem = |what: String| {
        let message = format!("{}: {what}", path.display());
        Error::new(ErrorKind::Classifier, message)
    };
    let metadata = path.metadata().map_err(|e| problem(e.to_string()))?;
    if !metadata.is_file() {
        return Err(problem(
            "not a regular file; give the model file itself".to_string(),
        ));
    }
    std::fs::read(path).map_err(|e| problem(e.to_string()))
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ModelFile {
    pub(crate) fn of_checkpoint(checkpoint: &Checkpoint, graph: &Graph) -> Self {
        let metadata = checkpoint.metadata();
        Self {
            name: checkpoint.name().to_string(),
            format: checkpoint.container().to_string(),
            sha256: None,
            producer: None,
            opset: None,
            takes_bytes: false,
            outputs: vec![zoo::LOGITS.to_string()],
            operators: count_operators(graph),
            parameters: count_parameters(graph),
            metadata: metadata
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            notices: Vec::new(),
        }
    }

    pub(crate) fn of_onnx(name: &str, model: &onnx::Model) -> Self {
        let producer = model.producer.trim();
        Self {
            name: name.to_string(),
            format: format!("ONNX, opset {}", model.opset),
            sha256: None,
            producer: (!producer.is_empty()).then(|| producer.to_string()),
            opset: Some(model.opset),
            takes_bytes: model.input_is_bytes,
            outputs: model.outputs.clone(),
            operators: model
                .operators
                .iter()
                .map(|(name, &count)| (name.clone(), count))
                .collect(),
            parameters: count_parameters(&model.graph),
            metadata: model
                .metadata
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            notices: model.notices.clone(),
        }
    }
}

fn count_operators(graph: &Graph) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in graph.nodes() {
        if !matches!(node.op, Op::Input(_) | Op::Constant(_)) {
            *counts.entry(node.op.name().to_string()).or_insert(0) += 1;
        }
    }
    counts
}

/// The elements of all constants with axes, but for the statistics of batch normalisations.
fn count_parameters(graph: &Graph) -> u64 {
    let mut trained = vec![false; graph.nodes().len()];
    for node in graph.nodes() {
        let statistics = match node.op {
            Op::BatchNorm(_) => 3,
            _ => node.operands.len(),
        };
        for operand in &node.operands[..statistics.min(node.operands.len())] {
            trained[operand.index()] = true;
        }
    }
    let constants = graph.values().filter(|v| trained[v.index()]);
    constants
        .filter_map(|v| graph.constant_value(v))
        .filter(|tensor| !tensor.shape().is_empty())
        .map(|tensor| tensor.data().len() as u64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onnx_is_told_from_checkpoints() {
        let cases: [(&[u8], bool); 6] = [
            (b"\x08\x08\x12\x07pytorch\x1a", true),
            (b"\x08\x0a:\x80\x01", true),
            // Header lengths of safetensors.
            (b"\x08\x12\x12\x00\x00\x00\x00\x00{\"", false),
            (b"\x08\x12\x00\x00\x00\x00\x00\x00{\"", false),
            (b"PK\x03\x04", false),
            (b"", false),
        ];
        for (head, expected) in cases {
            assert_eq!(looks_like_onnx(head), expected, "{head:?}");
        }
    }
}
