//! The first frame of a GIF, laid on its canvas as Pillow does it: the canvas grows to hold the
//! frame, and around a smaller frame lies the transparent colour, or else the first one of the
//! palette. The background colour that the header names is ignored.

use ::gif::{ColorOutput, DecodeOptions, DecodingError};

use super::decode::{Decoded, Encoded, Levels, damaged};
use crate::error::Error;

pub(super) fn is_gif(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a")
}

pub(super) fn decode(file: &Encoded<'_>) -> Result<Decoded, Error> {
    let Encoded { bytes, name, .. } = *file;
    let broken = |error: DecodingError| damaged(name, error);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(bytes).map_err(broken)?;
    let (screen_height, screen_width) = (decoder.height(), decoder.width());
    let Some(frame) = decoder.next_frame_info().map_err(broken)?.cloned() else {
        return Err(damaged(name, "it holds no frame"));
    };
    let [top, left, frame_height, frame_width] =
        [frame.top, frame.left, frame.height, frame.width].map(usize::from);
    let height = usize::from(screen_height).max(top + frame_height);
    let width = usize::from(screen_width).max(left + frame_width);
    file.check_pixels(height, width)?;

    let mut indices = vec![0; frame_height * frame_width];
    decoder.read_into_buffer(&mut indices).map_err(broken)?;
    let (colours, _) = decoder.palette().map_err(broken)?.as_chunks::<3>();
    // An index past the palette is black.
    let colour = |index: u8| colours.get(usize::from(index)).unwrap_or(&[0; 3]);
    let mut samples = colour(frame.transparent.unwrap_or(0)).repeat(height * width);
    let rows = indices.chunks_exact(frame_width.max(1));
    for (row, y) in rows.zip(top..) {
        let (pixels, _) = samples[3 * (y * width + left)..].as_chunks_mut::<3>();
        for (pixel, &index) in pixels.iter_mut().zip(row) {
            *pixel = *colour(index);
        }
    }
    Ok(Decoded {
        height,
        width,
        levels: Levels {
            samples,
            per_pixel: 3,
        },
    })
}
