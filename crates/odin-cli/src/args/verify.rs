//! The options of `odin verify`.

use super::shared::{DeviceOptions, FormatOption, NetworkOptions, QuietOption, positive, threads};
use clap::Args;
use std::path::PathBuf;

/// Runs a compiled detector and the model that it was compiled from on the same images, and reports
/// the largest differences. Exit code 1 when they differ by more than the tolerance.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin verify detector.onnx --nn densenet10.pth
  odin verify detector.onnx --nn net.onnx --images photos/ --count 200 --transform resize:32x32
  odin verify detector.onnx --nn net.onnx --device cpu-ort
  odin verify detector.onnx --nn detector.toml

The options that describe the network must be those that it was compiled with. --device is for the
model; the detector runs by the built-in engine.")]
pub(crate) struct Verify {
    /// The compiled detector
    #[arg(value_name = "DETECTOR")]
    pub(crate) detector: PathBuf,

    /// The network that it was compiled from, or the calibrated detector (detector.toml), which knows
    /// all of its scores
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) nn: String,

    /// A set of images: a path, a registry name, Uniform or Gaussian; or `random`, which is
    /// Uniform
    #[arg(long, value_name = "SPEC", default_value = "random")]
    pub(crate) images: String,

    /// The largest number of images
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = positive::<u64>)]
    pub(crate) count: u64,

    /// The seed of random images
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,

    /// The largest difference allowed: of logits and scores relative to the largest of them (at
    /// least 1), of MSP as it is, of ODIN scores multiplied by T like that of logits, and ten times
    /// as much where the precision is fast
    #[arg(long, default_value_t = 0.001, value_name = "X")]
    pub(crate) tolerance: f64,

    /// Transform every image, such as resize:32:bicubic,centre-crop:32
    #[arg(long, value_name = "STEPS")]
    pub(crate) transform: Option<odin_data::Transform>,

    /// The number of threads [default: the available cores]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) quiet: QuietOption,

    #[command(flatten)]
    pub(crate) device: DeviceOptions,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}
