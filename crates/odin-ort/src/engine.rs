//! A graph as a session of ONNX Runtime, and its runs.

use crate::error::reason;
use crate::{Error, ErrorKind, Provider, Runtime};
use odin_formats::onnx::{self, InputType, Labels};
use odin_graph::{DType, Graph, Shape};
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorRef};
use std::sync::{Mutex, PoisonError};

/// A graph made ready to run by ONNX Runtime.
#[derive(Debug)]
pub struct Engine {
    /// A session takes one run at a time, and runs it on all its threads.
    session: Mutex<Session>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// An input or output of the session.
#[derive(Debug)]
struct Port {
    name: String,
    dtype: DType,
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
    /// Prepares `graph` for `provider`. What remains on the CPU runs on `threads` threads, at
    /// least one.
    ///
    /// # Errors
    /// When the library lacks the provider, or the provider cannot be started (it never falls
    /// back to another); when the graph cannot be written as ONNX, or the runtime refuses it.
    pub fn new(
        runtime: &Runtime,
        graph: &Graph,
        provider: Provider,
        threads: usize,
    ) -> Result<Self, Error> {
        let refused = |what: String| Error::new(ErrorKind::UnsupportedGraph, what);
        let inputs = graph.inputs().map(|(value, input)| Port {
            name: input.name.clone(),
            dtype: graph.ty(value).dtype,
            shape: graph.shape(value).clone(),
        });
        let inputs: Vec<Port> = inputs.collect();
        if let Some(input) = inputs.iter().find(|input| input.dtype != DType::Float) {
            return Err(refused(format!(
                "the input {:?} does not hold real numbers",
                input.name
            )));
        }
        let outputs = graph.outputs().iter().map(|output| Port {
            name: output.name.clone(),
            dtype: graph.ty(output.value).dtype,
            shape: graph.shape(output.value).clone(),
        });
        let file = onnx::write(graph, InputType::Float, &Labels::default())
            .map_err(|e| refused(e.to_string()))?;
        let builder = options(runtime, threads).map_err(|e| refused(reason(&e)))?;
        let mut builder = provider.register(builder, runtime, threads)?;
        let session = builder.commit_from_memory(&file).map_err(|e| {
            let name = provider.name();
            refused(format!(
                "{runtime} cannot prepare the network for its {name}: {}",
                reason(&e)
            ))
        })?;
        Ok(Self {
            session: Mutex::new(session),
            inputs,
            outputs: outputs.collect(),
        })
    }

    /// Runs the graph on a batch of `images` images, all at once, and returns its outputs in the
    /// order of [`Graph::outputs`].
    ///
    /// Inputs go by name. One that grows with the batch holds the elements of all images,
    /// row-major; any other holds its elements once.
    ///
    /// # Errors
    /// When an input is missing, unknown, given twice or of the wrong length, when there is no
    /// image, or when the runtime fails, such as for want of memory.
    pub fn run(&self, images: usize, inputs: &[(&str, &[f32])]) -> Result<Vec<Output>, Error> {
        self.check(images, inputs)?;
        let failed = |e: ort::Error| {
            let reason = reason(&e);
            Error::new(
                ErrorKind::Run,
                format!("ONNX Runtime failed on {images} images: {reason}"),
            )
        };
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for port in &self.inputs {
            let given = inputs.iter().filter(|(name, _)| *name == port.name);
            for (name, data) in given {
                let tensor = TensorRef::from_array_view((port.shape.at(images), *data));
                values.push((name, tensor.map_err(failed)?.into()));
            }
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = session.run(values).map_err(failed)?;
        let outputs = self.outputs.iter().map(|port| {
            let value = results
                .get(&port.name)
                .ok_or_else(|| port.differs("missing"))?;
            port.read(value, images)
        });
        outputs.collect()
    }

    fn check(&self, images: usize, given: &[(&str, &[f32])]) -> Result<(), Error> {
        let error = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if images == 0 {
            return error("a batch needs at least one image".to_string());
        }
        let names: Vec<&str> = self.inputs.iter().map(|port| &port.name[..]).collect();
        if let Some((name, _)) = given.iter().find(|(name, _)| !names.contains(name)) {
            return error(format!(
                "there is no input {name:?}; the inputs are {names:?}"
            ));
        }
        for port in &self.inputs {
            let mut data = given.iter().filter(|(name, _)| *name == port.name);
            let (first, second) = (data.next(), data.next());
            let (name, expected) = (&port.name, elements(&port.shape, images));
            match (first, second) {
                (None, _) => return error(format!("the input {name:?} is missing")),
                (_, Some(_)) => return error(format!("the input {name:?} is given twice")),
                (Some((_, data)), None) if Some(data.len()) != expected => {
                    return error(format!(
                        "the input {name:?} has {} elements; {} of {images} images was expected",
                        data.len(),
                        port.shape
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Port {
    fn read(&self, value: &DynValue, images: usize) -> Result<Output, Error> {
        match self.dtype {
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
        match elements(&self.shape, images) == Some(data.len()) {
            true => Ok(data.to_vec()),
            false => Err(self.differs(&format!("of {} elements", data.len()))),
        }
    }

    fn differs(&self, found: &str) -> Error {
        let (name, shape) = (&self.name, &self.shape);
        Error::new(
            ErrorKind::Run,
            format!(
                "ONNX Runtime's output {name:?} is not the {shape} that was expected: it is {found}"
            ),
        )
    }
}

/// The elements of a batch; `None` when there are too many to count.
fn elements(shape: &Shape, images: usize) -> Option<usize> {
    let mut extents = shape.at(images).into_iter();
    extents.try_fold(1usize, usize::checked_mul)
}

fn options(runtime: &Runtime, threads: usize) -> ort::Result<SessionBuilder> {
    Ok(Session::builder(runtime.environment())?
        .with_intra_threads(threads.max(1))?
        .with_inter_threads(1)?
        .with_deterministic_compute(true)?)
}
