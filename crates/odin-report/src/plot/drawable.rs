//! The range of the values that can be drawn.

/// The least and the largest of the values that can be drawn; `None` without any.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| drawable(*value))
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}

pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= 1e300
}
