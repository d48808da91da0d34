//! Constants that the reader computes with: shape values, axes, indices (constant evaluation).

use super::number::Number;
use crate::Error;
use odin_graph::Dim;

/// What the numbers were in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    Bool,
}

/// An array of numbers that do not depend on the images, such as a shape: row-major. f64 holds every integer that an extent can be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConstValue {
    pub(super) kind: Kind,
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<Number>,
}

impl ConstValue {
    pub(super) fn vector(kind: Kind, data: Vec<Number>) -> Self {
        let shape = vec![data.len()];
        Self { kind, shape, data }
    }

    /// The integers of an array that does not depend on the batch.
    pub(super) fn ints(&self) -> Result<Vec<i64>, Error> {
        let int = |n: &Number| match n.is_fixed() {
            // The ends of the range of i64 stand for "as far as it goes".
            true if n.value.fract() == 0.0 => Ok(n.value as i64),
            true => Err(Error::unsupported(format!("{} is no integer", n.value))),
            false => Err(Error::unsupported(
                "a number that depends on the size of the batch is used where a fixed one is needed",
            )),
        };
        self.data.iter().map(int).collect()
    }

    /// Real numbers as the file's runtimes hold them, in f32: `floor(0.7 · 20)` is 14, not 13.
    pub(super) fn rounded(mut self) -> Self {
        if self.kind == Kind::Float {
            for number in &mut self.data {
                number.value = f64::from(number.value as f32);
            }
        }
        self
    }

    /// The same numbers in another shape of as many elements.
    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Result<Self, Error> {
        if elements(&shape)? != self.data.len() {
            return Err(Error::corrupt(format!(
                "{:?} cannot be read as {shape:?}",
                self.shape
            )));
        }
        let (kind, data) = (self.kind, self.data.clone());
        Ok(Self { kind, shape, data })
    }

    /// A single number without axes.
    pub(super) fn scalar(kind: Kind, value: f64) -> Self {
        Self {
            kind,
            shape: Vec::new(),
            data: vec![Number::fixed(value)],
        }
    }

    /// Extents as the dimensions of a graph's value.
    pub(super) fn dims(&self) -> Result<Vec<Dim>, Error> {
        let dim = |n: &Number| {
            let whole = n.value.fract() == 0.0 && (0.0..1e15).contains(&n.value);
            match (whole && n.slope == 0.0, n.per_image) {
                (true, true) => Ok(Dim::PerImage(n.value as usize)),
                (true, false) => Ok(Dim::Fixed(n.value as usize)),
                (false, _) => Err(Error::unsupported(format!(
                    "an extent cannot be {}",
                    n.value
                ))),
            }
        };
        check_rank(self.data.len())?;
        self.data.iter().map(dim).collect()
    }

    /// The entries of an axis at these positions.
    pub(super) fn take(&self, axis: usize, list: &[usize]) -> Self {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let block = self.shape[axis] * inner;
        let outer = self.data.chunks_exact(block.max(1));
        let data = outer
            .flat_map(|chunk| list.iter().flat_map(move |&i| &chunk[i * inner..][..inner]))
            .copied()
            .collect();
        let mut shape = self.shape.clone();
        shape[axis] = list.len();
        let kind = self.kind;
        Self { kind, shape, data }
    }

    /// The axes in another order.
    pub(super) fn transposed(&self, perm: &[usize]) -> Self {
        let strides = row_major(&self.shape);
        let shape: Vec<usize> = perm.iter().map(|&a| self.shape[a]).collect();
        let strides: Vec<usize> = perm.iter().map(|&a| strides[a]).collect();
        self.strided(shape, &strides)
    }

    /// Repeated along axes of extent 1, and new ones in front, to a shape that it fits.
    pub(super) fn broadcast(&self, shape: &[usize]) -> Self {
        let lead = shape.len() - self.shape.len();
        let own = self.shape.iter().zip(row_major(&self.shape));
        let strides: Vec<usize> = std::iter::repeat_n(0, lead)
            .chain(own.map(|(&extent, stride)| if extent == 1 { 0 } else { stride }))
            .collect();
        self.strided(shape.to_vec(), &strides)
    }

    fn strided(&self, shape: Vec<usize>, strides: &[usize]) -> Self {
        let data = offsets(&shape, strides).into_iter().map(|i| self.data[i]);
        let (kind, data) = (self.kind, data.collect());
        Self { kind, shape, data }
    }
}

/// The most axes that are read.
const MAX_RANK: usize = 64;

/// Checks the number of axes.
pub(super) fn check_rank(rank: usize) -> Result<(), Error> {
    match rank {
        ..=MAX_RANK => Ok(()),
        _ => Err(Error::unsupported(format!(
            "it has {rank} axes; at most {MAX_RANK} are read"
        ))),
    }
}

/// The number of elements of a shape. Also where there are none, those of parts of the shape can be
/// counted.
pub(super) fn elements(shape: &[usize]) -> Result<usize, Error> {
    check_rank(shape.len())?;
    let span = shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    let too_large = || Error::unsupported(format!("a constant of shape {shape:?} is too large"));
    span.ok_or_else(too_large)?;
    Ok(shape.iter().product())
}

pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

fn offsets(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    shape.iter().zip(strides).fold(vec![0], |outer, (&n, &s)| {
        let along = |o: &usize| {
            let o = *o;
            (0..n).map(move |i| o + i * s)
        };
        outer.iter().flat_map(along).collect()
    })
}
