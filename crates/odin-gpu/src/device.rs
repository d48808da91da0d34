//! Devices: which there are, and one opened.

use crate::{Error, ErrorKind};
use pollster::block_on;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// What kind of device computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A graphics processor with memory of its own.
    Discrete,
    /// A graphics processor that shares the memory of the CPU.
    Integrated,
    /// One that a virtual machine offers, or of unknown kind.
    Virtual,
    /// The CPU, by a driver in software such as Mesa's lavapipe: for tests.
    Software,
}

/// A device, as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The name, such as `NVIDIA H100 PCIe`.
    pub name: String,
    /// What computes.
    pub kind: DeviceKind,
    /// The interface: `Vulkan`, `Metal` or `DirectX 12`.
    pub interface: &'static str,
    /// The driver and its version.
    pub driver: String,
}

/// Such as `NVIDIA H100 PCIe (Vulkan, NVIDIA 550.54)`.
impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.interface, self.driver)
    }
}

/// Which device to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// This one of the graphics processors: discrete ones come first. Never software.
    Hardware(u16),
    /// The first device in software.
    Software,
}

/// A device that is open. Clones share it.
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

struct Inner {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    layout: wgpu::BindGroupLayout,
    pipeline_layout: wgpu::PipelineLayout,
    /// By the text of their shaders.
    pipelines: Mutex<HashMap<String, wgpu::ComputePipeline>>,
    /// Why the device is lost, once it is.
    lost: Arc<OnceLock<String>>,
    /// The first error that no scope caught.
    uncaught: Arc<OnceLock<String>>,
}

/// The devices that there are, graphics processors first.
pub fn devices() -> Vec<DeviceInfo> {
    adapters().into_iter().map(|(info, _)| info).collect()
}

fn adapters() -> Vec<(DeviceInfo, wgpu::Adapter)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    let adapters = block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let mut all: Vec<_> = adapters.into_iter().map(|a| (describe(&a), a)).collect();
    // Windows offers one card by two interfaces.
    let is_hardware = |info: &DeviceInfo| info.kind != DeviceKind::Software;
    let offers = |interface: &&str| {
        let mut infos = all.iter().map(|(info, _)| info);
        infos.any(|info| is_hardware(info) && info.interface == *interface)
    };
    let preferred = ["Vulkan", "Metal", "DirectX 12"].into_iter().find(offers);
    all.retain(|(info, _)| !is_hardware(info) || Some(info.interface) == preferred);
    all.sort_by_key(|(info, _)| match info.kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Virtual => 2,
        DeviceKind::Software => 3,
    });
    all
}

fn describe(adapter: &wgpu::Adapter) -> DeviceInfo {
    let info = adapter.get_info();
    let driver = format!("{} {}", info.driver, info.driver_info);
    DeviceInfo {
        name: odin_error::escape(&info.name).to_string(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
            wgpu::DeviceType::Cpu => DeviceKind::Software,
            _ => DeviceKind::Virtual,
        },
        interface: match info.backend {
            wgpu::Backend::Vulkan => "Vulkan",
            wgpu::Backend::Metal => "Metal",
            wgpu::Backend::Dx12 => "DirectX 12",
            _ => "another interface",
        },
        driver: odin_error::escape(driver.trim()).to_string(),
    }
}

