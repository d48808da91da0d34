//! Out-of-distribution detection for trained image classifiers: ODIN (Liang, Li, Srikant,
//! *Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks*, ICLR
//! 2018) and its baseline, the maximum softmax probability (MSP, Hendrycks & Gimpel 2017).
//!
//! Three types hold everything that a score or a decision depends on:
//!
//! - a [`Classifier`] is a trained network with everything from a decoded image to logits;
//! - a [`CalibratedDetector`] is a classifier with a [`Setting`], scores and thresholds, opened from
//!   one `detector.toml`;
//! - a [`CompiledDetector`] is all of it in one ONNX file.
//!
//! ```
//! # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
//! use odin::CalibratedDetector;
//!
//! let detector = CalibratedDetector::open(demo.join("detector.toml"))?;
//! let photos = detector.open_images(demo.join("near.npy"))?.range(0..5);
//! for verdict in detector.judge(&photos) {
//!     let verdict = verdict?;
//!     println!(
//!         "{}: class {}, {} (p = {:.4})",
//!         verdict.name,
//!         verdict.score.prediction,
//!         if verdict.decision.is_in_distribution { "known" } else { "unknown" },
//!         verdict.decision.p_value,
//!     );
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From a trained network and in-distribution images to such a detector:
//!
//! ```
//! # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
//! # let folder = tempfile::tempdir()?;
//! use odin::{CalibrationOptions, Classifier, ClassifierOptions, Detector, ThresholdRule};
//!
//! let model = demo.join("model.safetensors");
//! let classifier = Classifier::open(model, ClassifierOptions::default())?;
//! let held_out = classifier.open_images(demo.join("in.npy"))?.at_most(200, 0);
//! let detector = Detector::builder(&classifier).threads(2).build()?;
//! let scored = detector.score_set(&held_out, |_| {})?;
//! let calibrated = CalibrationOptions::default()
//!     .rule(ThresholdRule::Tpr(0.95))
//!     .calibrate(detector, &scored, None)?;
//! calibrated.save(folder.path().join("detector.toml"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! High scores mean in-distribution, everywhere. An image is taken for in-distribution when its
//! score reaches a threshold. [`measure`] gives the field's five metrics of scores from anywhere,
//! [`evaluate`] those of scored sets, [`TuneOptions`] chooses a setting, and user-defined scores
//! implement [`Scorer`]. The crates that this one is built on are re-exported: [`data`],
//! [`metrics`], [`scores`].

mod calibrate;
mod detect;
mod error;
mod evaluate;
mod export;
mod files;
mod input;
mod inspect;
mod model;
mod names;
mod setting;

pub use calibrate::{
    CalibratedDetector, CalibrationImages, CalibrationOptions, ClassThreshold, Decision,
    DetectorRecord, OpenDetector, SavedCalibration, SavedDetector, SavedModel, SavedPoint,
    SavedScore, Statistics, ThresholdRule, Verdict, Verdicts,
};
pub use detect::{
    Detector, DetectorBuilder, Device, GpuProgram, GpuStep, Grid, ImageError, InputGradient,
    MAX_THREADS, OutputCache, Passes, Progress, Row, Rows, Score, ScoredSet, Sweep, SweepScores,
};
pub use error::{Error, ErrorKind};
pub use evaluate::{
    CandidateScores, Choice, Evaluation, InOnlyRule, Intervals, MeasureOptions, Measured,
    MetricsMode, Objective, Rule, ScoreCandidate, ScoreSearch, ScoreTuner, Search, TuneOptions,
    Tuned, Tuner, choose, evaluate, measure,
};
pub use export::{
    Agreement, CompileOptions, CompiledDetector, CompiledScore, IMAGES, ScoreAgreement, compile,
};
pub use files::{AtomicFile, Destination, write_atomically};
pub use input::{Images, Shard, stratified_order};
pub use inspect::{Inspection, multiply_adds};
pub use model::{
    ChannelOrder, Classifier, ClassifierOptions, DetectorCard, DetectorInput, Layout, ModelConfig,
    ModelFile, NoAccuracy, Normalization, Preprocessing, Provenance, Sourced,
};
pub use odin_cpu::{InstructionSet, Program, ProgramStep};
pub use odin_data::{DataSet, Image, OpenOptions, Sample, Transform};
pub use odin_metrics::{Metrics, minimum_images};
pub use odin_scores::{
    Fitted, Method, Needs, Observation, ParameterGrid, Parameters, Scorer, Shift, TrainingSummary,
};
pub use setting::{Precision, Setting};

/// Data sets, image decoding, transforms, noise, the registry of known names, downloads.
pub use odin_data as data;
/// Metrics, intervals, thresholds and drift.
pub use odin_metrics as metrics;
/// Scores beside ODIN.
pub use odin_scores as scores;

/// The snippets of the pages, as tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/library.md")]
    struct Library;
}
