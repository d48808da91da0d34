//! Data sets of images for ODIN: readers, image decoding, transforms and seeded noise, the
//! registry of known names, and downloads.
//!
//! Everything ends in a [`DataSet`]: named samples in a fixed order, each a CHW [`Image`] with
//! values in [0, 1] and, where the source has one, a label. [`open`] recognises what lies at a
//! path by its content; [`noise()`] makes the paper's two synthetic sets, [`Synthetic`] makes others
//! from images of a set; [`Transformed`] puts a [`Transform`] on top of any of them.
//!
//! ```
//! use odin_data::{NoiseKind, Transform, Transformed, noise, DataSet};
//!
//! let set = noise(NoiseKind::Uniform, 3, 40, 32, 10, 1)?;
//! let transform: Transform = "resize:32:bicubic,centre-crop:32".parse()?;
//! assert_eq!(
//!     transform.to_string(),
//!     "resize the shorter side to 32 (bicubic), then crop 32x32 from the centre"
//! );
//! let set = Transformed::new(Box::new(set), transform);
//! let sample = set.get(3)?;
//! assert_eq!(sample.name, "uniform/000003");
//! assert_eq!((sample.image.height, sample.image.width), (32, 32));
//! # Ok::<(), odin_data::Error>(())
//! ```
//!
//! No file is trusted: a hostile one ends in an [`Error`], with bounded memory, without a panic,
//! and nothing in it is ever executed or written under a name that it chose.

mod archive;
mod error;
pub mod fetch;
mod image;
mod noise;
pub mod registry;
mod rng;
mod sets;
mod synthetic;
mod transform;
mod transformed;

pub use crate::archive::SharedBytes;
pub use crate::error::{Error, ErrorKind};
pub use crate::image::{Image, MAX_PIXELS};
pub use crate::noise::{Noise, NoiseKind, noise};
pub use crate::sets::{
    ArrayChoice, ArrayElement, ArrayImages, ArrayLayout, DataSet, EncodedImages, ImageList, Joined,
    LIST_EXTENSIONS, MemoryImages, OpenOptions, Sample, Split, Vector, from_npy_bytes,
    listed_images, open, open_bytes, path_of_bytes, read_vector, split_label,
};
pub use crate::synthetic::{Synthetic, SyntheticKind};
pub use crate::transform::{Filter, Size, Step, Transform};
pub use crate::transformed::Transformed;
pub use odin_error::spell_path;
