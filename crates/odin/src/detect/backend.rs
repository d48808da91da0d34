//! The engines that run a detector, behind one interface, and the devices that they run on.

use super::gpu_program::GpuProgram;
use crate::{Error, ErrorKind, Precision};
use odin_cpu::{Options, Output, WeightCache};
use odin_graph::Graph;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where a network runs. [`Device::Cpu`] is the built-in engine; [`Device::Gpu`] and
/// [`Device::CpuVulkan`] are the built-in engine for graphics processors, and need the feature `gpu`;
/// all others are done by ONNX Runtime and need the feature `onnxruntime`. A number chooses among
/// several devices of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Device {
    /// The CPU, by the built-in engine.
    #[default]
    Cpu,
    /// A graphics processor by Vulkan, Metal or DirectX 12, with no more than its driver. Never
    /// software: where there is none, that is an error.
    Gpu(u16),
    /// The CPU, by a Vulkan driver in software such as Mesa's lavapipe: what [`Device::Gpu`] runs,
    /// slowly, for tests.
    CpuVulkan,
    /// The CPU, by ONNX Runtime.
    CpuOrt,
    /// An NVIDIA GPU.
    Cuda(u16),
    /// An NVIDIA GPU, by TensorRT.
    TensorRt(u16),
    /// An AMD GPU.
    Rocm(u16),
    /// The CPU, by OpenVINO.
    OpenVino,
    /// The CPU and GPU of an Apple machine.
    CoreMl,
    /// A GPU under Windows.
    DirectMl(u16),
}

impl Device {
    /// Whether ONNX Runtime runs the network there, rather than a built-in engine.
    pub fn is_of_onnx_runtime(self) -> bool {
        !matches!(self, Self::Cpu | Self::Gpu(_) | Self::CpuVulkan)
    }

    /// Whether an engine is built there when a detector is, which may take minutes, and is kept where
    /// [`engine_cache`](crate::DetectorBuilder::engine_cache) says so.
    pub fn builds_engines(self) -> bool {
        matches!(self, Self::TensorRt(_))
    }

    /// The first device of each kind.
    const KINDS: [Self; 10] = [
        Self::Cpu,
        Self::Gpu(0),
        Self::CpuVulkan,
        Self::CpuOrt,
        Self::Cuda(0),
        Self::TensorRt(0),
        Self::Rocm(0),
        Self::OpenVino,
        Self::CoreMl,
        Self::DirectMl(0),
    ];

    /// The kind, and which of its devices.
    fn parts(self) -> (&'static str, Option<u16>) {
        match self {
            Self::Cpu => ("cpu", None),
            Self::Gpu(device) => ("gpu", Some(device)),
            Self::CpuVulkan => ("cpu-vulkan", None),
            Self::CpuOrt => ("cpu-ort", None),
            Self::Cuda(device) => ("cuda", Some(device)),
            Self::TensorRt(device) => ("tensorrt", Some(device)),
            Self::Rocm(device) => ("rocm", Some(device)),
            Self::OpenVino => ("openvino", None),
            Self::CoreMl => ("coreml", None),
            Self::DirectMl(device) => ("directml", Some(device)),
        }
    }

    /// The device of this number of the same kind, if devices of the kind have numbers.
    fn numbered(self, device: u16) -> Option<Self> {
        match self {
            Self::Gpu(_) => Some(Self::Gpu(device)),
            Self::Cuda(_) => Some(Self::Cuda(device)),
            Self::TensorRt(_) => Some(Self::TensorRt(device)),
            Self::Rocm(_) => Some(Self::Rocm(device)),
            Self::DirectMl(_) => Some(Self::DirectMl(device)),
            Self::Cpu | Self::CpuVulkan | Self::CpuOrt | Self::OpenVino | Self::CoreMl => None,
        }
    }
}

/// As options spell it, such as `cpu` or `cuda:0`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (kind, None) => f.write_str(kind),
            (kind, Some(device)) => write!(f, "{kind}:{device}"),
        }
    }
}

