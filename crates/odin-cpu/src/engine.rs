use crate::kernels::AnyKernel;
use crate::lower::{Plan, Port, Step, lower};
use crate::workspace::{Operands, Request, Source, Workspace, filled, out_of_memory};
use crate::{Error, ErrorKind};
use odin_graph::passes::fold_constants;
use odin_graph::{DType, Graph};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// What is computed from weights alone is computed once, unless it has more elements than this.
const LARGEST_CONSTANT: usize = 1 << 28;

/// A graph made ready to run, and the threads that run it. Its memory is kept between runs.
pub struct Engine {
    plan: Plan,
    pool: rayon::ThreadPool,
    /// Those not in use; as many as threads once all have been busy.
    workspaces: Mutex<Vec<Workspace>>,
}

/// What a run gives for one output of the graph: the elements of all images, row-major.
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
    /// When the graph asks for something that the engine does not do, or the threads cannot be
    /// started.
    pub fn new(graph: &Graph, threads: usize) -> Result<Self, Error> {
        let folded = fold_constants(graph, LARGEST_CONSTANT)
            .map_err(|e| Error::new(ErrorKind::UnsupportedGraph, e.to_string()))?;
        let plan = lower(&folded)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .build();
        let pool = pool.map_err(|e| {
            let message = format!("{threads} threads could not be started: {e}; use fewer");
            Error::new(ErrorKind::Threads, message)
        })?;
        let workspaces = Mutex::new(Vec::new());
        Ok(Self {
            plan,
            pool,
            workspaces,
        })
    }

    /// Runs the graph on a batch of `images` images and returns its outputs in the order of
    /// [`Graph::outputs`].
    ///
    /// Inputs go by name. One that grows with the batch holds the elements of all images,
    /// row-major; any other holds its elements once.
    ///
    /// # Errors
    /// When an input is missing, unknown, given twice or of the wrong length, when there is no
    /// image, or when memory cannot be had.
    pub fn run(&self, images: usize, inputs: &[(&str, &[f32])]) -> Result<Vec<Output>, Error> {
        let inputs = self.check_inputs(images, inputs)?;
        let request = Request {
            images,
            inputs: &inputs,
        };
        let mut outputs = self.allocate_outputs(images)?;
        let compute = |image| self.compute(&request, image);
        // One round of images after the other, so that what waits to be put together stays small.
        for first in (0..images).step_by(self.threads()) {
            let round = first..images.min(first + self.threads());
            let results: Vec<Result<Vec<Output>, Error>> = self.pool.install(|| {
                round
                    .clone()
                    .into_par_iter()
                    .with_max_len(1)
                    .map(compute)
                    .collect()
            });
            for (image, result) in round.zip(results) {
                for (i, own) in result?.iter().enumerate() {
                    let layout = self.plan.outputs[i].0.layout;
                    match (own, &mut outputs[i]) {
                        (Output::Float(own), Output::Float(all)) => {
                            layout.scatter(own, images, image, all)
                        }
                        (Output::Int(own), Output::Int(all)) => {
                            layout.scatter(own, images, image, all)
                        }
                        (Output::Bool(own), Output::Bool(all)) => {
                            layout.scatter(own, images, image, all)
                        }
                        _ => unreachable!("an output has one type"),
                    }
                }
            }
        }
        Ok(outputs)
    }

    /// The number of threads, which is also the number of images computed at a time.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// The bytes that each thread needs for the values of an image. Weights, which all threads
    /// share, come on top, as do inputs and outputs.
    pub fn memory_per_thread(&self) -> usize {
        self.plan.sizes.bytes()
    }

    /// The inputs in the order of the graph.
    fn check_inputs<'a>(
        &self,
        images: usize,
        given: &[(&str, &'a [f32])],
    ) -> Result<Vec<&'a [f32]>, Error> {
        let error = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let ports = &self.plan.inputs;
        if images == 0 {
            return Err(error("a batch needs at least one image".to_string()));
        }
        for (i, (name, _)) in given.iter().enumerate() {
            if ports.iter().all(|port| port.name != *name) {
                let names: Vec<&str> = ports.iter().map(|port| &port.name[..]).collect();
                return Err(error(format!(
                    "there is no input {name:?}; the inputs are {names:?}"
                )));
            }
            if given[..i].iter().any(|(other, _)| other == name) {
                return Err(error(format!("the input {name:?} is given twice")));
            }
        }
        let find = |port: &Port| {
            let name = &port.name;
            let Some(&(_, data)) = given.iter().find(|(given, _)| given == name) else {
                return Err(error(format!("the input {name:?} is missing")));
            };
            match port.layout.len(images) {
                Some(expected) if expected == data.len() => Ok(data),
                expected => {
                    let expected = expected.map_or("too many".to_string(), |n| n.to_string());
                    let found = data.len();
                    Err(error(format!(
                        "the input {name:?} must hold {expected} elements for {images} images, it holds {found}"
                    )))
                }
            }
        };
        ports.iter().map(find).collect()
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

    /// The outputs of one image.
    fn compute(&self, request: &Request<'_>, image: usize) -> Result<Vec<Output>, Error> {
        let idle = self
            .workspaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut workspace = match idle {
            Some(workspace) => workspace,
            None => Workspace::new(&self.plan.sizes)?,
        };
        for step in &self.plan.steps {
            step.execute(&mut workspace, request, image);
        }
        let sources: Vec<Source> = self.plan.outputs.iter().map(|(_, s)| s.clone()).collect();
        let values = Operands {
            workspace: &workspace,
            sources: &sources,
            request,
            image,
        };
        let copy = |(i, (port, _)): (usize, &(Port, Source))| match port.dtype {
            DType::Int => Output::Int(values.ints(i).to_vec()),
            DType::Bool => Output::Bool(values.masks(i).to_vec()),
            _ => Output::Float(values.floats(i).to_vec()),
        };
        let outputs = self.plan.outputs.iter().enumerate().map(copy).collect();
        self.workspaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(workspace);
        Ok(outputs)
    }
}

impl Step {
    /// Takes the output's buffer out of the workspace while the kernel reads the others.
    fn execute(&self, workspace: &mut Workspace, request: &Request<'_>, image: usize) {
        macro_rules! run {
            ($kernel:expr, $buffers:ident) => {{
                let mut y = std::mem::take(&mut workspace.$buffers[self.buffer]);
                let mut scratch = std::mem::take(&mut workspace.scratch);
                let sources = &self.operands;
                let x = Operands {
                    workspace,
                    sources,
                    request,
                    image,
                };
                $kernel.run(&x, &mut y[..self.len], &mut scratch);
                workspace.$buffers[self.buffer] = y;
                workspace.scratch = scratch;
            }};
        }
        match &self.kernel {
            AnyKernel::Float(kernel) => run!(kernel, floats),
            AnyKernel::Int(kernel) => run!(kernel, ints),
            AnyKernel::Bool(kernel) => run!(kernel, masks),
        }
    }
}
