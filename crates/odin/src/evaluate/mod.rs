//! Evaluation: metrics of scored sets, accuracy of the network, and the search for a setting.

mod accuracy;
mod evaluation;
mod objective;
mod score_tune;
mod search;
mod tune;
mod tuned;

pub use evaluation::{
    Evaluation, Intervals, MeasureOptions, Measured, MetricsMode, evaluate, measure,
};
pub use objective::{Choice, Objective, choose};
pub use score_tune::{CandidateScores, ScoreCandidate, ScoreSearch, ScoreTuner};
pub use search::{InOnlyRule, Rule, Search, Tuner};
pub use tune::TuneOptions;
pub use tuned::Tuned;
