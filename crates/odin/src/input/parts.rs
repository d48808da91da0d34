//! Stratified subsets of a set, independent of the order in which it is listed.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The places of `count` images in an order of which every beginning holds the classes in the
/// proportions of the whole. Within a class the order is that of hashes of the seed and the
/// image's name, so that it is random and yet does not depend on how the set is listed.
///
/// `label` and `name` are those of the image at a place; images without a label are a class of
/// their own. The image of rank r among the n of its class comes at (r + ½) / n; ties go by the
/// hash.
pub fn stratified_order(
    count: usize,
    label: impl Fn(usize) -> Option<usize>,
    name: impl Fn(usize) -> String,
    seed: u64,
) -> Vec<usize> {
    let mut classes: HashMap<Option<usize>, Vec<(u64, usize)>> = HashMap::new();
    for place in 0..count {
        let hashed = (name_hash(&name(place), Some(seed)), place);
        classes.entry(label(place)).or_default().push(hashed);
    }
    let mut order: Vec<(f64, u64, usize)> = Vec::with_capacity(count);
    for class in classes.values_mut() {
        class.sort_unstable();
        let images = class.len() as f64;
        let ranked = class.iter().enumerate();
        order.extend(
            ranked.map(|(rank, &(hash, place))| ((rank as f64 + 0.5) / images, hash, place)),
        );
    }
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    order.into_iter().map(|(_, _, place)| place).collect()
}

/// The first 8 bytes of the SHA-256 of an image's name (big-endian), with a seed of that and the
/// name. `\` counts as `/`, and so does `\\`, as names of sets have it.
pub(super) fn name_hash(name: &str, seed: Option<u64>) -> u64 {
    let mut hash = Sha256::new();
    if let Some(seed) = seed {
        hash.update(seed.to_be_bytes());
    }
    hash.update(name.replace("\\\\", "/").replace('\\', "/"));
    let bytes = hash.finalize().into_iter().take(8);
    bytes.fold(0, |n, byte| n << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes of 60, 30 and 10 images, listed one class after the other.
    fn label(place: usize) -> Option<usize> {
        Some(match place {
            0..60 => 0,
            60..90 => 1,
            _ => 2,
        })
    }

    fn name(place: usize) -> String {
        format!("class/{place}.png")
    }

    #[test]
    fn every_beginning_holds_all_classes_in_proportion() {
        let order = stratified_order(100, label, name, 0);
        for count in [10, 20, 50, 90] {
            let of_class = |class| {
                let beginning = order[..count].iter();
                beginning.filter(|&&i| label(i) == Some(class)).count()
            };
            for (class, size) in [(0, 60), (1, 30), (2, 10)] {
                let exact = size as f64 * count as f64 / 100.0;
                let found = of_class(class) as f64;
                assert!((found - exact).abs() <= 1.0, "{count}, {class}: {found}");
            }
        }
        let mut sorted = order;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }

    #[test]
    fn the_order_is_that_of_names_and_the_seed_alone() {
        let names = |reversed: bool, seed| -> Vec<String> {
            let at = |i: usize| if reversed { 99 - i } else { i };
            let order = stratified_order(100, |i| label(at(i)), |i| name(at(i)), seed);
            order.into_iter().map(|i| name(at(i))).collect()
        };
        assert_eq!(names(false, 3), names(true, 3));
        assert_ne!(names(false, 3), names(false, 4));
    }

    #[test]
    fn without_labels_the_order_is_random() {
        let order = stratified_order(1000, |_| None, name, 0);
        let first_half = order[..500].iter().filter(|&&i| i < 500).count();
        assert!((200..300).contains(&first_half), "{first_half}");
    }
}
