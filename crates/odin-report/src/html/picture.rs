//! Small pictures that stand in a page as PNG.

use crate::plot::Colour;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use odin_data::Image;

/// The longest side of a picture; larger images are averaged down to it.
const LONGEST: usize = 64;

/// An RGB picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Values in rows, channel by channel.
struct Planes {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f32>,
}

impl Picture {
    /// An image with values in [0, 1]; `None` where it is no picture: a signal, a vector, or one
    /// of other than one or three channels.
    pub fn of(image: &Image) -> Option<Self> {
        let planes = Planes::of(image, &image.pixels)?;
        let level = |value: f32| (255.0 * value.clamp(0.0, 1.0)).round() as u8;
        Some(planes.reduced().coloured(|values| match values {
            [r, g, b] => [level(*r), level(*g), level(*b)],
            [grey, ..] => [level(*grey); 3],
            [] => [0; 3],
        }))
    }

    /// A picture as a URL that holds it; `None` where it cannot be encoded.
    pub fn data_uri(&self) -> Option<String> {
        let mut bytes = Vec::new();
        let (width, height) = (u32::try_from(self.width), u32::try_from(self.height));
        let mut encoder = png::Encoder::new(&mut bytes, width.ok()?, height.ok()?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().ok()?;
        writer.write_image_data(&self.rgb).ok()?;
        writer.finish().ok()?;
        Some(format!("data:image/png;base64,{}", STANDARD.encode(&bytes)))
    }
}

/// Where ODIN makes an image brighter (orange) and where darker (blue): the sign of the gradient,
/// averaged over the channels.
pub fn gradient_sign(image: &Image, gradient: &[f32]) -> Option<Picture> {
    const DARKER: [f32; 3] = [0.0, 114.0, 178.0];
    const BRIGHTER: [f32; 3] = [230.0, 159.0, 0.0];
    let signs: Vec<f32> = gradient.iter().map(|g| sign(*g)).collect();
    let planes = Planes::of(image, &signs)?.reduced();
    Some(planes.coloured(|values| {
        let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
        let end = if mean < 0.0 { DARKER } else { BRIGHTER };
        end.map(|end| (255.0 + mean.abs() * (end - 255.0)).round() as u8)
    }))
}

/// How large the gradient is: the largest of the channels, from dark (none) to bright (the largest
/// of the image).
pub fn gradient_size(image: &Image, gradient: &[f32]) -> Option<Picture> {
    let sizes: Vec<f32> = gradient.iter().map(|g| g.abs()).collect();
    let planes = Planes::of(image, &sizes)?.reduced();
    let largest = planes.values.iter().copied().fold(0.0, f32::max);
    Some(planes.coloured(|values| {
        let size = values.iter().copied().fold(0.0, f32::max);
        let place = if largest > 0.0 { size / largest } else { 0.0 };
        Colour::at(f64::from(place)).rgb()
    }))
}

/// `f32::signum` gives zero a sign.
fn sign(value: f32) -> f32 {
    match value {
        v if v > 0.0 => 1.0,
        v if v < 0.0 => -1.0,
        _ => 0.0,
    }
}

impl Planes {
    /// Values of an image's shape.
    fn of(image: &Image, values: &[f32]) -> Option<Self> {
        let (channels, height, width) = (image.channels, image.height, image.width);
        let is_picture = matches!(channels, 1 | 3) && height > 1 && width > 1;
        let fits = values.len() == channels * height * width;
        (is_picture && fits).then(|| Self {
            channels,
            height,
            width,
            values: values.to_vec(),
        })
    }

    /// The same, or averaged over boxes, so that no side is longer than [`LONGEST`].
    fn reduced(self) -> Self {
        let longest = self.height.max(self.width);
        if longest <= LONGEST {
            return self;
        }
        let side = |side: usize| (side * LONGEST / longest).max(1);
        let (height, width) = (side(self.height), side(self.width));
        let mut values = Vec::with_capacity(self.channels * height * width);
        for plane in self.values.chunks(self.height * self.width) {
            for row in 0..height {
                let rows = row * self.height / height..(row + 1) * self.height / height;
                for column in 0..width {
                    let from = column * self.width / width;
                    let to = (column + 1) * self.width / width;
                    let cells = rows.clone().flat_map(|y| {
                        let start = y * self.width;
                        &plane[start + from..start + to]
                    });
                    let count = rows.len() * (to - from);
                    values.push(cells.sum::<f32>() / count.max(1) as f32);
                }
            }
        }
        Self {
            height,
            width,
            values,
            ..self
        }
    }

    /// A colour for the channels of each pixel.
    fn coloured(&self, colour: impl Fn(&[f32]) -> [u8; 3]) -> Picture {
        let area = self.height * self.width;
        let mut rgb = Vec::with_capacity(3 * area);
        for place in 0..area {
            let channels = (0..self.channels).map(|c| self.values[c * area + place]);
            rgb.extend(colour(&channels.collect::<Vec<f32>>()));
        }
        Picture {
            width: self.width,
            height: self.height,
            rgb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(channels: usize, height: usize, width: usize) -> Image {
        let count = channels * height * width;
        let pixels = (0..count).map(|i| i as f32 / count as f32).collect();
        Image::new(channels, height, width, pixels).unwrap()
    }

    #[test]
    fn pictures_keep_their_shape_and_their_mean() {
        for (channels, height, width, shown) in [
            (1, 8, 8, Some((8, 8))),
            (3, 2, 5, Some((2, 5))),
            (3, 224, 224, Some((64, 64))),
            (1, 100, 50, Some((64, 32))),
            (1, 1, 1000, None),
            (4, 8, 8, None),
        ] {
            let image = image(channels, height, width);
            let pictures = [
                Picture::of(&image),
                gradient_sign(&image, &image.pixels),
                gradient_size(&image, &image.pixels),
            ];
            for picture in pictures {
                let size = picture.as_ref().map(|p| (p.height, p.width));
                assert_eq!(size, shown, "{channels}x{height}x{width}");
                let uri = picture.map(|p| p.data_uri().unwrap());
                assert!(uri.is_none_or(|uri| uri.starts_with("data:image/png;base64,iVBOR")));
            }
        }
    }

    #[test]
    fn signs_are_colours_and_no_gradient_is_white() {
        let image = image(1, 2, 2);
        let picture = gradient_sign(&image, &[1e-9, -5.0, 0.0, -0.0]).unwrap();
        assert_eq!(picture.rgb[..6], [230, 159, 0, 0, 114, 178]);
        assert_eq!(picture.rgb[6..], [255; 6]);
        assert_eq!(gradient_sign(&image, &[1.0]), None);
    }
}
