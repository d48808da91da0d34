//! The description and the cost of a step, for people to read.

use super::chain::Chain;
use super::group::{Group, Head};
use crate::kernels::epilogue::{Activation, sign_bytes};
use crate::program::{ProgramStep, StepPrecision};
use odin_graph::cost::{elements, node_multiply_adds};
use odin_graph::{DType, Graph, ValueId};
use odin_lower::{operator_name, operator_names};

/// `method` is appended to the name of the head: the algorithm, where there are several.
pub(super) fn describe(graph: &Graph, group: &Group, method: &str) -> ProgramStep {
    let head = match group.head {
        Head::Single(v) | Head::Conv(v) | Head::Product(v) | Head::StridedCopy(v) => Some(v),
        Head::Identity | Head::Elementwise => None,
    };
    let words = [
        words(&group.prologue),
        match group.head {
            Head::Elementwise => operator_names(graph, &group.nodes),
            _ => {
                let name = head.map(|v| operator_name(graph, v)).unwrap_or_default();
                format!("{name}{method}")
            }
        },
        match group.head {
            Head::Product(_) => operator_names(graph, &group.nodes),
            _ => words(&group.epilogue),
        },
    ];
    let said: Vec<&str> = words.iter().map(String::as_str).collect();
    let what = said.into_iter().filter(|w| !w.is_empty());
    ProgramStep {
        what: what.collect::<Vec<_>>().join(" > "),
        origin: graph.node(head.unwrap_or(group.value)).origin.clone(),
        precision: StepPrecision::default(),
        shape: graph.shape(group.value).at(1).into_iter().skip(1).collect(),
        flops: head.map_or(0, |v| 2 * node_multiply_adds(graph, v)),
        bytes: bytes(graph, group, head),
    }
}

fn words(chain: &Chain) -> String {
    let words = [
        (chain.scale.is_some(), "affine"),
        (chain.scale.is_none() && chain.bias.is_some(), "bias"),
        (chain.mask.is_some(), "mask"),
        (chain.addend.is_some(), "add"),
        (chain.activation == Activation::Relu, "relu"),
        (matches!(chain.activation, Activation::Clip(_)), "clip"),
        (matches!(chain.activation, Activation::Mask(_)), "mask"),
    ];
    let said = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word);
    said.collect::<Vec<_>>().join(" ")
}

fn bytes(graph: &Graph, group: &Group, head: Option<ValueId>) -> u64 {
    let size = |v: ValueId| match graph.ty(v).dtype {
        DType::Float => 4 * elements(graph, v),
        DType::Int => 8 * elements(graph, v),
        _ if !matches!(group.head, Head::Conv(_) | Head::Identity) => elements(graph, v),
        _ => sign_bytes(elements(graph, v) as usize) as u64,
    };
    let signs = |mask: Option<ValueId>| mask.map_or(0, |v| sign_bytes(elements(graph, v) as usize));
    if let Head::StridedCopy(v) = group.head {
        return size(group.input).min(size(v)) + size(v);
    }
    let read: u64 = group.operands(graph).into_iter().map(size).sum();
    let constants = match head {
        Some(v) if !matches!(group.head, Head::Product(_)) => graph.node(v).operands.clone(),
        _ => group.reads(graph),
    };
    let constants = constants
        .iter()
        .filter(|&&x| graph.constant_value(x).is_some());
    let weights: u64 = constants.map(|&x| size(x)).sum();
    let saved = signs(group.prologue.saved_signs) + signs(group.epilogue.saved_signs);
    read + weights + size(group.value) + saved as u64
}
