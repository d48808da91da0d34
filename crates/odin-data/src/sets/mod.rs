//! Sets of images, and the readers of all that they are made of.

mod array;
mod axes;
mod cifar;
mod data_set;
mod idx;
mod images;
mod joined;
mod npy;
mod npz;
mod open;
mod options;
mod origin;
mod pickle;
mod svhn;

pub use data_set::{DataSet, Sample};
pub use joined::{ImageList, Joined};
pub use open::{from_npy_bytes, open, open_bytes};
pub use options::{ArrayLayout, OpenOptions, Split};
