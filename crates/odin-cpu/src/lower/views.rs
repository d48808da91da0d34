//! Values that are nothing but a part of another, or the same elements under another shape.

use super::moves::Reading;
use crate::batch::Layout;
use crate::{Error, ErrorKind};
use odin_graph::{DType, Dim, Graph, Op, Shape, ValueId};

/// A part of what a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) root: ValueId,
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// For each value, where its elements really are, for one image.
pub(crate) fn views(graph: &Graph, readings: &[Reading]) -> Result<Vec<View>, Error> {
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
            _ => {
                let reading = &readings[v.index()];
                match reading.base != v && is_part(graph, &views, reading, v) {
                    true => {
                        let of = views[reading.base.index()];
                        let offset = of.offset + reading.first;
                        View { offset, len, ..of }
                    }
                    false => whole,
                }
            }
        };
        views.push(view);
    }
    Ok(views)
}

/// Whether a value is some neighbouring elements of what it reads, or all of what is known.
fn is_part(graph: &Graph, views: &[View], reading: &Reading, v: ValueId) -> bool {
    let (whole, part) = (graph.shape(reading.base).at(1), graph.shape(v).at(1));
    let root = views[reading.base.index()].root;
    let is_known = graph.constant_value(root).is_some();
    let is_all = whole.iter().product::<usize>() == part.iter().product();
    graph.ty(v).dtype == DType::Float && reading.is_in_order(&part) && (is_all || !is_known)
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
