//! The engine from outside: results against the reference interpreter, and what is refused.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints the numbers of the documentation"
)]

mod bf16;
mod checks;
#[path = "../../../odin-test/engine/extremes.rs"]
mod extremes;
#[path = "../../../odin-test/engine/moves.rs"]
mod moves;
#[path = "../../../odin-test/engine/networks.rs"]
mod networks;
mod odin;
#[path = "../../../odin-test/engine/operators.rs"]
mod operators;
mod pools;
mod products;
#[path = "../../../odin-test/engine/rounding.rs"]
mod rounding;
mod subject;
mod subnormal;
mod weight_cache;
mod winograd;

/// Numbers from -1 to 1 that look random.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