/// The reverse of [`Display`](fmt::Display); without a number the first device of its kind.
impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || {
            let kinds = Self::KINDS.map(|kind| match kind.parts() {
                (name, None) => name.to_string(),
                (name, Some(_)) => format!("{name}:N"),
            });
            let kinds = kinds.join(", ");
            invalid(format!(
                "there is no device {text:?}; the devices are {kinds}"
            ))
        };
        let (name, number) = match text.split_once(':') {
            None => (text, None),
            Some((name, number)) => (name, Some(number)),
        };
        let kind = Self::KINDS.into_iter().find(|kind| kind.parts().0 == name);
        match (kind, number) {
            (Some(kind), None) => Ok(kind),
            (Some(kind), Some(number)) => {
                let number = number.parse().ok();
                number
                    .and_then(|number| kind.numbered(number))
                    .ok_or_else(unknown)
            }
            (None, _) => Err(unknown()),
        }
    }
}

/// What an engine is prepared with.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    pub(crate) device: Device,
    pub(crate) threads: usize,
    /// Where the library of ONNX Runtime may be.
    pub(crate) libraries: Vec<PathBuf>,
    /// How many images are run at a time.
    pub(crate) batch_size: usize,
    /// Where TensorRT keeps the engines that it builds.
    pub(crate) engine_cache: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            device: Device::default(),
            threads: 1,
            libraries: Vec::new(),
            batch_size: 32,
            engine_cache: None,
        }
    }
}

/// More threads than any machine has cores, which would take minutes to start.
pub const MAX_THREADS: usize = 1024;

/// Refuses no threads, and more than anyone means.
pub(crate) fn check_threads(threads: usize) -> Result<(), Error> {
    match threads {
        1..=MAX_THREADS => Ok(()),
        _ => Err(invalid(format!(
            "{threads} threads were asked for; there may be 1 to {MAX_THREADS}"
        ))),
    }
}

/// A graph made ready to run somewhere.
pub(crate) enum Backend {
    BuiltIn(odin_cpu::Engine),
    #[cfg(feature = "gpu")]
    Gpu(odin_gpu::Engine),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime {
        engine: odin_ort::Engine,
        runtime: odin_ort::Runtime,
    },
}

impl Backend {
    pub(crate) fn new(
        graph: &Graph,
        options: &EngineOptions,
        precision: Precision,
    ) -> Result<Self, Error> {
        Self::with_weights(graph, options, precision, &WeightCache::default())
    }

