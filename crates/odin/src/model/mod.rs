//! Models: a trained network with everything from a decoded image to logits.

mod assume;
mod card;
mod checkpoint;
mod classifier;
mod config;
mod config_stack;
mod head;
mod labels;
mod layout;
mod network;
mod normalization;
mod onnx;
mod source;

pub use card::{DetectorCard, DetectorInput};
pub use classifier::{Classifier, ClassifierOptions};
pub use config::ModelConfig;
pub use config_stack::{Preprocessing, Provenance, Sourced};
pub use labels::NoAccuracy;
pub use layout::Layout;
pub use normalization::{ChannelOrder, Normalization};
pub use source::ModelFile;

pub(crate) use config::{DETECTOR_MARK, MAX_DETECTOR_TOML, read_text_of};
pub(crate) use head::{add_needed, features, linear_head, needed};
pub(crate) use labels::{labels_of_classifier, places_of_classifier};
pub(crate) use source::{ModelSource, sha256};
