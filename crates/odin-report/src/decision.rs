//! The line of text that `odin score` prints for a single image.

use crate::score_file::ScoreRecord;

/// The decision about one image.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionReport<'a> {
    /// What was found, or why nothing was.
    pub record: &'a ScoreRecord,
    /// What decided, where anything was found.
    pub decided_by: Option<DecidedBy<'a>>,
}

/// The score that decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecidedBy<'a> {
    /// Its name.
    pub score: &'a str,
    /// Its value for this image.
    pub value: f64,
    /// The least value of an image that is taken for in-distribution.
    pub threshold: f64,
}

impl DecisionReport<'_> {
    /// A line for people, which begins with the decision.
    pub fn to_line(&self) -> String {
        let file = &self.record.file;
        let values = match &self.record.outcome {
            Ok(values) => values,
            // Many reasons begin with the file.
            Err(reason) if reason.contains(file) => return format!("no decision: {reason}\n"),
            Err(reason) => return format!("no decision: {file}: {reason}\n"),
        };
        let class = match &values.class {
            Some(name) => name.clone(),
            None => values.prediction.to_string(),
        };
        let (decision, sign) = match values.is_in_distribution {
            true => ("in-distribution", ">="),
            false => ("OUT-OF-DISTRIBUTION", "<"),
        };
        let by = self.decided_by.map_or(String::new(), |by| {
            let [value, threshold] = told_apart([by.value, by.threshold]);
            format!("{} {value} {sign} {threshold} (the threshold), ", by.score)
        });
        format!(
            "{decision}: {file}, {by}higher than {:.1} % of in-distribution images, p = {:.4}; predicted class: {class}\n",
            values.percentile, values.p_value
        )
    }
}

/// Digits behind the point, at least.
const DIGITS: usize = 4;

/// Two numbers, rounded, but not so far that different ones look equal.
fn told_apart(numbers: [f64; 2]) -> [String; 2] {
    let rounded = (DIGITS..=17).map(|digits| numbers.map(|number| format!("{number:.digits$}")));
    let apart = |[a, b]: &[String; 2]| a != b || numbers[0] == numbers[1];
    let mut rounded = rounded.filter(apart);
    rounded
        .next()
        .unwrap_or_else(|| numbers.map(|number| number.to_string()))
}
