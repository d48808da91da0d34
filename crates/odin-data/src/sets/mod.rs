//! Data sets, and the readers of the formats that they are stored in.

mod array;
mod axes;
mod cifar;
mod data_set;
mod idx;
mod images;
mod joined;
mod list;
mod memory;
mod npy;
mod npz;
mod open;
mod options;
mod origin;
mod pickle;
mod splits;
mod svhn;
mod vector;

pub use data_set::{DataSet, Sample};
pub use joined::{ImageList, Joined};
pub use list::{LIST_EXTENSIONS, path_of_bytes, split_label};
pub use memory::{ArrayElement, ArrayImages, EncodedImages, MemoryImages};
pub use open::{from_npy_bytes, listed_images, open, open_bytes};
pub use options::{ArrayLayout, OpenOptions, Split};
pub use vector::{ArrayChoice, Vector, read_vector};
