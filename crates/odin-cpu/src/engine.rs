//! The engine: prepares a graph, and runs it on a thread pool.

use crate::barrier::Barrier;
use crate::kernels::{AnyKernel, ImageIo, KernelOutput, WorkSlice, Worker};
use crate::lower::lower;
use crate::lower::plan::{Plan, Step};
use crate::memory::{Operands, Request, Scratch, Source, Workspace, filled, out_of_memory};
use crate::options::Options;
use crate::program::{Program, Times};
use crate::simd::InstructionSet;
use crate::subnormal::FlushSubnormals;
use crate::weight_cache::WeightCache;
use crate::{Error, ErrorKind};
use odin_graph::passes::{eliminate_idle_rows, fold_constants, fold_paddings};
use odin_graph::{DType, Graph};
use odin_lower::{Port, in_order};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Subgraphs of constants are evaluated once, up to this many elements.
const LARGEST_CONSTANT: usize = 1 << 28;

/// A graph prepared for execution, and its thread pool. Memory is reused between runs.
///
/// Subnormal numbers, those below [`f32::MIN_POSITIVE`], count as zero in all that a run computes, as
/// operands and as results, on x86-64 and AArch64; what is only moved keeps its bits.
pub struct Engine {
    plan: Plan,
    pool: rayon::ThreadPool,
    workspace_pool: MemoryPool<Workspace>,
    scratch_pool: MemoryPool<Scratch>,
    /// Held while all threads work on one image: two such images at a time would deadlock, each
    /// waiting for threads of the other.
    exclusive: Mutex<()>,
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

impl Engine {
    /// Prepares `graph` and starts `threads` threads, at least one.
    ///
    /// # Errors
    /// If the graph has an operator that the engine does not support, or the threads cannot be
    /// started.
    pub fn new(graph: &Graph, threads: usize) -> Result<Self, Error> {
        Self::with_options(graph, threads, Options::default())
    }

    /// As [`Engine::new`], with an instruction set other than the fastest. AVX-512 and AVX2 give
    /// bit-identical results.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_instructions(
        graph: &Graph,
        threads: usize,
        instructions: InstructionSet,
    ) -> Result<Self, Error> {
        let options = Options {
            instructions,
            ..Options::default()
        };
        Self::with_options(graph, threads, options)
    }

