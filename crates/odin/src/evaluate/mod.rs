//! How well scores tell sets apart, how often the network is right, and which setting to take.

mod accuracy;
mod evaluation;
mod objective;
mod search;
mod tune;
mod tuned;

pub use evaluation::{Evaluation, Intervals, Measured, MetricsMode, evaluate, measure};
pub use objective::{Choice, Objective, choose};
pub use search::{InOnlyRule, Rule, Search, Tuner};
pub use tune::TuneOptions;
pub use tuned::Tuned;
