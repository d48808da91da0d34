//! Every kind of PNG, made here sample by sample.

use odin_data::Image;
use png::{BitDepth, ColorType, Encoder};

use super::levels;

const WIDTH: usize = 5;
const HEIGHT: usize = 3;

/// The samples of all pixels, each of them at some place of its range.
fn samples(per_pixel: usize, depth: u32) -> Vec<u32> {
    let range = 1 << depth;
    (0..WIDTH * HEIGHT * per_pixel)
        .map(|i| (i as u32 * 40_503 + 77) % range)
        .collect()
}

/// Rows of samples, packed into whole bytes.
fn packed(samples: &[u32], per_pixel: usize, depth: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in samples.chunks(WIDTH * per_pixel) {
        let bits: Vec<u8> = row
            .iter()
            .flat_map(|sample| (0..depth).rev().map(move |bit| (sample >> bit & 1) as u8))
            .collect();
        for byte in bits.chunks(8) {
            let value = byte.iter().fold(0, |value, bit| value << 1 | bit);
            bytes.push(value << (8 - byte.len()));
        }
    }
    bytes
}

fn encoded(
    kind: ColorType,
    depth: BitDepth,
    data: &[u8],
    set: impl Fn(&mut Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(kind);
    encoder.set_depth(depth);
    set(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The palette's colour at a place.
fn colour(place: u32) -> [u32; 3] {
    [place * 7 % 256, 255 - place, place * 13 % 256]
}

#[test]
fn every_kind_shows_its_pixels() {
    use BitDepth::{Eight, Four, One, Sixteen, Two};
    use ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    for (kind, depth) in [
        (Grayscale, One),
        (Grayscale, Two),
        (Grayscale, Four),
        (Grayscale, Eight),
        (Grayscale, Sixteen),
        (GrayscaleAlpha, Eight),
        (GrayscaleAlpha, Sixteen),
        (Rgb, Eight),
        (Rgb, Sixteen),
        (Rgba, Eight),
        (Rgba, Sixteen),
        (Indexed, One),
        (Indexed, Two),
        (Indexed, Four),
        (Indexed, Eight),
    ] {
        let bits = depth as u32;
        let per_pixel = kind.samples();
        let samples = samples(per_pixel, bits);
        let level = |sample: u32| match bits {
            16 => sample >> 8,
            _ => sample * 255 / ((1 << bits) - 1),
        };
        let expected = (0..3).flat_map(|c| {
            samples.chunks(per_pixel).map(move |pixel| match kind {
                Indexed => colour(pixel[0])[c],
                Grayscale | GrayscaleAlpha => level(pixel[0]),
                Rgb | Rgba => level(pixel[c]),
            })
        });
        let expected: Vec<u8> = expected.map(|level| level as u8).collect();
        let data = packed(&samples, per_pixel, bits);
        let palette: Vec<u8> = (0..1 << bits.min(8))
            .flat_map(|place| colour(place).map(|level| level as u8))
            .collect();
        for transparent in [false, true] {
            if transparent && matches!(kind, GrayscaleAlpha | Rgba) {
                continue;
            }
            let bytes = encoded(kind, depth, &data, |encoder| {
                if kind == Indexed {
                    encoder.set_palette(palette.clone());
                }
                if transparent {
                    // Of a palette the alpha of its first colours, else the first pixel.
                    let of_pixel = samples[..per_pixel].iter();
                    let of_pixel = of_pixel.flat_map(|&sample| (sample as u16).to_be_bytes());
                    encoder.set_trns(of_pixel.collect::<Vec<_>>());
                }
            });
            let image = Image::decode(&bytes, "made.png", None).unwrap();
            assert_eq!((image.height, image.width), (HEIGHT, WIDTH));
            assert_eq!(levels(&image), expected, "{kind:?} {depth:?} {transparent}");
        }
    }
}

/// Of an animation the image that other programs show: here its first frame.
#[test]
fn an_animation_shows_its_first_frame() {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, WIDTH as u32, HEIGHT as u32);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for level in [10, 200] {
        writer.write_image_data(&[level; WIDTH * HEIGHT]).unwrap();
    }
    writer.finish().unwrap();
    let image = Image::decode(&bytes, "animated.png", Some(1)).unwrap();
    assert_eq!(levels(&image), [10; WIDTH * HEIGHT]);
}
