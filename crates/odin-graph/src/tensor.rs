//! Constant tensors.

use crate::{Error, ErrorKind};
use std::fmt;
use std::sync::Arc;

/// Constant data: weights and parameters, f32, row-major. Clones share the elements.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Arc<[f32]>,
}

impl Tensor {
    /// A tensor of `shape` over `data` in row-major order.
    ///
    /// # Errors
    /// When the number of elements of `shape` is not the length of `data`.
    pub fn new(shape: Vec<usize>, data: impl Into<Arc<[f32]>>) -> Result<Self, Error> {
        let data = data.into();
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(data.len()) {
            let found = data.len();
            return Err(Error::new(
                ErrorKind::InvalidTensor,
                format!("a tensor of shape {shape:?} cannot hold {found} elements"),
            ));
        }
        Ok(Self { shape, data })
    }

    /// A rank-0 tensor.
    pub fn scalar(value: f32) -> Self {
        Self {
            shape: Vec::new(),
            data: Arc::new([value]),
        }
    }

    /// A one-dimensional tensor.
    pub fn vector(data: impl Into<Arc<[f32]>>) -> Self {
        let data = data.into();
        Self {
            shape: vec![data.len()],
            data,
        }
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}
