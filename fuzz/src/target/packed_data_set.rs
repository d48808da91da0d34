//! Sets of images inside of sound archives and folders: CIFAR, idx, npz, image folders.

use crate::check;
use crate::pack::{Container, Packed};
use odin_data::{OpenOptions, open, open_bytes};

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Some(packed) = Packed::of(input) else {
        return;
    };
    let options = OpenOptions::default();
    if packed.container == Container::Folder {
        let folder = tempfile::tempdir().expect("a temporary folder");
        packed.write_to(folder.path());
        check::data_set(open(folder.path(), &options));
    } else if let Some(bytes) = packed.bytes() {
        check::data_set(open_bytes("x", bytes, &options));
    }
}
