//! The report of `odin inspect`.

use crate::compile;
use crate::json;
use crate::network::Network;
use odin::{Classifier, DetectorCard, Inspection, ModelFile};
use odin_error::escape;
use serde_json::{Value, json};
use std::fmt::Write;

/// What `odin inspect` says of a model.
pub struct InspectionReport<'a> {
    network: Network,
    file: &'a ModelFile,
    card: Option<&'a DetectorCard>,
    inputs: Vec<(String, String)>,
    outputs: Vec<(String, String)>,
    inspection: &'a Inspection,
}

impl<'a> InspectionReport<'a> {
    /// Of this model, looked at already.
    pub fn new(classifier: &'a Classifier, inspection: &'a Inspection) -> Self {
        let graph = classifier.graph();
        let (inputs, outputs) = (graph.inputs(), graph.outputs().iter());
        let element = match classifier.file().takes_bytes {
            true => "bytes",
            false => "float",
        };
        Self {
            network: Network::from(classifier),
            file: classifier.file(),
            card: classifier.detector_card(),
            inputs: inputs
                .map(|(_, i)| (i.name.clone(), format!("{element}{}", i.ty.shape)))
                .collect(),
            outputs: outputs
                .map(|o| (o.name.clone(), graph.ty(o.value).to_string()))
                .collect(),
            inspection,
        }
    }

    /// Lines of names and values.
    pub fn to_table(&self) -> String {
        let mut lines = String::new();
        let mut entry = |name: &str, value: &str| {
            let _ = writeln!(lines, "{:<16}{}", format!("{name}:"), escape(value));
        };
        let (network, file) = (&self.network, self.file);
        entry("File", &network.file);
        entry("Format", &file.format);
        if let Some(producer) = &file.producer {
            entry("Written by", producer);
        }
        if let Some(sha256) = &file.sha256 {
            entry("SHA-256", sha256);
        }
        if network.architecture != file.format {
            entry("Architecture", &network.architecture);
        }
        for (name, ty) in &self.inputs {
            entry("Input", &format!("{name} {ty}"));
        }
        for (name, ty) in &self.outputs {
            entry("Logits", &format!("{name} {ty}"));
        }
        if file.outputs.len() > 1 {
            entry("Outputs", &file.outputs.join(", "));
        }
        entry("Takes", &network.input_text());
        entry("Normalisation", &network.normalization_text());
        if let Some(transform) = &network.preprocessing.transform {
            let text = format!("{} ({})", transform.value, transform.from);
            entry("Transform", &text);
        }
        match &network.class_names {
            Some(names) => entry(
                "Classes",
                &format!("{}: {}", network.classes, class_names(names)),
            ),
            None => entry("Classes", &network.classes.to_string()),
        }
        entry("Parameters", &grouped(file.parameters));
        entry("Cost", &self.cost());
        entry("Gradients", &gradients(self.inspection));
        for operator in &self.inspection.without_gradient {
            entry("No gradient", operator);
        }
        if let Some(card) = self.card {
            entry("Detector", &detector(card));
        }
        entry("Operators", &operators(file));
        for notice in &network.notices {
            entry("Notice", notice);
        }
        for (key, value) in &file.metadata {
            entry("Metadata", &format!("{key} = {}", first_line(value)));
        }
        lines
    }

    /// The same as a JSON object.
    pub fn to_json(&self) -> String {
        let ends = |ends: &[(String, String)]| -> Vec<Value> {
            let ends = ends.iter();
            ends.map(|(name, ty)| json!({"name": name, "type": ty}))
                .collect()
        };
        let mut value = self.network.to_json();
        let odin = &self.inspection.odin_multiply_adds;
        if let Value::Object(object) = &mut value {
            let more = json!({
                "producer": self.file.producer,
                "opset": self.file.opset,
                "inputs": ends(&self.inputs),
                "logits": ends(&self.outputs),
                "outputs": self.file.outputs,
                "operators": self.file.operators,
                "parameters": self.file.parameters,
                "forward_multiply_adds": self.inspection.forward_multiply_adds,
                "odin_multiply_adds": odin.as_ref().ok(),
                "gradients": odin.is_ok(),
                "gradients_missing": self.inspection.without_gradient,
                "odin_error": odin.as_ref().err(),
                "detector": self.card.map(compile::card),
                "metadata": self.file.metadata,
            });
            if let Value::Object(more) = more {
                object.extend(more);
            }
        }
        json::indented(&value)
    }

    fn cost(&self) -> String {
        let forward = self.inspection.forward_multiply_adds;
        let of_odin = match &self.inspection.odin_multiply_adds {
            Ok(odin) => format!(", {} for all of ODIN", grouped(*odin)),
            Err(_) => String::new(),
        };
        format!(
            "{} multiply-adds per image{of_odin} (1 multiply-add = 2 FLOPs)",
            grouped(forward)
        )
    }
}

fn gradients(inspection: &Inspection) -> String {
    let missing = inspection.without_gradient.len();
    match (&inspection.odin_multiply_adds, missing) {
        (Ok(_), _) => "every operator between input and logits has one".to_string(),
        (Err(error), 0) => format!("ODIN cannot be built in: {error}"),
        (Err(_), 1) => "one operator between input and logits has none".to_string(),
        (Err(_), n) => format!("{n} operators between input and logits have none"),
    }
}

fn detector(card: &DetectorCard) -> String {
    let threshold = match (card.threshold, card.target_tpr) {
        (Some(threshold), Some(tpr)) => format!("threshold {threshold} for a TPR of {tpr}"),
        (Some(threshold), None) => format!("threshold {threshold}"),
        (None, _) => "no threshold".to_string(),
    };
    let threshold = match card.class_thresholds.len() {
        0 => threshold,
        classes => format!("a threshold for each of {classes} classes"),
    };
    let scores = match card.scores.iter().any(|name| name == "odin") {
        true => format!("ODIN, {}", card.setting),
        false => card.scores.join(", "),
    };
    let decides = match card.decides_by.as_str() {
        "odin" => String::new(),
        name => format!("decides by {name}, "),
    };
    format!(
        "{scores}, {decides}{threshold}, input {}, written by odin {}",
        card.input, card.version
    )
}

/// Most frequent first.
fn operators(file: &ModelFile) -> String {
    let mut counts: Vec<(&String, &usize)> = file.operators.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    counts.join(", ")
}

fn class_names(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len() > SHOWN {
        true => format!("{shown}, …"),
        false => shown,
    }
}

/// A file's text may be long, and of many lines.
fn first_line(text: &str) -> String {
    const SHOWN: usize = 100;
    let line = text.lines().next().unwrap_or_default();
    let shown: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    match shown.len() < text.trim_end().len() {
        true => format!("{shown} …"),
        false => shown,
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
