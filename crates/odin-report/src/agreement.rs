//! The report of `odin verify`: the differences between a compiled detector and its model.

use crate::json;
use odin::Agreement;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

/// The largest differences between a compiled detector and its model.
#[derive(Debug, Clone, PartialEq)]
pub struct AgreementReport {
    /// The compiled detector as the user named it.
    pub detector: String,
    /// The model as the user named it.
    pub model: String,
    /// Where the model ran, such as `cpu`.
    pub device: String,
    /// The program that ran it and its version.
    pub engine: String,
    /// How long it took to be prepared, where that builds an engine.
    pub built_in: Option<Duration>,
    /// The differences.
    pub agreement: Agreement,
    /// The largest difference allowed.
    pub tolerance: f64,
}

impl AgreementReport {
    /// Whether no difference exceeds the tolerance.
    pub fn holds(&self) -> bool {
        self.agreement.holds(self.tolerance)
    }

    /// As text for a terminal.
    pub fn to_table(&self) -> String {
        let agreement = &self.agreement;
        let verdict = if self.holds() {
            "they agree"
        } else {
            "they differ"
        };
        let mut text = format!(
            "\
Images:                  {}
Precision:               {}
Largest difference
  of a logit:            {:.3e} (the largest logit is {:.3e})
",
            agreement.images, agreement.precision, agreement.logits, agreement.logit_scale,
        );
        for score in &agreement.scores {
            let what = match score.name.as_str() {
                "msp" => "of MSP:".to_string(),
                "odin" => "of an ODIN score:".to_string(),
                name => format!("of {name}:"),
            };
            let beside = match score.name.as_str() {
                "msp" => String::new(),
                "odin" | "i-odin" => {
                    format!(
                        " (times T: {:.3e})",
                        score.difference * agreement.temperature
                    )
                }
                _ => format!(" (the largest score is {:.3e})", score.scale),
            };
            let _ = writeln!(text, "  {what:<22} {:.3e}{beside}", score.difference);
        }
        if !agreement.not_compared.is_empty() {
            let names = agreement.not_compared.join(", ");
            let _ = writeln!(text, "Not compared:            {names}");
        }
        let _ = writeln!(
            text,
            "Predictions that differ: {}\nVerdict:                 {verdict}",
            agreement.disagreements
        );
        text
    }

    /// As a JSON object.
    pub fn to_json(&self) -> String {
        let agreement = &self.agreement;
        let scores = agreement.scores.iter();
        let scores = scores.map(|score| (score.name.clone(), json!(score.difference)));
        let logits = ("logits".to_string(), json!(agreement.logits));
        let differences: Map<String, Value> = std::iter::once(logits).chain(scores).collect();
        let value = json!({
            "detector": self.detector,
            "model": self.model,
            "device": self.device,
            "engine": self.engine,
            "engine_seconds": self.built_in.map(|time| time.as_secs_f64()),
            "images": agreement.images,
            "temperature": agreement.temperature,
            "precision": agreement.precision.as_str(),
            "largest_difference": differences,
            "not_compared": agreement.not_compared,
            "largest_logit": agreement.logit_scale,
            "predictions_that_differ": agreement.disagreements,
            "tolerance": self.tolerance,
            "agree": self.holds(),
        });
        json::indented(&value)
    }
}
