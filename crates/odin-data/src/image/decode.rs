//! Decodes image files.

use super::{Image, MAX_PIXELS, bmp, check_channels, gif, jpeg, luma, png, webp};
use crate::error::Error;
use odin_untrusted::guard::contain;

/// Bytes that a decoder itself may allocate: the largest 16-bit RGBA image and as much again
/// for its working memory.
pub(super) const MAX_DECODER_BYTES: usize = 2 * 8 * MAX_PIXELS;

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
        let decoded = contain(|| decode_any(bytes, name));
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

fn decode_any(bytes: &[u8], name: &str) -> Result<Decoded, Error> {
    match bytes {
        _ if png::is_png(bytes) => png::decode(bytes, name),
        _ if jpeg::is_jpeg(bytes) => jpeg::decode(bytes, name),
        _ if bmp::is_bmp(bytes) => bmp::decode(bytes, name),
        _ if webp::is_webp(bytes) => webp::decode(bytes, name),
        _ if gif::is_gif(bytes) => gif::decode(bytes, name),
        _ => Err(unsupported(name, "it begins as none of them does")),
    }
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

pub(super) fn unsupported(
    name: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let message = format!("{name} is no PNG, JPEG, BMP, WebP or GIF that can be decoded");
    Error::unsupported(message).because(cause)
}

pub(super) fn too_large(
    name: &str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let message = format!("{name} takes more than {MAX_DECODER_BYTES} bytes of memory to decode");
    Error::unsupported(message).because(cause)
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
    fn colour(&self, pixel: usize, channel: usize) -> u8 {
        let channel = if self.per_pixel < 3 { 0 } else { channel };
        self.samples[pixel * self.per_pixel + channel]
    }

    fn grey(&self, pixel: usize) -> u8 {
        let [r, g, b] = [0, 1, 2].map(|c| self.colour(pixel, c));
        luma(r, g, b)
    }
}
