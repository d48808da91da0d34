//! Views: values that are read out of other values instead of being computed.

use crate::kernels::strided::row_major;
use odin_graph::{Graph, ValueId};

/// A contiguous part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) root: ValueId,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

impl View {
    /// Whether two views share an element.
    pub(super) fn overlaps(self, other: View) -> bool {
        let (end, other_end) = (self.offset + self.len, other.offset + other.len);
        self.root == other.root && self.offset < other_end && other.offset < end
    }
}

/// A strided view: for one image, the element at position `p` is element `first + p · strides` of
/// `base`.
#[derive(Debug, Clone)]
pub(crate) struct StridedView {
    pub(crate) base: ValueId,
    pub(crate) first: usize,
    /// One per axis of the view.
    pub(crate) strides: Vec<usize>,
}

impl StridedView {
    /// All elements of a value in row-major order.
    pub(super) fn whole(graph: &Graph, v: ValueId) -> Self {
        Self {
            base: v,
            first: 0,
            strides: row_major(&graph.shape(v).at(1)),
        }
    }

    /// Whether the elements of a view of this shape are contiguous and in row-major order.
    pub(super) fn is_contiguous(&self, shape: &[usize]) -> bool {
        let mut axes = shape.iter().zip(&self.strides).zip(row_major(shape));
        axes.all(|((&extent, &stride), contiguous)| extent == 1 || stride == contiguous)
    }
}
