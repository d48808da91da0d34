//! The engine from outside, on Mesa's lavapipe or another Vulkan device in software: results against
//! the reference interpreter, and what is refused. `ODIN_GPU_TEST=hardware` takes the first graphics
//! processor instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod calls;
#[path = "../../../odin-test/engine/extremes.rs"]
mod extremes;
mod functions;
#[path = "../../../odin-test/engine/moves.rs"]
mod moves;
#[path = "../../../odin-test/engine/networks.rs"]
mod networks;
#[path = "../../../odin-test/engine/operators.rs"]
mod operators;
#[path = "../../../odin-test/engine/rounding.rs"]
mod rounding;
mod subject;

/// Numbers from -1 to 1 that look random.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
