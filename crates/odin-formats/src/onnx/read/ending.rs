//! What a classifier ends in: its logits are found behind a softmax, behind a sigmoid, and behind
//! arithmetic that gives, divides, bounds or takes the logarithm of probabilities.

use super::builder::invalid;
use crate::Error;
use crate::single_logit::{NO_SIGMOID, SINGLE_LOGIT, two_classes};
use odin_graph::op::{Axis, Binary, Concat, Reduce, ReduceKind, Unary};
use odin_graph::{Dim, Graph, Op, Shape, ValueId, linear_head_of};
use std::collections::HashMap;

/// How many operators behind each other are looked through.
const DEEPEST: usize = 16;

/// Bounds that keep logarithms finite leave probabilities what they are.
const SMALLEST_BOUND: f32 = 1e-3;

const SOFTMAX_REMOVED: &str = "the final Softmax of the model was removed: ODIN works on logits";
const SIGMOID_REMOVED: &str = "the final Sigmoid of the model was removed: ODIN works on logits";
const SOFTMAX_TWICE: &str =
    "the model takes the softmax of a softmax: the logits are what the first is taken of";
const MULTI_LABEL: &str = "the model ends in a Sigmoid, not in a softmax, and is read as a multi-label network, whose classes do not exclude each other: the logits are what the Sigmoid is taken of, msp and odin are the largest sigmoid, joint-energy is the sum over the labels, and scores that take a softmax over them are refused. `multi_label = false` in a model.toml says otherwise";

/// What a network's output is made of.
pub(super) struct Logits {
    pub(super) value: ValueId,
    /// Whether each is the logit of a label of its own, and not of one of several classes.
    pub(super) multi_label: bool,
}

/// The logits `[N, classes]` of what a file gives: of probabilities those that they are the softmax
/// of, of a single number those of two classes.
pub(super) fn logits(
    graph: &mut Graph,
    output: ValueId,
    name: &str,
    notices: &mut Vec<String>,
) -> Result<Logits, Error> {
    let mut end = Ending {
        graph,
        logarithms: HashMap::new(),
    };
    let Logits {
        value: found,
        multi_label,
    } = end.logits(output, notices);
    let rows = as_rows(graph, found, name)?;
    if graph.shape(rows).dims()[1].at(1) == 1 {
        let doubt = if found == output { NO_SIGMOID } else { "" };
        notices.push(format!("the output {name:?} is {SINGLE_LOGIT}{doubt}"));
        let value = two_classes(graph, rows).map_err(invalid)?;
        return Ok(Logits {
            value,
            multi_label: false,
        });
    }
    let called_probabilities = ["prob", "softmax"].iter().any(|part| {
        let name = name.to_ascii_lowercase();
        name.contains(part)
    });
    if found == output && called_probabilities && linear_head_of(graph, rows).is_err() {
        let place = graph.describe(unshaped(graph, output));
        notices.push(format!(
            "the output {name:?} is called probabilities, but comes from {place}, behind which no logits were found: its values are taken as logits. If they are probabilities, all scores mean little; export the logits"
        ));
    }
    Ok(Logits {
        value: rows,
        multi_label,
    })
}

/// `[N, classes]`, axes of extent 1 left out; `[N]` is one class.
fn as_rows(graph: &mut Graph, logits: ValueId, name: &str) -> Result<ValueId, Error> {
    let dims = graph.shape(logits).dims().to_vec();
    if let [Dim::PerImage(1), Dim::Fixed(_)] = dims[..] {
        return Ok(logits);
    }
    let mut wide: Vec<Dim> = dims;
    wide.retain(|&d| d != Dim::Fixed(1));
    if wide.len() == 1 {
        wide.push(Dim::Fixed(1));
    }
    match wide[..] {
        [Dim::PerImage(1), Dim::Fixed(classes)] => graph
            .reshape(logits, Shape::batched(&[classes]))
            .map_err(invalid),
        _ => Err(Error::unsupported(format!(
            "the output {name:?} must be logits [N, classes], it is {}",
            graph.shape(logits)
        ))),
    }
}

/// The value without the changes of shape behind it.
fn unshaped(graph: &Graph, mut value: ValueId) -> ValueId {
    while let (Op::Reshape(_), &[x]) = (&graph.node(value).op, &graph.node(value).operands[..]) {
        value = x;
    }
    value
}

/// Whether bounds leave probabilities what they are. Those of a quantised file may end with the largest
/// one that its calibration has seen.
fn bounds_probabilities(min: f32, max: f32) -> bool {
    min <= SMALLEST_BOUND && max > SMALLEST_BOUND
}

