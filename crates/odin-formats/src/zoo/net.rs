//! Looks up weights by name, and adds the layers that use them.

use std::collections::HashSet;

use indexmap::IndexMap;
use odin_graph::op::Window;
use odin_graph::{Graph, Shape, Tensor, Type, ValueId};

use super::INPUT;
use crate::{Checkpoint, Error, ErrorKind};
use odin_error::shown;

/// Added to the variance by every batch normalisation: PyTorch's default.
const EPSILON: f32 = 1e-5;

/// The names that the last layer goes by.
const CLASSIFIERS: [&str; 3] = ["fc", "linear", "classifier"];

/// The weights of a network. A component that begins all names (`model.`, `net.`) is left out of
/// them, and put back in messages.
pub(super) struct Params<'a> {
    tensors: IndexMap<&'a str, &'a Tensor>,
    /// All names in order, so that those with the same beginning are neighbours.
    sorted: Vec<&'a str>,
    prefix: &'a str,
    set_aside: &'a [String],
}

impl<'a> Params<'a> {
    /// Those whose names begin with `prefix`.
    pub(super) fn new(checkpoint: &'a Checkpoint, prefix: &'a str) -> Self {
        let tensors = checkpoint.tensors();
        let tensors: IndexMap<_, _> = tensors
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)))
            .collect();
        let mut sorted: Vec<&str> = tensors.keys().copied().collect();
        sorted.sort_unstable();
        Self {
            tensors,
            sorted,
            prefix,
            set_aside: checkpoint.set_aside(),
        }
    }

    pub(super) fn peek(&self, name: &str) -> Option<&'a Tensor> {
        self.tensors.get(name).copied()
    }

    /// Whether there is a tensor whose name begins like this.
    pub(super) fn any(&self, prefix: &str) -> bool {
        self.beginning_with(prefix).next().is_some()
    }

    fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = &'a str> {
        let first = self.sorted.partition_point(|&name| name < prefix);
        let from_first = self.sorted[first..].iter().copied();
        from_first.take_while(move |name| name.starts_with(prefix))
    }

    /// How many numbers from `first` on give, in place of `{}`, the beginning of a name. Gaps
    /// count, so that what they lack is missed later.
    pub(super) fn count(&self, template: &str, first: usize) -> usize {
        let (head, tail) = template.split_once("{}").unwrap_or((template, ""));
        let numbers = self.beginning_with(head).filter_map(|name| {
            let rest = name.strip_prefix(head)?;
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, rest) = rest.split_at(digits);
            rest.starts_with(tail).then(|| number.parse().ok())?
        });
        let last: Option<usize> = numbers.max();
        let count = last.map_or(0, |last| last.saturating_add(1).saturating_sub(first));
        count.min(self.tensors.len())
    }

    /// A name as messages show it.
    fn title(&self, name: &str) -> String {
        format!("`{}`", shown(&format!("{}{name}", self.prefix)))
    }

    pub(super) fn missing(&self, name: &str) -> Error {
        let name = format!("{}{name}", self.prefix);
        let why = if self.set_aside.contains(&name) {
            "is not stored as real numbers; expected f16, bf16, f32 or f64"
        } else {
            "is missing"
        };
        mismatch(format!("tensor `{}` {why}", shown(&name)))
    }
}

/// The components that all names begin with.
pub(super) fn common_prefix(checkpoint: &Checkpoint) -> &str {
    let mut names = checkpoint.tensors().map(|(name, _)| name);
    let first = names.next().unwrap_or_default();
    let common = names.fold(first, |common, name| {
        let same = common.bytes().zip(name.bytes()).take_while(|(a, b)| a == b);
        common.get(..same.count()).unwrap_or_default()
    });
    let end = common.rfind('.').map_or(0, |dot| dot + 1);
    let prefix = &common[..end];
    if checkpoint.tensors().len() < 2 {
        ""
    } else {
        prefix
    }
}

/// What a convolution is besides its weights.
#[derive(Clone, Copy)]
pub(super) struct Conv {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) groups: usize,
    /// The number of output channels, where the architecture fixes it.
    pub(super) out: Option<usize>,
}

impl Conv {
    pub(super) fn new(kernel: usize, out: Option<usize>) -> Self {
        Self {
            kernel,
            stride: 1,
            groups: 1,
            out,
        }
    }

    pub(super) fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub(super) fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }
}

/// A network under construction.
pub(super) struct Net<'a> {
    pub(super) params: Params<'a>,
    used: HashSet<String>,
    graph: Graph,
    x: ValueId,
}

