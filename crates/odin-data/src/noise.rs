//! The paper's two sets of noise.

use std::fmt;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

use crate::error::{Error, ErrorKind};
use crate::image::{Image, check_size};
use crate::rng::random_stream;
use crate::sets::{DataSet, Sample};

/// The two synthetic out-of-distribution sets of the ODIN paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoiseKind {
    /// Every value i.i.d. uniform on [0, 1).
    Uniform,
    /// Every value i.i.d. normal with mean 0.5 and standard deviation 1, clipped to [0, 1].
    Gaussian,
}

impl NoiseKind {
    /// The set's name in lower case: the first part of its sample names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Gaussian => "gaussian",
        }
    }
}

impl fmt::Display for NoiseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "Uniform",
            Self::Gaussian => "Gaussian",
        })
    }
}

/// A set of noise images, made on demand; see [`noise()`].
#[derive(Debug, Clone)]
pub struct Noise {
    kind: NoiseKind,
    name: String,
    size: (usize, usize, usize),
    count: usize,
    seed: u64,
}

/// `count` noise images of `channels` x `height` x `width`.
///
/// Image `i` depends on `(kind, seed, i)` and its size only, and is the same on every platform:
/// the stream is ChaCha12 keyed with the seed and the kind, on stream number `i`. Samples are
/// named `uniform/000000` and so on, and have no labels.
///
/// # Errors
/// `Empty` if `count` is zero, `Invalid` if the size is not that of an image.
pub fn noise(
    kind: NoiseKind,
    channels: usize,
    height: usize,
    width: usize,
    count: usize,
    seed: u64,
) -> Result<Noise, Error> {
    check_size(channels, height, width)?;
    if count == 0 {
        return Err(Error::new(
            ErrorKind::Empty,
            format!("the noise set {kind} was asked for with 0 images; ask for at least 1"),
        ));
    }
    Ok(Noise {
        kind,
        name: kind.to_string(),
        size: (channels, height, width),
        count,
        seed,
    })
}

impl DataSet for Noise {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.count
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        format!("{}/{i:06}", self.kind.as_str())
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let (channels, height, width) = self.size;
        let mut random = random_stream(self.kind.as_str(), self.seed, i);
        let pixels = (0..channels * height * width)
            .map(|_| match self.kind {
                NoiseKind::Uniform => uniform(&mut random),
                NoiseKind::Gaussian => (0.5 + standard_normal(&mut random)).clamp(0.0, 1.0) as f32,
            })
            .collect();
        Ok(Sample {
            name: self.sample_name(i),
            label: None,
            image: Image {
                channels,
                height,
                width,
                pixels,
            },
        })
    }
}

/// Uniform on [0, 1) in steps of 2^-24, all of which an `f32` holds exactly.
fn uniform(random: &mut ChaCha12Rng) -> f32 {
    const STEP: f32 = 1.0 / (1 << 24) as f32;
    (random.next_u32() >> 8) as f32 * STEP
}

/// The Box-Muller transform, cosine branch. `libm` instead of `std`, whose results differ
/// between platforms.
fn standard_normal(random: &mut ChaCha12Rng) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    let mut unit = || ((random.next_u64() >> 11) as f64) * STEP;
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - unit()));
    radius * libm::cos(2.0 * std::f64::consts::PI * unit())
}