impl Gpu {
    /// Opens a device.
    ///
    /// # Errors
    /// If there is none of the kind, or its driver refuses.
    pub fn open(choice: Choice) -> Result<Self, Error> {
        let all = adapters();
        let names: Vec<String> = all.iter().map(|(info, _)| info.to_string()).collect();
        let is_software = |info: &DeviceInfo| info.kind == DeviceKind::Software;
        let mut found = all.into_iter();
        let chosen = match choice {
            Choice::Hardware(number) => found
                .filter(|(info, _)| !is_software(info))
                .nth(number.into()),
            Choice::Software => found.find(|(info, _)| is_software(info)),
        };
        let Some((info, adapter)) = chosen else {
            return Err(absent(choice, &names));
        };
        let limits = adapter.limits();
        let request = wgpu::DeviceDescriptor {
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = block_on(adapter.request_device(&request)).map_err(|e| {
            let message = format!("{info}: the driver does not open the device");
            Error::new(ErrorKind::Device, message).because(e)
        })?;
        Ok(Self::new(info, device, queue, limits))
    }

    /// The device, opened once for all engines of the process that use it at a time, which then share
    /// compiled shaders too. One that is lost or has reported an
    /// error that nobody waited for is opened again.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn shared(choice: Choice) -> Result<Self, Error> {
        static OPEN: Mutex<Vec<(Choice, Weak<Inner>)>> = Mutex::new(Vec::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let works =
            |inner: Arc<Inner>| inner.lost.get().is_none() && inner.uncaught.get().is_none();
        open.retain(|(_, inner)| inner.upgrade().is_some_and(works));
        let known = open.iter().find(|(own, _)| *own == choice);
        if let Some(inner) = known.and_then(|(_, inner)| inner.upgrade()) {
            return Ok(Self { inner });
        }
        let gpu = Self::open(choice)?;
        open.push((choice, Arc::downgrade(&gpu.inner)));
        Ok(gpu)
    }

    fn new(
        info: DeviceInfo,
        device: wgpu::Device,
        queue: wgpu::Queue,
        limits: wgpu::Limits,
    ) -> Self {
        let (lost, uncaught) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let (set_lost, set_uncaught) = (Arc::clone(&lost), Arc::clone(&uncaught));
        device.set_device_lost_callback(move |reason, message| {
            let _ = set_lost.set(format!("{reason:?}: {message}"));
        });
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let _ = set_uncaught.set(error.to_string());
        }));
        let storage = |binding, read_only| entry(binding, Binding::Storage { read_only });
        let entries = [
            storage(0, false),
            storage(1, true),
            storage(2, true),
            entry(3, Binding::Uniform),
        ];
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("odin"),
            entries: &entries,
        });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("odin"),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        Self {
            inner: Arc::new(Inner {
                info,
                device,
                queue,
                limits,
                layout,
                pipeline_layout,
                pipelines: Mutex::default(),
                lost,
                uncaught,
            }),
        }
    }

    /// What the driver says of the device.
    pub fn info(&self) -> &DeviceInfo {
        &self.inner.info
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    pub(crate) fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    pub(crate) fn layout(&self) -> &wgpu::BindGroupLayout {
        &self.inner.layout
    }

    /// Does something with the device; what the driver reports meanwhile is an error.
    pub(crate) fn checked<T>(&self, action: impl FnOnce() -> T) -> Result<T, Error> {
        let device = self.device();
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let result = action();
        let memory = block_on(memory.pop());
        let others = [block_on(validation.pop()), block_on(internal.pop())];
        let name = &self.inner.info.name;
        if let Some(error) = memory {
            let message = format!("{name}: the device has too little memory");
            return Err(Error::new(ErrorKind::OutOfMemory, message).because(error));
        }
        if let Some(error) = others.into_iter().flatten().next() {
            let message = format!("{name}: the driver reports an error");
            return Err(Error::new(ErrorKind::Run, message).because(error));
        }
        self.check_lost()?;
        Ok(result)
    }

    /// Waits until a submission, or all of them, is done.
    pub(crate) fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        };
        // wgpu panics where a device is lost meanwhile.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device().poll(wait)));
        self.check_lost()?;
        let failed = |reason: String| {
            let name = &self.inner.info.name;
            Err(Error::new(
                ErrorKind::Run,
                format!("{name}: the device does not answer: {reason}; use the device cpu"),
            ))
        };
        match polled {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => failed(e.to_string()),
            Err(_) => failed("it was lost while it computed".to_string()),
        }
    }

    /// An error if the device is lost, or reported what nobody waited for.
    pub(crate) fn check_lost(&self) -> Result<(), Error> {
        let name = &self.inner.info.name;
        let said = |what: &str, reason: &str| {
            Err(Error::new(
                ErrorKind::Run,
                format!("{name}: {what}: {reason}; start again, or use the device cpu"),
            ))
        };
        match (self.inner.lost.get(), self.inner.uncaught.get()) {
            (Some(reason), _) => said("the device is lost", reason),
            (_, Some(reason)) => said("the driver reports an error", reason),
            _ => Ok(()),
        }
    }

    /// The pipelines of shaders, in their order. Those that are not known yet are compiled by this
    /// many threads.
    pub(crate) fn pipelines(
        &self,
        texts: &[&str],
        threads: usize,
    ) -> Result<Vec<wgpu::ComputePipeline>, Error> {
        let known = || {
            let pipelines = &self.inner.pipelines;
            pipelines.lock().unwrap_or_else(PoisonError::into_inner)
        };
        let mut missing: Vec<&str> = texts.to_vec();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|text| !known().contains_key(*text));
        let share = missing.len().div_ceil(threads.max(1)).max(1);
        let compiled = std::thread::scope(|scope| {
            let parts = missing.chunks(share);
            let started: Vec<_> = parts
                .map(|part| {
                    scope.spawn(move || {
                        let each = part
                            .iter()
                            .map(|text| Ok((text.to_string(), self.compile(text)?)));
                        each.collect::<Result<Vec<_>, Error>>()
                    })
                })
                .collect();
            let joined = started.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    let message = "the compilation of shaders ended early; please report this";
                    Err(Error::new(ErrorKind::Run, message))
                })
            });
            joined.collect::<Result<Vec<_>, Error>>()
        })?;
        known().extend(compiled.into_iter().flatten());
        let known = known();
        let found = texts.iter().filter_map(|text| known.get(*text).cloned());
        Ok(found.collect())
    }

    fn compile(&self, text: &str) -> Result<wgpu::ComputePipeline, Error> {
        let source = wgpu::ShaderModuleDescriptor {
            label: Some("odin"),
            source: wgpu::ShaderSource::Wgsl(text.into()),
        };
        self.checked(|| {
            // Shaders check the bounds of what they read themselves, where a check is needed.
            let module = trusted::module(self.device(), source);
            let options = wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            };
            self.device()
                .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some("odin"),
                    layout: Some(&self.inner.pipeline_layout),
                    module: &module,
                    entry_point: Some("main"),
                    compilation_options: options,
                    cache: None,
                })
        })
    }
}

