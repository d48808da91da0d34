//! Separable resampling as Pillow does it: for every output position the kernel, widened by the
//! scale when shrinking, is sampled at the pixel centres it covers and normalised to sum 1.

use super::steps::{Filter, Size};
use crate::error::Error;
use crate::image::{Image, check_size, to_unit};

pub(super) fn resize(image: &Image, size: Size, filter: Filter) -> Result<Image, Error> {
    let (height, width) = match size {
        Size::Exact { height, width } => (height, width),
        Size::ShorterSide(side) if image.height <= image.width => {
            (side, longer(side, image.width, image.height))
        }
        Size::ShorterSide(side) => (longer(side, image.height, image.width), side),
    };
    check_size(image.channels, height, width)?;
    // What the horizontal pass leaves for the vertical one.
    check_size(image.channels, image.height, width)?;
    if (height, width) == (image.height, image.width) {
        return Ok(image.clone());
    }
    let from = (image.height, image.width);
    let to = (height, width);
    let pixels = match image.levels() {
        Some(levels) => resize_planes(&levels, from, to, filter)
            .into_iter()
            .map(to_unit)
            .collect(),
        None => {
            let (min, max) = range(&image.pixels);
            resize_planes(&image.pixels, from, to, filter)
                .into_iter()
                .map(|v| v.clamp(min, max))
                .collect()
        }
    };
    Ok(Image {
        channels: image.channels,
        height,
        width,
        pixels,
    })
}

/// What resized values are clipped to: [0, 1], or the range of the image where that is wider.
fn range(pixels: &[f32]) -> (f32, f32) {
    let wider = |(min, max): (f32, f32), &v: &f32| (min.min(v), max.max(v));
    pixels.iter().fold((0.0, 1.0), wider)
}

fn longer(side: usize, long: usize, short: usize) -> usize {
    (side as u128 * long as u128 / short as u128) as usize
}

type Shape = (usize, usize);

/// A value of an image, and how weighted values are summed.
trait Sample: Copy {
    type Weight: Copy;
    type Sum: Copy;
    /// What sums begin with.
    const START: Self::Sum;

    fn weights(window: &Window) -> &[Self::Weight];
    fn add(sum: Self::Sum, weight: Self::Weight, value: Self) -> Self::Sum;
    fn finish(sum: Self::Sum) -> Self;
}

/// Fractional bits of Pillow's 8-bit arithmetic.
const FIXED_BITS: u32 = 22;

/// As Pillow computes with 8-bit images. The weights of a window are less than twice their sum, 1,
/// in all, so that sums stay below 2^31.
impl Sample for u8 {
    type Weight = i32;
    type Sum = i32;
    const START: i32 = 1 << (FIXED_BITS - 1);

    fn weights(window: &Window) -> &[i32] {
        &window.fixed
    }

    fn add(sum: i32, weight: i32, level: u8) -> i32 {
        sum.wrapping_add(weight.wrapping_mul(i32::from(level)))
    }

    fn finish(sum: i32) -> u8 {
        (sum >> FIXED_BITS).clamp(0, 255) as u8
    }
}

impl Sample for f32 {
    type Weight = f64;
    type Sum = f64;
    const START: f64 = 0.0;

    fn weights(window: &Window) -> &[f64] {
        &window.weights
    }

    fn add(sum: f64, weight: f64, value: f32) -> f64 {
        sum + weight * f64::from(value)
    }

    fn finish(sum: f64) -> f32 {
        sum as f32
    }
}

fn resize_planes<T: Sample>(
    planes: &[T],
    (from_h, from_w): Shape,
    (to_h, to_w): Shape,
    filter: Filter,
) -> Vec<T> {
    let columns = windows(from_w, to_w, filter);
    let rows = windows(from_h, to_h, filter);
    let mut output = Vec::with_capacity(planes.len() / (from_h * from_w) * to_h * to_w);
    let mut sums = vec![T::START; to_w];
    for plane in planes.chunks_exact(from_h * from_w) {
        let lines = plane.chunks_exact(from_w);
        let narrowed: Vec<T> = lines
            .flat_map(|line| columns.iter().map(|window| sum(window, line)))
            .collect();
        for window in &rows {
            // Line by line, so that neighbouring columns are summed together.
            sums.fill(T::START);
            let lines = narrowed[window.first * to_w..].chunks_exact(to_w);
            for (&weight, line) in T::weights(window).iter().zip(lines) {
                for (sum, &value) in sums.iter_mut().zip(line) {
                    *sum = T::add(*sum, weight, value);
                }
            }
            output.extend(sums.iter().map(|&sum| T::finish(sum)));
        }
    }
    output
}

/// The value that a window gives of a line.
fn sum<T: Sample>(window: &Window, line: &[T]) -> T {
    let weighted = T::weights(window).iter().zip(&line[window.first..]);
    let add = |sum, (&weight, &value): (&T::Weight, &T)| T::add(sum, weight, value);
    T::finish(weighted.fold(T::START, add))
}

/// The input positions that one output position depends on, and their weights.
struct Window {
    first: usize,
    weights: Vec<f64>,
    /// The weights in units of 2^-22.
    fixed: Vec<i32>,
}

impl Window {
    fn new(first: usize, mut weights: Vec<f64>) -> Self {
        let total: f64 = weights.iter().sum();
        if total != 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= total);
        }
        let unit = f64::from(1 << FIXED_BITS);
        let fixed = weights.iter().map(|w| (w * unit).round() as i32).collect();
        Self {
            first,
            weights,
            fixed,
        }
    }
}

fn windows(from: usize, to: usize, filter: Filter) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    if from == to {
        return (0..to).map(|i| Window::new(i, vec![1.0])).collect();
    }
    let Some((radius, kernel)) = filter.kernel() else {
        return nearest(from, to, scale);
    };
    let widening = scale.max(1.0);
    let support = radius * widening;
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            // `as usize` truncates, and takes what is negative to 0.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weights = (first..end)
                .map(|j| kernel((j as f64 - centre + 0.5) / widening))
                .collect();
            Window::new(first, weights)
        })
        .collect()
}

/// Pillow adds the scale up step by step; multiplying would differ where a sum falls on a pixel
/// border.
fn nearest(from: usize, to: usize, scale: f64) -> Vec<Window> {
    let mut position = scale * 0.5;
    (0..to)
        .map(|_| {
            let first = (position as usize).min(from - 1);
            position += scale;
            Window::new(first, vec![1.0])
        })
        .collect()
}

type Kernel = fn(f64) -> f64;

impl Filter {
    /// Radius and shape of the kernel; none for the nearest pixel.
    fn kernel(self) -> Option<(f64, Kernel)> {
        match self {
            Self::Nearest => None,
            Self::Bilinear => Some((1.0, |x| (1.0 - x.abs()).max(0.0))),
            Self::Bicubic => Some((2.0, cubic)),
            Self::Lanczos => Some((3.0, lanczos)),
        }
    }
}

/// R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with
/// a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    let angle = x * std::f64::consts::PI;
    if angle == 0.0 {
        1.0
    } else {
        libm::sin(angle) / angle
    }
}
