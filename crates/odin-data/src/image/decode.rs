//! Decodes image files.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::{Image, MAX_PIXELS, check_channels, gif, jpeg, luma};
use crate::error::Error;
use odin_untrusted::guard::contain;

/// Bytes that the decoder itself may allocate: the largest 16-bit RGBA image and as much again
/// for its working memory.
const MAX_DECODER_BYTES: u64 = 2 * 8 * MAX_PIXELS as u64;

impl Image {
    /// Decodes a PNG, JPEG, BMP, WebP or GIF (its first frame), recognised by content.
    ///
    /// The result is RGB, or grey for `channels == Some(1)`, with the conventions of Pillow's
    /// `convert`: alpha is dropped, grey is `(19595 R + 38470 G + 7471 B + 32768) >> 16`.
    /// 16-bit values keep their high byte, also in grey images, which Pillow clips to white.
    /// Orientation tags, gamma and colour profiles are not applied. `name` is used in messages.
    ///
    /// # Errors
    /// `Malformed` if the bytes do not decode, `Unsupported` for another format or an image of
    /// more than [`MAX_PIXELS`], `Invalid` if `channels` is neither 1 nor 3.
    pub fn decode(bytes: &[u8], name: &str, channels: Option<usize>) -> Result<Self, Error> {
        let channels = channels.unwrap_or(3);
        check_channels(channels)?;
        if bytes.is_empty() {
            let message = format!("{name} is an empty file, not an image");
            return Err(Error::malformed(message));
        }
        let decoded = contain(|| match bytes {
            _ if gif::is_gif(bytes) => gif::decode(bytes, name),
            _ if jpeg::is_jpeg(bytes) => decode_jpeg(bytes, name),
            _ => decode_any(bytes, name),
        });
        let decoded = decoded.unwrap_or_else(|_| Err(damaged(name, "the decoder fails at it")))?;
        let Decoded {
            height,
            width,
            levels,
        } = decoded;
        let size = (channels, height, width);
        Ok(match channels {
            1 => Image::from_levels(size, |_, y, x| levels.grey(y * width + x)),
            _ => Image::from_levels(size, |c, y, x| levels.colour(y * width + x, c)),
        })
    }
}

fn decode_jpeg(bytes: &[u8], name: &str) -> Result<Decoded, Error> {
    let Some(bytes) = jpeg::prepared(bytes) else {
        let message = format!("{name} is a JPEG without its end; it is truncated");
        return Err(Error::malformed(message));
    };
    decode_any(&bytes, name)
}

/// Everything but GIF.
fn decode_any(bytes: &[u8], name: &str) -> Result<Decoded, Error> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let describe = |error| describe(error, name);
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| damaged(name, error))?;
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(describe)?;
    let (width, height) = decoder.dimensions();
    let (height, width) = (height as usize, width as usize);
    check_pixels(name, height, width)?;
    decoder.set_limits(limits).map_err(describe)?;
    let decoded = DynamicImage::from_decoder(decoder).map_err(describe)?;
    let colour_type = decoded.color();
    let levels = Levels::of(decoded).ok_or_else(|| {
        let message = format!(
            "{name}: pixels of type {colour_type:?} are not supported; convert the image to 8-bit \
             RGB"
        );
        Error::unsupported(message)
    })?;
    Ok(Decoded {
        height,
        width,
        levels,
    })
}

/// Whether an image of this size is decoded.
pub(super) fn check_pixels(name: &str, height: usize, width: usize) -> Result<(), Error> {
    match height.saturating_mul(width) {
        0 => Err(damaged(name, "it has no pixels")),
        1..=MAX_PIXELS => Ok(()),
        _ => {
            let message = format!(
                "{name} is {height}x{width} (height x width), more than the limit of \
                 {MAX_PIXELS} pixels for one image; make it smaller"
            );
            Err(Error::unsupported(message))
        }
    }
}

pub(super) fn damaged(
    name: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let message = format!("{name} does not decode; it may be truncated or damaged");
    Error::malformed(message).because(cause)
}

fn describe(error: ImageError, name: &str) -> Error {
    let message = match error {
        ImageError::Unsupported(_) => {
            format!("{name} is no PNG, JPEG, BMP, WebP or GIF that can be decoded")
        }
        ImageError::Limits(_) => {
            format!("{name} takes more than {MAX_DECODER_BYTES} bytes of memory to decode")
        }
        _ => return damaged(name, error),
    };
    Error::unsupported(message).because(error)
}

/// A decoded image of its own number of channels.
pub(super) struct Decoded {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) levels: Levels,
}

/// Interleaved 8-bit samples of a decoded image.
pub(super) struct Levels {
    pub(super) samples: Vec<u8>,
    pub(super) per_pixel: usize,
}

impl Levels {
    /// 16-bit samples keep their high byte, as Pillow does.
    fn of(image: DynamicImage) -> Option<Self> {
        let high = |samples: Vec<u16>| samples.iter().map(|v| (v >> 8) as u8).collect();
        let (samples, per_pixel) = match image {
            DynamicImage::ImageLuma8(i) => (i.into_raw(), 1),
            DynamicImage::ImageLumaA8(i) => (i.into_raw(), 2),
            DynamicImage::ImageRgb8(i) => (i.into_raw(), 3),
            DynamicImage::ImageRgba8(i) => (i.into_raw(), 4),
            DynamicImage::ImageLuma16(i) => (high(i.into_raw()), 1),
            DynamicImage::ImageLumaA16(i) => (high(i.into_raw()), 2),
            DynamicImage::ImageRgb16(i) => (high(i.into_raw()), 3),
            DynamicImage::ImageRgba16(i) => (high(i.into_raw()), 4),
            _ => return None,
        };
        Some(Self { samples, per_pixel })
    }

    fn colour(&self, pixel: usize, channel: usize) -> u8 {
        let channel = if self.per_pixel < 3 { 0 } else { channel };
        self.samples[pixel * self.per_pixel + channel]
    }

    fn grey(&self, pixel: usize) -> u8 {
        let [r, g, b] = [0, 1, 2].map(|c| self.colour(pixel, c));
        luma(r, g, b)
    }
}