    /// As [`Backend::new`]. Built-in engines that are prepared with the same cache share the packed
    /// weights of constants that their graphs share.
    pub(crate) fn with_weights(
        graph: &Graph,
        options: &EngineOptions,
        precision: Precision,
        weights: &WeightCache,
    ) -> Result<Self, Error> {
        check_threads(options.threads)?;
        match (options.device, precision) {
            (Device::Cpu, _) => {
                let (threads, of_cpu) = (options.threads, of_cpu(precision));
                let engine = odin_cpu::Engine::with_weights(graph, threads, of_cpu, weights)?;
                Ok(Self::BuiltIn(engine))
            }
            (Device::Gpu(_) | Device::CpuVulkan, Precision::Exact) => Self::on_gpu(graph, options),
            (_, Precision::Exact) => Self::by_onnx_runtime(graph, options),
            (device, Precision::Fast) => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "the precision fast is the built-in engine's, on the device cpu; on {device} scores are exact, or those of a file that was compiled as fast"
                ),
            )),
        }
    }

    #[cfg(feature = "gpu")]
    fn on_gpu(graph: &Graph, options: &EngineOptions) -> Result<Self, Error> {
        use odin_gpu::{Choice, Engine, Gpu};
        let choice = match options.device {
            Device::Gpu(number) => Choice::Hardware(number),
            _ => Choice::Software,
        };
        let gpu = Gpu::shared(choice)?;
        let engine = Engine::new(graph, &gpu, options.threads)?;
        Ok(Self::Gpu(engine))
    }

    #[cfg(not(feature = "gpu"))]
    fn on_gpu(_: &Graph, options: &EngineOptions) -> Result<Self, Error> {
        let device = options.device;
        Err(Error::new(
            ErrorKind::Device,
            format!(
                "{device} needs the engine for graphics processors, which this build lacks: build with the feature `gpu`"
            ),
        ))
    }

    #[cfg(feature = "onnxruntime")]
    fn by_onnx_runtime(graph: &Graph, options: &EngineOptions) -> Result<Self, Error> {
        use odin_ort::Provider;
        let provider = match options.device {
            // The first three do not come here.
            Device::Cpu | Device::Gpu(_) | Device::CpuVulkan | Device::CpuOrt => Provider::Cpu,
            Device::Cuda(device) => Provider::Cuda(device),
            Device::TensorRt(device) => Provider::TensorRt(device),
            Device::Rocm(device) => Provider::Rocm(device),
            Device::OpenVino => Provider::OpenVino,
            Device::CoreMl => Provider::CoreMl,
            Device::DirectMl(device) => Provider::DirectMl(device),
        };
        let runtime = odin_ort::Runtime::load(&options.libraries, provider)?;
        let engine = odin_ort::Engine::new(&runtime, graph, provider, &of_ort(options))?;
        Ok(Self::OnnxRuntime { engine, runtime })
    }

    #[cfg(not(feature = "onnxruntime"))]
    fn by_onnx_runtime(_: &Graph, options: &EngineOptions) -> Result<Self, Error> {
        let (device, candidates) = (options.device, options.libraries.len());
        Err(Error::new(
            ErrorKind::Device,
            format!(
                "{device} needs ONNX Runtime, which this build cannot load ({candidates} files named): build with the feature `onnxruntime`"
            ),
        ))
    }

    pub(crate) fn built_in(&self) -> Option<&odin_cpu::Engine> {
        match self {
            Self::BuiltIn(engine) => Some(engine),
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => None,
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime { .. } => None,
        }
    }

    /// The program of the engine for graphics processors, if that runs the network.
    pub(crate) fn gpu_program(&self) -> Option<GpuProgram> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(engine) => Some(engine.program().into()),
            _ => None,
        }
    }

    /// The shortest of some times of each step of [`Backend::gpu_program`] for a batch; `None` where
    /// the device has no clock.
    pub(crate) fn gpu_times(
        &self,
        images: usize,
        inputs: &[(&str, &[f32])],
        repetitions: usize,
    ) -> Result<Option<Vec<Duration>>, Error> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(engine) => match engine.times(images, inputs, repetitions) {
                Ok(times) => Ok(Some(times)),
                Err(e) if e.kind() == odin_gpu::ErrorKind::Device => Ok(None),
                Err(e) => Err(e.into()),
            },
            _ => Err(invalid(format!(
                "{images} images, {} inputs, {repetitions} repetitions: only graphics processors time their steps for a batch; the device must be gpu:N or cpu-vulkan",
                inputs.len()
            ))),
        }
    }

    /// The outputs of a batch, in the order of the graph.
    pub(crate) fn run(
        &self,
        images: usize,
        inputs: &[(&str, &[f32])],
    ) -> Result<Vec<Output>, Error> {
        match self {
            Self::BuiltIn(engine) => Ok(engine.run(images, inputs)?),
            #[cfg(feature = "gpu")]
            Self::Gpu(engine) => {
                let outputs = engine.run(images, inputs)?.into_iter();
                let outputs = outputs.map(|output| match output {
                    odin_gpu::Output::Float(values) => Output::Float(values),
                    odin_gpu::Output::Int(values) => Output::Int(values),
                    odin_gpu::Output::Bool(values) => Output::Bool(values),
                });
                Ok(outputs.collect())
            }
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime { engine, .. } => {
                let outputs = engine.run(images, inputs)?.into_iter();
                let outputs = outputs.map(|output| match output {
                    odin_ort::Output::Float(values) => Output::Float(values),
                    odin_ort::Output::Int(values) => Output::Int(values),
                    odin_ort::Output::Bool(values) => Output::Bool(values),
                });
                Ok(outputs.collect())
            }
        }
    }

    /// What the network's products are computed with, such as `AVX-512`; `None` where another engine
    /// does so.
    pub(crate) fn instructions(&self) -> Option<String> {
        let program = self.built_in().map(odin_cpu::Engine::program);
        program.map(|program| program.instruction_names())
    }

    /// Its name in reports.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::BuiltIn(_) => format!("built-in {}", env!("CARGO_PKG_VERSION")),
            #[cfg(feature = "gpu")]
            Self::Gpu(engine) => {
                let device = engine.gpu().info();
                format!("built-in {} on {device}", env!("CARGO_PKG_VERSION"))
            }
            #[cfg(feature = "onnxruntime")]
            Self::OnnxRuntime { runtime, .. } => format!("ONNX Runtime {}", runtime.version()),
        }
    }
}

