//! Any bytes as an image, with any transform. The input is the transform, a line feed, the image.

use crate::check;
use odin_data::{Image, Transform};

/// Larger images are decoded, but transforming them would only take time.
const MAX_PIXELS: usize = 1 << 16;

/// Sides that a transform may give.
const MAX_SIDE: usize = 512;

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Some(end) = input.iter().position(|&b| b == b'\n') else {
        return;
    };
    let (text, bytes) = (String::from_utf8_lossy(&input[..end]), &input[end + 1..]);
    let transform = text.parse::<Transform>();
    let Ok(image) = Image::decode(bytes, "fuzzed", None) else {
        return;
    };
    check::image(&image);
    let small = |n: &str| n.parse::<usize>().is_ok_and(|n| n <= MAX_SIDE);
    let sides_are_small = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .all(small);
    if image.height * image.width > MAX_PIXELS || !sides_are_small {
        return;
    }
    if let Ok(transformed) = transform.and_then(|transform| transform.apply(&image, 0)) {
        check::image(&transformed);
    }
    let grey = Image::decode(bytes, "fuzzed", Some(1)).expect("it decoded before");
    check::image(&grey);
}
