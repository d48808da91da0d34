//! Decodes image files.

use super::{Image, MAX_PIXELS, bmp, check_channels, gif, jpeg, luma, png, webp};
use crate::error::Error;
use odin_untrusted::guard::contain;
use odin_untrusted::impostor;

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
        Self::decode_within(MAX_PIXELS, bytes, name, channels)
    }

    /// As [`Image::decode`], of at most so many pixels (height times width), and at most
    /// [`MAX_PIXELS`]. The size is read before the image is decoded.
    ///
    /// # Errors
    /// As [`Image::decode`].
    pub fn decode_within(
        max_pixels: usize,
        bytes: &[u8],
        name: &str,
        channels: Option<usize>,
    ) -> Result<Self, Error> {
        let channels = channels.unwrap_or(3);
        check_channels(channels)?;
        if bytes.is_empty() {
            let message = format!("{name} is an empty file, not an image");
            return Err(Error::malformed(message));
        }
        let file = Encoded {
            bytes,
            name,
            max_pixels: max_pixels.min(MAX_PIXELS),
        };
        let decoded = contain(|| decode_any(&file));
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

/// An image file, what errors call it, and the most pixels that it may have.
#[derive(Clone, Copy)]
pub(super) struct Encoded<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) name: &'a str,
    max_pixels: usize,
}

impl Encoded<'_> {
    /// Whether an image of this size is decoded.
    pub(super) fn check_pixels(&self, height: usize, width: usize) -> Result<(), Error> {
        let Self {
            name, max_pixels, ..
        } = self;
        match height.saturating_mul(width) {
            0 => Err(damaged(name, "it has no pixels")),
            pixels if pixels <= *max_pixels => Ok(()),
            _ => {
                let message = format!(
                    "{name} is {height}x{width} (height x width), more than the limit of \
                     {max_pixels} pixels for one image; make it smaller"
                );
                Err(Error::unsupported(message))
            }
        }
    }
}

fn decode_any(file: &Encoded<'_>) -> Result<Decoded, Error> {
    match file.bytes {
        bytes if png::is_png(bytes) => png::decode(file),
        bytes if jpeg::is_jpeg(bytes) => jpeg::decode(file),
        bytes if bmp::is_bmp(bytes) => bmp::decode(file),
        bytes if webp::is_webp(bytes) => webp::decode(file),
        bytes if gif::is_gif(bytes) => gif::decode(file),
        bytes => Err(match impostor::recognise(bytes) {
            Some(what) => Error::unsupported(format!("{} is no image, but {what}", file.name)),
            None => unsupported(file.name, "it begins as none of them does"),
        }),
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
