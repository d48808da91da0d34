//! Out-of-distribution detection for trained image classifiers: ODIN (Liang, Li, Srikant,
//! *Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks*, ICLR
//! 2018) and its baseline, the maximum softmax probability (MSP, Hendrycks & Gimpel 2017).
//!
//! ```no_run
//! use odin::{Classifier, Detector, Images, Normalization};
//! use odin_data::{OpenOptions, open};
//! use std::path::Path;
//!
//! let classifier = Classifier::open(Path::new("densenet10.pth"), Normalization::cifar())?;
//! let detector = Detector::builder(&classifier).temperature(1000.0).threads(2).build()?;
//! let photos = open(Path::new("photos"), &OpenOptions::default())?;
//! let scored = detector.score_set(&Images::all(&*photos), 0.0014, |_| {})?;
//! for row in &scored.rows {
//!     println!("{} is class {}: {}", row.name, row.score.prediction, row.score.odin);
//! }
//! # Ok::<(), odin::Error>(())
//! ```
//!
//! High scores mean in-distribution. An input is taken for in-distribution when its score
//! exceeds a threshold.

mod classifier;
mod detector;
mod error;
mod evaluation;
mod set;

pub use classifier::{Classifier, Normalization};
pub use detector::{Detector, DetectorBuilder, Score};
pub use error::{Error, ErrorKind};
pub use evaluation::{Evaluation, Intervals, Measured, MetricsMode, evaluate};
pub use set::{Images, Progress, Row, ScoredSet, Skipped};
