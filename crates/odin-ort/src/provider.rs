//! The execution providers of ONNX Runtime, and their session options.

use crate::cuda_libraries;
use crate::error::reason;
use crate::{Error, ErrorKind, Options, Runtime};
use ort::ep::coreml::{ComputeUnits, ModelFormat};
use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{
    self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch,
};
use ort::session::builder::SessionBuilder;
use std::path::Path;

/// What ONNX Runtime runs a graph on; a number chooses among several devices of a kind.
///
/// All compute in f32: faster arithmetic of less precision, which several would use of their own
/// accord, is off wherever it can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// The CPU, by ONNX Runtime's own kernels.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(u16),
    /// An NVIDIA GPU through TensorRT, which uses TF32 unless the environment forbids it; what
    /// TensorRT lacks runs by CUDA.
    TensorRt(u16),
    /// An AMD GPU; releases of ONNX Runtime up to 1.22 have it.
    Rocm(u16),
    /// The CPU, by OpenVINO.
    OpenVino,
    /// The CPU and GPU of an Apple machine.
    CoreMl,
    /// A GPU under Windows.
    DirectMl(u16),
}

/// The name of a provider, and how a library with it is installed.
struct Source {
    name: &'static str,
    command: &'static str,
    /// The requirements beside the library.
    needs: &'static str,
}

impl Provider {
    /// Its name in ONNX Runtime.
    pub fn name(self) -> &'static str {
        self.source().name
    }

    /// A command that provides a library with this provider.
    pub fn install_command(self) -> &'static str {
        self.source().command
    }

    fn source(self) -> Source {
        let (name, command, needs) = match self {
            Self::Cpu => (
                ep::CPU::NAME,
                "python3 -m pip install onnxruntime",
                "nothing else",
            ),
            Self::Cuda(_) => (
                ep::CUDA::NAME,
                "python3 -m pip install 'onnxruntime-gpu[cuda,cudnn]'",
                "an NVIDIA GPU of this number with its driver, CUDA and cuDNN (the command brings the last two)",
            ),
            Self::TensorRt(_) => (
                ep::TensorRT::NAME,
                "python3 -m pip install 'onnxruntime-gpu[cuda,cudnn]' 'tensorrt<11'",
                "an NVIDIA GPU of this number with its driver, CUDA, cuDNN and TensorRT (the command brings the last three)",
            ),
            Self::Rocm(_) => (
                ep::ROCm::NAME,
                "python3 -m pip install onnxruntime-rocm",
                "an AMD GPU of this number with its driver and ROCm",
            ),
            Self::OpenVino => (
                ep::OpenVINO::NAME,
                "python3 -m pip install onnxruntime-openvino",
                "nothing else",
            ),
            Self::CoreMl => (
                ep::CoreML::NAME,
                "python3 -m pip install onnxruntime",
                "an Apple machine with macOS 12 or newer",
            ),
            Self::DirectMl(_) => (
                ep::DirectML::NAME,
                "python -m pip install onnxruntime-directml",
                "Windows with a GPU of this number",
            ),
        };
        Source {
            name,
            command,
            needs,
        }
    }

    /// Lets a session run on this provider, or fails: it never falls back to another. `engines` is
    /// the folder in which TensorRT keeps what it builds.
    pub(crate) fn register(
        self,
        builder: SessionBuilder,
        runtime: &Runtime,
        threads: usize,
        engines: Option<&Path>,
    ) -> Result<SessionBuilder, Error> {
        let (name, Source { command, needs, .. }) = (self.name(), self.source());
        let failed = |message| Error::new(ErrorKind::Provider, message);
        if !self.is_available().map_err(|e| failed(reason(&e)))? {
            return Err(failed(format!(
                "{runtime} has no {name}; `{command}` provides a library that has it (in an environment without the package onnxruntime, if that is another: both write to one folder)"
            )));
        }
        if let Self::Cuda(_) | Self::TensorRt(_) = self {
            cuda_libraries::preload(runtime.library());
        }
        let registered = builder.with_execution_providers(self.dispatch(threads, engines));
        let builder = registered.map_err(|e| {
            let reason = reason(&e);
            failed(format!(
                "{runtime} cannot start its {name}: {reason}; it needs {needs}: `{command}`"
            ))
        })?;
        match self {
            // DirectML does not work with it.
            Self::DirectMl(_) => builder
                .with_memory_pattern(false)
                .map_err(|e| failed(reason(&e))),
            _ => Ok(builder),
        }
    }

    fn is_available(self) -> ort::Result<bool> {
        match self {
            Self::Cpu => Ok(true),
            Self::Cuda(_) => ep::CUDA::is_available(),
            Self::TensorRt(_) => ep::TensorRT::is_available(),
            Self::Rocm(_) => ep::ROCm::is_available(),
            Self::OpenVino => ep::OpenVINO::is_available(),
            Self::CoreMl => ep::CoreML::is_available(),
            Self::DirectMl(_) => ep::DirectML::is_available(),
        }
    }

    fn dispatch(self, threads: usize, engines: Option<&Path>) -> Vec<ExecutionProviderDispatch> {
        let providers = match self {
            Self::Cpu => vec![],
            Self::Cuda(device) => vec![cuda(device).build()],
            Self::TensorRt(device) => {
                let options = Options::of_tensorrt(device, engines).into_iter();
                let provider = options.fold(ep::TensorRT::default(), |provider, (key, value)| {
                    provider.with_arbitrary_config(key, value)
                });
                vec![provider.build(), cuda(device).build()]
            }
            Self::Rocm(device) => {
                vec![ep::ROCm::default().with_device_id(device.into()).build()]
            }
            Self::OpenVino => vec![
                ep::OpenVINO::default()
                    .with_device_type("CPU")
                    .with_precision("FP32")
                    .with_num_threads(threads)
                    .build(),
            ],
            // The neural engine, and the older format on the GPU, compute in f16.
            Self::CoreMl => vec![
                ep::CoreML::default()
                    .with_model_format(ModelFormat::MLProgram)
                    .with_compute_units(ComputeUnits::CPUAndGPU)
                    .build(),
            ],
            Self::DirectMl(device) => vec![
                ep::DirectML::default()
                    .with_device_id(device.into())
                    .build(),
            ],
        };
        let all = providers.into_iter();
        all.map(ExecutionProviderDispatch::error_on_failure)
            .collect()
    }
}

/// Convolution algorithms are chosen by cuDNN's heuristic rather than by timing, whose choice
/// varies from run to run.
fn cuda(device: u16) -> ep::CUDA {
    ep::CUDA::default()
        .with_device_id(device.into())
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        .with_tf32(false)
}
