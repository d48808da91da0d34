//! The options of `odin inspect`.

use super::shared::{FormatOption, NetworkOptions};
use clap::Args;

/// Describes a model: inputs and outputs, operators, parameters, cost, how images become its input,
/// and whether ODIN can be built into it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin inspect resnet.onnx
  odin inspect densenet10.pth --format json")]
pub(crate) struct Inspect {
    /// An ONNX file, a PyTorch checkpoint or safetensors file, or a registry name
    #[arg(value_name = "FILE|NAME")]
    pub(crate) nn: String,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}
