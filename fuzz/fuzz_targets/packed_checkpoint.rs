//! Checkpoints inside of sound archives: the pickle machine and the three containers of
//! `torch.save`.
#![no_main]

use odin_fuzz::check;
use odin_fuzz::pack::Packed;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(bytes) = Packed::of(input).and_then(|packed| packed.bytes()) {
        check::checkpoint(&bytes);
    }
});
