//! Calibration: thresholds chosen on scored images, and the detector that decides by them, saved as
//! `detector.toml`.

mod decision;
mod detector;
mod options;
mod record;
mod toml;

pub use decision::Decision;
pub use detector::{CalibratedDetector, OpenDetector, SavedDetector, Verdict, Verdicts};
pub use options::CalibrationOptions;
pub use record::{
    CalibrationImages, ClassThreshold, DetectorRecord, SavedCalibration, SavedModel, SavedPoint,
    SavedScore, Statistics, ThresholdRule,
};
