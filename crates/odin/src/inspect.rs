use crate::Classifier;
use odin_graph::op::Window;
use odin_graph::{Graph, Op, Shape, ValueId, odin, without_gradient};

/// What a network costs, and whether ODIN can be built into it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Multiply-adds of one forward pass for one image: those of convolutions and matrix
    /// products. One is two floating-point operations.
    pub forward_multiply_adds: u64,
    /// The same of all of ODIN: two forward passes and the input gradient. The error says why
    /// ODIN cannot be built in.
    pub odin_multiply_adds: Result<u64, String>,
    /// All operators between the input and the logits that have no gradient, by node.
    pub without_gradient: Vec<String>,
}

impl Inspection {
    /// Counts without running anything.
    pub fn of(classifier: &Classifier) -> Self {
        Self::of_graph(classifier.graph(), classifier.layout().channel_axis())
    }

    fn of_graph(graph: &Graph, channel_axis: usize) -> Self {
        let odin = odin::transform(graph, channel_axis);
        // What else is wrong is what `odin` says.
        let missing = missing_gradients(graph).unwrap_or_default();
        Self {
            forward_multiply_adds: multiply_adds(graph),
            odin_multiply_adds: odin
                .map(|odin| multiply_adds(&odin))
                .map_err(|e| e.to_string()),
            without_gradient: missing,
        }
    }
}

fn missing_gradients(graph: &Graph) -> Option<Vec<String>> {
    let (input, _) = graph.inputs().next()?;
    let logits = graph.outputs().first()?.value;
    let missing = without_gradient(graph, logits, input).ok()?;
    Some(missing.into_iter().map(|v| graph.describe(v)).collect())
}

/// The multiply-adds of convolutions and matrix products that a graph's outputs need for one
/// image. What is computed from constants alone is computed once and does not count.
pub fn multiply_adds(graph: &Graph) -> u64 {
    let (varies, needed) = (depends_on_inputs(graph), needed_for_outputs(graph));
    let counted = graph
        .values()
        .filter(|v| varies[v.index()] && needed[v.index()]);
    counted
        .map(|v| node_multiply_adds(graph, v))
        .fold(0, u64::saturating_add)
}

fn depends_on_inputs(graph: &Graph) -> Vec<bool> {
    let mut varies: Vec<bool> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let input = matches!(node.op, Op::Input(_));
        varies.push(input || node.operands.iter().any(|v| varies[v.index()]));
    }
    varies
}

fn needed_for_outputs(graph: &Graph) -> Vec<bool> {
    let mut needed = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        needed[output.value.index()] = true;
    }
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if needed[i] {
            for operand in &node.operands {
                needed[operand.index()] = true;
            }
        }
    }
    needed
}

fn node_multiply_adds(graph: &Graph, value: ValueId) -> u64 {
    let node = graph.node(value);
    let operand = |i: usize| graph.shape(node.operands[i]);
    let extent = |shape: &Shape, axis: usize| shape.dims().get(axis).map_or(1, |d| d.at(1) as u64);
    // For each entry of one side, how many of the weights it meets: those of one channel of the
    // other side within its group.
    let per_window = |window: &Window, channels: u64| {
        let taps = window.kernel.iter().map(|&k| k as u64);
        taps.fold(channels, u64::saturating_mul)
    };
    match &node.op {
        Op::Conv(conv) => {
            let met = per_window(&conv.window, extent(operand(1), 1));
            elements(&node.ty.shape).saturating_mul(met)
        }
        Op::ConvTranspose(conv) => {
            let met = per_window(&conv.window, extent(operand(1), 1));
            elements(operand(0)).saturating_mul(met)
        }
        Op::MatMul => {
            let inner = operand(0).rank().saturating_sub(1);
            elements(&node.ty.shape).saturating_mul(extent(operand(0), inner))
        }
        Op::Gemm(gemm) => {
            let inner = if gemm.trans_a { 0 } else { 1 };
            elements(&node.ty.shape).saturating_mul(extent(operand(0), inner))
        }
        _ => 0,
    }
}

