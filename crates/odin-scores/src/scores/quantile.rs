//! Quantiles, linear between neighbours like NumPy's.

/// The quantile of values in any order, of which there is one at least.
pub(super) fn quantile<T: Copy + Into<f64>>(values: &[T], share: f64) -> f64 {
    let mut values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    let position = share * (values.len() - 1) as f64;
    let lower = position.floor();
    let (_, &mut a, above) = values.select_nth_unstable_by(lower as usize, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp);
    a + (next.unwrap_or(a) - a) * (position - lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        // numpy.quantile([4, 1, 3, 2], …)
        for (share, expected) in [(0.0, 1.0), (0.5, 2.5), (0.6, 2.8), (0.9, 3.7), (1.0, 4.0)] {
            let value = quantile(&[4.0f32, 1.0, 3.0, 2.0], share);
            assert!((value - expected).abs() < 1e-12, "{share}: {value}");
        }
        assert_eq!(quantile(&[7.0], 0.3), 7.0);
    }
}
