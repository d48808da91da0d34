//! Operators by name, for people to read.

use odin_graph::{Graph, Op, ValueId};

/// The names of operators in order, each once.
pub fn operator_names(graph: &Graph, nodes: &[ValueId]) -> String {
    let mut names: Vec<String> = Vec::new();
    for &v in nodes {
        let name = operator_name(graph, v);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" ")
}

/// The name of an operator in descriptions of steps, such as `conv 3x3`.
pub fn operator_name(graph: &Graph, v: ValueId) -> String {
    let window = match &graph.node(v).op {
        Op::Conv(conv) => Some(("conv", &conv.window, conv.groups)),
        Op::ConvTranspose(conv) => Some(("conv-transpose", &conv.window, conv.groups)),
        _ => None,
    };
    let Some((name, window, groups)) = window else {
        return graph.node(v).op.name().to_lowercase();
    };
    let extents = |of: &[usize]| {
        let all: Vec<String> = of.iter().map(ToString::to_string).collect();
        all.join("x")
    };
    let mut name = format!("{name} {}", extents(&window.kernel));
    if window.strides.iter().any(|&s| s != 1) {
        name.push_str(&format!(" /{}", extents(&window.strides)));
    }
    if groups != 1 {
        name.push_str(&format!(" in {groups} groups"));
    }
    name
}
