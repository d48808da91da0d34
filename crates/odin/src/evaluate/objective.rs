//! The objective of a search, and the choice of the best setting by its values.

use crate::{Error, ErrorKind, Setting};
use odin_metrics::Metrics;
use std::fmt;
use std::str::FromStr;

/// What a setting is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Objective {
    /// The false-positive rate at 95 % true-positive rate, small.
    #[default]
    FprAt95Tpr,
    /// The area under the ROC curve, large.
    Auroc,
    /// The detection error, small.
    DetectionError,
    /// The area under the precision-recall curve, in-distribution positive, large.
    AuprIn,
    /// The area under the precision-recall curve, out-of-distribution positive, large.
    AuprOut,
}

impl Objective {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::FprAt95Tpr,
        Self::Auroc,
        Self::DetectionError,
        Self::AuprIn,
        Self::AuprOut,
    ];

    /// As options spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FprAt95Tpr => "fpr95",
            Self::Auroc => "auroc",
            Self::DetectionError => "detection-error",
            Self::AuprIn => "aupr-in",
            Self::AuprOut => "aupr-out",
        }
    }

    /// The metric itself.
    pub fn of(self, metrics: &Metrics) -> f64 {
        match self {
            Self::FprAt95Tpr => metrics.fpr_at_95_tpr,
            Self::Auroc => metrics.auroc,
            Self::DetectionError => metrics.detection_error,
            Self::AuprIn => metrics.aupr_in,
            Self::AuprOut => metrics.aupr_out,
        }
    }

    /// Whether large values are good.
    pub fn is_larger_better(self) -> bool {
        matches!(self, Self::Auroc | Self::AuprIn | Self::AuprOut)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Objective {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|o| o.as_str() == text);
        known.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            invalid(format!("there is no objective {text:?}; they are {all}"))
        })
    }
}

/// A setting that was chosen, and how sure the choice is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// Where it is among the settings.
    pub index: usize,
    /// The setting.
    pub setting: Setting,
    /// What it reaches.
    pub value: f64,
    /// All settings that reach the same, this one among them, in their order: of several, that of
    /// the smallest ε is chosen, and of several of these that of the smallest T.
    pub equals: Vec<Setting>,
    /// Whether the chosen ε is the largest of several, so that a larger one might be better.
    pub at_largest_magnitude: bool,
}

/// Chooses the best of `settings` by their `values`.
///
/// # Errors
/// When there are none, or a value is not a number.
pub fn choose(
    settings: &[Setting],
    values: &[f64],
    larger_is_better: bool,
) -> Result<Choice, Error> {
    if settings.is_empty() || settings.len() != values.len() || values.iter().any(|v| v.is_nan()) {
        return Err(invalid(format!(
            "there is nothing to choose from: {} settings, {} values",
            settings.len(),
            values.len()
        )));
    }
    let better = match larger_is_better {
        true => f64::max,
        false => f64::min,
    };
    let best = values.iter().copied().reduce(better).unwrap_or(f64::NAN);
    let equals = || (0..settings.len()).filter(|&i| values[i] == best);
    let order = |&i: &usize, &j: &usize| {
        let ([a, b], key) = ([settings[i], settings[j]], f64::total_cmp);
        key(&a.magnitude, &b.magnitude).then(key(&a.temperature, &b.temperature))
    };
    let index = equals().min_by(order).unwrap_or(0);
    let setting = settings[index];
    let magnitudes = || settings.iter().map(|s| s.magnitude);
    Ok(Choice {
        index,
        setting,
        value: best,
        equals: equals().map(|i| settings[i]).collect(),
        at_largest_magnitude: magnitudes().all(|e| e <= setting.magnitude)
            && magnitudes().any(|e| e < setting.magnitude),
    })
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<Setting> {
        crate::Grid::new(&[1.0, 10.0], &[0.0, 0.001, 0.002])
            .unwrap()
            .settings()
    }

    /// Settings in order: T = 1 with ε 0, 1, 2 thousandths, then T = 10 likewise.
    #[test]
    fn ties_go_to_the_smaller_magnitude_then_the_smaller_temperature() {
        let cases: [([f64; 6], bool, usize, usize, bool); 6] = [
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], false, 0, 1, false),
            ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], true, 5, 1, true),
            ([9.0, 9.0, 1.0, 9.0, 1.0, 9.0], false, 4, 2, false),
            ([9.0, 1.0, 9.0, 9.0, 1.0, 9.0], false, 1, 2, false),
            ([0.5; 6], true, 0, 6, false),
            ([0.0, 0.0, 1.0, 0.0, 0.0, 1.0], true, 2, 2, true),
        ];
        for (values, larger, index, equals, edge) in cases {
            let choice = choose(&settings(), &values, larger).unwrap();
            let found = (
                choice.index,
                choice.equals.len(),
                choice.at_largest_magnitude,
            );
            assert_eq!(found, (index, equals, edge), "{values:?}");
            assert_eq!(choice.setting, settings()[index]);
            assert_eq!(choice.value, values[index]);
        }
    }

    #[test]
    fn nothing_is_chosen_from_nothing() {
        assert!(choose(&[], &[], true).is_err());
        assert!(choose(&settings(), &[1.0], true).is_err());
        assert!(choose(&settings(), &[f64::NAN; 6], true).is_err());
    }

    #[test]
    fn objectives_are_read_as_they_are_written() {
        for objective in Objective::ALL {
            assert_eq!(objective.to_string().parse(), Ok(objective));
        }
        let error = "fpr".parse::<Objective>().unwrap_err().to_string();
        assert!(
            error.contains("fpr95") && error.contains("aupr-out"),
            "{error}"
        );
    }
}
