//! The command line as typed values, parsed by clap.

mod calibrate;
mod compile;
mod drift;
mod eval;
mod explain;
mod fetch;
mod inspect;
mod list;
mod metrics;
mod score;
#[cfg(feature = "serve")]
mod serve;
mod shared;
mod tune;
mod verify;

pub(crate) use calibrate::Calibrate;
pub(crate) use compile::Compile;
pub(crate) use drift::Drift;
pub(crate) use eval::Eval;
pub(crate) use explain::Explain;
pub(crate) use fetch::Fetch;
pub(crate) use inspect::Inspect;
pub(crate) use list::List;
pub(crate) use metrics::Metrics;
pub(crate) use score::{Score, ScoreFormatArg};
#[cfg(feature = "serve")]
pub(crate) use serve::{LogArg, Serve};
pub(crate) use shared::{
    ComputeOptions, DeviceOptions, FIT_IMAGES, ImageSize, Magnitude, NetworkOptions, NnOption,
    PrecisionOption, RegistryOptions, ReportOptions, RunOptions, ScoreOptions, SettingOptions,
    SplitArg, UsageError,
};
pub(crate) use tune::Tune;
pub(crate) use verify::Verify;

use clap::{Parser, Subcommand};

/// Tells whether an image is unlike anything its classifier was trained on (ODIN, ICLR 2018).
///
/// Without a command: evaluates an embedded network on embedded images, to show what to expect.
#[derive(Debug, Parser)]
#[command(
    name = "odin",
    bin_name = "odin", // and not the name of the program that offers it
    version,
    after_help = "\
Examples:
  odin eval --nn net.onnx --in-dataset test/ --out-dataset photos/
  odin tune --nn net.onnx --in-dataset val/          which temperature, which magnitude
  odin calibrate --nn net.onnx --in-dataset val/ -o detector.toml    which threshold
  odin score --detector detector.toml photo.jpg      is this image like the others?
  odin serve detector.toml                           the same over HTTP and gRPC
  odin drift january.csv february.csv                has something changed?
  odin inspect net.onnx                              what a model is and costs
  odin compile --detector detector.toml -o d.onnx    all of it as one ONNX file

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 drift that odin drift was told to fail on."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Any arguments of `odin serve`, in a build that has no service.
#[cfg(not(feature = "serve"))]
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NoServe {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure how well the baseline (MSP) and ODIN tell out-of-distribution images apart
    Eval(Box<Eval>),
    /// Choose the temperature and the magnitude
    Tune(Box<Tune>),
    /// Find the threshold, and write a detector that `odin score` uses
    Calibrate(Box<Calibrate>),
    /// Score images and decide by a calibrated detector
    Score(Box<Score>),
    /// Answer requests by calibrated detectors, over HTTP and gRPC
    #[cfg(feature = "serve")]
    Serve(Box<Serve>),
    /// Answer requests over HTTP and gRPC (not in this build)
    #[cfg(not(feature = "serve"))]
    Serve(NoServe),
    /// Test whether scores or rejections drift from one period of use to another
    Drift(Drift),
    /// Measure how well scores in files tell out-of-distribution images apart
    Metrics(Metrics),
    /// Describe a model: inputs, operators, cost, normalisation
    Inspect(Inspect),
    /// Show the program that a network is lowered to, and the time of each step
    Explain(Explain),
    /// Write a model with ODIN built in as one ONNX file for any runtime
    Compile(Box<Compile>),
    /// Compare a compiled detector with the model it was compiled from
    Verify(Box<Verify>),
    /// Download data sets and networks that are known by name
    Fetch(Fetch),
    /// List the known data sets and networks, and whether they are downloaded
    List(List),
}
