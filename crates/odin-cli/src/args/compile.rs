//! The options of `odin compile`.

use super::shared::{FormatOption, NetworkOptions, QuietOption, SettingOptions};
use clap::Args;
use std::path::PathBuf;

/// Writes a model with ODIN built into it as one ONNX file: forward pass, input gradient,
/// perturbation, second forward pass, scores. Any ONNX runtime executes it. Of a calibrated detector
/// it holds all scores, with what was fitted for them, and the decision; no gradient where none of
/// them needs it.
///
/// Its outputs are logits, prediction, msp, the other scores by name, and with a threshold
/// is_in_distribution.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  odin compile --nn densenet10.pth -o detector.onnx
  odin compile --detector detector.toml -o detector.onnx      with its scores and thresholds
  odin compile --detector detector.toml --p-value -o detector.onnx
  odin compile --nn net.onnx --precision fast -o detector.onnx   gradient in float16 by Cast
  odin compile --nn net.onnx --magnitude 0.002 --threshold 0.1004 --input pixels-u8 \\
               --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 -o detector.onnx

Inputs: pixels-u8 is `images`, uint8 [N, H, W, C]; pixels-f32 is `images`, float32 [N, C, H, W] in
[0, 1]; normalized is the model's own input; photo-u8 is `images`, uint8 [N, height, width, C] of any
size, which the file resizes and crops as the transform says. The magnitude is on the [0, 1] pixel scale always.")]
pub(crate) struct Compile {
    /// The trained network: an ONNX file, a PyTorch checkpoint or safetensors file, or a registry
    /// name; with --detector, the present path of its model
    #[arg(long, value_name = "FILE|NAME", required_unless_present = "detector")]
    pub(crate) nn: Option<String>,

    /// A calibrated detector that `odin calibrate` wrote: its model, temperature, magnitude, scores
    /// and thresholds are taken
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["temperature", "magnitude", "threshold"]
    )]
    pub(crate) detector: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) setting: SettingOptions,

    /// Add the output is_in_distribution: whether the ODIN score reaches this
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f64>,

    /// Add the outputs percentile and p_value: where the deciding score is among those of the
    /// calibration
    #[arg(long, requires = "detector")]
    pub(crate) p_value: bool,

    /// The input of the file: pixels-u8, pixels-f32, photo-u8 or normalized [default: normalized for
    /// ONNX models, pixels-f32 for others]
    #[arg(long, value_name = "KIND")]
    pub(crate) input: Option<odin::DetectorInput>,

    /// Transform every image, such as resize:256,centre-crop:224 [default: what model.toml says, or
    /// nothing; a detector says it itself]
    #[arg(long, value_name = "STEPS", conflicts_with = "detector")]
    pub(crate) transform: Option<odin_data::Transform>,

    /// The file to write
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: PathBuf,

    #[command(flatten)]
    pub(crate) format: FormatOption,

    #[command(flatten)]
    pub(crate) quiet: QuietOption,

    #[command(flatten)]
    pub(crate) network: NetworkOptions,
}
