//! The engine: compiles a graph, and runs it batch by batch.

mod times;

use crate::constants::{self, Bound, Constants};
use crate::device::Gpu;
use crate::grid::{SUBMISSION_FLOPS, most_images, workgroups};
use crate::lower::{Located, Plan, lower};
use crate::shader::Home;
use crate::{Error, ErrorKind, Program, ProgramStep};
use odin_graph::passes::{eliminate_idle_rows, fold_constants, fold_paddings};
use odin_graph::{DType, Graph};
use odin_lower::{Port, in_order};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, PoisonError, mpsc};

/// Subgraphs of constants are evaluated once, up to this many elements.
const LARGEST_CONSTANT: usize = 1 << 28;
/// Batches that are on their way at a time: one is uploaded while another is computed.
const IN_FLIGHT: usize = 2;

/// A graph compiled for a device.
///
/// All values stay on the device; images are uploaded once, and outputs are downloaded. An image's
/// results do not depend on the batch. Runs of one engine wait for each other.
pub struct Engine {
    gpu: Gpu,
    plan: Plan,
    pipelines: Vec<wgpu::ComputePipeline>,
    constants: Constants,
    run: wgpu::Buffer,
    /// The most images at a time that the device's limits allow.
    most_images: usize,
    held: Mutex<Held>,
}

/// The arena, and for how many images there was memory at most.
struct Held {
    arena: Option<Arena>,
    most: usize,
}

/// Memory for the values of some images.
struct Arena {
    capacity: usize,
    buffer: wgpu::Buffer,
    groups: Vec<wgpu::BindGroup>,
}