type Added = Result<ValueId, Error>;

impl<'a> Net<'a> {
    pub(super) fn new(params: Params<'a>, image_shape: [usize; 3]) -> Result<Self, Error> {
        let mut graph = Graph::new();
        let x = graph.input(INPUT, Type::float(Shape::batched(&image_shape)));
        Ok(Self {
            params,
            used: HashSet::new(),
            x: x.map_err(graph_error)?,
            graph,
        })
    }

    pub(super) fn into_graph(self) -> Graph {
        self.graph
    }

    /// The extent of axis 1.
    pub(super) fn channels(&self, x: ValueId) -> usize {
        let dim = self.graph.shape(x).dims().get(1);
        dim.and_then(|d| d.fixed()).unwrap_or(0)
    }

    /// The error for the first tensor that no layer took.
    pub(super) fn check_all_used(&self) -> Result<(), Error> {
        let unused = |name: &&&str| !self.used.contains(**name);
        let left: Vec<&&str> = self.params.tensors.keys().filter(unused).collect();
        let titles: Vec<String> = left.iter().take(5).map(|n| self.params.title(n)).collect();
        let titles = titles.join(", ");
        match left.len() {
            0 => Ok(()),
            1 => Err(mismatch(format!("tensor {titles} is left over"))),
            n => Err(mismatch(format!("{n} tensors are left over: {titles}"))),
        }
    }

    /// The number of output channels of a convolution that has not been added yet.
    pub(super) fn out_channels(&self, name: &str) -> Result<usize, Error> {
        let weight = format!("{name}.weight");
        let tensor = self
            .params
            .peek(&weight)
            .ok_or_else(|| self.params.missing(&weight))?;
        match *tensor.shape() {
            [out, _, _, _] => Ok(out),
            ref found => Err(self.wrong_shape(&weight, "4 axes", found)),
        }
    }

    fn wrong_shape(&self, name: &str, expected: &str, found: &[usize]) -> Error {
        mismatch(format!(
            "tensor {} has the wrong shape: expected {expected}, found {found:?}",
            self.params.title(name)
        ))
    }

