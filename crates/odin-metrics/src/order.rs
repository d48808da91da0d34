//! Finite numbers as integers of the same order.

const SIGN: u64 = 1 << 63;

/// The bits of a number, so that integers compare as [`f64::total_cmp`] compares the numbers:
/// the sign bit of positive numbers is set, and all bits of negative ones are inverted.
pub(crate) fn ordered_bits(number: f64) -> u64 {
    let bits = number.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The number of which these are the [`ordered_bits`].
pub(crate) fn from_ordered_bits(ordered: u64) -> f64 {
    f64::from_bits(if ordered & SIGN == 0 {
        !ordered
    } else {
        ordered & !SIGN
    })
}