/// An output of the graph: the elements of all images, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Real numbers.
    Float(Vec<f32>),
    /// Integers: class indices.
    Int(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// Outputs on their way back.
struct Pending {
    images: Range<usize>,
    staging: Option<wgpu::Buffer>,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

impl Engine {
    /// Compiles `graph` for a device, by this many threads.
    ///
    /// # Errors
    /// If the graph has an operator that the engine does not support, or the values of one image do
    /// not fit the device's limits.
    pub fn new(graph: &Graph, gpu: &Gpu, threads: usize) -> Result<Self, Error> {
        let folded = fold_constants(graph, LARGEST_CONSTANT)
            .and_then(|graph| eliminate_idle_rows(&graph))
            .and_then(|graph| fold_paddings(&graph))
            .map_err(|e| Error::new(ErrorKind::UnsupportedGraph, e.to_string()))?;
        let mut plan = lower(&folded)?;
        let most_images = most_images(&plan, gpu)?;
        let texts: Vec<&str> = plan.steps.iter().map(|s| &s.kernel.text[..]).collect();
        let pipelines = gpu.pipelines(&texts, threads)?;
        let constants = constants::upload(gpu, &plan)?;
        for step in &mut plan.steps {
            step.kernel.weights = None;
            step.kernel.params = Vec::new();
        }
        let run = gpu.checked(|| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("size of the batch"),
                size: 16,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })?;
        Ok(Self {
            gpu: gpu.clone(),
            plan,
            pipelines,
            constants,
            run,
            most_images,
            held: Mutex::new(Held {
                arena: None,
                most: most_images,
            }),
        })
    }

    /// Runs the graph on a batch of `images` images and returns its outputs in the order of
    /// [`Graph::outputs`]. A batch that does not fit the device's memory is run in parts.
    ///
    /// Inputs are passed by name. One that grows with the batch holds the elements of all images,
    /// row-major; any other holds its elements once.
    ///
    /// # Errors
    /// If an input is missing, unknown, given twice or of the wrong length, if there is no image, if
    /// memory is exhausted, or the device is lost.
    pub fn run(&self, images: usize, inputs: &[(&str, &[f32])]) -> Result<Vec<Output>, Error> {
        self.gpu.check_lost()?;
        let inputs = self.check_inputs(images, inputs)?;
        let mut outputs = self.allocate_outputs(images)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.reserve(&mut held, images)?;
        let Some(arena) = &held.arena else {
            return Err(self.out_of_memory());
        };
        let mut pending = VecDeque::new();
        for first in (0..images).step_by(arena.capacity) {
            let part = first..images.min(first + arena.capacity);
            if pending.len() == IN_FLIGHT {
                self.receive(&mut pending, images, &mut outputs)?;
            }
            self.gpu
                .checked(|| self.upload(arena, images, &part, &inputs))?;
            pending.push_back(self.submit(arena, part)?);
        }
        while !pending.is_empty() {
            self.receive(&mut pending, images, &mut outputs)?;
        }
        Ok(outputs)
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Bytes on the device for the values of one image. Weights are not included.
    pub fn image_bytes(&self) -> u64 {
        4 * self.plan.words as u64
    }

    /// The steps that the graph was lowered to.
    pub fn program(&self) -> Program {
        let mut shaders: HashMap<&str, usize> = HashMap::new();
        let mut steps = Vec::new();
        for step in &self.plan.steps {
            let new = shaders.len();
            steps.push(ProgramStep {
                what: step.what.clone(),
                origin: step.origin.clone(),
                shape: step.shape.clone(),
                flops: step.cost.flops,
                bytes: step.cost.bytes,
                weight_bytes: step.cost.constant_bytes,
                shader: *shaders.entry(&step.kernel.text).or_insert(new),
            });
        }
        let outputs = self.plan.output_places.iter();
        let downloaded = outputs.filter_map(Located::download);
        Program {
            steps,
            shaders: shaders.len(),
            image_bytes: self.image_bytes(),
            weight_bytes: self.constants.params.size() + self.constants.weights.size(),
            output_bytes: downloaded.map(|words| 4 * words.len() as u64).sum(),
            images_at_a_time: self.most_images,
        }
    }

    /// Starts a step.
    fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        arena: &Arena,
        step: usize,
        images: usize,
    ) {
        let [x, y, z] = workgroups(&self.plan.steps[step].kernel, images);
        if x * y * z > 0 {
            pass.set_pipeline(&self.pipelines[step]);
            pass.set_bind_group(0, &arena.groups[step], &[]);
            pass.dispatch_workgroups(x as u32, y as u32, z as u32);
        }
    }

    /// Memory for this many images, or for as many as there is memory for.
    fn reserve(&self, held: &mut Held, images: usize) -> Result<(), Error> {
        let mut capacity = images.min(held.most);
        let arena = held.arena.as_ref();
        if arena.is_some_and(|arena| arena.capacity >= capacity) {
            return Ok(());
        }
        // What is too small is given back first.
        held.arena = None;
        loop {
            match self.allocate(capacity) {
                Ok(arena) => {
                    held.arena = Some(arena);
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::OutOfMemory && capacity > 1 => {
                    capacity /= 2;
                    held.most = capacity;
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn allocate(&self, capacity: usize) -> Result<Arena, Error> {
        let device = self.gpu.device();
        self.gpu.checked(|| {
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("arena"),
                size: (self.image_bytes() * capacity as u64).max(16),
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_DST
                    | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let groups = self
                .constants
                .bounds
                .iter()
                .map(|bound| self.bind(&buffer, bound));
            let groups = groups.collect();
            Arena {
                capacity,
                buffer,
                groups,
            }
        })
    }

    fn bind(&self, arena: &wgpu::Buffer, bound: &Bound) -> wgpu::BindGroup {
        let part = |buffer, range: &Range<u64>| {
            wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: range.start,
                size: wgpu::BufferSize::new(range.end - range.start),
            })
        };
        let resources = [
            arena.as_entire_binding(),
            part(&self.constants.params, &bound.params),
            part(&self.constants.weights, &bound.weights),
            self.run.as_entire_binding(),
        ];
        let entries: Vec<wgpu::BindGroupEntry<'_>> = resources
            .into_iter()
            .zip(0..)
            .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        self.gpu
            .device()
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("odin"),
                layout: self.gpu.layout(),
                entries: &entries,
            })
    }

    /// Writes the inputs of some images to the arena.
    fn upload(&self, arena: &Arena, images: usize, part: &Range<usize>, inputs: &[&[f32]]) {
        let queue = self.gpu.queue();
        let size = [part.len() as u32, arena.capacity as u32, 0, 0];
        queue.write_buffer(&self.run, 0, bytemuck::cast_slice(&size));
        let ports = self.plan.inputs.iter().zip(&self.plan.input_places);
        for ((port, Located { len, home }), data) in ports.zip(inputs) {
            let Home::Arena(place) = home else {
                continue;
            };
            let mut own = vec![0.0; part.len() * len];
            for (image, to) in part.clone().zip(own.chunks_exact_mut((*len).max(1))) {
                port.layout.gather(data, images, image, to);
            }
            let at = |image: usize| {
                let words = place.slot * arena.capacity + image * place.stride + place.offset;
                4 * words as u64
            };
            if place.stride == *len {
                queue.write_buffer(&arena.buffer, at(0), bytemuck::cast_slice(&own));
                continue;
            }
            for (image, own) in own.chunks_exact((*len).max(1)).enumerate() {
                queue.write_buffer(&arena.buffer, at(image), bytemuck::cast_slice(own));
            }
        }
    }

    /// Starts all steps for some images, and the download of their outputs.
    fn submit(&self, arena: &Arena, images: Range<usize>) -> Result<Pending, Error> {
        let device = self.gpu.device();
        let bytes: u64 = self
            .downloads(arena, images.len())
            .map(|range| range.end - range.start)
            .sum();
        let encoder = || {
            device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("odin"),
            })
        };
        self.gpu.checked(|| {
            for steps in self.submissions(images.len()) {
                let mut encoder = encoder();
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some("odin"),
                    timestamp_writes: None,
                });
                for step in steps {
                    self.dispatch(&mut pass, arena, step, images.len());
                }
                drop(pass);
                self.gpu.queue().submit([encoder.finish()]);
            }
            let mut encoder = encoder();
            let staging = (bytes > 0).then(|| {
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("outputs"),
                    size: bytes,
                    usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            });
            let mut to = 0;
            if let Some(staging) = &staging {
                for range in self.downloads(arena, images.len()) {
                    let size = range.end - range.start;
                    encoder.copy_buffer_to_buffer(&arena.buffer, range.start, staging, to, size);
                    to += size;
                }
            }
            let submission = self.gpu.queue().submit([encoder.finish()]);
            let (sender, mapped) = mpsc::channel();
            if let Some(staging) = &staging {
                staging.map_async(wgpu::MapMode::Read, .., move |result| {
                    // Nobody listens any more where the run has failed.
                    let _ = sender.send(result);
                });
            }
            Pending {
                images,
                staging,
                mapped,
                submission,
            }
        })
    }

    /// The steps of each submission for this many images.
    fn submissions(&self, images: usize) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        let (mut first, mut flops) = (0, 0);
        for (i, step) in self.plan.steps.iter().enumerate() {
            let own = step.cost.flops.saturating_mul(images as u64);
            if i > first && own.saturating_add(flops) > SUBMISSION_FLOPS {
                all.push(first..i);
                (first, flops) = (i, 0);
            }
            flops = own.saturating_add(flops);
        }
        all.push(first..self.plan.steps.len());
        all
    }

    /// The bytes of the arena that hold the outputs of this many images.
    fn downloads(&self, arena: &Arena, images: usize) -> impl Iterator<Item = Range<u64>> {
        let capacity = arena.capacity;
        self.plan.output_places.iter().flat_map(move |output| {
            let (Home::Arena(place), Some(words)) = (&output.home, output.download()) else {
                return Vec::new();
            };
            let (count, len) = match words.len() == place.stride {
                true => (1, images * place.stride),
                false => (images, words.len()),
            };
            let starts = (0..count).map(|image| image * place.stride + words.start);
            let pieces = starts.map(|start| start..start + len);
            let first = place.slot * capacity;
            let bytes = |words: Range<usize>| {
                4 * (first + words.start) as u64..4 * (first + words.end) as u64
            };
            pieces
                .filter(|words| !words.is_empty())
                .map(bytes)
                .collect()
        })
    }

    /// Waits for the oldest batch, and copies its outputs.
    fn receive(
        &self,
        pending: &mut VecDeque<Pending>,
        all: usize,
        outputs: &mut [Output],
    ) -> Result<(), Error> {
        let Some(batch) = pending.pop_front() else {
            return Ok(());
        };
        let words = self.downloaded(&batch)?;
        let mut first = 0;
        let ports = self.plan.outputs.iter().zip(&self.plan.output_places);
        for ((port, located), output) in ports.zip(outputs) {
            let (len, words_of_image) = (located.len, located.download().unwrap_or(0..0));
            match &located.home {
                Home::Constant(tensor, at) => {
                    let own = &tensor.data()[*at..][..len];
                    let own: Vec<u32> = own.iter().map(|x| x.to_bits()).collect();
                    for image in batch.images.clone() {
                        scatter(port, &own, all, image, output);
                    }
                }
                Home::Arena(place) => {
                    let own = &words[first..][..batch.images.len() * words_of_image.len()];
                    first += own.len();
                    let each = own.chunks_exact(words_of_image.len().max(1));
                    let at = place.offset - words_of_image.start;
                    for (image, own) in batch.images.clone().zip(each) {
                        scatter(port, &own[at..][..len], all, image, output);
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits for a batch: the words of its outputs that are in the arena.
    fn downloaded(&self, batch: &Pending) -> Result<Vec<u32>, Error> {
        let failed = |e: String| {
            let name = &self.gpu.info().name;
            Error::new(
                ErrorKind::Run,
                format!("{name}: the batch did not finish: {e}"),
            )
        };
        self.gpu.wait(Some(batch.submission.clone()))?;
        let Some(staging) = &batch.staging else {
            return Ok(Vec::new());
        };
        let mapped = batch.mapped.recv().map_err(|e| failed(e.to_string()))?;
        mapped.map_err(|e| failed(e.to_string()))?;
        let view = staging.slice(..).get_mapped_range();
        let view = view.map_err(|e| failed(e.to_string()))?;
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }

    /// The inputs in the order of the graph.
    fn check_inputs<'a>(
        &self,
        images: usize,
        given: &[(&str, &'a [f32])],
    ) -> Result<Vec<&'a [f32]>, Error> {
        in_order(&self.plan.inputs, images, given)
            .map_err(|e| Error::new(ErrorKind::InvalidInput, e.to_string()))
    }

    fn allocate_outputs(&self, images: usize) -> Result<Vec<Output>, Error> {
        let allocate = |port: &Port| {
            let len = port.layout.len(images);
            let output = len.and_then(|len| match port.dtype {
                DType::Int => filled(len, 0).map(Output::Int),
                DType::Bool => filled(len, false).map(Output::Bool),
                _ => filled(len, 0.0).map(Output::Float),
            });
            output.ok_or_else(|| {
                let message = format!(
                    "the output {:?} of {images} images does not fit memory",
                    port.name
                );
                Error::new(ErrorKind::OutOfMemory, message)
            })
        };
        self.plan.outputs.iter().map(allocate).collect()
    }

    fn out_of_memory(&self) -> Error {
        let (name, bytes) = (&self.gpu.info().name, self.image_bytes());
        Error::new(
            ErrorKind::OutOfMemory,
            format!(
                "{name}: there is no memory for the {bytes} bytes of one image; use smaller images, or the device cpu"
            ),
        )
    }
}

/// A vector of equal elements; `None` if memory is exhausted.
fn filled<T: Clone>(len: usize, value: T) -> Option<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).ok()?;
    vec.resize(len, value);
    Some(vec)
}

/// Copies the words of an image into an output of the batch.
fn scatter(port: &Port, words: &[u32], images: usize, image: usize, output: &mut Output) {
    let layout = &port.layout;
    match output {
        Output::Float(all) => {
            let own: Vec<f32> = words.iter().map(|&w| f32::from_bits(w)).collect();
            layout.scatter(&own, images, image, all);
        }
        Output::Int(all) => {
            let own: Vec<i64> = words.iter().map(|&w| i64::from(w)).collect();
            layout.scatter(&own, images, image, all);
        }
        Output::Bool(all) => {
            let own: Vec<bool> = words.iter().map(|&w| w != 0).collect();
            layout.scatter(&own, images, image, all);
        }
    }
}
