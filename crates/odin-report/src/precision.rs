//! In which precision, and with which instructions, a network was run.

use odin::{Detector, Precision, ScoreTuner, Tuner};

/// In which precision a network was run, and what its products were computed with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComputedIn {
    /// The precision of the setting.
    pub precision: Precision,
    /// Such as `AVX-512`; `None` where another engine than the built-in one ran it.
    pub instructions: Option<String>,
}

impl From<&Detector> for ComputedIn {
    fn from(detector: &Detector) -> Self {
        Self {
            precision: detector.setting().precision,
            instructions: detector.instructions(),
        }
    }
}

impl From<&Tuner> for ComputedIn {
    fn from(tuner: &Tuner) -> Self {
        Self {
            precision: tuner.grid().precision(),
            instructions: tuner.instructions(),
        }
    }
}

impl From<&ScoreTuner> for ComputedIn {
    fn from(tuner: &ScoreTuner) -> Self {
        Self {
            precision: tuner.setting().precision,
            instructions: tuner.instructions(),
        }
    }
}

/// `exact`, whose bits do not depend on the instructions, or such as `fast, by AVX-512`.
impl std::fmt::Display for ComputedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.precision)?;
        match &self.instructions {
            Some(instructions) if self.precision != Precision::Exact => {
                write!(f, ", by {instructions}")
            }
            _ => Ok(()),
        }
    }
}
