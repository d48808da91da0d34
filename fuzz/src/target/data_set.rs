//! Any bytes as a set of images. The first byte chooses the options.

use crate::check;
use odin_data::{ArrayLayout, OpenOptions, Split, open_bytes};

/// The extension counts for binary CIFAR batches.
const NAMES: [&str; 2] = ["x", "x.bin"];

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else {
        return;
    };
    let mut options = OpenOptions::default();
    options.channels = [None, Some(1), Some(3), None][usize::from(choice) & 3];
    options.layout = [None, Some(ArrayLayout::Nchw), Some(ArrayLayout::Nhwc), None]
        [usize::from(choice >> 2) & 3];
    options.split = match (choice & 0x10 != 0, choice & 3) {
        (false, _) => None,
        (true, 3) => Some(Split::Validation),
        (true, _) => Some(Split::Train),
    };
    options.measurements = choice & 0x40 != 0;
    options.shape = (choice & 0x80 != 0).then_some([2, 1, 4]);
    let name = NAMES[usize::from(choice >> 5) & 1];
    check::data_set(open_bytes(name, bytes.to_vec(), &options));
}