/// The one place that tells the compiler of shaders not to add checks of bounds.
mod trusted {
    #![allow(unsafe_code)]

    pub(super) fn module(
        device: &wgpu::Device,
        source: wgpu::ShaderModuleDescriptor<'_>,
    ) -> wgpu::ShaderModule {
        // SAFETY: the text is written by `crate::shader` from the shapes of a graph that is
        // verified, never by a user. Every index that it forms is below the extent of a value in
        // the arena, or compared with it; every loop is bounded by an extent.
        unsafe {
            device.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked())
        }
    }
}

enum Binding {
    Storage { read_only: bool },
    Uniform,
}

fn entry(binding: u32, kind: Binding) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        count: None,
        ty: wgpu::BindingType::Buffer {
            ty: match kind {
                Binding::Storage { read_only } => wgpu::BufferBindingType::Storage { read_only },
                Binding::Uniform => wgpu::BufferBindingType::Uniform,
            },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
    }
}

fn absent(choice: Choice, names: &[String]) -> Error {
    let wanted = match choice {
        Choice::Hardware(0) => "no graphics processor was found".to_string(),
        Choice::Hardware(number) => format!("there is no graphics processor number {number}"),
        Choice::Software => "no Vulkan device in software was found".to_string(),
    };
    let seen = match names.is_empty() {
        true => "no driver of Vulkan, Metal or DirectX 12 offers a device".to_string(),
        false => format!("the devices are: {}", names.join(", ")),
    };
    let advice = match choice {
        Choice::Hardware(_) => "install the vendor's driver, or use the device cpu",
        Choice::Software => "install Mesa's lavapipe (Debian: mesa-vulkan-drivers)",
    };
    Error::new(ErrorKind::Device, format!("{wanted}; {seen}; {advice}"))
}
