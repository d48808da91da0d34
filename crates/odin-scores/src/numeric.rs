//! Sums over vectors of f32: products in f32 on independent lanes, which compilers turn into
//! vector instructions, and sums of whole blocks in f64. The order of operations is fixed, so that
//! equal inputs give equal bits, whatever vector instructions the processor has.

use multiversion::multiversion;

const LANES: usize = 16;
/// So few products are added in f32 that their rounding stays near that of one product.
const BLOCK: usize = 256;

/// `Σ a_i b_i`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |x, y| x * y)
}

/// `Σ (a_i - b_i)²`.
#[multiversion(targets("x86_64+avx512f", "x86_64+avx2"))]
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |x, y| (x - y) * (x - y))
}

/// The [`squared_distance`] from `a` to each of the rows, which are as long as it is.
pub(crate) fn squared_distances(a: &[f32], rows: &[f32], distances: &mut Vec<f64>) {
    let rows = rows.chunks_exact(a.len().max(1));
    distances.extend(rows.map(|row| squared_distance(a, row)));
}

/// `√Σ a_i²`.
pub(crate) fn norm(a: &[f32]) -> f64 {
    dot(a, a).sqrt()
}

/// `Σ |a_i|`.
pub(crate) fn norm_l1(a: &[f32]) -> f64 {
    sum(a, a, |x, _| x.abs())
}

#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32 + Copy) -> f64 {
    a.chunks(BLOCK)
        .zip(b.chunks(BLOCK))
        .map(|(a, b)| f64::from(sum_block(a, b, term)))
        .sum()
}

#[inline(always)]
fn sum_block(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(&x, &y)| term(x, y)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// `Σ a_i b_i` in f64.
pub(crate) fn dot_f64(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f64>() + rest
}

/// `Σ a_i b_i` in f64.
pub(crate) fn dot_mixed(a: &[f32], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += f64::from(a[lane]) * b[lane];
        }
    }
    let rest: f64 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(&x, y)| f64::from(x) * y)
        .sum();
    lanes.iter().sum::<f64>() + rest
}

/// `a - b`, rounded once.
pub(crate) fn difference<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> Vec<f32> {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (a.into() - b) as f32)
        .collect()
}

/// `sum += row`.
pub(crate) fn add<T: Copy + Into<f64>>(sum: &mut [f64], row: &[T]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += value.into();
    }
}

/// Shorter vectors are divided by this, as in other implementations.
const LEAST_NORM: f64 = 1e-12;

/// `a / ‖a‖`, in f64: along the mean such vectors vary little, and what is fitted to them magnifies
/// what rounding adds.
pub(crate) fn unit(a: &[f32]) -> Vec<f64> {
    let squares = a.iter().map(|&a| f64::from(a) * f64::from(a));
    let norm = squares.sum::<f64>().sqrt().max(LEAST_NORM);
    a.iter().map(|&a| f64::from(a) / norm).collect()
}

/// Index of the largest value; of the first where several are.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// Indices of the `count` largest values; of equal ones, the first.
pub(crate) fn largest(values: &[f32], count: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..values.len()).collect();
    if count < indices.len() {
        indices.select_nth_unstable_by(count, |&i, &j| {
            values[j].total_cmp(&values[i]).then(i.cmp(&j))
        });
        indices.truncate(count);
    }
    // In one order, so that sums do not depend on how the selection went.
    indices.sort_unstable();
    indices
}

/// The largest value.
pub(crate) fn max(values: &[f32]) -> f64 {
    f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// `log Σ exp z_i`.
pub(crate) fn log_sum_exp(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    max + logits.map(|z| (z - max).exp()).sum::<f64>().ln()
}

/// `softmax(z / T)`.
pub(crate) fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let max = max(logits);
    let mut values: Vec<f64> = logits
        .iter()
        .map(|&z| ((f64::from(z) - max) / temperature).exp())
        .collect();
    let sum: f64 = values.iter().sum();
    for value in &mut values {
        *value /= sum;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_any_length_match_f64() {
        for length in [0, 1, 15, 16, 17, 255, 256, 257, 342, 1000, 2048] {
            let a: Vec<f32> = (0..length).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..length).map(|i| (i as f32 * 0.91).cos()).collect();
            let exact = |term: fn(f64, f64) -> f64| -> f64 {
                a.iter()
                    .zip(&b)
                    .map(|(&x, &y)| term(f64::from(x), f64::from(y)))
                    .sum()
            };
            let tolerance = 4.0 * f64::from(f32::EPSILON) * length as f64;
            assert!((dot(&a, &b) - exact(|x, y| x * y)).abs() <= tolerance);
            assert!(
                (squared_distance(&a, &b) - exact(|x, y| (x - y) * (x - y))).abs() <= tolerance
            );
            assert!((norm_l1(&a) - exact(|x, _| x.abs())).abs() <= tolerance);
            // As without vector instructions beyond those that every processor has.
            let plain = [
                sum(&a, &b, |x, y| x * y),
                sum(&a, &b, |x, y| (x - y) * (x - y)),
            ];
            let chosen = [dot(&a, &b), squared_distance(&a, &b)];
            assert_eq!(
                chosen.map(f64::to_bits),
                plain.map(f64::to_bits),
                "{length}"
            );
        }
    }
}
