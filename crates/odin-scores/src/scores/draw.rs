//! A part of the training images, drawn by a seed.

/// The share of the images, rounded up, whose features have the least hashes: the same in whatever
/// order they were seen, and however they were merged.
pub(super) fn drawn(mut images: Vec<&[f32]>, share: f64, seed: u64) -> Vec<&[f32]> {
    let count = (share * images.len() as f64).ceil() as usize;
    if count < images.len() {
        images.sort_by_cached_key(|features| hash(features, seed));
        images.truncate(count.max(1));
    }
    images
}

/// Multiplies by the odd number nearest to 2⁶⁴ divided by the golden ratio, and folds the upper bits
/// onto the lower ones, after each value's bits.
fn hash(features: &[f32], seed: u64) -> u64 {
    features.iter().fold(seed, |hash, value| {
        let mixed = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 32)
    })
}
