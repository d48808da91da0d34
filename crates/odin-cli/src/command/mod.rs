//! The commands, one file each.

pub(crate) mod calibrate;
pub(crate) mod compile;
pub(crate) mod demo;
pub(crate) mod drift;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod fetch;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod metrics;
pub(crate) mod score;
#[cfg(feature = "serve")]
pub(crate) mod serve;
pub(crate) mod tune;
mod tune_score;
pub(crate) mod verify;

mod eval_page;
mod scoring;
