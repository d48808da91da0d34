//! Images in memory.

use crate::error::Error;

mod bmp;
mod decode;
mod gif;
mod jpeg;
mod png;
mod webp;

/// The most pixels (width times height) that an image may have, after decoding or after a
/// transform: 67,108,864, as of 8192x8192. While an image is decoded it takes about 16 bytes per
/// pixel, which is 1.1 GB at most.
pub const MAX_PIXELS: usize = 1 << 26;

/// The most values: those of an RGB image of so many pixels.
const MAX_VALUES: usize = 3 * MAX_PIXELS;

/// An image in CHW layout with values in [0, 1]: 8-bit levels divided by 255 in `f32`. Channels
/// are grey, or red, green, blue.
///
/// A set of measurements ([`OpenOptions::measurements`](crate::OpenOptions::measurements)) has
/// any number of channels, and values that are taken as they are. A signal is an image of one
/// row, a vector one of one row and one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Number of channels: 1 (grey), 3 (RGB), or that of measurements.
    pub channels: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
    /// `channels * height * width` values, channel by channel, row by row.
    pub pixels: Vec<f32>,
}

impl Image {
    /// An image of checked size.
    ///
    /// # Errors
    /// `Invalid` if it has no channels, a side is zero, the image exceeds [`MAX_PIXELS`] or three
    /// times as many values, or `pixels` does not hold `channels * height * width` values.
    pub fn new(
        channels: usize,
        height: usize,
        width: usize,
        pixels: Vec<f32>,
    ) -> Result<Self, Error> {
        let image = Self {
            channels,
            height,
            width,
            pixels,
        };
        image.check()?;
        Ok(image)
    }

    /// From 8-bit levels that `level(channel, row, column)` yields.
    pub(crate) fn from_levels(
        (channels, height, width): (usize, usize, usize),
        level: impl Fn(usize, usize, usize) -> u8,
    ) -> Self {
        let mut pixels = Vec::with_capacity(channels * height * width);
        for c in 0..channels {
            for y in 0..height {
                pixels.extend((0..width).map(|x| to_unit(level(c, y, x))));
            }
        }
        Self {
            channels,
            height,
            width,
            pixels,
        }
    }

    /// The 8-bit levels of the pixels, if every one of them is exactly an 8-bit level.
    pub(crate) fn levels(&self) -> Option<Vec<u8>> {
        self.pixels.iter().map(|&v| to_level(v)).collect()
    }

    /// The same image with `channels` channels: grey is repeated, RGB is weighted with ITU-R 601
    /// luma (8-bit images exactly as Pillow does).
    ///
    /// # Errors
    /// `Invalid` unless it has so many already, or both channel counts are 1 or 3.
    pub fn to_channels(self, channels: usize) -> Result<Self, Error> {
        if self.channels == channels {
            return Ok(self);
        }
        check_channels(channels)?;
        check_channels(self.channels)?;
        let area = self.height * self.width;
        let pixels = match (self.channels, channels) {
            (1, _) => self.pixels.repeat(3),
            _ => match self.levels() {
                Some(levels) => (0..area)
                    .map(|i| to_unit(luma(levels[i], levels[area + i], levels[2 * area + i])))
                    .collect(),
                None => (0..area)
                    .map(|i| {
                        let [r, g, b] = [0, 1, 2].map(|c| f64::from(self.pixels[c * area + i]));
                        ((19595.0 * r + 38470.0 * g + 7471.0 * b) / 65536.0) as f32
                    })
                    .collect(),
            },
        };
        Ok(Self {
            channels,
            pixels,
            ..self
        })
    }

    /// The fields are public, so what takes an image checks it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_size(self.channels, self.height, self.width)?;
        let expected = self.channels * self.height * self.width;
        if self.pixels.len() != expected {
            return Err(Error::invalid(format!(
                "an image of {} channels, {} rows and {} columns has {expected} values, not {}",
                self.channels,
                self.height,
                self.width,
                self.pixels.len()
            )));
        }
        Ok(())
    }
}

/// `Invalid` unless an image of this size may exist.
pub(crate) fn check_size(channels: usize, height: usize, width: usize) -> Result<(), Error> {
    let invalid = |message: String| Err(Error::invalid(message));
    let Some(pixels @ 1..=MAX_PIXELS) = height.checked_mul(width) else {
        return invalid(format!(
            "an image has 1 to {MAX_PIXELS} pixels, not {height}x{width}"
        ));
    };
    match pixels.checked_mul(channels) {
        Some(1..=MAX_VALUES) => Ok(()),
        _ => invalid(format!(
            "an image has 1 to {MAX_VALUES} values, not {channels} channels of {height}x{width}"
        )),
    }
}

/// `Invalid` unless a picture may have so many channels.
pub(crate) fn check_channels(channels: usize) -> Result<(), Error> {
    match is_picture(channels) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "pictures have 1 channel (grey) or 3 (RGB), not {channels}; other channels are \
                 read of .npy and .npz arrays"
        ))),
    }
}

/// Whether so many channels are those of a picture, which become one another: grey or RGB.
pub(crate) fn is_picture(channels: usize) -> bool {
    matches!(channels, 1 | 3)
}

pub(crate) fn to_unit(level: u8) -> f32 {
    f32::from(level) / 255.0
}

fn to_level(value: f32) -> Option<u8> {
    // Truncating is what a conversion does anyway; rounding would be a call for each value.
    let level = (value * 255.0 + 0.5) as u8;
    (to_unit(level) == value).then_some(level)
}

fn luma(r: u8, g: u8, b: u8) -> u8 {
    let [r, g, b] = [r, g, b].map(u32::from);
    ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_level_survives_the_unit_interval() {
        for level in 0..=255 {
            assert_eq!(to_level(to_unit(level)), Some(level));
        }
        for value in [0.5, 1e-9, f32::NAN, -1.0, 2.0] {
            assert_eq!(to_level(value), None);
        }
    }

    #[test]
    fn sizes_are_checked() {
        for (c, h, w, n) in [
            (0, 1, 1, 0),
            (MAX_VALUES + 1, 1, 1, 0),
            (usize::MAX, 2, 2, 0),
            (3, 0, 1, 0),
            (1, 2, 2, 3),
            (1, usize::MAX, 2, 0),
        ] {
            let error = Image::new(c, h, w, vec![0.0; n]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn only_pictures_change_their_channels() {
        let image = |channels| Image::new(channels, 1, 2, vec![0.5; 2 * channels]).unwrap();
        for (from, to, allowed) in [
            (1, 3, true),
            (3, 1, true),
            (4, 4, true),
            (4, 3, false),
            (1, 2, false),
        ] {
            assert_eq!(
                image(from).to_channels(to).is_ok(),
                allowed,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn grey_round_trips_through_rgb() {
        let grey = Image::from_levels((1, 16, 16), |_, y, x| (16 * y + x) as u8);
        let rgb = grey.clone().to_channels(3).unwrap();
        assert_eq!(rgb.to_channels(1).unwrap(), grey);
    }
}