/// The last operators of a network. Logits that no value of the graph is are added to it.
struct Ending<'g> {
    graph: &'g mut Graph,
    /// Those that were found, by what they are the logarithms of.
    logarithms: HashMap<ValueId, Option<ValueId>>,
}

impl Ending<'_> {
    /// What the probabilities that the output may be are made of; otherwise the output.
    fn logits(&mut self, output: ValueId, notices: &mut Vec<String>) -> Logits {
        let of_classes = |value| Logits {
            value,
            multi_label: false,
        };
        if let Some(logits) = self.behind_softmax(output) {
            notices.push(SOFTMAX_REMOVED.into());
            let first = self.behind_softmax(logits);
            notices.extend(first.map(|_| SOFTMAX_TWICE.into()));
            return of_classes(first.unwrap_or(logits));
        }
        let (Op::Unary(Unary::Sigmoid), &[logits]) = self.parts(self.unbounded(output)) else {
            return of_classes(output);
        };
        let multi_label = self.graph.shape(output).at(1).iter().product::<usize>() != 1;
        notices.push(match multi_label {
            true => MULTI_LABEL.into(),
            false => SIGMOID_REMOVED.into(),
        });
        Logits {
            value: logits,
            multi_label,
        }
    }

    /// What a value comes from, changes of shape left out.
    fn parts(&self, value: ValueId) -> (&Op, &[ValueId]) {
        let node = self.graph.node(unshaped(self.graph, value));
        (&node.op, &node.operands)
    }

    /// Probabilities without bounds around them: those that keep logarithms finite, or what a quantised
    /// file can represent.
    fn unbounded(&self, mut value: ValueId) -> ValueId {
        while let (&Op::Unary(Unary::Clip { min, max }), &[p]) = self.parts(value) {
            if !bounds_probabilities(min, max) {
                break;
            }
            value = p;
        }
        value
    }

    /// What a final softmax is taken of, which ODIN has to take at a temperature of its own.
    fn behind_softmax(&mut self, value: ValueId) -> Option<ValueId> {
        let of_logarithms = self.behind_log_softmax(value, DEEPEST);
        of_logarithms.or_else(|| self.behind_probabilities(value, DEEPEST))
    }

    /// `x` of `log(softmax(x))`.
    fn behind_log_softmax(&mut self, value: ValueId, depth: usize) -> Option<ValueId> {
        let depth = depth.checked_sub(1)?;
        match self.parts(value) {
            (Op::LogSoftmax(axis), &[x]) => self.is_along_classes(x, *axis).then_some(x),
            (Op::Unary(Unary::Log), &[p]) => self.behind_probabilities(p, depth),
            (Op::Binary(Binary::Sub), &[x, total]) => self.is_log_sum_exp(total, x).then_some(x),
            _ => None,
        }
    }

    /// `x` of `softmax(x)`: of an operator, or of arithmetic that gives the same.
    fn behind_probabilities(&mut self, value: ValueId, depth: usize) -> Option<ValueId> {
        let depth = depth.checked_sub(1)?;
        match self.parts(value) {
            (Op::Softmax(axis), &[x]) => self.is_along_classes(x, *axis).then_some(x),
            (Op::Unary(Unary::Exp), &[x]) => self.behind_log_softmax(x, depth),
            (&Op::Unary(Unary::Clip { min, max }), &[p]) => {
                bounds_probabilities(min, max).then(|| self.behind_probabilities(p, depth))?
            }
            (Op::Binary(Binary::Div), &[x, total]) if self.is_sum_of(total, x) => {
                let again = self.behind_probabilities(x, depth);
                again.or_else(|| {
                    let logarithm = self.logarithm(x, depth)?;
                    Some(self.without_maximum(logarithm))
                })
            }
            (Op::Concat(_), &[rest, p]) => {
                let z = self.complementary(rest, p)?;
                two_classes(self.graph, z).ok()
            }
            _ => None,
        }
    }

    fn is_along_classes(&self, x: ValueId, Axis(axis): Axis) -> bool {
        axis > 0 && self.graph.shape(x).rank() > axis
    }

    /// Whether a value is the sum of another's entries, whatever keeps it from 0.
    fn is_sum_of(&self, total: ValueId, x: ValueId) -> bool {
        let mut total = unshaped(self.graph, total);
        for _ in 0..DEEPEST {
            total = match self.parts(total) {
                (Op::Expand(_) | Op::Unary(Unary::Clip { .. }), &[inner]) => {
                    unshaped(self.graph, inner)
                }
                _ => break,
            };
        }
        let (Op::Reduce(reduce), &[summed]) = self.parts(total) else {
            return false;
        };
        let magnitude = match self.parts(summed) {
            (Op::Binary(Binary::Max), &[of, _]) => of == x,
            _ => false,
        };
        reduce.kind == ReduceKind::Sum && (summed == x || magnitude)
    }

    /// Whether a value is `log(sum(exp(x)))`.
    fn is_log_sum_exp(&self, value: ValueId, x: ValueId) -> bool {
        let (Op::Unary(Unary::Log), &[total]) = self.parts(value) else {
            return false;
        };
        let (Op::Reduce(reduce), &[summed]) = self.parts(total) else {
            return false;
        };
        let of_x = matches!(self.parts(summed), (Op::Unary(Unary::Exp), &[of]) if of == x);
        reduce.kind == ReduceKind::Sum && of_x
    }

    /// `x` of `x - max(x)`: softmax is the same with and without the maximum.
    fn without_maximum(&self, value: ValueId) -> ValueId {
        let (Op::Binary(Binary::Sub), &[x, max]) = self.parts(value) else {
            return value;
        };
        let is_max = matches!(
            self.parts(max),
            (Op::Reduce(Reduce { kind: ReduceKind::Max, .. }), &[of]) if of == x
        );
        if is_max { x } else { value }
    }

    /// `z [N, 1]` of `p = sigmoid(z)` and `rest = 1 - p`.
    fn complementary(&self, rest: ValueId, p: ValueId) -> Option<ValueId> {
        let (Op::Unary(Unary::Sigmoid), &[z]) = self.parts(self.unbounded(p)) else {
            return None;
        };
        let (Op::Binary(Binary::Sub), &[one, q]) = self.parts(rest) else {
            return None;
        };
        let single = self.graph.shape(z).dims() == [Dim::PerImage(1), Dim::Fixed(1)];
        let fits = single && self.is_number(one, 1.0) && q == p;
        fits.then_some(z)
    }

    fn is_number(&self, value: ValueId, number: f32) -> bool {
        let constant = self.graph.constant_value(value);
        constant.is_some_and(|constant| constant.data() == [number])
    }

    /// `log(x)`, where that is known without the rounding of `x`: positive numbers, divided by
    /// their sum, are the softmax of their logarithms.
    fn logarithm(&mut self, x: ValueId, depth: usize) -> Option<ValueId> {
        if let Some(&known) = self.logarithms.get(&x) {
            return known;
        }
        let found = self.new_logarithm(x, depth);
        self.logarithms.insert(x, found);
        found
    }

    fn new_logarithm(&mut self, x: ValueId, depth: usize) -> Option<ValueId> {
        let depth = depth.checked_sub(1)?;
        let (op, operands) = {
            let node = self.graph.node(x);
            (node.op.clone(), node.operands.clone())
        };
        match (op, &operands[..]) {
            (Op::Unary(Unary::Exp), &[y]) => Some(y),
            (Op::Unary(Unary::Sigmoid), &[z]) => {
                let minus_z = self.negative(z)?;
                self.minus_softplus(minus_z)
            }
            (Op::Softmax(axis), &[_]) => self.graph.add(Op::LogSoftmax(axis), &operands).ok(),
            (Op::Binary(Binary::Sub), &[one, p]) if self.is_number(one, 1.0) => {
                match self.parts(p) {
                    (Op::Unary(Unary::Sigmoid), &[z]) => self.minus_softplus(z),
                    _ => None,
                }
            }
            (op @ (Op::Reshape(_) | Op::Slice(_)), &[inner]) => {
                let inner = self.logarithm(inner, depth)?;
                self.graph.add(op, &[inner]).ok()
            }
            (Op::Concat(Concat { axis }), parts) => {
                let parts = parts.iter().map(|&part| self.logarithm(part, depth));
                let parts: Vec<ValueId> = parts.collect::<Option<_>>()?;
                self.graph.concat(&parts, axis).ok()
            }
            _ => None,
        }
    }

    fn negative(&mut self, x: ValueId) -> Option<ValueId> {
        let minus_one = self.graph.scalar(-1.0).ok()?;
        self.graph.mul(x, minus_one).ok()
    }

    /// `-log(1 + exp(x))`
    fn minus_softplus(&mut self, x: ValueId) -> Option<ValueId> {
        let softplus = self.graph.unary(Unary::Softplus, x).ok()?;
        self.negative(softplus)
    }
}
