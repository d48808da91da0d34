//! PNG: every colour type and depth as 8-bit samples. Of an animation, the default image.

use std::io::Cursor;

use ::png::{Decoder, DecodingError, Limits, Transformations};

use super::decode::{Decoded, Encoded, Levels, MAX_DECODER_BYTES, damaged, too_large};
use crate::error::Error;

pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n")
}

pub(super) fn decode(file: &Encoded<'_>) -> Result<Decoded, Error> {
    let Encoded { bytes, name, .. } = *file;
    let broken = |error| match error {
        DecodingError::LimitsExceeded => too_large(name, error),
        _ => damaged(name, error),
    };
    let limits = Limits {
        bytes: MAX_DECODER_BYTES,
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes and less than 8 bits are expanded; of 16 bits the high byte is kept.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let (width, height) = decoder.read_header_info().map_err(broken)?.size();
    let (height, width) = (height as usize, width as usize);
    file.check_pixels(height, width)?;

    let mut reader = decoder.read_info().map_err(broken)?;
    let (colour_type, _) = reader.output_color_type();
    let per_pixel = colour_type.samples();
    let mut samples = vec![0; height * width * per_pixel];
    reader.next_frame(&mut samples).map_err(broken)?;
    Ok(Decoded {
        height,
        width,
        levels: Levels { samples, per_pixel },
    })
}
