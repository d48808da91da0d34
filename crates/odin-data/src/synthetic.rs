//! Synthetic out-of-distribution sets, made from the images of another set.

use std::fmt;
use std::ops::{Deref, Range};

use rand_chacha::rand_core::Rng;

use crate::error::{Error, ErrorKind};
use crate::image::Image;
use crate::rng::random_stream;
use crate::sets::{DataSet, Sample};
use odin_error::counted;

/// How images of a set become images that are unlike it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyntheticKind {
    /// The pixels of each image in a random order, another one for each image; the channels of a
    /// pixel stay together. The colours are those of the set, and nothing else is.
    PixelShuffle,
    /// The mean of each image and a random other one: locally like the set, as a whole not. The
    /// arithmetic mean of Hendrycks, Mazeika and Dietterich, *Deep Anomaly Detection with Outlier
    /// Exposure*, ICLR 2019.
    Blend,
}

impl SyntheticKind {
    /// A name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PixelShuffle => "pixel-shuffle",
            Self::Blend => "blend",
        }
    }

    /// What has been done to the images, for the set's name.
    fn participle(self) -> &'static str {
        match self {
            Self::PixelShuffle => "pixels shuffled",
            Self::Blend => "blended",
        }
    }
}

impl fmt::Display for SyntheticKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An out-of-distribution set made on demand from images of an in-distribution set, for those who
/// have no other. A detector that tells it need not tell images that differ more subtly.
///
/// `S` points to the set: a `&dyn DataSet`, a `Box` or an `Arc` of one. Give it the images as the
/// network sees them, [`Transformed`](crate::Transformed): blending needs images of one size. The
/// name tells what was done; samples keep the names of their origins, and have no labels.
///
/// ```
/// use odin_data::{DataSet, NoiseKind, Synthetic, SyntheticKind, noise};
///
/// let origin = noise(NoiseKind::Uniform, 3, 32, 32, 10, 1)?;
/// let shuffled = Synthetic::new(&origin, 0..8, SyntheticKind::PixelShuffle, 0)?;
/// assert_eq!(shuffled.name(), "Uniform (pixels shuffled)");
/// assert_eq!(shuffled.len(), 8);
/// # Ok::<(), odin_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Synthetic<S> {
    set: S,
    images: Range<usize>,
    kind: SyntheticKind,
    seed: u64,
    name: String,
}

impl<S> Synthetic<S>
where
    S: Deref + Send + Sync,
    S::Target: DataSet,
{
    /// From the images of these indices. Image `i` of the result comes from image
    /// `images.start + i`.
    ///
    /// An image depends on its origin, the origin's index, the kind and the seed only, on every
    /// platform; a blend also on the range, in which its other image lies, so that two parts of a
    /// set stay apart.
    ///
    /// # Errors
    /// `Empty` if the range is, `Invalid` if it reaches beyond the set, or holds one image, which
    /// has none to be blended with.
    pub fn new(
        set: S,
        images: Range<usize>,
        kind: SyntheticKind,
        seed: u64,
    ) -> Result<Self, Error> {
        let name = format!("{} ({})", set.name(), kind.participle());
        let refused = |kind, problem: String| Err(Error::new(kind, format!("{name}: {problem}")));
        let Range { start, end } = images;
        if images.is_empty() {
            let problem = format!("the range {start}..{end} holds no image; give at least 1");
            return refused(ErrorKind::Empty, problem);
        }
        if end > set.len() {
            let images = counted(set.len(), "image");
            let problem = format!("the set has {images}, not {start}..{end}");
            return refused(ErrorKind::Invalid, problem);
        }
        if kind == SyntheticKind::Blend && images.len() == 1 {
            let problem = "one image has no other to be blended with; give at least 2".into();
            return refused(ErrorKind::Invalid, problem);
        }
        Ok(Self {
            set,
            images,
            kind,
            seed,
            name,
        })
    }

    /// What is done to the images.
    pub fn kind(&self) -> SyntheticKind {
        self.kind
    }

    /// Index of the image that `origin` is blended with: any other of the range.
    fn partner(&self, origin: usize) -> usize {
        let mut random = random_stream("blend", self.seed, origin);
        let other = self.images.start + below(self.images.len() - 1, &mut random);
        other + usize::from(other >= origin)
    }

    fn blend(&self, image: Image, origin: usize) -> Result<Image, Error> {
        let partner = self.set.get(self.partner(origin))?;
        let size = |image: &Image| (image.channels, image.height, image.width);
        if size(&image) != size(&partner.image) {
            let ((c, h, w), (other_c, other_h, other_w)) = (size(&image), size(&partner.image));
            return Err(Error::invalid(format!(
                "{c} channels of {h}x{w} cannot be blended with the {other_c} channels of \
                     {other_h}x{other_w} of {}; resize or crop the images to one size first",
                partner.name
            )));
        }
        let pairs = image.pixels.iter().zip(&partner.image.pixels);
        let pixels = pairs.map(|(a, b)| 0.5 * a + 0.5 * b).collect();
        Ok(Image { pixels, ..image })
    }

    fn shuffle(&self, image: Image, origin: usize) -> Image {
        let area = image.height * image.width;
        let order = permutation(area, self.seed, origin);
        let planes = image.pixels.chunks_exact(area);
        let pixels = planes
            .flat_map(|plane| order.iter().map(|&place| plane[place as usize]))
            .collect();
        Image { pixels, ..image }
    }
}

impl<S> DataSet for Synthetic<S>
where
    S: Deref + Send + Sync,
    S::Target: DataSet,
{
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
        match self.check_index(i) {
            Ok(()) => self.set.sample_name(self.images.start + i),
            Err(_) => String::new(),
        }
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let origin = self.images.start + i;
        let Sample { name, image, .. } = self.set.get(origin)?;
        let named = |e: Error| Error::new(e.kind(), name.clone()).because(e);
        image.check().map_err(named)?;
        let image = match self.kind {
            SyntheticKind::PixelShuffle => self.shuffle(image, origin),
            SyntheticKind::Blend => self.blend(image, origin).map_err(named)?,
        };
        Ok(Sample::new(name, None, image))
    }

    fn notes(&self) -> &[String] {
        self.set.notes()
    }
}

/// A random order of `0..n` (Fisher and Yates, from the end). Images have fewer than 2^32 pixels.
fn permutation(n: usize, seed: u64, index: usize) -> Vec<u32> {
    let mut random = random_stream("pixel shuffle", seed, index);
    let mut order: Vec<u32> = (0..n as u32).collect();
    for last in (1..n).rev() {
        order.swap(last, below(last + 1, &mut random));
    }
    order
}

/// Uniform on `0..n`, by the upper half of a product; the bias is below n / 2^64.
fn below(n: usize, random: &mut impl Rng) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}
