//! The report of `odin compile`.

use crate::json;
use odin::{DetectorCard, DetectorInput};
use odin_error::escape;
use serde_json::{Value, json};
use std::fmt::Write;

/// A compiled detector, as it is read back from its file.
#[derive(Debug, Clone, PartialEq)]
pub struct CompileReport {
    /// The file.
    pub file: String,
    /// Its format.
    pub format: String,
    /// Its size.
    pub bytes: usize,
    /// Name and shape of each input.
    pub inputs: Vec<(String, String)>,
    /// Name and type of each output.
    pub outputs: Vec<(String, String)>,
    /// What it says of itself.
    pub card: DetectorCard,
}

impl CompileReport {
    /// As text for a terminal.
    pub fn to_table(&self) -> String {
        let mut text = format!("{}: {}, {} bytes\n", self.file, self.format, self.bytes);
        let mut entry = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<8} {}", escape(&value));
        };
        let card = &self.card;
        let element = match card.input {
            DetectorInput::PixelsU8 => "pixels, uint8 from 0 to 255",
            DetectorInput::PixelsF32 => "pixels, float32 in [0, 1]",
            DetectorInput::PhotoU8 => "photos of any size, uint8 from 0 to 255",
            _ => "the model's own input, float32",
        };
        for (name, shape) in &self.inputs {
            entry("input", format!("{name} {shape}: {element}"));
        }
        for (name, ty) in &self.outputs {
            entry("output", format!("{name} {ty}"));
        }
        let threshold = match card.threshold {
            Some(threshold) => format!("threshold {threshold}"),
            None => "no threshold".to_string(),
        };
        if card.scores.iter().any(|name| name.ends_with("odin")) {
            let (t, magnitude) = (card.setting.temperature, card.setting.magnitude);
            entry("ODIN", format!("T = {t}, ε = {magnitude}"));
        }
        entry(
            "computes",
            format!("in the precision {}", card.setting.precision),
        );
        let threshold = match card.class_thresholds.len() {
            0 => threshold,
            classes => format!("a threshold for each of {classes} classes"),
        };
        entry("decides", format!("by {}, {threshold}", card.decides_by));
        if let Some(transform) = &card.transform {
            let notation = transform.notation();
            match card.input {
                DetectorInput::PhotoU8 => {
                    entry("inside", format!("photos are transformed: {notation}"))
                }
                _ => entry(
                    "before",
                    format!("images are to be transformed: {notation}"),
                ),
            }
        }
        if let Some(sha256) = &card.source_sha256 {
            entry("made of", format!("a file with the SHA-256 {sha256}"));
        }
        text
    }

    /// As a JSON object.
    pub fn to_json(&self) -> String {
        let named = |ends: &[(String, String)], what: &str| -> Vec<Value> {
            let ends = ends.iter();
            ends.map(|(name, value)| json!({"name": name, what: value}))
                .collect()
        };
        let value = json!({
            "file": self.file,
            "format": self.format,
            "bytes": self.bytes,
            "inputs": named(&self.inputs, "shape"),
            "outputs": named(&self.outputs, "type"),
            "detector": card(&self.card),
        });
        json::indented(&value)
    }
}

/// What a compiled detector says of itself, as reports give it.
pub(crate) fn card(card: &DetectorCard) -> Value {
    json!({
        "temperature": card.setting.temperature,
        "magnitude": card.setting.magnitude,
        "precision": card.setting.precision.as_str(),
        "scores": card.scores,
        "decides_by": card.decides_by,
        "threshold": card.threshold,
        "class_thresholds": card.class_thresholds,
        "target_tpr": card.target_tpr,
        "input": card.input.as_str(),
        "source_sha256": card.source_sha256,
        "odin_version": card.version,
    })
}
