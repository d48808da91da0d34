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
#[path = "../../../odin-test/engine/inputs.rs"]
mod inputs;
#[path = "../../../odin-test/engine/moves.rs"]
mod moves;
#[path = "../../../odin-test/engine/networks.rs"]
mod networks;
#[path = "../../../odin-test/engine/numbers.rs"]
mod numbers;
#[path = "../../../odin-test/engine/operators.rs"]
mod operators;
#[path = "../../../odin-test/engine/rounding.rs"]
mod rounding;
mod subject;

use numbers::numbers;
