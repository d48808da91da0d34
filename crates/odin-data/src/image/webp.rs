//! WebP: lossy and lossless. Of an animation, the first frame on its canvas.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::decode::{Decoded, Encoded, Levels, MAX_DECODER_BYTES, damaged};
use crate::error::Error;

pub(super) fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

pub(super) fn decode(file: &Encoded<'_>) -> Result<Decoded, Error> {
    let Encoded { bytes, name, .. } = *file;
    let broken = |error: DecodingError| damaged(name, error);
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    decoder.set_memory_limit(MAX_DECODER_BYTES);
    let (width, height) = decoder.dimensions();
    let (height, width) = (height as usize, width as usize);
    file.check_pixels(height, width)?;

    let per_pixel = if decoder.has_alpha() { 4 } else { 3 };
    let mut samples = vec![0; height * width * per_pixel];
    decoder.read_image(&mut samples).map_err(broken)?;
    Ok(Decoded {
        height,
        width,
        levels: Levels { samples, per_pixel },
    })
}
