//! Seeded streams of random numbers, the same on every platform.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// The random numbers of item `index` for one purpose; other purposes, seeds and items get
/// independent ones.
pub(crate) fn random_stream(purpose: &str, seed: u64, index: usize) -> ChaCha12Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    for (byte, letter) in key[8..].iter_mut().zip(purpose.bytes()) {
        *byte = letter;
    }
    let mut random = ChaCha12Rng::from_seed(key);
    random.set_stream(index as u64);
    random
}
