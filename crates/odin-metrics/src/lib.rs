//! Metrics of out-of-distribution detection, exact and as the paper computed them.
//!
//! Everywhere in this crate **in-distribution is the positive class** and a higher score means
//! "more in-distribution". All rates are fractions in `[0, 1]`. Many other tools take
//! out-of-distribution as positive; their FPR at 95 % TPR is a different quantity.
//!
//! ```
//! use odin_metrics::{Bootstrap, PaperProtocol, Scores};
//!
//! # fn main() -> Result<(), odin_metrics::Error> {
//! let in_scores = [0.99, 0.95, 0.90, 0.60];
//! let out_scores = [0.97, 0.50, 0.40];
//! let scores = Scores::new(&in_scores, &out_scores)?;
//!
//! let exact = scores.exact();
//! assert_eq!(exact.fpr_at_95_tpr, 1.0 / 3.0);
//!
//! let paper = scores.paper(&PaperProtocol::baseline(10));
//! assert!(paper.exact_instead.fpr_at_95_tpr); // no grid point has a TPR of about 95 %
//!
//! let ci95 = scores.exact_intervals(&Bootstrap::new(1000, 0, 2)?)?;
//! assert!(ci95.auroc.lower <= exact.auroc && exact.auroc <= ci95.auroc.upper);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Scores::exact`]: ties are ties, every quantity exact, defined for one score or more on
//!   both sides.
//! - [`Scores::paper`]: the procedure behind the tables of Liang, Li, Srikant, *Enhancing the
//!   Reliability of Out-of-distribution Image Detection in Neural Networks*, ICLR 2018
//!   (arXiv 1706.02690), for comparison with them.
//! - [`Scores::exact_intervals`], [`Scores::paper_intervals`]: 95 % intervals of either.
//! - [`Scores::roc_curve`], [`Scores::precision_recall_curve`]: the curves, as scikit-learn gives
//!   them.
//! - [`HistogramSketch`]: a summary of scores that can be merged exactly, with bounds of the
//!   metrics, for scores that never are in one place.
//! - [`threshold_at_tpr`], [`Scores::operating_point`]: the threshold that keeps a wanted share
//!   of in-distribution inputs, and what it costs; [`Scores::operating_point_at_fpr`] and
//!   [`Scores::lowest_error`] choose by the other side.
//! - [`calibrate`], [`calibrate_classes`]: that threshold with its uncertainty;
//!   [`minimum_images`] says how many images it takes.
//! - [`ReferenceScores`]: where a later score lies among those of the calibration.
//! - [`Drift`]: whether the scores of one period, or its rejections, differ from another's.

mod bootstrap;
mod calibration;
mod counts;
mod curves;
mod distributions;
mod drift;
mod error;
mod exact;
mod histogram_sketch;
mod interval;
mod kolmogorov_smirnov;
mod levels;
mod metrics;
mod order;
mod paper;
mod parallel;
mod precision;
mod rates;
mod reference;
mod scores;
mod sorted;
mod threshold;

pub use bootstrap::Bootstrap;
pub use calibration::{
    Calibration, ClassCalibrations, ThresholdInterval, calibrate, calibrate_classes, minimum_images,
};
pub use curves::{Points, PrecisionRecallCurve, RocCurve, Side};
pub use drift::{Drift, Verdict};
pub use error::{Error, ErrorKind};
pub use histogram_sketch::{Bounds, HistogramSketch};
pub use interval::Interval;
pub use kolmogorov_smirnov::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use metrics::Metrics;
pub use paper::{PaperMetrics, PaperProtocol};
pub use rates::{Rate, RateChange};
pub use reference::ReferenceScores;
pub use scores::Scores;
pub use threshold::{OperatingPoint, threshold_at_tpr};
