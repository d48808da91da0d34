//! A graph as a session of ONNX Runtime, and its runs.

use crate::error::reason;
use crate::{Error, ErrorKind, Options, Provider, Runtime};
use odin_formats::onnx::{self, InputType, Labels};
use odin_graph::{DType, Graph, Shape};
use odin_lower::{BatchLayout, Port, in_order};
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorRef};
use std::sync::{Mutex, PoisonError};

/// What the writer calls the axis of the batch.
const BATCH: &str = "N";

/// A graph made ready to run by ONNX Runtime.
#[derive(Debug)]
pub struct Engine {
    /// A session takes one run at a time, and runs it on all its threads.
    session: Mutex<Session>,
    inputs: Vec<Shaped>,
    outputs: Vec<Shaped>,
    /// How many images the session takes, if it is a fixed number.
    images_at_a_time: Option<usize>,
}

/// An input or output of the session.
#[derive(Debug)]
struct Shaped {
    port: Port,
    shape: Shape,
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
    /// Prepares `graph` for `provider`.
    ///
    /// # Errors
    /// When the library lacks the provider, or the provider cannot be started (it never falls
    /// back to another); when the graph cannot be written as ONNX, or the runtime refuses it; when
    /// the folder for engines cannot be made.
    pub fn new(
        runtime: &Runtime,
        graph: &Graph,
        provider: Provider,
        options: &Options,
    ) -> Result<Self, Error> {
        let refused = |what: String| Error::new(ErrorKind::UnsupportedGraph, what);
        let inputs = graph.inputs().map(|(value, input)| Shaped {
            port: Port::new(graph, &input.name, value),
            shape: graph.shape(value).clone(),
        });
        let inputs: Vec<Shaped> = inputs.collect();
        let is_other = |input: &&Shaped| input.port.dtype != DType::Float;
        if let Some(input) = inputs.iter().find(is_other) {
            return Err(refused(format!(
                "the input {:?} does not hold real numbers",
                input.port.name
            )));
        }
        let outputs = graph.outputs().iter().map(|output| Shaped {
            port: Port::new(graph, &output.name, output.value),
            shape: graph.shape(output.value).clone(),
        });
        let file = onnx::write(graph, InputType::Float, &Labels::default())
            .map_err(|e| refused(e.to_string()))?;
        let engines = options.engine_folder(runtime, provider, &file)?;
        let threads = options.threads;
        let builder = session(runtime, options).map_err(|e| refused(reason(&e)))?;
        let mut builder = provider.register(builder, runtime, threads, engines.as_deref())?;
        let session = builder.commit_from_memory(&file).map_err(|e| {
            let name = provider.name();
            let kept = engines.as_ref().map(|folder| {
                let folder = folder.display();
                format!("; if an engine that is kept there was cut short, remove {folder}")
            });
            refused(format!(
                "{runtime} cannot prepare the network for its {name}: {}{}",
                reason(&e),
                kept.unwrap_or_default()
            ))
        })?;
        Ok(Self {
            session: Mutex::new(session),
            inputs,
            outputs: outputs.collect(),
            images_at_a_time: options.images_at_a_time.map(|images| images.max(1)),
        })
    }

    /// Runs the graph on a batch of `images` images and returns its outputs in the order of
    /// [`Graph::outputs`]: all at once, unless [`Options::images_at_a_time`] was set.
    ///
    /// Inputs go by name. One that grows with the batch holds the elements of all images,
    /// row-major; any other holds its elements once.
    ///
    /// # Errors
    /// When an input is missing, unknown, given twice or of the wrong length, when there is no
    /// image, or when the runtime fails, such as for want of memory.
    pub fn run(&self, images: usize, inputs: &[(&str, &[f32])]) -> Result<Vec<Output>, Error> {
        let ports: Vec<Port> = self.inputs.iter().map(|input| input.port.clone()).collect();
        let inputs = in_order(&ports, images, inputs)
            .map_err(|e| Error::new(ErrorKind::InvalidInput, e.to_string()))?;
        match self.images_at_a_time {
            None => self.run_whole(images, &inputs),
            Some(most) if most == images => self.run_whole(images, &inputs),
            Some(most) => self.run_in_parts(images, most, &inputs),
        }
    }

    /// Runs a batch as so many batches of `most` images as it takes.
    fn run_in_parts(
        &self,
        images: usize,
        most: usize,
        inputs: &[&[f32]],
    ) -> Result<Vec<Output>, Error> {
        let mut all: Option<Vec<Output>> = None;
        for first in (0..images).step_by(most) {
            let part = |(input, data): (&Shaped, &&[f32])| {
                let numbers = (first..first + most).map(|image| image.min(images - 1));
                regrouped(&input.port.layout, data, images, numbers, most)
            };
            let parts = self.inputs.iter().zip(inputs).map(part);
            let parts: Vec<Vec<f32>> = parts.collect::<Result<_, Error>>()?;
            let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
            let found = self.run_whole(most, &parts)?;
            let all = match &mut all {
                Some(all) => all,
                None => all.insert(self.empty(images, &found)?),
            };
            let each = self.outputs.iter().zip(&found).zip(all);
            for ((output, found), all) in each {
                for image in first..images.min(first + most) {
                    let from = (most, image - first);
                    move_image(&output.port.layout, (found, from), (all, (images, image)));
                }
            }
        }
        Ok(all.unwrap_or_default())
    }

