//! Reports of the commands: tables for a terminal, JSON and CSV; score files; plots.

mod agreement;
mod calibration;
mod columns;
mod compile;
mod csv;
mod decision;
mod drift;
mod evaluation;
mod explain;
mod fetch;
mod inspect;
mod json;
mod measured;
mod metrics;
mod network;
pub mod plot;
mod registry;
mod score_file;
mod terms;
mod tune;
mod tune_plots;

pub use agreement::AgreementReport;
pub use calibration::CalibrationReport;
pub use compile::CompileReport;
pub use decision::{DecidedBy, DecisionReport};
pub use drift::{DriftReport, Rejection};
pub use evaluation::{Comparison, Report, SetInfo};
pub use explain::ExplainReport;
pub use fetch::{FetchReport, FetchRow};
pub use inspect::InspectionReport;
pub use metrics::{FileMetrics, MetricsReport, ScoreMetrics};
pub use network::Network;
pub use registry::RegistryReport;
pub use score_file::{
    ScoreColumn, ScoreFileError, ScoreFormat, ScoreRecord, ScoreSource, ScoreValues, ScoreWriter,
    check_score_file, read_column, read_score_names, read_scores, record_from_json, record_to_json,
    set_to_csv,
};
pub use terms::counted;
pub use tune::{TuneReport, TuneTest};
pub use tune_plots::tune_plots;
