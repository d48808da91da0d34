//! The file that a classifier is read from: its bytes, its hash, and what is known of it.

use crate::{Error, ErrorKind};
use odin_formats::{Checkpoint, ReadOptions, onnx, zoo};
use odin_graph::{Graph, Op};
use odin_untrusted::file::read_regular;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is known of the file that a classifier was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelFile {
    /// Its path, or what the caller called it.
    pub name: String,
    /// The files that were read: the model's own, those beside it that hold weights, the
    /// `model.toml` and what that names. None for what came from memory.
    pub files: Vec<PathBuf>,
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
    /// Which of several weights were asked for ([`ModelConfig::weights`](crate::ModelConfig)).
    pub weights: Option<String>,
    /// What was done on reading that the user should know of.
    pub notices: Vec<String>,
}

/// A larger model is not read: the largest classifiers have a few billion parameters.
const LARGEST_FILE: u64 = 16 << 30;

/// The content of a file, shared with what is decoded from it.
#[derive(Debug, Clone)]
struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes of a model file, read once, with what they are called.
#[derive(Debug)]
pub(crate) struct ModelSource {
    pub(crate) name: String,
    bytes: Bytes,
    /// `None` for what came from memory.
    pub(crate) path: Option<PathBuf>,
    is_onnx: bool,
    pub(crate) sha256: String,
}

impl ModelSource {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no regular file, is too large, or cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let bytes = read_regular(path, LARGEST_FILE).map_err(unreadable)?;
        let named_onnx = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
        Ok(Self {
            is_onnx: named_onnx || looks_like_onnx(&bytes),
            sha256: sha256(&bytes),
            path: Some(path.to_path_buf()),
            name,
            bytes: Bytes(Arc::new(bytes)),
        })
    }

    /// A file that is in memory already.
    pub(crate) fn of_bytes(bytes: &[u8], name: &str) -> Self {
        Self {
            name: name.to_string(),
            is_onnx: looks_like_onnx(bytes),
            sha256: sha256(bytes),
            path: None,
            bytes: Bytes(Arc::new(bytes.into())),
        }
    }

    /// The usual extension of such a file.
    pub(crate) fn extension(&self) -> &'static str {
        let head = |length: usize| self.bytes.as_ref().get(..length);
        match self.is_onnx {
            true => "onnx",
            false if head(9).is_some_and(|head| head[8] == b'{') => "safetensors",
            false => "pt",
        }
    }

    /// The ONNX file in it, if it is one.
    pub(crate) fn onnx(&self) -> Option<Result<onnx::File, Error>> {
        let bytes = self.bytes.clone();
        // Where external data lies; nothing from memory has any.
        let folder = self.path.as_deref();
        let folder = folder.map(|path| path.parent().unwrap_or(Path::new("")));
        let parse = || onnx::File::parse(bytes, &self.name, folder);
        self.is_onnx.then(|| Ok(parse()?))
    }

    /// The checkpoint in it; `weights` says which of several.
    pub(crate) fn checkpoint(&self, weights: Option<&str>) -> Result<Checkpoint, Error> {
        let mut options = ReadOptions::default();
        options.weights = weights.map(str::to_owned);
        Ok(Checkpoint::from_bytes_with(
            self.bytes.as_ref(),
            &self.name,
            &options,
        )?)
    }
}

fn unreadable(error: odin_untrusted::Error) -> Error {
    match error.kind() {
        odin_untrusted::ErrorKind::NotRegular => {
            let problem = format!("{error}; give the model file itself");
            Error::new(ErrorKind::Io, problem)
        }
        _ => error.into(),
    }
}

/// Whether a file's content is ONNX rather than a checkpoint. A protocol buffer has no magic
/// number: an ONNX file begins with its version (field 1, a small number) and a second field.
fn looks_like_onnx(head: &[u8]) -> bool {
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

/// The SHA-256 of `bytes` in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn of_checkpoint(checkpoint: &Checkpoint, model: &zoo::Model) -> ModelFile {
    let graph = &model.graph;
    let metadata = checkpoint.metadata();
    ModelFile {
        name: checkpoint.name().to_string(),
        files: Vec::new(),
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
        notices: model.notices.clone(),
        weights: None,
    }
}

pub(super) fn of_onnx(name: &str, model: &onnx::Model) -> ModelFile {
    let producer = model.producer.trim();
    ModelFile {
        name: name.to_string(),
        files: Vec::new(),
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
        weights: None,
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
