//! A classifier with ODIN built into it: engines, scores of images and of sets, at one setting or
//! at many, and the fitting of scores beside ODIN.

mod backend;
mod cache;
mod collect;
mod detector;
mod fit;
mod gpu_program;
mod gradient;
mod run;
mod score;
mod scored;
mod statistics;
mod sweep;

pub use backend::{Device, MAX_THREADS};
pub use cache::OutputCache;
pub use detector::{Detector, DetectorBuilder};
pub use gpu_program::{GpuProgram, GpuStep};
pub use gradient::InputGradient;
pub use run::{ImageError, Progress};
pub use score::Score;
pub use scored::{Row, Rows, ScoredSet};
pub use sweep::{Grid, Passes, Sweep, SweepScores};

pub(crate) use backend::{check_threads, of_cpu};
pub(crate) use collect::each_of_batch;
pub(crate) use detector::RawOutputs;
pub(crate) use statistics::{restore_statistics, statistics_to_bytes};
