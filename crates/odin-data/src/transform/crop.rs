//! Centre and random crops.

use rand_chacha::rand_core::Rng;

use crate::error::Error;
use crate::image::Image;
use crate::rng::random_stream;

pub(super) fn centre(image: &Image, height: usize, width: usize) -> Result<Image, Error> {
    let (rows, columns) = margins(image, height, width)?;
    Ok(crop(image, half(rows), half(columns), height, width))
}

pub(super) fn random(
    image: &Image,
    height: usize,
    width: usize,
    seed: u64,
    index: usize,
) -> Result<Image, Error> {
    let (rows, columns) = margins(image, height, width)?;
    let mut random = random_stream("random crop", seed, index);
    // A 64-bit number modulo so few places favours none of them noticeably.
    let mut place = |margin: usize| (random.next_u64() % (margin as u64 + 1)) as usize;
    let (top, left) = (place(rows), place(columns));
    Ok(crop(image, top, left, height, width))
}

/// The rows and columns that a crop leaves over.
fn margins(image: &Image, height: usize, width: usize) -> Result<(usize, usize), Error> {
    image
        .height
        .checked_sub(height)
        .zip(image.width.checked_sub(width))
        .ok_or_else(|| {
            let message = format!(
                "cannot crop {height}x{width} from an image of {}x{}; resize it first",
                image.height, image.width
            );
            Error::invalid(message)
        })
}

/// Half of `n`, a half rounded to even, as Python's `round` does.
fn half(n: usize) -> usize {
    n / 2 + usize::from(n % 4 == 3)
}

fn crop(image: &Image, top: usize, left: usize, height: usize, width: usize) -> Image {
    let mut pixels = Vec::with_capacity(image.channels * height * width);
    for plane in image.pixels.chunks_exact(image.height * image.width) {
        for row in plane.chunks_exact(image.width).skip(top).take(height) {
            pixels.extend_from_slice(&row[left..left + width]);
        }
    }
    Image {
        channels: image.channels,
        height,
        width,
        pixels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        let halves: Vec<_> = (0..9).map(half).collect();
        assert_eq!(halves, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn random_crops_reach_every_place_and_repeat() {
        let image = Image::from_levels((1, 3, 3), |_, y, x| (3 * y + x) as u8);
        let corner = |i| random(&image, 2, 2, 5, i).unwrap().levels().unwrap()[0];
        let mut corners: Vec<_> = (0..64).map(corner).collect();
        assert_eq!(corners, (0..64).map(corner).collect::<Vec<_>>());
        corners.sort_unstable();
        corners.dedup();
        assert_eq!(corners, [0, 1, 3, 4]);
    }
}
