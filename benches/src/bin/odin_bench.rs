//! Measures ODIN and prints JSON, one object a line.

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use odin::{
    Classifier, CompileOptions, Detector, DetectorInput, GpuStep, Grid, Inspection, Setting,
};
use odin_benches::model::{Model, images, noise_for};
use odin_benches::process;
use odin_benches::timing::{median, score};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Measures ODIN and prints JSON, one object a line.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Milliseconds per image of each repetition, images in memory already, and the share of the
    /// machine's peak that the multiply-adds of direct convolution make of them.
    Time {
        #[command(flatten)]
        model: Model,
        /// Images handed over at once; 1 measures latency.
        #[arg(long, default_value_t = 32)]
        batch: usize,
        /// Images of one repetition; a batch unless given.
        #[arg(long)]
        images: Option<usize>,
        /// Repetitions, after one that does not count.
        #[arg(long, default_value_t = 9)]
        repetitions: usize,
    },
    /// Throughput of several threads against that of one, repetitions taking turns.
    Scaling {
        #[command(flatten)]
        model: Model,
        #[arg(long, default_value_t = 32)]
        batch: usize,
        #[arg(long, default_value_t = 9)]
        repetitions: usize,
    },
    /// Peak resident memory of a process that scores noise images, as many as asked for.
    Memory {
        #[command(flatten)]
        model: Model,
        #[arg(long, default_value_t = 10_000)]
        images: usize,
    },
    /// The grid of the paper, 10 temperatures by 21 magnitudes, in one go against as many separate
    /// runs, of which some are measured.
    Grid {
        #[command(flatten)]
        model: Model,
        /// Noise images.
        #[arg(long, default_value_t = 32)]
        images: usize,
        /// Every how many settings one is run by itself.
        #[arg(long, default_value_t = 21)]
        every: usize,
    },
    /// Milliseconds from the start of a process to its first score.
    Start {
        #[command(flatten)]
        model: Model,
        #[arg(long, default_value_t = 9)]
        repetitions: usize,
    },
    /// One score of one image, then the end: what `start` starts.
    First {
        #[command(flatten)]
        model: Model,
    },
    /// Reads lines `BATCH COUNT` from standard input, scores the first COUNT images in batches
    /// of BATCH, and answers each with the seconds and the scores.
    Serve {
        #[command(flatten)]
        model: Model,
        /// Images in a `.npy` file; noise unless given.
        #[arg(long)]
        images: Option<PathBuf>,
        /// How many of them are kept in memory.
        #[arg(long, default_value_t = 100)]
        count: usize,
    },
    /// The steps on a graphics processor: floating-point operations and bytes of an image, and the
    /// seconds that a batch takes, by the device's clock where it has one.
    Steps {
        #[command(flatten)]
        model: Model,
        #[arg(long, default_value_t = 32)]
        batch: usize,
        #[arg(long, default_value_t = 5)]
        repetitions: usize,
    },
    /// Writes the network with ODIN in it as an ONNX file that takes pixels in [0, 1], as
    /// `odin compile` does, for other runtimes.
    Compile {
        #[command(flatten)]
        model: Model,
        #[arg(short, long)]
        output: PathBuf,
    },
    /// The machine's peak of multiply-adds, GFLOP/s, for each kind of vectors that it has.
    Peak {
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Time {
            model,
            batch,
            images,
            repetitions,
        } => time(&model, batch, images.unwrap_or(batch), repetitions),
        What::Scaling {
            model,
            batch,
            repetitions,
        } => scaling(&model, batch, repetitions),
        What::Memory { model, images } => memory(&model, images),
        What::Grid {
            model,
            images,
            every,
        } => grid(&model, images, every),
        What::Start { model, repetitions } => start(&model, repetitions),
        What::First { model } => first(&model),
        What::Serve {
            model,
            images,
            count,
        } => serve(&model, images.as_ref(), count),
        What::Steps {
            model,
            batch,
            repetitions,
        } => steps(&model, batch, repetitions),
        What::Compile { model, output } => compile(&model, &output),
        What::Peak { threads } => peaks(threads),
    }
}

