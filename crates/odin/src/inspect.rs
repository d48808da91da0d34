//! The cost of a network and of ODIN on it, and its operators without a gradient rule.

use crate::Classifier;
pub use odin_graph::cost::multiply_adds;
use odin_graph::{Graph, odin, without_gradient};

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

#[cfg(test)]
mod tests {
    use super::*;
    use odin_graph::op::Window;
    use odin_graph::{Error, Op, Shape, Tensor, Type, ValueId};

    fn input(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
        g.input("x", Type::float(Shape::batched(dims)))
    }

    fn zeros(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
        let data = vec![0.0; dims.iter().product()];
        g.constant(Tensor::new(dims.to_vec(), data)?)
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
