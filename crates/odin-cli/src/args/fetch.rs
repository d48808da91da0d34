//! The options of `odin fetch`.

use super::shared::{FormatOption, QuietOption, RegistryOptions};
use clap::Args;

/// Downloads, verifies and, where needed, unpacks data sets and networks into the data folder.
/// Files that are there already are only verified.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin fetch cifar10 Imagenet_resize
  odin fetch densenet10-dice --data-dir /big/disk

An interrupted download leaves a .part file and goes on from there next time. Proxies are taken
from the environment (https_proxy, no_proxy).")]
pub(crate) struct Fetch {
    /// Names as `odin list` shows them
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,

    #[command(flatten)]
    pub(crate) registry: RegistryOptions,

    /// Use no network: verify and unpack what is there already
    #[arg(long)]
    pub(crate) offline: bool,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) quiet: QuietOption,
}
