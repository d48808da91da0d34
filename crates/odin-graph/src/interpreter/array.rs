use num_traits::Float;

/// f32 or f64.
pub trait Real: Float + Send + Sync + std::fmt::Debug + 'static {
    /// The same number, perhaps with more digits to come.
    fn of(value: f32) -> Self;
}

impl Real for f32 {
    fn of(value: f32) -> Self {
        value
    }
}

impl Real for f64 {
    fn of(value: f32) -> Self {
        f64::from(value)
    }
}

/// Real numbers in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T: Real> Array<T> {
    /// An array of `shape` over `data`.
    ///
    /// # Panics
    /// When their sizes differ: the interpreter is a tool of tests.
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

    /// The element that stands at offset `i` once the array is repeated to `shape`.
    pub(super) fn broadcast_at(&self, shape: &[usize], i: usize) -> T {
        self.data[broadcast_offset(&self.shape, shape, i)]
    }
}

/// Where offset `i` of `shape` comes from in an array of shape `own` that is repeated to it.
pub(super) fn broadcast_offset(own: &[usize], shape: &[usize], mut i: usize) -> usize {
    let lead = shape.len() - own.len();
    let (mut offset, mut stride) = (0, 1);
    for axis in (0..shape.len()).rev() {
        let position = i % shape[axis];
        i /= shape[axis];
        if axis >= lead {
            let extent = own[axis - lead];
            offset += if extent == 1 { 0 } else { position * stride };
            stride *= extent;
        }
    }
    offset
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

/// What a node gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<T> {
    /// Real numbers.
    Float(Array<T>),
    /// Integers and their shape.
    Int(Vec<i64>, Vec<usize>),
    /// Truth values and their shape.
    Bool(Vec<bool>, Vec<usize>),
}

impl<T: Real> Value<T> {
    /// The array of a real value.
    ///
    /// # Panics
    /// When the value is not real.
    pub fn array(&self) -> &Array<T> {
        match self {
            Value::Float(array) => array,
            _ => unreachable!("the verifier lets only real operands through"),
        }
    }

    /// The elements of a real value.
    ///
    /// # Panics
    /// When the value is not real.
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

/// All indices of a shape in row-major order.
pub(super) struct Index {
    shape: Vec<usize>,
    next: usize,
    count: usize,
}

impl Index {
    pub(super) fn over(shape: &[usize]) -> Self {
        let count = shape.iter().product();
        let shape = shape.to_vec();
        Self {
            shape,
            next: 0,
            count,
        }
    }
}

impl Iterator for Index {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        (self.next < self.count).then(|| {
            let mut rest = self.next;
            self.next += 1;
            let mut index = vec![0; self.shape.len()];
            for (position, &extent) in index.iter_mut().zip(&self.shape).rev() {
                *position = rest % extent;
                rest /= extent;
            }
            index
        })
    }
}

/// The offset of an index in a shape.
pub(super) fn offset(index: &[usize], shape: &[usize]) -> usize {
    index
        .iter()
        .zip(shape)
        .fold(0, |o, (&i, &extent)| o * extent + i)
}
