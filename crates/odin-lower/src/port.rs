//! Inputs and outputs of a graph, and what a caller passes for them.

use crate::{BatchLayout, Error, ErrorKind};
use odin_graph::{DType, Graph, ValueId};

/// An input or an output of a graph.
#[derive(Debug, Clone)]
pub struct Port {
    /// The name under which a run passes or returns it.
    pub name: String,
    /// The type of an element.
    pub dtype: DType,
    /// Where the elements of an image lie in a batch.
    pub layout: BatchLayout,
}

impl Port {
    /// The port of a value.
    pub fn new(graph: &Graph, name: &str, value: ValueId) -> Self {
        let ty = graph.ty(value);
        Self {
            name: name.to_string(),
            dtype: ty.dtype,
            layout: BatchLayout::new(&ty.shape),
        }
    }
}

/// The inputs of a batch, given by name, in the order of their ports.
///
/// # Errors
/// If one is missing, unknown, given twice or of the wrong length, or if there is no image.
pub fn in_order<'a>(
    ports: &[Port],
    images: usize,
    given: &[(&str, &'a [f32])],
) -> Result<Vec<&'a [f32]>, Error> {
    let error = |message: String| Error::new(ErrorKind::InvalidInput, message);
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