    /// As [`Engine::new`], with options.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_options(graph: &Graph, threads: usize, options: Options) -> Result<Self, Error> {
        Self::with_weights(graph, threads, options, &WeightCache::default())
    }

    /// As [`Engine::with_options`], sharing packed weights with all engines that are prepared with
    /// the same cache.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with_weights(
        graph: &Graph,
        threads: usize,
        options: Options,
        weights: &WeightCache,
    ) -> Result<Self, Error> {
        let folded = fold_constants(graph, LARGEST_CONSTANT)
            .and_then(|graph| eliminate_idle_rows(&graph))
            .and_then(|graph| fold_paddings(&graph))
            .map_err(|e| Error::new(ErrorKind::UnsupportedGraph, e.to_string()))?;
        let plan = lower(&folded, options, weights)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .build();
        let pool = pool.map_err(|e| {
            let message = format!("{threads} threads could not be started: {e}; use fewer");
            Error::new(ErrorKind::Threads, message)
        })?;
        Ok(Self {
            plan,
            pool,
            workspace_pool: MemoryPool::new(),
            scratch_pool: MemoryPool::new(),
            exclusive: Mutex::new(()),
        })
    }

    /// Runs the graph on a batch of `images` images and returns its outputs in the order of
    /// [`Graph::outputs`].
    ///
    /// Inputs are passed by name. One that grows with the batch holds the elements of all images,
    /// row-major; any other holds its elements once.
    ///
    /// # Errors
    /// If an input is missing, unknown, given twice or of the wrong length, if there is no image,
    /// or if memory is exhausted.
    pub fn run(&self, images: usize, inputs: &[(&str, &[f32])]) -> Result<Vec<Output>, Error> {
        let inputs = self.check_inputs(images, inputs)?;
        let request = Request {
            images,
            inputs: &inputs,
        };
        let mut outputs = self.allocate_outputs(images)?;
        let threads = self.threads();
        // Threads compute images independently while there are enough; they share the last few.
        let at_a_time = self.plan.images_at_a_time;
        let independent = images - images % threads;
        if independent > 0 {
            self.run_independently(&request, independent, &mut outputs)?;
        }
        for first in (independent..images).step_by(at_a_time) {
            let images = first..images.min(first + at_a_time);
            self.run_cooperatively(&request, images, &mut outputs)?;
        }
        Ok(outputs)
    }

    /// Computes the first `images` images, each thread some at a time.
    fn run_independently(
        &self,
        request: &Request<'_>,
        images: usize,
        outputs: &mut Vec<Output>,
    ) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let outputs = Mutex::new(outputs);
        let threads = self.threads();
        let count = threads * (images / threads).div_ceil(self.plan.images_at_a_time);
        let results = self.pool.broadcast(|_| {
            let mut workspaces = Vec::new();
            let barrier = Barrier::new(1);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    self.workspace_pool.give(workspaces);
                    return Ok(());
                }
                let images = WorkSlice { index, count }.of(images);
                self.allocate_workspaces(&mut workspaces, images.len())?;
                self.compute(&workspaces, request, &images, WorkSlice::WHOLE, &barrier)?;
                let mut outputs = outputs.lock().unwrap_or_else(PoisonError::into_inner);
                self.copy_outputs(&workspaces, request, &images, &mut outputs);
            }
        });
        results.into_iter().collect()
    }

    /// Computes some images with all threads.
    fn run_cooperatively(
        &self,
        request: &Request<'_>,
        images: Range<usize>,
        outputs: &mut [Output],
    ) -> Result<(), Error> {
        let _exclusive = self
            .exclusive
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut workspaces = Vec::new();
        self.allocate_workspaces(&mut workspaces, images.len())?;
        let barrier = Barrier::new(self.threads());
        let results = self.pool.broadcast(|thread| {
            let slice = WorkSlice::of_thread(&thread);
            self.compute(&workspaces, request, &images, slice, &barrier)
        });
        results.into_iter().collect::<Result<Vec<()>, Error>>()?;
        self.copy_outputs(&workspaces, request, &images, outputs);
        self.workspace_pool.give(workspaces);
        Ok(())
    }

    /// Allocates or reuses a workspace per image.
    fn allocate_workspaces(&self, to: &mut Vec<Workspace>, images: usize) -> Result<(), Error> {
        while to.len() < images {
            to.push(
                self.workspace_pool
                    .take(|| Workspace::new(&self.plan.sizes))?,
            );
        }
        Ok(())
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// The most bytes that a thread needs for the values of the images that it computes at a time.
    /// Weights, which all threads share, inputs and outputs are not included.
    pub fn memory_per_thread(&self) -> usize {
        let values = self.plan.sizes.values();
        let values = values.saturating_mul(self.plan.images_at_a_time);
        values.saturating_add(self.plan.sizes.scratch())
    }

    /// The program that the graph was lowered to.
    pub fn program(&self) -> Program {
        let bytes = |n: usize| n as u64;
        Program {
            instructions: self.plan.instructions,
            bf16: self.plan.bf16,
            steps: self
                .plan
                .steps
                .iter()
                .map(|s| s.description.clone())
                .collect(),
            images_at_a_time: self.plan.images_at_a_time,
            image_bytes: bytes(self.plan.sizes.values()),
            thread_bytes: bytes(self.plan.sizes.scratch()),
        }
    }

    /// Runs an image `repetitions` times on all threads, and returns the shortest time of each step
    /// of [`Engine::program`]. `clock` gives the time since some fixed moment.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn times(
        &self,
        inputs: &[(&str, &[f32])],
        repetitions: usize,
        clock: &(dyn Fn() -> Duration + Sync),
    ) -> Result<Times, Error> {
        let inputs = self.check_inputs(1, inputs)?;
        let request = Request {
            images: 1,
            inputs: &inputs,
        };
        let workspaces = [Workspace::new(&self.plan.sizes)?];
        let mut fastest = vec![Duration::MAX; self.plan.steps.len()];
        for _ in 0..repetitions.max(1) {
            let times = self.times_once(&workspaces, &request, clock)?;
            for (fastest, time) in fastest.iter_mut().zip(times) {
                *fastest = time.min(*fastest);
            }
        }
        Ok(fastest)
    }

    fn times_once(
        &self,
        workspaces: &[Workspace],
        request: &Request<'_>,
        clock: &(dyn Fn() -> Duration + Sync),
    ) -> Result<Times, Error> {
        let _exclusive = self
            .exclusive
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let barrier = Barrier::new(self.threads());
        let results = self.pool.broadcast(|thread| {
            let mut times = Times::new();
            // Threads of the pool wake up one after the other.
            barrier.wait();
            let mut begun = clock();
            let stopwatch = || {
                let now = clock();
                times.push(now.saturating_sub(std::mem::replace(&mut begun, now)));
            };
            let slice = WorkSlice::of_thread(&thread);
            self.run_steps(workspaces, request, &(0..1), slice, &barrier, stopwatch)?;
            Ok(times)
        });
        let all: Vec<Times> = results.into_iter().collect::<Result<_, Error>>()?;
        Ok(all.into_iter().next().unwrap_or_default())
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
        let allocate = |(port, _): &(Port, Source)| {
            let len = port.layout.len(images);
            let output = len.and_then(|len| match port.dtype {
                DType::Int => filled(len, 0).map(Output::Int),
                DType::Bool => filled(len, false).map(Output::Bool),
                _ => filled(len, 0.0).map(Output::Float),
            });
            let what = || format!("the output {:?} of {images} images", port.name);
            output
                .ok_or_else(|| out_of_memory(&what(), len.unwrap_or(usize::MAX).saturating_mul(4)))
        };
        self.plan.outputs.iter().map(allocate).collect()
    }

    /// Runs all steps for some images, on as many threads as call this with their slices.
    fn compute(
        &self,
        workspaces: &[Workspace],
        request: &Request<'_>,
        images: &Range<usize>,
        slice: WorkSlice,
        barrier: &Barrier,
    ) -> Result<(), Error> {
        self.run_steps(workspaces, request, images, slice, barrier, || ())
    }

    /// As [`Engine::compute`]; calls `done` after each step.
    fn run_steps(
        &self,
        workspaces: &[Workspace],
        request: &Request<'_>,
        images: &Range<usize>,
        slice: WorkSlice,
        barrier: &Barrier,
        mut done: impl FnMut(),
    ) -> Result<(), Error> {
        let _guard = barrier.guard();
        let _mode = FlushSubnormals::new();
        // A thread whose scratch allocation failed still joins every barrier; its error is returned
        // at the end.
        let mut scratch = self.scratch_pool.take(|| Scratch::new(&self.plan.sizes));
        for step in &self.plan.steps {
            if let Ok(scratch) = &mut scratch {
                step.execute(workspaces, request, images, scratch, slice);
            }
            if !barrier.wait() {
                return Ok(());
            }
            done();
        }
        self.scratch_pool.give([scratch?]);
        Ok(())
    }

    /// Copies the outputs of some images into those of the batch.
    fn copy_outputs(
        &self,
        workspaces: &[Workspace],
        request: &Request<'_>,
        images: &Range<usize>,
        outputs: &mut [Output],
    ) {
        for (image, workspace) in images.clone().zip(workspaces) {
            self.copy_output(workspace, request, image, outputs);
        }
    }

    fn copy_output(
        &self,
        workspace: &Workspace,
        request: &Request<'_>,
        image: usize,
        outputs: &mut [Output],
    ) {
        for ((port, source), all) in self.plan.outputs.iter().zip(outputs) {
            let sources = std::slice::from_ref(source);
            // SAFETY: the images are computed; no thread writes any more.
            #[allow(unsafe_code)]
            let own = unsafe { Operands::new(workspace, sources, request, image) };
            let images = request.images;
            match all {
                Output::Float(all) => port.layout.scatter(own.floats(0), images, image, all),
                Output::Int(all) => port.layout.scatter(own.ints(0), images, image, all),
                Output::Bool(all) => port.layout.scatter(own.masks(0), images, image, all),
            }
        }
    }
}

