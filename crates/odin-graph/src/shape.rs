//! Shapes and element types of values.

use std::fmt;

/// The extent of one axis.
///
/// The number of images in a batch, `N`, is not known until a graph runs. An axis is either
/// independent of it or has a fixed number of entries per image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dim {
    /// This many entries, independent of the batch.
    Fixed(usize),
    /// This many entries per image: `k·N`. The batch axis itself is `PerImage(1)`.
    PerImage(usize),
}

impl Dim {
    /// The batch axis, `N`.
    pub const BATCH: Dim = Dim::PerImage(1);

    /// The extent in a batch of `n` images.
    pub fn at(self, n: usize) -> usize {
        match self {
            Dim::Fixed(k) => k,
            Dim::PerImage(k) => k * n,
        }
    }

    /// The extent of an axis that does not depend on the batch.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(k) => Some(k),
            Dim::PerImage(_) => None,
        }
    }
}

impl From<usize> for Dim {
    fn from(k: usize) -> Self {
        Dim::Fixed(k)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(k) => write!(f, "{k}"),
            Dim::PerImage(1) => f.write_str("N"),
            Dim::PerImage(k) => write!(f, "{k}N"),
        }
    }
}

/// The extents of all axes, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// A shape of these axes.
    pub fn new(dims: impl Into<Vec<Dim>>) -> Self {
        Self(dims.into())
    }

    /// A shape that does not depend on the batch.
    pub fn fixed(dims: &[usize]) -> Self {
        Self(dims.iter().map(|&k| Dim::Fixed(k)).collect())
    }

    /// `[N, dims...]`.
    pub fn batched(dims: &[usize]) -> Self {
        let batch = std::iter::once(Dim::BATCH);
        Self(batch.chain(dims.iter().map(|&k| Dim::Fixed(k))).collect())
    }

    /// The axes, outermost first.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The extents in a batch of `n` images.
    pub fn at(&self, n: usize) -> Vec<usize> {
        self.0.iter().map(|d| d.at(n)).collect()
    }

    /// The extents of a shape that does not depend on the batch.
    pub fn as_fixed(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|d| d.fixed()).collect()
    }

    /// Elements per image and the number of axes that grow with the batch; `None` when the
    /// count overflows.
    pub(crate) fn elements(&self) -> Option<(usize, usize)> {
        let mut per_image = 1usize;
        let mut batch_axes = 0;
        for dim in &self.0 {
            per_image = per_image.checked_mul(dim.at(1))?;
            batch_axes += usize::from(dim.fixed().is_none());
        }
        Some((per_image, batch_axes))
    }

    /// The shape that both operands are broadcast to, aligned at the innermost axis, as in numpy
    /// and ONNX.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        let dim = |shape: &Shape, axis: usize| match axis.checked_sub(rank - shape.rank()) {
            Some(own) => shape.0[own],
            None => Dim::Fixed(1),
        };
        let dims: Option<Vec<Dim>> = (0..rank)
            .map(|axis| match (dim(self, axis), dim(other, axis)) {
                (a, b) if a == b => Some(a),
                (Dim::Fixed(1), b) => Some(b),
                (a, Dim::Fixed(1)) => Some(a),
                _ => None,
            })
            .collect();
        dims.map(Shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{dim}")?;
        }
        f.write_str("]")
    }
}

/// The element type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// A float: f32 in the engine and in files, f32 or f64 in the interpreter.
    Float,
    /// A 64-bit integer: class indices.
    Int,
    /// A Boolean: masks.
    Bool,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Float => "float",
            DType::Int => "int",
            DType::Bool => "bool",
        })
    }
}

/// Element type and shape of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Type {
    /// The type of an element.
    pub dtype: DType,
    /// The extents.
    pub shape: Shape,
}

impl Type {
    /// Floats of this shape.
    pub fn float(shape: Shape) -> Self {
        Self {
            dtype: DType::Float,
            shape,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}
