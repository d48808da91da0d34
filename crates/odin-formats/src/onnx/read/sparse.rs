//! Constants of which only the elements that are not 0 are stored.

use super::const_value::{ConstValue, Kind, row_major};
use super::number::Number;
use super::tensor::{self, Decoded};
use crate::Error;
use crate::onnx::proto::{SparseTensorProto, TensorProto};
use odin_graph::Tensor;
use std::path::Path;
use std::sync::Arc;

impl SparseTensorProto {
    /// The stored elements and their positions.
    pub(super) fn parts(&self) -> Result<(&TensorProto, &TensorProto), Error> {
        let parts = self.values.as_deref().zip(self.indices.as_deref());
        parts.ok_or_else(|| Error::corrupt("a sparse tensor has no values or no indices"))
    }

    pub(super) fn extents(&self) -> Result<Vec<usize>, Error> {
        tensor::extents(&self.dims)
    }
}

/// The whole constant. The caller has counted its elements.
pub(super) fn dense(sparse: &SparseTensorProto, folder: Option<&Path>) -> Result<Decoded, Error> {
    let (values, indices) = sparse.parts()?;
    let shape = sparse.extents()?;
    let places = places(&tensor::const_value(indices, folder)?, &shape)?;
    let check = |stored: usize| match stored == places.len() {
        true => Ok(()),
        false => Err(Error::corrupt(format!(
            "a sparse tensor has {stored} values at {} places",
            places.len()
        ))),
    };
    let count = shape.iter().product();
    match tensor::constant(values, folder)? {
        Decoded::Real(stored) => {
            check(stored.data().len())?;
            let mut data = vec![0.0; count];
            for (&place, &value) in places.iter().zip(stored.data()) {
                data[place] = value;
            }
            let dense = Tensor::new(shape, data);
            Ok(Decoded::Real(
                dense.map_err(|e| Error::corrupt(e.to_string()))?,
            ))
        }
        Decoded::Other(stored) => {
            check(stored.data.len())?;
            let mut data = vec![Number::fixed(0.0); count];
            for (&place, &value) in places.iter().zip(&stored.data) {
                data[place] = value;
            }
            let kind = stored.kind;
            Ok(Decoded::Other(Arc::new(ConstValue { kind, shape, data })))
        }
    }
}

/// Row-major positions, each within the shape and named once.
fn places(indices: &ConstValue, shape: &[usize]) -> Result<Vec<usize>, Error> {
    let outside = || Error::corrupt(format!("a sparse tensor has values outside of {shape:?}"));
    let count: usize = shape.iter().product();
    let inside = |value: &i64, extent: usize| {
        let place = usize::try_from(*value).ok().filter(|&v| v < extent);
        place.ok_or_else(outside)
    };
    let numbers = indices.ints()?;
    let places: Vec<usize> = match indices.shape[..] {
        [_] => numbers
            .iter()
            .map(|v| inside(v, count))
            .collect::<Result<_, _>>()?,
        [_, rank] if rank == shape.len() && rank > 0 => {
            let strides = row_major(shape);
            let place = |coordinates: &[i64]| -> Result<usize, Error> {
                let axes = coordinates.iter().zip(shape).zip(&strides);
                axes.map(|((v, &extent), stride)| Ok::<_, Error>(inside(v, extent)? * stride))
                    .sum()
            };
            numbers
                .chunks_exact(rank)
                .map(place)
                .collect::<Result<_, _>>()?
        }
        _ => {
            return Err(Error::corrupt(format!(
                "the indices of a sparse tensor of shape {shape:?} have shape {:?}",
                indices.shape
            )));
        }
    };
    let mut sorted = places.clone();
    sorted.sort_unstable();
    match (indices.kind, sorted.is_sorted_by(|a, b| a < b)) {
        (Kind::Int, true) => Ok(places),
        (Kind::Int, false) => Err(Error::corrupt(
            "a sparse tensor has two values at one place",
        )),
        _ => Err(Error::corrupt(
            "the indices of a sparse tensor are no integers",
        )),
    }
}
