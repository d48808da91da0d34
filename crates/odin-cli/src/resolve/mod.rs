//! Resolves arguments to a validated configuration, once, before any work begins.

pub(crate) mod dataset;
pub(crate) mod device;
pub(crate) mod network;
pub(crate) mod registry;
pub(crate) mod score_file;
pub(crate) mod scores;
pub(crate) mod setup;
