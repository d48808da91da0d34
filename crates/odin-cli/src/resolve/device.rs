//! The device that `--device` names, and detectors that run on it.

use crate::args::{ComputeOptions, DeviceOptions, UsageError};
use crate::output::progress::say;
use anyhow::{Context, Result, bail};
use odin::{
    CalibratedDetector, Classifier, Detector, DetectorBuilder, Device, ErrorKind, OpenDetector,
    OutputCache, Precision,
};
use odin_report::ComputedIn;
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whether the engine for graphics processors is in this build.
const GPU: bool = cfg!(feature = "gpu");

/// Whether ONNX Runtime can be loaded.
const ONNX_RUNTIME: bool = cfg!(feature = "onnxruntime");

/// Names a library of ONNX Runtime, as other programs that load it read it.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// What the loader knows the library by.
const DEFAULT_LIBRARY: &str = if cfg!(windows) {
    "onnxruntime.dll"
} else if cfg!(target_vendor = "apple") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// The device that the options name; wrong usage where they make no sense or this build knows
/// the built-in engine only.
pub(crate) fn chosen(options: &DeviceOptions) -> Result<Device> {
    let (device, option) = match options.gpu {
        Some(gpu) => (Device::Gpu(gpu), format!("--gpu {gpu}")),
        None => (options.device, format!("--device {}", options.device)),
    };
    if options.engine_cache.is_some() && !device.builds_engines() {
        return Err(UsageError(format!(
            "--engine-cache: the device {device} builds no engines; tensorrt:N does"
        ))
        .into());
    }
    match (device, &options.onnxruntime) {
        (Device::Cpu, None) => Ok(device),
        (Device::Gpu(_) | Device::CpuVulkan, None) if GPU => Ok(device),
        (Device::Gpu(_) | Device::CpuVulkan, None) => Err(UsageError(format!(
            "{option} needs the engine for graphics processors, which this build lacks; rebuild with `--features gpu`."
        ))
        .into()),
        (Device::Cpu | Device::Gpu(_) | Device::CpuVulkan, Some(_)) => Err(UsageError(format!(
            "--onnxruntime: the device {device} needs no library; --device cpu-ort is ONNX Runtime on the CPU, and cuda:N on an NVIDIA GPU"
        ))
        .into()),
        _ if ONNX_RUNTIME => Ok(device),
        _ => Err(UsageError(format!(
            "{option} needs ONNX Runtime, which this build lacks; rebuild with `--features onnxruntime`."
        ))
        .into()),
    }
}

