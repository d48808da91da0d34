//! Views: values that are read out of other values instead of being computed.

use crate::strides::row_major;
use odin_graph::{Graph, ValueId};

/// A contiguous part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The value that it is a part of.
    pub root: ValueId,
    /// Its first element there.
    pub offset: usize,
    /// Its elements.
    pub len: usize,
}

impl View {
    /// Whether two views share an element.
    pub fn overlaps(self, other: View) -> bool {
        let (end, other_end) = (self.offset + self.len, other.offset + other.len);
        self.root == other.root && self.offset < other_end && other.offset < end
    }
}

/// A strided view: for one image, the element at position `p` is element `first + p · strides` of
/// `base`.
#[derive(Debug, Clone)]
pub struct StridedView {
    /// The value that is read.
    pub base: ValueId,
    /// The first element that is read.
    pub first: usize,
    /// One per axis of the view.
    pub strides: Vec<usize>,
}

impl StridedView {
    /// All elements of a value in row-major order.
    pub fn whole(graph: &Graph, v: ValueId) -> Self {
        Self {
            base: v,
            first: 0,
            strides: row_major(&graph.shape(v).at(1)),
        }
    }

    /// Whether the elements of a view of this shape are contiguous and in row-major order.
    pub fn is_contiguous(&self, shape: &[usize]) -> bool {
        let mut axes = shape.iter().zip(&self.strides).zip(row_major(shape));
        axes.all(|((&extent, &stride), contiguous)| extent == 1 || stride == contiguous)
    }
}
