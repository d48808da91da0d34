//! The options of `odin explain`.

use super::shared::{
    DeviceOptions, FormatOption, NetworkOptions, NnOption, PrecisionOption, positive, threads,
};
use clap::Args;

/// Shows the program that a network with ODIN built in is lowered to on this machine's CPU, or on a
/// graphics processor: the operators fused in each step, shapes, arithmetic, bytes moved, and the time
/// of each step, on the CPU for an image on one thread, on a graphics processor for a batch.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin explain --nn densenet10.pth
  odin explain --nn densenet10.pth --threads 2
  odin explain --nn densenet10.pth --precision fast
  odin explain --nn resnet50.onnx --repetitions 3 --format json
  odin explain --nn resnet50.onnx --device gpu --batch-size 64")]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) nn: NnOption,

    #[command(flatten)]
    pub(crate) precision: PrecisionOption,

    /// How often an image is run; the fastest time of each step is shown
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,

    /// How many threads share the image; on a graphics processor, how many compile shaders
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) threads: usize,

    /// The images of the batch that a graphics processor is timed for
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = positive::<usize>)]
    pub(crate) batch_size: usize,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,
}
