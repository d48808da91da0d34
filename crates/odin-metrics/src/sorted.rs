//! The scores of one set, validated and in ascending order.

use crate::order::{from_ordered_bits, ordered_bits};
use crate::{Error, ErrorKind};

/// A checked copy of the scores of one side in ascending order.
pub(crate) fn sorted(side: &str, scores: &[f64]) -> Result<Vec<f64>, Error> {
    check(side, scores)?;
    Ok(ascending(
        scores.iter().copied().map(ordered_bits).collect(),
    ))
}

/// That there are scores, all of them finite.
pub(crate) fn check(side: &str, scores: &[f64]) -> Result<(), Error> {
    if scores.is_empty() {
        return Err(Error::new(
            ErrorKind::EmptyScores,
            format!("there are no {side} scores; at least one is needed"),
        ));
    }
    check_finite(side, scores)
}

pub(crate) fn check_finite(side: &str, scores: &[f64]) -> Result<(), Error> {
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::new(
            ErrorKind::NonFiniteScore,
            format!(
                "the {side} score at index {index} (counted from 0) is {}; scores must be finite: \
                 check this input and the model's weights for NaN or infinity",
                scores[index]
            ),
        )),
    }
}

/// The scores of these ordered bits in the order of [`f64::total_cmp`]. Integers are sorted faster
/// than floating-point numbers, and millions of them by the standard library faster than by radix,
/// which needs a second buffer. The vector is reused.
fn ascending(mut ordered: Vec<u64>) -> Vec<f64> {
    ordered.sort_unstable();
    ordered.into_iter().map(from_ordered_bits).collect()
}
