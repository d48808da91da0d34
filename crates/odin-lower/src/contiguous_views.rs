//! The contiguous view of each value: the part of a computed value or constant that it is.

use crate::{BatchLayout, Error, ErrorKind, StridedView, View};
use odin_graph::{DType, Graph, Op, ValueId};

/// For each value the view of its elements for one image. A value that is computed or copied is its
/// own root.
pub fn contiguous_views(graph: &Graph, strided_views: &[StridedView]) -> Result<Vec<View>, Error> {
    let mut views: Vec<View> = Vec::new();
    for v in graph.values() {
        let node = graph.node(v);
        let strided = &strided_views[v.index()];
        let len = graph.shape(v).at(1).iter().product();
        let view = if let Op::Reshape(_) = &node.op {
            keeps_images_apart(graph, node.operands[0], v)?;
            views[node.operands[0].index()]
        } else if strided.base != v && is_contiguous_part(graph, &views, strided, v) {
            let of = views[strided.base.index()];
            let offset = of.offset + strided.first;
            View { offset, len, ..of }
        } else {
            let (root, offset) = (v, 0);
            View { root, offset, len }
        };
        views.push(view);
    }
    Ok(views)
}

/// Whether a value is a contiguous part of its base; of a constant, all of it.
fn is_contiguous_part(graph: &Graph, views: &[View], strided: &StridedView, v: ValueId) -> bool {
    let (whole, part) = (graph.shape(strided.base).at(1), graph.shape(v).at(1));
    let root = views[strided.base.index()].root;
    let is_constant = graph.constant_value(root).is_some();
    let is_all = whole.iter().product::<usize>() == part.iter().product();
    graph.ty(v).dtype == DType::Float && strided.is_contiguous(&part) && (is_all || !is_constant)
}

/// A reshape mixes the images of a batch unless as many elements lie outside of the batch axis
/// before as after.
fn keeps_images_apart(graph: &Graph, x: ValueId, y: ValueId) -> Result<(), Error> {
    let outer = |v: ValueId| BatchLayout::new(graph.shape(v)).outer();
    match outer(x) == outer(y) {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::UnsupportedGraph,
            format!(
                "{}: reshaping {} would mix the images of a batch",
                graph.describe(y),
                graph.shape(x)
            ),
        )),
    }
}
