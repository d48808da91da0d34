//! The options of `odin list`.

use super::shared::{FormatOption, RegistryOptions};
use clap::Args;

/// Shows every known data set and network, its licence, and whether it is here.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin list
  odin list --format json --data-dir /big/disk")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    #[command(flatten)]
    pub(crate) format: FormatOption,
}