    /// A weight of this shape; `None` stands for any extent.
    fn weight(&mut self, name: String, expected: &[Option<usize>]) -> Result<&'a Tensor, Error> {
        let tensor = self
            .params
            .peek(&name)
            .ok_or_else(|| self.params.missing(&name))?;
        let fits = |(&found, expected): (&usize, &Option<usize>)| {
            found > 0 && expected.is_none_or(|e| e == found)
        };
        let found = tensor.shape();
        if found.len() != expected.len() || !found.iter().zip(expected).all(fits) {
            let text = |extent: &Option<usize>| extent.map_or("any".to_owned(), |e| e.to_string());
            let expected: Vec<String> = expected.iter().map(text).collect();
            let expected = format!("[{}]", expected.join(", "));
            return Err(self.wrong_shape(&name, &expected, found));
        }
        self.used.insert(name);
        Ok(tensor)
    }

    fn constant(&mut self, name: String, expected: &[Option<usize>]) -> Added {
        let tensor = self.weight(name, expected)?.clone();
        self.graph.constant(tensor).map_err(graph_error)
    }

    /// A constant `[extent]`, if the checkpoint has it.
    fn bias(&mut self, layer: &str, extent: usize) -> Result<Option<ValueId>, Error> {
        let name = format!("{layer}.bias");
        if self.params.peek(&name).is_none() {
            return Ok(None);
        }
        self.constant(name, &[Some(extent)]).map(Some)
    }

    /// A square convolution, padded so that its stride alone changes the resolution.
    pub(super) fn conv(&mut self, x: ValueId, name: &str, conv: Conv) -> Added {
        let Conv {
            kernel,
            stride,
            groups,
            out,
        } = conv;
        let per_group = self.channels(x) / groups;
        self.graph.at(name);
        let shape = [out, Some(per_group), Some(kernel), Some(kernel)];
        let weight = self.constant(format!("{name}.weight"), &shape)?;
        let out = self.out_channels(name)?;
        let bias = self.bias(name, out)?;
        let window = Window::new(&[kernel; 2]).stride(stride).pad(kernel / 2);
        let added = self.graph.conv(x, weight, bias, window, groups);
        added.map_err(graph_error)
    }

    pub(super) fn batch_norm(&mut self, x: ValueId, name: &str) -> Added {
        self.graph.at(name);
        let shape = [Some(self.channels(x))];
        let var = self.weight(format!("{name}.running_var"), &shape)?;
        if let Some(&found) = var.data().iter().find(|&&v| v + EPSILON <= 0.0) {
            return Err(mismatch(format!(
                "tensor {} holds {found}; a variance is not negative",
                self.params.title(&format!("{name}.running_var"))
            )));
        }
        let mut parameter = |of| self.constant(format!("{name}.{of}"), &shape);
        let parameters = [
            parameter("weight")?,
            parameter("bias")?,
            parameter("running_mean")?,
            parameter("running_var")?,
        ];
        let added = self.graph.batch_norm(x, parameters, EPSILON);
        added.map_err(graph_error)
    }

    pub(super) fn relu(&mut self, x: ValueId) -> Added {
        self.graph.relu(x).map_err(graph_error)
    }

    pub(super) fn batch_norm_relu(&mut self, x: ValueId, name: &str) -> Added {
        let x = self.batch_norm(x, name)?;
        self.relu(x)
    }

    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> Added {
        self.graph.add_values(a, b).map_err(graph_error)
    }

    /// Concatenates channels.
    pub(super) fn concat(&mut self, parts: &[ValueId]) -> Added {
        self.graph.concat(parts, 1).map_err(graph_error)
    }

    /// 2x2 average pooling of stride 2.
    pub(super) fn halve(&mut self, x: ValueId) -> Added {
        let window = Window::new(&[2, 2]).stride(2);
        self.graph.avg_pool(x, window, false).map_err(graph_error)
    }

    /// The first convolution: stride 1, or stride 2 when it is 7x7.
    pub(super) fn stem(&mut self, name: &str) -> Result<Stem, Error> {
        let weight = format!("{name}.weight");
        let shape = self.params.peek(&weight).map_or(&[][..], Tensor::shape);
        let kernel = shape.last().copied().unwrap_or(3);
        let large = kernel == 7;
        let conv = Conv::new(kernel, None).stride(if large { 2 } else { 1 });
        if kernel % 2 == 0 {
            return Err(self.wrong_shape(&weight, "an odd kernel", shape));
        }
        let x = self.conv(self.x, name, conv)?;
        Ok(Stem { x, large })
    }

    /// The 3x3 maximum pool of stride 2 that follows a large first convolution.
    pub(super) fn stem_pool(&mut self, x: ValueId) -> Added {
        let window = Window::new(&[3, 3]).stride(2).pad(1);
        self.graph.max_pool(x, window).map_err(graph_error)
    }

    /// Subsamples by 2 and pads with `extra` channels of zeros, half of them in front.
    pub(super) fn slice_and_pad(&mut self, x: ValueId, step: usize, extra: usize) -> Added {
        use odin_graph::op::{PadAxis, SliceAxis};
        let dims = self.graph.shape(x).dims();
        let every = |axis: usize| SliceAxis {
            axis,
            start: 0,
            end: dims[axis].at(1),
            step,
        };
        let axes = vec![every(2), every(3)];
        let sliced = self.graph.slice(x, axes).map_err(graph_error)?;
        let pad = PadAxis {
            axis: 1,
            before: extra / 2,
            after: extra - extra / 2,
        };
        self.graph.pad(sliced, vec![pad], 0.0).map_err(graph_error)
    }

    /// Global average pooling, then a fully connected layer to the logits.
    pub(super) fn classify(&mut self, x: ValueId) -> Added {
        let named = |name: &&&str| self.params.any(&format!("{name}."));
        let name = CLASSIFIERS
            .iter()
            .find(named)
            .copied()
            .unwrap_or(CLASSIFIERS[0]);
        let features = self.channels(x);
        self.graph.at(name);
        let x = self.graph.global_average_pool(x).map_err(graph_error)?;
        let x = self.graph.flatten(x).map_err(graph_error)?;
        let weight = self.constant(format!("{name}.weight"), &[None, Some(features)])?;
        let classes = self.graph.shape(weight).at(1)[0];
        let bias = self.bias(name, classes)?;
        self.graph.linear(x, weight, bias).map_err(graph_error)
    }
}

/// The first convolution.
pub(super) struct Stem {
    pub(super) x: ValueId,
    /// Whether it is the one for large images.
    pub(super) large: bool,
}

pub(super) fn mismatch(message: String) -> Error {
    Error::new(ErrorKind::Mismatch, message)
}

/// A graph error here means that the image is too small: shapes of weights are checked before.
fn graph_error(e: odin_graph::Error) -> Error {
    mismatch(format!("{e}; is the image too small for this network?"))
}