/// The options of ONNX Runtime. TensorRT builds an engine for each shape that it meets, and takes
/// long for it: it is given one.
#[cfg(feature = "onnxruntime")]
fn of_ort(options: &EngineOptions) -> odin_ort::Options {
    let is_built = options.device.builds_engines();
    odin_ort::Options {
        threads: options.threads,
        images_at_a_time: is_built.then_some(options.batch_size),
        engine_cache: options.engine_cache.clone(),
    }
}

/// The options of the built-in engine.
pub(crate) fn of_cpu(precision: Precision) -> Options {
    let mut options = Options::default();
    options.precision = match precision {
        Precision::Exact => odin_cpu::Precision::Exact,
        Precision::Fast => odin_cpu::Precision::Fast,
    };
    options
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for (text, device) in [
            ("cpu", Device::Cpu),
            ("gpu:1", Device::Gpu(1)),
            ("cpu-vulkan", Device::CpuVulkan),
            ("cpu-ort", Device::CpuOrt),
            ("cuda:3", Device::Cuda(3)),
            ("tensorrt:0", Device::TensorRt(0)),
            ("rocm:1", Device::Rocm(1)),
            ("openvino", Device::OpenVino),
            ("coreml", Device::CoreMl),
            ("directml:65535", Device::DirectMl(65535)),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert_eq!("gpu".parse(), Ok(Device::Gpu(0)));
    }

    /// One engine for TensorRT, of the batch that it will be given; other providers take any.
    #[cfg(feature = "onnxruntime")]
    #[test]
    fn what_onnx_runtime_is_asked_for() {
        let cache = Some(PathBuf::from("kept"));
        for (device, images_at_a_time) in [
            (Device::TensorRt(1), Some(7)),
            (Device::Cuda(0), None),
            (Device::CpuOrt, None),
        ] {
            let options = EngineOptions {
                device,
                threads: 3,
                batch_size: 7,
                engine_cache: cache.clone(),
                ..EngineOptions::default()
            };
            let expected = odin_ort::Options {
                threads: 3,
                images_at_a_time,
                engine_cache: cache.clone(),
            };
            assert_eq!(of_ort(&options), expected, "{device}");
        }
    }

    #[test]
    fn other_devices_are_refused() {
        for text in [
            "",
            "GPU",
            "CPU",
            "cpu-vulkan:0",
            "cpu:0",
            "cuda:",
            "cuda:-1",
            "cuda:65536",
            "cuda:0:1",
        ] {
            let error = text.parse::<Device>().unwrap_err().to_string();
            assert!(
                error.contains("cuda:N") && error.contains("cpu-ort"),
                "{error}"
            );
        }
    }
}