/// The number of threads asked for, or of cores.
pub(crate) fn threads(asked_for: Option<usize>) -> usize {
    asked_for.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Begins a detector with the threads and the batch size asked for, and the cache, if any.
pub(crate) fn builder(
    classifier: &Classifier,
    compute: &ComputeOptions,
    cache: Option<&OutputCache>,
) -> DetectorBuilder {
    let builder = Detector::builder(classifier)
        .threads(threads(compute.threads))
        .batch_size(compute.batch_size);
    match cache {
        Some(cache) => builder.cache(cache.clone()),
        None => builder,
    }
}

/// Prepares a network for the device.
pub(crate) fn build(
    builder: DetectorBuilder,
    device: Device,
    options: &DeviceOptions,
) -> Result<Detector> {
    prepare(builder, device, options, DetectorBuilder::build)
}

/// Finishes a builder on the device.
pub(crate) fn prepare<T>(
    builder: DetectorBuilder,
    device: Device,
    options: &DeviceOptions,
    finish: impl FnOnce(DetectorBuilder) -> Result<T, odin::Error>,
) -> Result<T> {
    if !device.is_of_onnx_runtime() {
        return Ok(finish(builder.device(device))?);
    }
    let (libraries, looked) = libraries(options)?;
    let mut builder = builder.device(device).onnx_runtime(libraries);
    if let Some(folder) = &options.engine_cache {
        builder = builder.engine_cache(folder);
    }
    found(finish(builder), device, &looked)
}

/// Does what builds engines for a device, and tells how long that took; `None` where none are built.
pub(crate) fn timed<T>(
    device: Device,
    quiet: bool,
    action: impl FnOnce() -> Result<T>,
) -> Result<(T, Option<Duration>)> {
    let started = Instant::now();
    let done = action()?;
    if !device.builds_engines() {
        return Ok((done, None));
    }
    let took = started.elapsed();
    if !quiet {
        say(&format!(
            "  prepared for {device} in {:.1} s, which builds an engine unless one was kept (--engine-cache)",
            took.as_secs_f64()
        ));
    }
    Ok((done, Some(took)))
}

/// Opens a calibrated detector on the device.
pub(crate) fn open(
    open: OpenDetector,
    device: Device,
    options: &DeviceOptions,
    path: &Path,
) -> Result<CalibratedDetector> {
    let (open, looked) = on(open, device, options)?;
    found(open.open(path), device, &looked)
}

/// How a detector is opened on the device, and where a library for it was looked for.
pub(crate) fn on(
    open: OpenDetector,
    device: Device,
    options: &DeviceOptions,
) -> Result<(OpenDetector, String)> {
    if !device.is_of_onnx_runtime() {
        return Ok((open.device(device), String::new()));
    }
    let (libraries, looked) = libraries(options)?;
    let open = open.device(device).onnx_runtime(libraries);
    Ok(match &options.engine_cache {
        Some(folder) => (open.engine_cache(folder), looked),
        None => (open, looked),
    })
}

/// The prepared detector, or an error that lists where the library was looked for.
fn found<T>(prepared: Result<T, odin::Error>, device: Device, looked: &str) -> Result<T> {
    match prepared {
        Err(error) if error.kind() == ErrorKind::Device && device.is_of_onnx_runtime() => {
            bail!("device {device}: {error}\nWhere the library was looked for: {looked}")
        }
        other => Ok(other?),
    }
}

/// Prints what runs the network.
pub(crate) fn announce(detector: &Detector, classifier: &Classifier, quiet: bool) {
    if quiet {
        return;
    }
    if classifier.detector_card().is_some() {
        say(
            "  This is a compiled detector: its network is taken out, and ODIN is built around it anew; `odin verify` runs the file as it is.",
        );
    }
    let precision = match detector.setting().precision {
        Precision::Exact => String::new(),
        _ => format!(", {}", ComputedIn::from(detector)),
    };
    say(&format!(
        "  runs on: {} ({}){precision}",
        detector.device(),
        detector.engine()
    ));
}

/// Candidate paths of the library, and a description of where they are from: the one place that
/// the user names, or else the usual ones.
fn libraries(options: &DeviceOptions) -> Result<(Vec<PathBuf>, String)> {
    if let Some(path) = &options.onnxruntime {
        let path = std::path::absolute(path).context("--onnxruntime")?;
        return Ok((vec![path], "--onnxruntime".to_string()));
    }
    if let Some(path) = env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()) {
        let said = format!("{LIBRARY_VARIABLE} (--onnxruntime PATH takes precedence)");
        return Ok((vec![path.into()], said));
    }
    let mut libraries = vec![PathBuf::from(DEFAULT_LIBRARY)];
    let mut looked = vec!["what the loader finds".to_string()];
    for python in pythons() {
        let found = of_python(&python);
        looked.push(match found.is_empty() {
            true => format!("{} (has no package onnxruntime)", python.display()),
            false => python.display().to_string(),
        });
        let new = found.into_iter().filter(|file| !libraries.contains(file));
        libraries.extend(new.collect::<Vec<_>>());
    }
    let looked = looked.join(", ");
    let said = format!("{looked}; --onnxruntime PATH or {LIBRARY_VARIABLE} names another file");
    Ok((libraries, said))
}

/// That of the active virtual environment, and the one on the path.
fn pythons() -> Vec<PathBuf> {
    let (in_environment, on_path) = match cfg!(windows) {
        true => ("Scripts/python.exe", "python"),
        false => ("bin/python3", "python3"),
    };
    let environment = env::var_os("VIRTUAL_ENV").filter(|path| !path.is_empty());
    let environment = environment.map(|path| Path::new(&path).join(in_environment));
    environment.into_iter().chain([on_path.into()]).collect()
}

/// Prints the folder of the package onnxruntime, which is not imported. The working folder is not
/// searched: a module that happens to be there must not be loaded.
const FOLDER_OF_PACKAGE: &str = "\
import sys
sys.path = [p for p in sys.path if p]
import importlib.util
spec = importlib.util.find_spec('onnxruntime')
print(*(spec.submodule_search_locations or []) if spec else [], sep='\\n')";

/// The libraries in the package onnxruntime of a Python.
fn of_python(python: &Path) -> Vec<PathBuf> {
    let command = Command::new(python)
        .args(["-c", FOLDER_OF_PACKAGE])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = command else {
        return Vec::new();
    };
    let folders = String::from_utf8_lossy(&output.stdout);
    let folders = folders.lines().filter(|line| !line.is_empty());
    let files = folders.flat_map(|folder| {
        let entries = std::fs::read_dir(Path::new(folder).join("capi"));
        let files = entries.into_iter().flatten().flatten();
        files.map(|entry| entry.path())
    });
    files.filter(|file| is_library(file)).collect()
}

/// Such as `libonnxruntime.so.1.32.0`, and not what it loads itself (`libonnxruntime_providers…`).
fn is_library(file: &Path) -> bool {
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    match cfg!(target_vendor = "apple") {
        true => name.starts_with("libonnxruntime.") && name.ends_with(".dylib"),
        false => name.starts_with(DEFAULT_LIBRARY),
    }
}
