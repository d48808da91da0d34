//! Reports of the commands: tables for a terminal, JSON, CSV, pages (HTML); score files; plots.

mod agreement;
mod bins;
mod calibration;
mod columns;
mod compile;
mod csv;
mod decision;
mod drift;
mod evaluation;
mod explain;
mod fetch;
mod gpu_explain;
mod html;
mod inspect;
mod json;
mod measured;
mod metrics;
mod network;
pub mod plot;
mod precision;
mod published;
mod registry;
mod score_file;
mod score_tune;
mod separation;
mod separation_plots;
mod terms;
mod tune;
mod tune_plots;

pub use agreement::AgreementReport;
pub use calibration::CalibrationReport;
pub use compile::CompileReport;
pub use decision::{DecidedBy, DecisionReport};
pub use drift::{DriftReport, Rejection};
pub use evaluation::{
    Comparison, EvaluationPage, ImageFacts, ImageGroup, Report, SetInfo, ShownImage,
};
pub use explain::ExplainReport;
pub use fetch::{FetchReport, FetchRow};
pub use gpu_explain::GpuExplainReport;
pub use html::{Picture, gradient_sign, gradient_size};
pub use inspect::InspectionReport;
pub use metrics::{FileMetrics, MetricsReport, ScoreMetrics};
pub use network::Network;
pub use precision::ComputedIn;
pub use registry::RegistryReport;
pub use score_file::{
    ScoreColumn, ScoreFileError, ScoreFormat, ScoreRecord, ScoreSource, ScoreValues, ScoreWriter,
    check_score_file, read_column, read_score_names, read_scores, record_from_json, record_to_json,
    set_to_csv,
};
pub use score_tune::{ScoreTuneReport, ScoreTuneTest};
pub use separation::Separation;
pub use terms::counted;
pub use tune::{TuneReport, TuneTest};
pub use tune_plots::tune_plots;