    /// Outputs for so many images, of the types of others.
    fn empty(&self, images: usize, like: &[Output]) -> Result<Vec<Output>, Error> {
        let each = self.outputs.iter().zip(like).map(|(output, like)| {
            let len = output.port.layout.len(images).ok_or_else(too_many)?;
            Ok(match like {
                Output::Float(_) => Output::Float(vec![0.0; len]),
                Output::Int(_) => Output::Int(vec![0; len]),
                Output::Bool(_) => Output::Bool(vec![false; len]),
            })
        });
        each.collect()
    }

    /// Runs a batch, all images at once.
    fn run_whole(&self, images: usize, inputs: &[&[f32]]) -> Result<Vec<Output>, Error> {
        let failed = |e: ort::Error| {
            let reason = reason(&e);
            Error::new(
                ErrorKind::Run,
                format!("ONNX Runtime failed on {images} images: {reason}"),
            )
        };
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for (input, data) in self.inputs.iter().zip(inputs) {
            let tensor = TensorRef::from_array_view((input.shape.at(images), *data));
            values.push((&input.port.name, tensor.map_err(failed)?.into()));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = session.run(values).map_err(failed)?;
        let outputs = self.outputs.iter().map(|output| {
            let value = results
                .get(&output.port.name)
                .ok_or_else(|| output.differs("missing"))?;
            output.read(value, images)
        });
        outputs.collect()
    }
}

/// The data of these images of a batch as a batch of `count`.
fn regrouped(
    layout: &BatchLayout,
    data: &[f32],
    images: usize,
    numbers: impl Iterator<Item = usize>,
    count: usize,
) -> Result<Vec<f32>, Error> {
    let len = |images| layout.len(images).ok_or_else(too_many);
    let (mut own, mut all) = (vec![0.0; len(1)?], vec![0.0; len(count)?]);
    for (to, image) in numbers.enumerate() {
        layout.gather(data, images, image, &mut own);
        layout.scatter(&own, count, to, &mut all);
    }
    Ok(all)
}

/// Copies an image of one output to another. Each is followed by how many images it has, and which
/// of them is meant.
fn move_image(
    layout: &BatchLayout,
    (from, (count, image)): (&Output, (usize, usize)),
    (to, (to_count, to_image)): (&mut Output, (usize, usize)),
) {
    fn copy<T: Copy + Default>(
        layout: &BatchLayout,
        (from, count, image): (&[T], usize, usize),
        (to, to_count, to_image): (&mut [T], usize, usize),
    ) {
        let mut own = vec![T::default(); layout.len(1).unwrap_or(0)];
        layout.gather(from, count, image, &mut own);
        layout.scatter(&own, to_count, to_image, to);
    }
    match (from, to) {
        (Output::Float(from), Output::Float(to)) => {
            copy(layout, (from, count, image), (to, to_count, to_image));
        }
        (Output::Int(from), Output::Int(to)) => {
            copy(layout, (from, count, image), (to, to_count, to_image));
        }
        (Output::Bool(from), Output::Bool(to)) => {
            copy(layout, (from, count, image), (to, to_count, to_image));
        }
        // Both are of the type of the port.
        _ => {}
    }
}

fn too_many() -> Error {
    let problem = "the elements of a batch are more than can be counted; use smaller batches";
    Error::new(ErrorKind::InvalidInput, problem)
}

impl Shaped {
    fn read(&self, value: &DynValue, images: usize) -> Result<Output, Error> {
        match self.port.dtype {
            DType::Int => Ok(Output::Int(self.elements(value, images)?)),
            DType::Bool => Ok(Output::Bool(self.elements(value, images)?)),
            _ => Ok(Output::Float(self.elements(value, images)?)),
        }
    }

    fn elements<T>(&self, value: &DynValue, images: usize) -> Result<Vec<T>, Error>
    where
        T: PrimitiveTensorElementType + Copy,
    {
        let extracted = value.try_extract_tensor::<T>();
        let (_, data) = extracted.map_err(|e| self.differs(&reason(&e)))?;
        match self.port.layout.len(images) == Some(data.len()) {
            true => Ok(data.to_vec()),
            false => Err(self.differs(&format!("of {} elements", data.len()))),
        }
    }

    fn differs(&self, found: &str) -> Error {
        let (name, shape) = (&self.port.name, &self.shape);
        Error::new(
            ErrorKind::Run,
            format!(
                "ONNX Runtime's output {name:?} is not the {shape} that was expected: it is {found}"
            ),
        )
    }
}

/// What all providers have in common.
fn session(runtime: &Runtime, options: &Options) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(runtime.environment())?
        .with_intra_threads(options.threads.max(1))?
        .with_inter_threads(1)?
        .with_deterministic_compute(true)?;
    match options.images_at_a_time {
        Some(images) => Ok(builder.with_dimension_override(BATCH, images.max(1) as i64)?),
        None => Ok(builder),
    }
}
