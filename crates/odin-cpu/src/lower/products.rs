//! Matrix products with what surrounds them: elementwise operators that alone read a product are
//! applied to its tiles before they are stored, and operands that are rearranged are read where they
//! lie.

use super::group::{Group, Head};
use odin_graph::{DType, Graph, Op, ValueId};
use odin_lower::{StridedView, View, leaves};

/// How many steps later a product may be computed than its operands allow: they are kept in memory
/// until then.
const NEARBY: usize = 8;

/// The most operators that are applied to a tile: the intermediate results of more would displace the
/// operands of the product from the first-level cache.
const MOST_OPERATORS: usize = 8;

/// Makes groups of products, each with the elementwise group that alone reads it. If `strided`,
/// products read strided views of their operands in place, and copies that no step reads any more are
/// dropped.
pub(super) fn form(
    graph: &Graph,
    views: &[View],
    strided_views: &[StridedView],
    strided: bool,
    groups: Vec<Group>,
) -> Vec<Group> {
    let mut fusion = Fusion {
        graph,
        views,
        groups: groups.into_iter().map(Some).collect(),
        computed_by: vec![None; graph.nodes().len()],
        readers: Vec::new(),
    };
    fusion.open();
    if strided {
        fusion.read_in_place(strided_views);
    }
    fusion.attach();
    fusion.groups.into_iter().flatten().collect()
}

struct Fusion<'a> {
    graph: &'a Graph,
    views: &'a [View],
    groups: Vec<Option<Group>>,
    /// For each value the group that computes it.
    computed_by: Vec<Option<usize>>,
    /// For each value, the groups that read a view of it; an output counts as one that is not there.
    readers: Vec<Vec<usize>>,
}

impl Fusion<'_> {
    /// Makes a group of each product.
    fn open(&mut self) {
        for (index, group) in self.groups.iter_mut().enumerate() {
            let Some(group) = group else { continue };
            self.computed_by[group.value.index()] = Some(index);
            let Head::Single(v) = group.head else {
                continue;
            };
            let node = self.graph.node(v);
            if matches!(node.op, Op::MatMul | Op::Gemm(_)) {
                group.head = Head::Product(v);
                group.factors.clone_from(&node.operands);
            }
        }
    }

    fn count_readers(&mut self) {
        self.readers = vec![Vec::new(); self.graph.nodes().len()];
        for output in self.graph.outputs() {
            self.readers[self.views[output.value.index()].root.index()].push(usize::MAX);
        }
        for (index, group) in self.groups.iter().enumerate() {
            for x in group.iter().flat_map(|group| group.reads(self.graph)) {
                self.readers[self.views[x.index()].root.index()].push(index);
            }
        }
    }

    /// The group that computes a value.
    fn group_of(&self, root: ValueId) -> Option<usize> {
        self.computed_by[root.index()].filter(|&index| self.groups[index].is_some())
    }

    fn elements(&self, v: ValueId) -> usize {
        self.graph.shape(v).at(1).iter().product()
    }

    /// Lets products of matrices read copied operands where they were copied from.
    fn read_in_place(&mut self, strided_views: &[StridedView]) {
        let copied: Vec<bool> = (self.graph.values())
            .map(|v| {
                let group = self.group_of(self.views[v.index()].root);
                let group = group.and_then(|index| self.groups[index].as_ref());
                group.is_some_and(|group| matches!(group.head, Head::StridedCopy(_)))
            })
            .collect();
        for group in self.groups.iter_mut().flatten() {
            let Head::Product(v) = group.head else {
                continue;
            };
            if self.graph.node(v).op != Op::MatMul {
                continue;
            }
            for x in &mut group.factors {
                let view = &strided_views[x.index()];
                if copied[x.index()] && is_matrix_in_place(self.graph, *x, view) {
                    *x = view.base;
                }
            }
        }
        self.count_readers();
        for index in (0..self.groups.len()).rev() {
            let is_unread = self.groups[index].as_ref().is_some_and(|group| {
                let readers = &self.readers[group.value.index()];
                matches!(group.head, Head::StridedCopy(_)) && readers.is_empty()
            });
            if is_unread {
                self.groups[index] = None;
            }
        }
    }

    /// Fuses elementwise groups with the product that only they read.
    fn attach(&mut self) {
        self.count_readers();
        for index in 0..self.groups.len() {
            let Some(group) = &self.groups[index] else {
                continue;
            };
            if group.head != Head::Elementwise || group.nodes.len() > MOST_OPERATORS {
                continue;
            }
            let nodes = group.nodes.clone();
            let own = leaves(self.graph, &nodes);
            let sole = |x: &ValueId| self.sole_product(*x, index, group.value);
            let found = own.iter().filter_map(|x| Some((*x, sole(x)?))).next_back();
            let Some((input, product)) = found else {
                continue;
            };
            let (value, earlier) = (group.value, self.groups[product].take());
            if let Some(earlier) = earlier {
                self.groups[index] = Some(Group {
                    input,
                    nodes,
                    value,
                    ..earlier
                });
            }
        }
    }

    /// The group of the product that `x` is, if group `index` alone reads it, as all elements of
    /// `value`.
    fn sole_product(&self, x: ValueId, index: usize, value: ValueId) -> Option<usize> {
        let view = self.views[x.index()];
        let all = [x, view.root, value].map(|v| self.elements(v));
        let is_whole = view.offset == 0 && all.iter().all(|&elements| elements == view.len);
        let is_float = self.graph.ty(value).dtype == DType::Float;
        if self.readers[view.root.index()] != [index] || !is_whole || !is_float {
            return None;
        }
        let product = self.group_of(view.root)?;
        let group = self.groups[product].as_ref()?;
        let is_bare = matches!(group.head, Head::Product(_)) && group.nodes.is_empty();
        (is_bare && product < index && index - product <= NEARBY).then_some(product)
    }
}

/// Whether the matrices of a strided view can be packed from where they lie: rows or columns are
/// contiguous.
fn is_matrix_in_place(graph: &Graph, x: ValueId, view: &StridedView) -> bool {
    let shape = graph.shape(x).at(1);
    let (Some(rows), Some(columns)) = (shape.len().checked_sub(2), shape.len().checked_sub(1))
    else {
        return false;
    };
    let stride = |axis: usize| match shape[axis] {
        1 => 1,
        _ => view.strides[axis],
    };
    let repeats = shape.iter().zip(&view.strides);
    let repeats = repeats.into_iter().any(|(&e, &s)| e != 1 && s == 0);
    let is_empty = shape.contains(&0);
    !repeats && !is_empty && (stride(rows) == 1 || stride(columns) == 1)
}
