//! Checkpoints inside of sound archives: the pickle machine and the three containers of
//! `torch.save`.

use crate::check;
use crate::pack::Packed;

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    if let Some(bytes) = Packed::of(input).and_then(|packed| packed.bytes()) {
        check::checkpoint(&bytes);
    }
}
