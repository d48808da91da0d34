//! The scores of one set, validated and in ascending order.

use crate::{Error, ErrorKind};

/// A checked copy of the scores of one side in ascending order.
pub(crate) fn sorted(side: &str, scores: &[f64]) -> Result<Vec<f64>, Error> {
    if scores.is_empty() {
        return Err(Error::new(
            ErrorKind::EmptyScores,
            format!("there are no {side} scores; at least one is needed"),
        ));
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(Error::new(
            ErrorKind::NonFiniteScore,
            format!(
                "the {side} score at index {index} (counted from 0) is {}; scores must be finite: \
                 check this input and the model's weights for NaN or infinity",
                scores[index]
            ),
        ));
    }
    let mut scores = scores.to_vec();
    scores.sort_unstable_by(f64::total_cmp);
    Ok(scores)
}
