//! Tensors of any names and shapes as a network, for images of any shape.
//!
//! The input is text: the shape of an image, such as `3x32x32`, or nothing; then a line per
//! tensor, `conv1.weight 16x3x3x3`.

use std::collections::HashMap;

use crate::check;
use odin_formats::Checkpoint;
use safetensors::tensor::{Dtype, TensorView};

/// Elements of all tensors together.
const MAX_ELEMENTS: usize = 1 << 18;

/// All that a weight's elements need to be is finite.
static ZEROS: [u8; 4 * MAX_ELEMENTS] = [0; 4 * MAX_ELEMENTS];

fn extents(text: &str) -> Option<Vec<usize>> {
    text.split('x').map(|extent| extent.parse().ok()).collect()
}

fn tensor(line: &str) -> Option<(&str, TensorView<'static>)> {
    let (name, shape) = line.rsplit_once(' ')?;
    let shape = extents(shape)?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let data = ZEROS.get(..count.checked_mul(4)?)?;
    Some((name, TensorView::new(Dtype::F32, shape, data).ok()?))
}

/// Runs the target on one input.
pub fn run(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut lines = text.lines();
    let image_shape = lines.next().and_then(extents);
    let image_shape = image_shape.and_then(|shape| shape.try_into().ok());
    let tensors: HashMap<_, _> = lines.filter_map(tensor).collect();
    let bytes: usize = tensors.values().map(|tensor| tensor.data().len()).sum();
    if bytes > ZEROS.len() {
        return;
    }
    let Ok(file) = safetensors::serialize(tensors, None) else {
        return;
    };
    if let Ok(checkpoint) = Checkpoint::from_bytes(&file, "fuzzed") {
        check::network(&checkpoint, image_shape);
    }
}
