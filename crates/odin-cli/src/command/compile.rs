//! `odin compile`: writes a classifier with ODIN or a calibrated detector's scores built in as one
//! ONNX file.

use crate::args::{Compile, UsageError};
use crate::output::atomic::Output;
use crate::output::stdout::write_stdout;
use crate::resolve::{network, registry};
use anyhow::{Context, Result};
use odin::{
    CalibratedDetector, Classifier, ClassifierOptions, CompileOptions, DetectorInput,
    DetectorRecord, Fitted, compile,
};
use odin_formats::onnx;
use odin_report::CompileReport;
use std::path::Path;

pub(crate) fn run(args: &Compile) -> Result<()> {
    let out = Output::new(&args.out, "--out")?;
    let Source {
        classifier,
        calibrated,
    } = source(args)?;
    out.is_none_of(&network::sources(&classifier, &args.network))?;
    if let Some(detector) = &args.detector {
        out.is_not("the detector", detector)?;
        if let Some(statistics) = calibrated.as_ref().and_then(|(c, _)| c.statistics.as_ref()) {
            let statistics = detector.with_file_name(&statistics.file);
            out.is_not("what was fitted for the detector", &statistics)?;
        }
    }
    network::announce(&classifier, args.quiet.on);
    let options = match &calibrated {
        Some((record, fitted)) => {
            CompileOptions::calibrated(record, fitted).context("--detector")?
        }
        None => options(args, &classifier)?,
    };
    let options = options
        .input(input(args, &classifier))
        .p_values(args.p_value);
    let bytes = compile(&classifier, &options)?;
    let report = read_back(&args.out, &bytes)?;
    out.write(&bytes)?;
    write_stdout(&args.format.text(|| report.to_table(), || report.to_json()))
}

/// The network to compile, and the calibrated detector it comes from, if any, with what was fitted
/// for its scores.
struct Source {
    classifier: Classifier,
    calibrated: Option<(DetectorRecord, Vec<Fitted>)>,
}

fn source(args: &Compile) -> Result<Source> {
    let Some(path) = &args.detector else {
        let registry = registry::open(&args.network.registry)?;
        let nn = args.nn.as_deref().unwrap_or_default();
        return Ok(Source {
            classifier: network::open(nn, &args.network, args.transform.as_ref(), &registry)?,
            calibrated: None,
        });
    };
    let given = match args.network.model_config {
        Some(_) => "--model-config".to_string(),
        None => network::given_options(&args.network),
    };
    if !given.is_empty() {
        return Err(UsageError(format!(
            "{given}: the detector {} says how images become the model's input",
            path.display()
        ))
        .into());
    }
    let mut options = CalibratedDetector::options();
    if let Some(nn) = &args.nn {
        options = options.model(nn);
    }
    let (record, classifier, fitted) = options.parts(path)?;
    network::check_precision(args.setting.precision.given, &record, path)?;
    Ok(Source {
        classifier,
        calibrated: Some((record, fitted)),
    })
}

/// The options given; the others are those of the detector that is compiled again, or the paper's.
fn options(args: &Compile, classifier: &Classifier) -> Result<CompileOptions> {
    let setting = network::setting(&args.setting, classifier)?;
    network::announce_setting(setting, classifier, args.quiet.on);
    let options = CompileOptions::default().setting(setting);
    Ok(match args.threshold {
        Some(threshold) => options.threshold(threshold),
        None => options,
    })
}

fn input(args: &Compile, classifier: &Classifier) -> DetectorInput {
    let of_onnx = classifier.file().opset.is_some();
    args.input.unwrap_or(match of_onnx {
        true => DetectorInput::Normalized,
        false => DetectorInput::PixelsF32,
    })
}

/// Reads back what is in the file.
fn read_back(file: &Path, bytes: &[u8]) -> Result<CompileReport> {
    let unreadable = "what was compiled cannot be read back";
    let name = file.display().to_string();
    let graph = onnx::read_graph(bytes, &name).context(unreadable)?;
    let network = Classifier::from_bytes(bytes, &name, ClassifierOptions::default());
    let network = network.context(unreadable)?;
    let card = network.detector_card().context(unreadable)?.clone();
    let inputs = graph.inputs().map(|(_, input)| match card.input {
        // What is read back begins behind resizing and cropping.
        DetectorInput::PhotoU8 => {
            let channels = network.image_shape()[0];
            (
                odin::IMAGES.to_string(),
                format!("[N, height, width, {channels}]"),
            )
        }
        _ => (input.name.clone(), input.ty.shape.to_string()),
    });
    let outputs = graph.outputs().iter();
    let outputs = outputs.map(|output| (output.name.clone(), graph.ty(output.value).to_string()));
    Ok(CompileReport {
        file: name,
        format: network.file().format.clone(),
        bytes: bytes.len(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        card,
    })
}
