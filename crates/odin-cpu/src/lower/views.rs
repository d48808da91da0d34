//! Values that are nothing but a part of another, or the same elements under another shape.

use crate::batch::Layout;
use crate::{Error, ErrorKind};
use odin_graph::{DType, Dim, Graph, Op, Shape, ValueId, op};

/// A part of what a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) root: ValueId,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// For each value, where its elements really are, for one image.
pub(crate) fn views(graph: &Graph) -> Result<Vec<View>, Error> {
    let mut views: Vec<View> = Vec::new();
    for v in graph.values() {
        let node = graph.node(v);
        let len = graph.shape(v).at(1).iter().product();
        let whole = View {
            root: v,
            offset: 0,
            len,
        };
        let view = match &node.op {
            Op::Reshape(_) => {
                keeps_images_apart(graph, node.operands[0], v)?;
                views[node.operands[0].index()]
            }
            Op::Slice(slice) => match contiguous(graph, slice, node.operands[0]) {
                Some(first) => {
                    let of = views[node.operands[0].index()];
                    let offset = of.offset + first;
                    View { offset, len, ..of }
                }
                None => whole,
            },
            _ => whole,
        };
        views.push(view);
    }
    Ok(views)
}

/// Where a slice begins that lies in one piece in its operand.
fn contiguous(graph: &Graph, slice: &op::Slice, x: ValueId) -> Option<usize> {
    let ty = graph.ty(x);
    let [cut] = slice.axes[..] else { return None };
    let extents = ty.shape.at(1);
    let outer: usize = extents[..cut.axis].iter().product();
    let inner: usize = extents[cut.axis + 1..].iter().product();
    let in_one_piece = cut.step == 1 && outer == 1 && ty.dtype == DType::Float;
    let is_known = graph.constant_value(x).is_some();
    (in_one_piece && !is_known && is_batch_first(&ty.shape)).then_some(cut.start * inner)
}

/// Whether a shape is `[N, ...]`, without the batch anywhere else.
pub(crate) fn is_batch_first(shape: &Shape) -> bool {
    match shape.dims() {
        [Dim::PerImage(1), rest @ ..] => rest.iter().all(|d| d.fixed().is_some()),
        _ => false,
    }
}

/// A change of shape moves elements from one image to another unless as many elements lie outside
/// the batch axis before as after.
fn keeps_images_apart(graph: &Graph, x: ValueId, y: ValueId) -> Result<(), Error> {
    let outer = |v: ValueId| Layout::new(graph.shape(v)).outer();
    match outer(x) == outer(y) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::UnsupportedGraph,
            format!(
                "{}: from {} it would mix the images of a batch",
                graph.describe(y),
                graph.shape(x)
            ),
        )),
    }
}
