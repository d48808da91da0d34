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
//! From in-distribution images alone to a decision for a single image:
//!
//! ```no_run
//! # use odin::{CalibrationOptions, Classifier, Detector, Images, Normalization, ThresholdRule};
//! # use odin_data::{OpenOptions, open};
//! # use std::path::Path;
//! # let classifier = Classifier::open(Path::new("densenet10.pth"), Normalization::cifar())?;
//! let detector = Detector::builder(&classifier).build()?;
//! let held_out = open(Path::new("validation"), &OpenOptions::default())?;
//! let scored = detector.score_set(&Images::all(&*held_out), 0.0014, |_| {})?;
//! let saved = CalibrationOptions::default()
//!     .rule(ThresholdRule::Tpr(0.95))
//!     .calibrate(&classifier, &detector, 0.0014, &scored, None)?;
//! # let photo = held_out.get(0)?.image;
//! for score in detector.score(&[photo], saved.magnitude)? {
//!     let judgement = saved.judge(&score, &detector.others())?;
//!     println!("{} (p = {})", judgement.is_in_distribution, judgement.p_value);
//! }
//! std::fs::write("detector.toml", saved.to_toml())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Sweep`] scores at many settings at once, [`choose`] picks among them; a crate of yours can
//! add scores of its own by implementing [`Scorer`].
//!
//! High scores mean in-distribution. An input is taken for in-distribution when its score
//! reaches a threshold.

mod accuracy;
mod calibration;
mod classifier;
mod compile;
mod detector;
mod detector_card;
mod detector_file;
mod engine;
mod error;
mod evaluation;
mod fitting;
mod guess;
mod inspect;
mod layout;
mod model_config;
mod model_file;
mod network_input;
mod normalization;
mod preprocessing;
mod reading;
mod saved_detector;
mod set;
mod shard;
mod sweep;
mod tuning;

pub use accuracy::NoAccuracy;
pub use calibration::CalibrationOptions;
pub use classifier::{Classifier, ClassifierOptions};
pub use compile::{CompileOptions, DetectorInput, IMAGES, compile};
pub use detector::{Detector, DetectorBuilder, Score};
pub use detector_card::DetectorCard;
pub use detector_file::{Agreement, DetectorFile};
pub use engine::Device;
pub use error::{Error, ErrorKind};
pub use evaluation::{Evaluation, Intervals, Measured, MetricsMode, evaluate};
pub use fitting::{restore_statistics, statistics_to_bytes};
pub use inspect::{Inspection, multiply_adds};
pub use layout::Layout;
pub use model_config::ModelConfig;
pub use model_file::ModelFile;
pub use normalization::Normalization;
pub use odin_cpu::{InstructionSet, Program, ProgramStep};
pub use odin_metrics::minimum_images;
pub use odin_scores::{Fitted, Method, Observation, Scorer};
pub use preprocessing::{Preprocessing, Provenance, Sourced};
pub use saved_detector::{
    CalibrationImages, ClassThreshold, Judgement, SavedCalibration, SavedDetector, SavedModel,
    SavedPoint, SavedScore, Statistics, ThresholdRule,
};
pub use set::{Images, Progress, Row, ScoredSet, Skipped};
pub use shard::Shard;
pub use sweep::{Grid, Passes, Setting, Sweep, SweepScores};
pub use tuning::{Choice, Objective, choose, mean_scores, sweep_metrics};