/// Elements for one image.
fn elements(shape: &Shape) -> u64 {
    let extents = shape.dims().iter().map(|d| d.at(1) as u64);
    extents.fold(1, u64::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;
    use odin_graph::op::{Conv, ConvTranspose, Gemm};
    use odin_graph::{Error, Tensor, Type};

    type Build = fn(&mut Graph) -> Result<ValueId, Error>;

    fn input(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
        g.input("x", Type::float(Shape::batched(dims)))
    }

    fn zeros(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
        let data = vec![0.0; dims.iter().product()];
        g.constant(Tensor::new(dims.to_vec(), data)?)
    }

    #[test]
    fn multiply_adds_are_those_of_the_loops() {
        let cases: [(&str, Build, u64); 6] = [
            (
                "a 3x3 convolution, 4 to 8 channels in 2 groups, 6x6 to 4x4",
                |g| {
                    let (x, w) = (input(g, &[4, 6, 6])?, zeros(g, &[8, 2, 3, 3])?);
                    let window = Window::new(&[3, 3]);
                    g.add(Op::Conv(Conv { window, groups: 2 }), &[x, w])
                },
                8 * 4 * 4 * 2 * 9,
            ),
            (
                "the adjoint of a strided one",
                |g| {
                    let (x, w) = (input(g, &[8, 4, 4])?, zeros(g, &[8, 2, 3, 3])?);
                    let op = ConvTranspose {
                        window: Window::new(&[3, 3]).stride(2),
                        output_padding: vec![0, 0],
                        groups: 2,
                    };
                    g.add(Op::ConvTranspose(op), &[x, w])
                },
                8 * 4 * 4 * 2 * 9,
            ),
            (
                "a batched matrix product",
                |g| {
                    let (x, w) = (input(g, &[2, 3, 5])?, zeros(g, &[5, 7])?);
                    g.mat_mul(x, w)
                },
                2 * 3 * 5 * 7,
            ),
            (
                "a linear layer",
                |g| {
                    let (x, w) = (input(g, &[5])?, zeros(g, &[7, 5])?);
                    let gemm = Gemm {
                        alpha: 1.0,
                        beta: 1.0,
                        trans_a: false,
                        trans_b: true,
                    };
                    g.add(Op::Gemm(gemm), &[x, w])
                },
                5 * 7,
            ),
            (
                "a product of constants is computed once",
                |g| {
                    let (x, a, b) = (input(g, &[5])?, zeros(g, &[5, 9])?, zeros(g, &[9, 7])?);
                    let w = g.mat_mul(a, b)?;
                    g.mat_mul(x, w)
                },
                5 * 7,
            ),
            (
                "what nothing needs does not count",
                |g| {
                    let (x, w) = (input(g, &[5])?, zeros(g, &[5, 7])?);
                    g.mat_mul(x, w)?;
                    g.relu(x)
                },
                0,
            ),
        ];
        for (name, build, expected) in cases {
            let mut g = Graph::new();
            let y = build(&mut g).unwrap();
            g.output("y", y);
            assert_eq!(multiply_adds(&g), expected, "{name}");
        }
    }

    #[test]
    fn operators_without_a_gradient_are_all_named() {
        let pool = |g: &mut Graph, place: &str, x| {
            let ones = zeros(g, &[1, 1, 2])?;
            let dy = g.expand(ones, Shape::batched(&[1, 2]))?;
            let window = Window::new(&[2]).stride(2);
            g.at(place).add(Op::MaxPoolGrad(window), &[x, dy])
        };
        let mut g = Graph::new();
        let x = input(&mut g, &[1, 4]).unwrap();
        let y = pool(&mut g, "first", x).unwrap();
        let y = pool(&mut g, "second", y).unwrap();
        let logits = g.reshape(y, Shape::batched(&[4])).unwrap();
        g.output("logits", logits);
        let inspection = Inspection::of_graph(&g, 1);
        let error = inspection.odin_multiply_adds.unwrap_err();
        assert!(error.starts_with("second: MaxPoolGrad"), "{error}");
        let names = inspection.without_gradient.iter();
        let names: Vec<_> = names.map(|name| name.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["first:", "second:"]);
    }
}
