//! Out-of-distribution scores from a network's logits and penultimate features, the feature map that
//! those are pooled from, and the features of a shifted image.
//!
//! Every score tells from what a trained classifier says of one image whether the image is like
//! those that it was trained on. **High means in-distribution**, everywhere in this crate; scores
//! that papers define the other way round are negated. [`Method`] lists them, with formula and
//! source.
//!
//! ```
//! use odin_scores::{Head, Method, Observation, Scorer, Training, fit};
//!
//! # fn main() -> Result<(), odin_scores::Error> {
//! // A network of two classes whose last layer reads two features.
//! let head = Head::new(vec![1.0, 0.0, 0.0, 1.0], vec![0.0, 0.0])?;
//! let features = [3.0, 0.5, 2.5, 0.0, 0.2, 2.8, 0.0, 2.4];
//! let logits = features; // what this layer makes of them
//! let training = Training::new(&features, &logits, Some(&[0, 0, 1, 1]), 2)?;
//!
//! let methods = [Method::Energy, Method::Mahalanobis, "nci".parse()?];
//! for scorer in fit(&methods, Some(&head), Some(&training))? {
//!     let score = |image: [f32; 2]| {
//!         scorer.score(&Observation::new(&image).with_features(&image))
//!     };
//!     assert!(score([2.9, 0.2]) > score([0.1, 0.1]), "{}", scorer.name());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - [`fit`] makes [`Fitted`] scores from training images and the network's last layer, as far as
//!   each score needs them; [`fit_with`] takes other [`Parameters`].
//! - [`TrainingSummary`] is what scores are fitted from, for images on many machines: each makes
//!   one of its own, and [`fit_summary`] fits to their merge.
//! - [`tensors`] and [`restore`] save and load what was fitted.
//! - [`Scorer`] is for scores of one's own.
//!
//! No file is read here, no thread started, and equal inputs give equal bits on one machine; what
//! is *fitted* may differ in its last bits between machines, because the decompositions use the
//! vector instructions that they find.

mod activation_shift;
mod error;
mod fit;
mod fitted;
mod grid;
mod head;
mod linalg;
mod matrix;
mod method;
mod named;
mod network;
mod numeric;
mod observation;
mod parameters;
mod scores;
mod summary;
mod tensor;
mod training;

pub use error::{Error, ErrorKind};
pub use fit::{fit, fit_summary, fit_summary_each, fit_with};
pub use fitted::{Fitted, restore, tensors, warnings};
pub use grid::ParameterGrid;
pub use head::Head;
pub use method::Method;
pub use network::NetworkFacts;
pub use observation::{Needs, Observation, Scorer, Shift};
pub use parameters::Parameters;
pub use scores::kept_features;
pub use summary::TrainingSummary;
pub use tensor::{NamedTensor, Values};
pub use training::Training;
