//! The values of the interpreter, and strided iteration over them.

use num_traits::Float;

/// f32 or f64.
pub trait Real: Float + Send + Sync + std::fmt::Debug + 'static {
    /// The same number.
    fn of(value: f32) -> Self;
    /// The error function.
    fn erf(self) -> Self;
}

impl Real for f32 {
    fn of(value: f32) -> Self {
        value
    }

    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Real for f64 {
    fn of(value: f32) -> Self {
        f64::from(value)
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }
}

/// A row-major array.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T: Real> Array<T> {
    /// An array of `shape` over `data`.
    ///
    /// # Panics
    /// If their sizes differ: the interpreter is a tool of tests.
    pub fn new(shape: Vec<usize>, data: Vec<T>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{shape:?}");
        Self { shape, data }
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn floats(&self) -> &[T] {
        &self.data
    }

    /// The elements of the array broadcast to `shape`.
    pub(super) fn broadcast(&self, shape: &[usize]) -> impl Iterator<Item = T> + '_ {
        let strides = broadcast_strides(&self.shape, shape);
        Offsets::new(shape, &strides, 0).map(|i| self.data[i])
    }
}

/// The strides of a row-major array.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The strides, one per axis of `shape`, of an array of shape `own` broadcast to it.
pub(super) fn broadcast_strides(own: &[usize], shape: &[usize]) -> Vec<usize> {
    let repeated = std::iter::repeat_n(0, shape.len() - own.len());
    let kept = own.iter().zip(row_major(own));
    repeated
        .chain(kept.map(|(&extent, stride)| if extent == 1 { 0 } else { stride }))
        .collect()
}

/// The offsets of the positions of a shape, in row-major order, in a strided array.
pub(super) struct Offsets {
    /// Extent, stride and current position of each axis.
    axes: Vec<(usize, usize, usize)>,
    offset: usize,
    left: usize,
}

impl Offsets {
    pub(super) fn new(shape: &[usize], strides: &[usize], first: usize) -> Self {
        let axes = shape.iter().zip(strides);
        Self {
            axes: axes.map(|(&extent, &stride)| (extent, stride, 0)).collect(),
            offset: first,
            left: shape.iter().product(),
        }
    }
}

impl Iterator for Offsets {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let current = self.offset;
        for (extent, stride, position) in self.axes.iter_mut().rev() {
            *position += 1;
            self.offset += *stride;
            if position < extent {
                break;
            }
            self.offset -= *stride * *extent;
            *position = 0;
        }
        Some(current)
    }
}

/// The index of the first largest element.
pub(super) fn first_max<T: Real>(values: &[T]) -> usize {
    let mut best = 0;
    for (i, &v) in values.iter().enumerate() {
        if v > values[best] || (v.is_nan() && !values[best].is_nan()) {
            best = i;
        }
    }
    best
}

/// The result of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<T> {
    /// Floats.
    Float(Array<T>),
    /// Integers and their shape.
    Int(Vec<i64>, Vec<usize>),
    /// Booleans and their shape.
    Bool(Vec<bool>, Vec<usize>),
}

impl<T: Real> Value<T> {
    /// The array of a float value.
    ///
    /// # Panics
    /// If the value is not of floats.
    pub fn array(&self) -> &Array<T> {
        match self {
            Value::Float(array) => array,
            _ => unreachable!("the verifier lets only real operands through"),
        }
    }

    /// The elements of a float value.
    ///
    /// # Panics
    /// If the value is not of floats.
    pub fn floats(&self) -> &[T] {
        self.array().floats()
    }

    pub(super) fn reshaped(&self, shape: Vec<usize>) -> Self {
        match self {
            Value::Float(array) => Value::Float(Array::new(shape, array.data.clone())),
            Value::Int(data, _) => Value::Int(data.clone(), shape),
            Value::Bool(data, _) => Value::Bool(data.clone(), shape),
        }
    }
}
