//! The options of `odin list`.

use super::shared::{FormatOption, RegistryOptions};
use clap::Args;

/// Lists the known data sets and networks, their licences, and whether they are downloaded.
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
