//! Images that are unlike the in-distribution set, made from it.

use odin::data::Error;
use odin::{DataSet, Image, Sample};

/// Images in memory.
pub struct Made {
    pub name: String,
    pub images: Vec<Image>,
}

impl DataSet for Made {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        format!("{i:06}")
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        Ok(Sample::new(
            self.sample_name(i),
            None,
            self.images[i].clone(),
        ))
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform on `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    fn shuffled(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }

    /// `count` pairs of different numbers below `n`.
    pub fn pairs(&mut self, n: usize, count: usize) -> Vec<(usize, usize)> {
        let pair = |_| {
            let first = self.below(n);
            let other = self.below(n - 1);
            (first, other + usize::from(other >= first))
        };
        (0..count).map(pair).collect()
    }
}

/// An image whose pixel at a row and column is that of another place.
fn gather(image: &Image, place: impl Fn(usize, usize) -> (usize, usize)) -> Image {
    let (h, w) = (image.height, image.width);
    let mut made = image.clone();
    for c in 0..image.channels {
        for y in 0..h {
            for x in 0..w {
                let (from_y, from_x) = place(y, x);
                made.pixels[(c * h + y) * w + x] = image.pixels[(c * h + from_y) * w + from_x];
            }
        }
    }
    made
}

/// The pixels in a random order.
pub fn shuffle(image: &Image, random: &mut Random) -> Image {
    let order = random.shuffled(image.height * image.width);
    let width = image.width;
    gather(image, |y, x| {
        let from = order[y * width + x];
        (from / width, from % width)
    })
}

/// The sixteen tiles in a random order.
pub fn jigsaw(image: &Image, random: &mut Random) -> Image {
    let order = random.shuffled(16);
    let (h, w) = (image.height / 4, image.width / 4);
    gather(image, |y, x| {
        let from = order[(y / h).min(3) * 4 + (x / w).min(3)];
        (from / 4 * h + y % h, from % 4 * w + x % w)
    })
}

/// Upside down.
pub fn flip(image: &Image) -> Image {
    gather(image, |y, x| (image.height - 1 - y, x))
}

/// The mean of two images.
pub fn blend(a: &Image, b: &Image) -> Image {
    let mut made = a.clone();
    for (own, other) in made.pixels.iter_mut().zip(&b.pixels) {
        *own = 0.5 * *own + 0.5 * other;
    }
    made
}

/// The left half of one image and the right half of another.
pub fn halves(a: &Image, b: &Image) -> Image {
    let mut made = a.clone();
    for (i, (own, other)) in made.pixels.iter_mut().zip(&b.pixels).enumerate() {
        if i % a.width >= a.width / 2 {
            *own = *other;
        }
    }
    made
}

/// The middle half of the rows and columns at twice the size, bilinearly.
pub fn zoom(image: &Image) -> Image {
    let (h, w) = (image.height, image.width);
    let weigh = |i: usize, n: usize| {
        let at = (i as f32 + 0.5) / 2.0 - 0.5 + n as f32 / 4.0;
        let low = (at.floor() as usize).min(n - 2);
        (low, at - low as f32)
    };
    let mut made = image.clone();
    for c in 0..image.channels {
        for y in 0..h {
            for x in 0..w {
                let ((y0, dy), (x0, dx)) = (weigh(y, h), weigh(x, w));
                let pixel = |y: usize, x: usize| image.pixels[(c * h + y) * w + x];
                let row = |y: usize| pixel(y, x0) * (1.0 - dx) + pixel(y, x0 + 1) * dx;
                made.pixels[(c * h + y) * w + x] = row(y0) * (1.0 - dy) + row(y0 + 1) * dy;
            }
        }
    }
    made
}
