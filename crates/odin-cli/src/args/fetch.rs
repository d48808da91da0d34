//! The options of `odin fetch`.

use clap::Args;
use std::path::PathBuf;

/// Downloads, verifies and, where needed, unpacks data sets and networks into the data folder.
/// What lies there already is only verified.
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

    /// Where to put them
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(crate) data_dir: PathBuf,

    /// Registry file with more names, repeatable
    #[arg(long, value_name = "FILE")]
    pub(crate) registry: Vec<PathBuf>,

    /// Use no network: verify and unpack what is here
    #[arg(long)]
    pub(crate) offline: bool,

    /// Say nothing on standard error but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}
