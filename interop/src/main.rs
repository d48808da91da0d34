//! Runs compiled detectors in `rten`, a runtime in Rust that is not ours, and compares its
//! outputs with those of our own engine on the same file and the same random images.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use odin::{Classifier, ClassifierOptions, DetectorCard, DetectorInput};
use odin_cpu::{Engine, Output};
use odin_data::{DataSet, NoiseKind, noise};
use odin_graph::odin::names;
use odin_graph::{Dim, Graph};
use rten::{Model, Value, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The output that says whether the deciding score reaches the threshold.
const IS_IN_DISTRIBUTION: &str = "is_in_distribution";

/// Runs detectors that `odin compile` wrote in rten and in our engine, and prints the largest
/// differences. Exit code 1 when one exceeds the tolerance.
#[derive(Debug, Parser)]
struct Args {
    /// Compiled detectors
    #[arg(value_name = "DETECTOR", required = true)]
    detectors: Vec<PathBuf>,

    /// How many random images
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,

    /// Where random images start from
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,

    /// The largest difference allowed, as in `odin verify`: of logits relative to the largest of
    /// them (at least 1), of MSP as it is, of ODIN scores multiplied by T like that of logits, of
    /// other scores relative to the largest (at least 1)
    #[arg(long, default_value_t = 0.001, value_name = "X")]
    tolerance: f64,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut all_agree = true;
    for path in &args.detectors {
        let agrees = compare(path, &args).with_context(|| path.display().to_string());
        match agrees {
            Ok(agrees) => all_agree &= agrees,
            Err(error) => {
                eprintln!("{error:#}");
                all_agree = false;
            }
        }
    }
    Ok(match all_agree {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What a runtime says of a batch.
struct Outcome {
    logits: Vec<f32>,
    prediction: Vec<i64>,
    /// In the order of the card.
    scores: Vec<Vec<f32>>,
    is_in_distribution: Option<Vec<bool>>,
}

fn compare(path: &Path, args: &Args) -> Result<bool> {
    let classifier = Classifier::open(path, ClassifierOptions::default())?;
    let card = classifier.detector_card();
    let card = card.context("this is no detector; `odin compile` makes one of a model")?;
    let graph = odin_formats::onnx::open_graph(path)?;
    let (_, input) = graph.inputs().next().context("the detector has no input")?;
    let count = usize::from(args.count);
    let extents = input.ty.shape.dims().iter().skip(1);
    let extents: Option<Vec<usize>> = extents.copied().map(Dim::fixed).collect();
    let extents = extents.context("an axis of the input grows with the batch")?;
    let takes_bytes = classifier.file().takes_bytes;
    let images = random(
        card,
        takes_bytes,
        extents.iter().product(),
        count,
        args.seed,
    )?;

    let expected = in_ours(&graph, card, &input.name, count, &images)?;
    let shape = [&[count][..], &extents].concat();
    let found = in_rten(path, card, &input.name, takes_bytes, &shape, images)?;
    check_decisions(card, &found)?;
    report(path, card, &found, &expected, args.tolerance)
}

fn check_decisions(card: &DetectorCard, found: &Outcome) -> Result<()> {
    let place = card.scores.iter().position(|name| *name == card.decides_by);
    let (Some(place), Some(decisions)) = (place, &found.is_in_distribution) else {
        return Ok(());
    };
    let threshold = |class: i64| match usize::try_from(class) {
        Ok(class) => card.class_thresholds.get(class).copied().or(card.threshold),
        Err(_) => card.threshold,
    };
    let decided = found.scores[place].iter().zip(&found.prediction);
    for ((score, &class), &is_in) in decided.zip(decisions) {
        let reached = threshold(class).is_some_and(|threshold| *score >= threshold as f32);
        ensure!(
            reached == is_in,
            "{IS_IN_DISTRIBUTION} is not whether {} reaches the threshold",
            card.decides_by
        );
    }
    Ok(())
}

/// Values as the detector's input takes them, uniform: bytes, pixels, or about as wide as
/// normalised pixels are.
fn random(
    card: &DetectorCard,
    takes_bytes: bool,
    elements: usize,
    count: usize,
    seed: u64,
) -> Result<Vec<f32>> {
    let noise = noise(NoiseKind::Uniform, 1, 1, elements, count, seed)?;
    let scale: fn(f32) -> f32 = match card.input {
        _ if takes_bytes => |v| (v * 256.0).floor(),
        DetectorInput::PixelsF32 => |v| v,
        _ => |v| 4.0 * v - 2.0,
    };
    let mut values = Vec::with_capacity(count * elements);
    for i in 0..count {
        values.extend(noise.get(i)?.image.pixels.into_iter().map(scale));
    }
    Ok(values)
}

fn in_ours(
    graph: &Graph,
    card: &DetectorCard,
    input: &str,
    count: usize,
    images: &[f32],
) -> Result<Outcome> {
    let outputs = Engine::new(graph, 1)?.run(count, &[(input, images)])?;
    let output = |name: &str| {
        let mut named = graph.outputs().iter().zip(&outputs);
        named
            .find(|(o, _)| o.name == name)
            .map(|(_, values)| values)
    };
    let floats = |name: &str| match output(name) {
        Some(Output::Float(values)) => Ok(values.clone()),
        other => bail!("our engine gives {other:?} for {name}"),
    };
    Ok(Outcome {
        logits: floats(names::LOGITS)?,
        prediction: match output(names::PREDICTION) {
            Some(Output::Int(values)) => values.clone(),
            other => bail!("our engine gives {other:?} for {}", names::PREDICTION),
        },
        scores: card
            .scores
            .iter()
            .map(|name| floats(name))
            .collect::<Result<_>>()?,
        is_in_distribution: match output(IS_IN_DISTRIBUTION) {
            Some(Output::Bool(values)) => Some(values.clone()),
            _ => None,
        },
    })
}

fn in_rten(
    path: &Path,
    card: &DetectorCard,
    input: &str,
    takes_bytes: bool,
    shape: &[usize],
    images: Vec<f32>,
) -> Result<Outcome> {
    let model = Model::load_file(path).context("rten does not read it")?;
    let images: ValueOrView = match takes_bytes {
        true => {
            let bytes: Vec<u8> = images.iter().map(|&v| v as u8).collect();
            Tensor::from_data(shape, bytes).into()
        }
        false => Tensor::from_data(shape, images).into(),
    };
    let inputs = vec![(model.node_id(input)?, images)];
    let ids = model.output_ids().to_vec();
    let outputs = model.run(inputs, &ids, None);
    let outputs = outputs.context("rten does not run it")?;
    let output = |name: &str| {
        let place = ids.iter().position(|&id| {
            let info = model.node_info(id);
            info.and_then(|i| i.name().map(|n| n == name)) == Some(true)
        });
        place.and_then(|place| outputs.get(place))
    };
    let floats = |name: &str| match output(name) {
        Some(Value::FloatTensor(values)) => Ok(values.to_vec()),
        other => bail!("rten gives {other:?} for {name}"),
    };
    // rten has 32 bits for integers of 64, and for truth values.
    let ints = |name: &str| match output(name) {
        Some(Value::Int32Tensor(values)) => Ok(values.to_vec()),
        other => bail!("rten gives {other:?} for {name}"),
    };
    let decisions = output(IS_IN_DISTRIBUTION).map(|_| ints(IS_IN_DISTRIBUTION));
    let decisions = decisions.transpose()?;
    Ok(Outcome {
        logits: floats(names::LOGITS)?,
        prediction: ints(names::PREDICTION)?
            .into_iter()
            .map(i64::from)
            .collect(),
        scores: card
            .scores
            .iter()
            .map(|name| floats(name))
            .collect::<Result<_>>()?,
        is_in_distribution: decisions.map(|d| d.into_iter().map(|v| v != 0).collect()),
    })
}

/// One line of the largest differences; whether they are tolerated.
fn report(
    path: &Path,
    card: &DetectorCard,
    found: &Outcome,
    expected: &Outcome,
    tolerance: f64,
) -> Result<bool> {
    let logits = largest_difference(&found.logits, &expected.logits)?;
    let same_classes = found.prediction == expected.prediction;
    let scale = largest(&expected.logits);
    let relative = tolerance * scale;
    let mut agrees = same_classes && logits <= relative;
    let mut differences = Vec::new();
    let scores = card
        .scores
        .iter()
        .zip(found.scores.iter().zip(&expected.scores));
    for (name, (found, expected)) in scores {
        let difference = largest_difference(found, expected)?;
        let (shown, tolerated) = match name.as_str() {
            "msp" => (difference, tolerance),
            "odin" | "i-odin" => (difference * card.setting.temperature, relative),
            _ => (difference, tolerance * largest(expected)),
        };
        agrees &= shown <= tolerated;
        differences.push(format!("{name} {shown:.1e}"));
    }
    ensure!(
        found.is_in_distribution.is_some() == expected.is_in_distribution.is_some(),
        "only one of the two gives {IS_IN_DISTRIBUTION}"
    );
    println!(
        "{}: {} images, logits {logits:.1e} of {scale:.1e}, {} (ODIN's times T), predictions {}: {}",
        path.display(),
        found.prediction.len(),
        differences.join(", "),
        if same_classes { "equal" } else { "differ" },
        if agrees { "agrees" } else { "DIFFERS" }
    );
    Ok(agrees)
}

/// The largest absolute value, at least 1.
fn largest(values: &[f32]) -> f64 {
    values
        .iter()
        .fold(1.0, |max, &v| f64::max(max, f64::from(v).abs()))
}

fn largest_difference(found: &[f32], expected: &[f32]) -> Result<f64> {
    ensure!(
        found.len() == expected.len(),
        "rten gives {} values, our engine {}",
        found.len(),
        expected.len()
    );
    let differences = found.iter().zip(expected);
    let differences = differences.map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    // NaN is no agreement.
    Ok(differences.fold(0.0, |max, d| {
        if d.is_nan() {
            f64::INFINITY
        } else {
            max.max(d)
        }
    }))
}
