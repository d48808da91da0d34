//! The report of `odin verify`: the differences between a compiled detector and its model.

use crate::json;
use odin::Agreement;
use serde_json::json;

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
        format!(
            "\
Images:                  {}
Largest difference
  of a logit:            {:.3e} (the largest logit is {:.3e})
  of MSP:                {:.3e}
  of an ODIN score:      {:.3e} (times T: {:.3e})
Predictions that differ: {}
Verdict:                 {verdict}
",
            agreement.images,
            agreement.logits,
            agreement.logit_scale,
            agreement.msp,
            agreement.odin,
            agreement.odin * agreement.temperature,
            agreement.disagreements,
        )
    }

    /// As a JSON object.
    pub fn to_json(&self) -> String {
        let agreement = &self.agreement;
        let value = json!({
            "detector": self.detector,
            "model": self.model,
            "device": self.device,
            "engine": self.engine,
            "images": agreement.images,
            "temperature": agreement.temperature,
            "largest_difference": {
                "logits": agreement.logits,
                "msp": agreement.msp,
                "odin": agreement.odin,
            },
            "largest_logit": agreement.logit_scale,
            "predictions_that_differ": agreement.disagreements,
            "tolerance": self.tolerance,
            "agree": self.holds(),
        });
        json::indented(&value)
    }
}
