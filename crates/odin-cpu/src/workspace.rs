//! The memory that one thread computes one image in.

use crate::kernels::ScratchSize;
use crate::{Error, ErrorKind};
use odin_graph::Tensor;

/// How many buffers there are of each type, and how long they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sizes {
    pub(crate) floats: Vec<usize>,
    pub(crate) ints: Vec<usize>,
    pub(crate) masks: Vec<usize>,
    pub(crate) scratch: ScratchSize,
}

impl Sizes {
    pub(crate) fn bytes(&self) -> usize {
        let sum = |lengths: &[usize]| lengths.iter().fold(0usize, |sum, &n| sum.saturating_add(n));
        let total = |n: usize, width: usize| n.saturating_mul(width);
        total(sum(&self.floats), size_of::<f32>())
            .saturating_add(total(sum(&self.ints), size_of::<i64>()))
            .saturating_add(total(sum(&self.masks), size_of::<bool>()))
            .saturating_add(total(self.scratch.floats, size_of::<f32>()))
            .saturating_add(total(self.scratch.indices, size_of::<usize>()))
    }
}

/// What the values of an image are stored in. Several values take turns in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) floats: Vec<Vec<f32>>,
    pub(crate) ints: Vec<Vec<i64>>,
    pub(crate) masks: Vec<Vec<bool>>,
    pub(crate) scratch: Scratch,
}

/// Memory that a kernel uses while it runs.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) floats: Vec<f32>,
    pub(crate) indices: Vec<usize>,
}

impl Workspace {
    pub(crate) fn new(sizes: &Sizes) -> Result<Self, Error> {
        let allocate = || {
            Some(Self {
                floats: sizes
                    .floats
                    .iter()
                    .map(|&n| filled(n, 0.0))
                    .collect::<Option<_>>()?,
                ints: sizes
                    .ints
                    .iter()
                    .map(|&n| filled(n, 0))
                    .collect::<Option<_>>()?,
                masks: sizes
                    .masks
                    .iter()
                    .map(|&n| filled(n, false))
                    .collect::<Option<_>>()?,
                scratch: Scratch {
                    floats: filled(sizes.scratch.floats, 0.0)?,
                    indices: filled(sizes.scratch.indices, 0)?,
                },
            })
        };
        allocate().ok_or_else(|| out_of_memory("the activations of one thread", sizes.bytes()))
    }
}

pub(crate) fn out_of_memory(what: &str, bytes: usize) -> Error {
    Error::new(
        ErrorKind::OutOfMemory,
        format!(
            "{what} need {bytes} bytes, which could not be allocated; use fewer threads or smaller batches"
        ),
    )
}

/// `len` copies of `value`, if there is memory for them.
pub(crate) fn filled<T: Copy>(len: usize, value: T) -> Option<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len).ok()?;
    vec.resize(len, value);
    Some(vec)
}

/// Where a value is: known beforehand, or the first `len` elements of a buffer of its type.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Constant(Tensor),
    Buffer { index: usize, len: usize },
}

/// The batch that a run is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) images: usize,
    /// In the order of the graph's inputs.
    pub(crate) inputs: &'a [&'a [f32]],
}

/// The operands of a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) sources: &'a [Source],
    pub(crate) request: &'a Request<'a>,
    pub(crate) image: usize,
}

impl<'a> Operands<'a> {
    pub(crate) fn count(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn request(&self) -> &'a Request<'a> {
        self.request
    }

    pub(crate) fn image(&self) -> usize {
        self.image
    }

    /// The elements of a real operand.
    pub(crate) fn floats(&self, operand: usize) -> &'a [f32] {
        match &self.sources[operand] {
            Source::Constant(tensor) => tensor.data(),
            Source::Buffer { index, len } => &self.workspace.floats[*index][..*len],
        }
    }

    /// The elements of an integer operand.
    pub(crate) fn ints(&self, operand: usize) -> &'a [i64] {
        match &self.sources[operand] {
            Source::Constant(_) => &[],
            Source::Buffer { index, len } => &self.workspace.ints[*index][..*len],
        }
    }

    /// The elements of a mask.
    pub(crate) fn masks(&self, operand: usize) -> &'a [bool] {
        match &self.sources[operand] {
            Source::Constant(_) => &[],
            Source::Buffer { index, len } => &self.workspace.masks[*index][..*len],
        }
    }
}
