//! Named tensors, as which fitted scores are saved.

use crate::error::{Error, ErrorKind};
use crate::matrix::Matrix;

/// A tensor of a fitted score, to be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name, such as `vim.origin`. Scores that were fitted together and share a tensor give it
    /// one name and equal values.
    pub name: String,
    /// Its shape; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Values,
}

/// The values of a [`NamedTensor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

/// Collects the tensors of fitted scores.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    tensors: Vec<NamedTensor>,
}

impl Writer {
    pub(crate) fn number(&mut self, name: &str, value: f64) {
        self.put(name, vec![], || Values::F64(vec![value]));
    }

    pub(crate) fn vector(&mut self, name: &str, values: &[f64]) {
        self.put(name, vec![values.len()], || Values::F64(values.to_vec()));
    }

    pub(crate) fn rows(&mut self, name: &str, columns: usize, values: &[f64]) {
        let shape = vec![values.len() / columns, columns];
        self.put(name, shape, || Values::F64(values.to_vec()));
    }

    pub(crate) fn matrix(&mut self, name: &str, matrix: &Matrix) {
        let shape = vec![matrix.rows(), matrix.columns()];
        self.put(name, shape, || Values::F32(matrix.values().to_vec()));
    }

    /// A tensor that another score has put already is the same.
    fn put(&mut self, name: &str, shape: Vec<usize>, values: impl FnOnce() -> Values) {
        if self.tensors.iter().all(|tensor| tensor.name != name) {
            self.tensors.push(NamedTensor {
                name: name.to_owned(),
                shape,
                values: values(),
            });
        }
    }

    pub(crate) fn finish(self) -> Vec<NamedTensor> {
        self.tensors
    }
}

/// Looks tensors up and checks them; it never allocates more than their values take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) tensors: &'a [NamedTensor],
}

impl<'a> Reader<'a> {
    pub(crate) fn number(&self, name: &str) -> Result<f64, Error> {
        match *self.f64s(name, 0)?.1 {
            [value] => Ok(value),
            _ => Err(self.wrong(name, "one number")),
        }
    }

    pub(crate) fn vector(&self, name: &str, length: usize) -> Result<&'a [f64], Error> {
        let (_, values) = self.f64s(name, 1)?;
        if values.len() != length {
            return Err(self.wrong(name, &format!("{length} values of f64")));
        }
        Ok(values)
    }

    /// So many values of f64.
    pub(crate) fn array<const N: usize>(&self, name: &str) -> Result<[f64; N], Error> {
        let values = self.vector(name, N)?.try_into();
        values.map_err(|_| self.wrong(name, &format!("{N} values of f64")))
    }

    /// One value of f64 or more.
    pub(crate) fn values(&self, name: &str) -> Result<&'a [f64], Error> {
        match self.f64s(name, 1)?.1 {
            [] => Err(self.wrong(name, "one value of f64 or more")),
            values => Ok(values),
        }
    }

    /// A whole number from 0.
    pub(crate) fn count(&self, name: &str) -> Result<usize, Error> {
        let value = self.number(name)?;
        if value < 0.0 || value.fract() != 0.0 || value > f64::from(u32::MAX) {
            return Err(self.wrong(name, "a whole number"));
        }
        Ok(value as usize)
    }

    /// Columns, and values row by row; one row and one column at least.
    pub(crate) fn rows(&self, name: &str) -> Result<(usize, &'a [f64]), Error> {
        let (shape, values) = self.f64s(name, 2)?;
        if values.is_empty() {
            return Err(self.wrong(name, "one row of f64 or more"));
        }
        Ok((shape[1], values))
    }

    /// One row and one column at least.
    pub(crate) fn matrix(&self, name: &str) -> Result<Matrix, Error> {
        let tensor = self.find(name)?;
        match (&tensor.values, &tensor.shape[..]) {
            (Values::F32(values), &[rows, columns])
                if !values.is_empty() && rows.checked_mul(columns) == Some(values.len()) =>
            {
                check_finite(name, values.iter().all(|v| v.is_finite()))?;
                Ok(Matrix::new(columns, values.clone()))
            }
            _ => Err(self.wrong(name, "a matrix of f32")),
        }
    }

    fn f64s(&self, name: &str, dimensions: usize) -> Result<(&'a [usize], &'a [f64]), Error> {
        let tensor = self.find(name)?;
        let count = tensor
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d));
        match &tensor.values {
            Values::F64(values)
                if tensor.shape.len() == dimensions && count == Some(values.len()) =>
            {
                check_finite(name, values.iter().all(|v| v.is_finite()))?;
                Ok((&tensor.shape, values))
            }
            _ => Err(self.wrong(name, &format!("f64 values of {dimensions} dimensions"))),
        }
    }

    fn find(&self, name: &str) -> Result<&'a NamedTensor, Error> {
        self.tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Restore,
                    format!("the tensor {name:?} is missing; was the score fitted and saved?"),
                )
            })
    }

    /// The error that `name` is not `expected`.
    pub(crate) fn wrong(&self, name: &str, expected: &str) -> Error {
        let found = match self.find(name) {
            Ok(tensor) => {
                let (kind, count) = match &tensor.values {
                    Values::F32(values) => ("f32", values.len()),
                    Values::F64(values) => ("f64", values.len()),
                };
                format!("{count} values of {kind} in the shape {:?}", tensor.shape)
            }
            Err(_) => "nothing".to_owned(),
        };
        Error::new(
            ErrorKind::Restore,
            format!("the tensor {name:?} holds {found}; expected {expected}"),
        )
    }
}

fn check_finite(name: &str, finite: bool) -> Result<(), Error> {
    if finite {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Restore,
        format!("the tensor {name:?} holds a value that is not finite"),
    ))
}
