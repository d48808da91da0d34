//! Any text as a `detector.toml`, as it is and with a right checksum: what is accepted is written
//! and read again as the same.

use crate::{check, seal};

/// Runs the target on one input.
pub fn run(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    check::saved_detector(text);
    check::saved_detector(&seal::sealed(text));
}