fn time(model: &Model, batch: usize, count: usize, repetitions: usize) -> Result<()> {
    ensure!(
        batch > 0 && count > 0 && repetitions > 0,
        "nothing to measure"
    );
    let classifier = model.open()?;
    let detector = model.detector(&classifier, model.threads)?;
    let images = images(&classifier, None, count)?;
    score(&detector, &images, batch)?;
    let peak = || fma_peak::widest(model.threads).map(|(_, gflops)| gflops);
    let (mut ms, mut peaks, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = peak();
    for _ in 0..repetitions {
        let (_, seconds) = score(&detector, &images, batch)?;
        let own = 1e3 * seconds / count as f64;
        ms.push(own);
        // The speed of a machine that is shared changes by the second.
        let after = peak();
        if let (Some(before), Some(after)) = (before, after) {
            let beside = (before + after) / 2.0;
            peaks.push(beside);
            shares.extend(share(&classifier, own, beside));
        }
        before = after;
    }
    let isa = fma_peak::Isa::available().first().map(ToString::to_string);
    let typical = |values: &[f64]| (!values.is_empty()).then(|| median(values));
    print(json!({
        "network": classifier.architecture(),
        "threads": model.threads,
        "batch": batch,
        "ms_per_image": ms,
        "median_ms_per_image": median(&ms),
        "multiply_adds_per_image": multiply_adds(&classifier),
        "isa": isa,
        "median_peak_gflops": typical(&peaks),
        "shares_of_peak": shares,
        "median_share_of_peak": typical(&shares),
        "peak_resident_bytes": process::peak_resident_bytes(),
    }))
}

fn scaling(model: &Model, batch: usize, repetitions: usize) -> Result<()> {
    ensure!(
        model.threads > 1,
        "--threads must be at least 2 to be compared with 1"
    );
    ensure!(batch > 0 && repetitions > 0, "nothing to measure");
    let classifier = model.open()?;
    let images = images(&classifier, None, batch)?;
    let one = model.detector(&classifier, 1)?;
    let many = model.detector(&classifier, model.threads)?;
    let (mut of_one, mut of_many) = (Vec::new(), Vec::new());
    for repetition in 0..=repetitions {
        for (detector, ms) in [(&one, &mut of_one), (&many, &mut of_many)] {
            let (_, seconds) = score(detector, &images, batch)?;
            if repetition > 0 {
                ms.push(1e3 * seconds / batch as f64);
            }
        }
    }
    print(json!({
        "network": classifier.architecture(),
        "batch": batch,
        "threads": model.threads,
        "ms_per_image_of_one_thread": median(&of_one),
        "ms_per_image": median(&of_many),
        "speed_up": median(&of_one) / median(&of_many),
    }))
}

fn memory(model: &Model, count: usize) -> Result<()> {
    let classifier = model.open()?;
    let detector = model.detector(&classifier, model.threads)?;
    let set = noise_for(&classifier, count)?;
    let scored = detector.score_set(&set, |_| {})?;
    print(json!({
        "network": classifier.architecture(),
        "threads": model.threads,
        "images": scored.rows.len(),
        "peak_resident_bytes": process::peak_resident_bytes(),
    }))
}

fn grid(model: &Model, count: usize, every: usize) -> Result<()> {
    ensure!(count > 0 && every > 0, "nothing to measure");
    let classifier = model.open()?;
    let images = noise_for(&classifier, count)?;
    let settings = Grid::paper().settings();
    let builder = || Detector::builder(&classifier).threads(model.threads);
    let sweep = builder().sweep(&settings)?;
    let begun = Instant::now();
    sweep.score_set(&images, |_| {})?;
    let together = begun.elapsed().as_secs_f64();
    let mut apart = Vec::new();
    for setting in settings.iter().step_by(every) {
        let detector = builder().setting(*setting).build()?;
        let begun = Instant::now();
        detector.score_set(&images, |_| {})?;
        apart.push(begun.elapsed().as_secs_f64());
    }
    let separate = median(&apart) * settings.len() as f64;
    print(json!({
        "network": classifier.architecture(),
        "threads": model.threads,
        "images": count,
        "settings": settings.len(),
        "seconds": together,
        "runs_measured": apart.len(),
        "seconds_of_separate_runs": separate,
        "speed_up": separate / together,
    }))
}

fn start(model: &Model, repetitions: usize) -> Result<()> {
    let arguments = first_arguments(model);
    let seconds = |_| process::seconds_to_first_line(&arguments);
    let seconds: Vec<f64> = (0..repetitions).map(seconds).collect::<Result<_>>()?;
    let ms: Vec<f64> = seconds.iter().map(|s| 1e3 * s).collect();
    print(json!({
        "network": model.network.display().to_string(),
        "threads": model.threads,
        "ms_to_first_score": ms,
        "median_ms_to_first_score": median(&ms),
    }))
}

fn first_arguments(model: &Model) -> Vec<String> {
    let list = |values: &[f32]| {
        let values: Vec<String> = values.iter().map(f32::to_string).collect();
        values.join(",")
    };
    let mut arguments = vec!["first".to_string(), model.network.display().to_string()];
    arguments.push(format!("--threads={}", model.threads));
    arguments.push(format!("--temperature={}", model.temperature));
    arguments.push(format!("--magnitude={}", model.magnitude));
    if !model.mean.is_empty() {
        arguments.push(format!("--mean={}", list(&model.mean)));
        arguments.push(format!("--std={}", list(&model.std)));
    }
    arguments
}

fn first(model: &Model) -> Result<()> {
    let classifier = model.open()?;
    let detector = model.detector(&classifier, model.threads)?;
    let images = images(&classifier, None, 1)?;
    let (scores, _) = score(&detector, &images, 1)?;
    print(json!({ "odin": scores[0].odin() }))
}

fn serve(model: &Model, file: Option<&PathBuf>, count: usize) -> Result<()> {
    let classifier = model.open()?;
    let detector = model.detector(&classifier, model.threads)?;
    let images = images(&classifier, file, count)?;
    let program = detector.gpu_program();
    let of_steps = |bytes: fn(&GpuStep) -> u64| {
        let program = program.as_ref()?;
        Some(program.steps.iter().map(bytes).sum::<u64>())
    };
    print(json!({
        "network": classifier.architecture(),
        "multiply_adds_per_image": multiply_adds(&classifier),
        "bytes_per_image": of_steps(|step| step.bytes),
        "bytes_of_weights": of_steps(|step| step.weight_bytes),
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (batch, count) =
            request(&line).with_context(|| format!("not `BATCH COUNT`: {line}"))?;
        let images = images
            .get(..count)
            .context("so many images are not in memory")?;
        let (scores, seconds) = score(&detector, images, batch)?;
        print(json!({
            "seconds": seconds,
            "prediction": scores.iter().map(|s| s.prediction).collect::<Vec<_>>(),
            "odin": scores.iter().map(|s| s.odin()).collect::<Vec<_>>(),
            "peak_resident_bytes": process::peak_resident_bytes(),
        }))?;
    }
    Ok(())
}

fn request(line: &str) -> Option<(usize, usize)> {
    let (batch, count) = line.trim().split_once(' ')?;
    let batch = batch.parse().ok().filter(|&batch| batch > 0)?;
    Some((batch, count.parse().ok()?))
}

fn steps(model: &Model, batch: usize, repetitions: usize) -> Result<()> {
    ensure!(batch > 0 && repetitions > 0, "nothing to measure");
    let classifier = model.open()?;
    let builder = model.builder(&classifier)?.batch_size(batch);
    let detector = builder.threads(model.threads).build()?;
    let program = detector
        .gpu_program()
        .context("steps are shown of graphics processors; --device gpu:N or cpu-vulkan")?;
    let image = &images(&classifier, None, 1)?[0];
    let times = detector.gpu_step_times(image, repetitions)?;
    let time = |i: usize| Some(times.as_ref()?.get(i)?.as_secs_f64());
    for (i, step) in program.steps.iter().enumerate() {
        print(json!({
            "what": step.what,
            "shape": step.shape,
            "shader": step.shader,
            "flops_per_image": step.flops,
            "bytes_per_image": step.bytes,
            "bytes_of_weights": step.weight_bytes,
            "batch": batch,
            "seconds": time(i),
        }))?;
    }
    Ok(())
}

fn compile(model: &Model, output: &Path) -> Result<()> {
    let options = CompileOptions::default()
        .setting(Setting::new(model.temperature, model.magnitude)?)
        .input(DetectorInput::PixelsF32);
    let file = odin::compile(&model.open()?, &options)?;
    std::fs::write(output, file).with_context(|| output.display().to_string())
}

fn peaks(threads: usize) -> Result<()> {
    for isa in fma_peak::Isa::available() {
        let gflops = isa.peak(threads);
        print(json!({ "isa": isa.to_string(), "threads": threads, "peak_gflops": gflops }))?;
    }
    Ok(())
}

fn multiply_adds(classifier: &Classifier) -> Option<u64> {
    Inspection::of(classifier).odin_multiply_adds.ok()
}

/// Of the peak; above 1 where an algorithm saves multiply-adds.
fn share(classifier: &Classifier, ms_per_image: f64, peak_gflops: f64) -> Option<f64> {
    let flops = 2.0 * multiply_adds(classifier)? as f64;
    Some(flops / (ms_per_image * 1e-3) / (peak_gflops * 1e9))
}

fn print(value: Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
