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
#[path = "../../../odin-test/engine/inputs.rs"]
mod inputs;
#[path = "../../../odin-test/engine/moves.rs"]
mod moves;
#[path = "../../../odin-test/engine/networks.rs"]
mod networks;
#[path = "../../../odin-test/engine/numbers.rs"]
mod numbers;
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

use numbers::numbers;
