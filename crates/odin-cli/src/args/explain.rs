//! The options of `odin explain`.

use super::shared::{FormatOption, NetworkOptions, NnOption, PrecisionOption, threads};
use clap::Args;

/// Shows the program that a network with ODIN built in is lowered to on this machine's CPU: the
/// operators fused in each step, shapes, arithmetic, bytes moved, and the time of each step for an
/// image on one thread.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin explain --nn densenet10.pth
  odin explain --nn densenet10.pth --threads 2
  odin explain --nn densenet10.pth --precision fast
  odin explain --nn resnet50.onnx --repetitions 3 --format json")]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) nn: NnOption,

    #[command(flatten)]
    pub(crate) precision: PrecisionOption,

    /// How often an image is run; the fastest time of each step is shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,

    /// How many threads share the image
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) threads: usize,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}