impl Step {
    /// Executes a slice of the step. All slices must be done before the next step begins.
    #[allow(unsafe_code)]
    fn execute(
        &self,
        workspaces: &[Workspace],
        request: &Request<'_>,
        images: &Range<usize>,
        scratch: &mut Scratch,
        slice: WorkSlice,
    ) {
        // SAFETY: the memory plan gives the step's output a slot that overlaps none of its
        // operands', and all steps before it are done. One thread runs a serial kernel; the threads
        // that run a parallel one write disjoint slices.
        unsafe {
            let own = images.clone().zip(workspaces);
            if let AnyKernel::Parallel(kernel) = &self.kernel {
                let images: Vec<ImageIo<'_>> =
                    own.map(|(i, w)| self.image(w, request, i)).collect();
                kernel.run_images(&images, &mut Worker { slice, scratch });
                return;
            }
            for (i, workspace) in own.filter(|_| slice.index == 0) {
                let ImageIo { x, y } = self.image(workspace, request, i);
                let (output, len) = (self.output, self.output.len);
                match &self.kernel {
                    AnyKernel::Float(kernel) => kernel.run(&x, y.floats.part(0..len), scratch),
                    AnyKernel::Int(kernel) => {
                        kernel.run(&x, workspace.ints_out(output).part(0..len), scratch);
                    }
                    AnyKernel::Bool(kernel) => {
                        kernel.run(&x, workspace.masks_out(output).part(0..len), scratch);
                    }
                    AnyKernel::Parallel(_) => {}
                }
            }
        }
    }

    /// The operands and the output of the step for an image.
    ///
    /// # Safety
    /// While it is in use no thread writes the operands.
    #[allow(unsafe_code)]
    unsafe fn image<'a>(
        &'a self,
        workspace: &'a Workspace,
        request: &'a Request<'a>,
        image: usize,
    ) -> ImageIo<'a> {
        let [prologue_signs, epilogue_signs] =
            self.saved_signs.map(|s| s.map(|s| workspace.signs_out(s)));
        // SAFETY: by the contract.
        let x = unsafe { Operands::new(workspace, &self.operands, request, image) };
        let floats = workspace.floats_out(self.output);
        let y = KernelOutput {
            floats,
            prologue_signs,
            epilogue_signs,
        };
        ImageIo { x, y }
    }
}

/// Memory kept for reuse.
struct MemoryPool<T>(Mutex<Vec<T>>);

impl<T> MemoryPool<T> {
    fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self, make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(make, Ok)
    }

    fn give(&self, used: impl IntoIterator<Item = T>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(used);
    }
}
