//! Columns as an Arrow stream, by the PyCapsule interface.

use crate::error::{failed, invalid};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchIterator, StringArray,
};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList};
use std::sync::Arc;

/// A capsule that holds one batch of these columns: lists of text, arrays of `int64`, `float64` or
/// `bool`.
#[pyfunction]
pub(crate) fn arrow_stream<'py>(
    py: Python<'py>,
    columns: Vec<(String, Bound<'py, PyAny>)>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let columns = columns
        .iter()
        .map(|(name, values)| Ok((name, array(name, values)?)));
    let columns = columns.collect::<PyResult<Vec<_>>>()?;
    let batch = RecordBatch::try_from_iter(columns).map_err(|e| failed(e.to_string()))?;
    let schema = batch.schema();
    let batches = RecordBatchIterator::new([Ok(batch)], schema);
    let stream = FFI_ArrowArrayStream::new(Box::new(batches));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

fn array(name: &str, values: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    if let Ok(values) = values.cast::<PyArray1<f64>>() {
        return Ok(Arc::new(Float64Array::from(values.to_vec()?)));
    }
    if let Ok(values) = values.cast::<PyArray1<i64>>() {
        return Ok(Arc::new(Int64Array::from(values.to_vec()?)));
    }
    if let Ok(values) = values.cast::<PyArray1<bool>>() {
        return Ok(Arc::new(BooleanArray::from(values.to_vec()?)));
    }
    match values.cast::<PyList>() {
        Ok(values) => Ok(Arc::new(StringArray::from(
            values.extract::<Vec<Option<String>>>()?,
        ))),
        Err(_) => Err(invalid(format!("the column {name} has no Arrow type"))),
    }
}
