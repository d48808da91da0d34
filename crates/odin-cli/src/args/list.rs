//! The options of `odin list`.

use super::shared::TextFormat;
use clap::Args;
use std::path::PathBuf;

/// Shows every known data set and network, its licence, and whether it is here.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin list
  odin list --format json --data-dir /big/disk")]
pub(crate) struct List {
    /// Where to look
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Vec<PathBuf>,

    /// How to print the list
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: TextFormat,
}
