//! Any text as a `detector.toml`, as it is and with a right checksum: what is accepted is written
//! and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odin_fuzz::{check, seal};

fuzz_target!(|text: &str| {
    check::saved_detector(text);
    check::saved_detector(&seal::sealed(text));
});
