//! How far f32 may be from the values of a graph: a running error analysis, element by element.
//!
//! Every value is computed in f64 by the interpreter, and beside it a bound of the error with which
//! f32 may compute it: what the operator makes of the errors of its operands, plus its own rounding.
//! A sum of n terms rounds by at most `(4·√n + 8)·u·Σ|terms|`, u being 2^-24: the terms of *this*
//! element, so that a small element of an array is checked as closely as a large one. (The bound
//! n·u·Σ|terms| holds always; with √n it holds but for a probability that vanishes, Higham and Mary
//! 2019.) Every other operation rounds by at most a few u of its result.
//!
//! What is discontinuous, such as a mask, a class or the place of a maximum, is uncertain where the
//! errors of the operands allow more than one result; whatever depends on it has a bound that covers
//! all of them.

use crate::subject::Output;
use odin_graph::op::*;
use odin_graph::{Array, Graph, Op, Shape, Type, Value, ValueId, interpret};

/// Half of the distance from 1 to the next f32.
const U: f64 = 1.0 / (1 << 24) as f64;
/// Smaller numbers count as zero.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;
/// Winograd's method adds and subtracts inputs and weights of a tile beforehand, of all of which the
/// rounding errors reach each of its outputs.
const WINOGRAD: f64 = 8.0;

/// Two numbers of an element, such as its value and the bound of its error.
type Numbers = (f64, f64);

/// A value, and for each element a bound of its error; for what is not a float, 1 where it is
/// uncertain and 0 elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Bounded {
    pub(crate) value: Value<f64>,
    pub(crate) error: Vec<f64>,
}

/// The outputs of a graph with their bounds.
pub(crate) fn outputs(g: &Graph, inputs: &[(&str, Array<f64>)]) -> Vec<Bounded> {
    let all = all_values(g, inputs);
    let mut known: Vec<Bounded> = Vec::new();
    for (v, value) in g.values().zip(all) {
        let node = g.node(v);
        let operands: Vec<&Bounded> = node.operands.iter().map(|x| &known[x.index()]).collect();
        let mut error = error(&node.op, &operands, &value);
        if let Value::Float(array) = &value {
            // Infinities, and what is no number, are so exactly.
            let pairs = error.iter_mut().zip(array.floats());
            pairs.for_each(|(e, v)| *e = if v.is_finite() { *e } else { 0.0 });
        }
        known.push(Bounded { value, error });
    }
    let outputs = g.outputs().iter();
    outputs.map(|o| known[o.value.index()].clone()).collect()
}

/// What the engine has computed is within the bounds; if not, where.
pub(crate) fn check(found: &Output, expected: &Bounded) -> Result<(), String> {
    let Bounded { value, error } = expected;
    let first = match (found, value) {
        (Output::Float(found), Value::Float(array)) if found.len() == error.len() => {
            let all = found.iter().zip(array.floats()).zip(error).enumerate();
            let mut wrong =
                all.filter(|(_, ((f, e), bound))| !within(f64::from(**f), **e, **bound));
            wrong
                .next()
                .map(|(i, ((f, e), bound))| format!("{i}: {f} is not {e} ± {bound:e}"))
        }
        (Output::Int(found), Value::Int(exact, _)) => differing(found, exact, error),
        (Output::Bool(found), Value::Bool(exact, _)) => differing(found, exact, error),
        (found, _) => Some(format!("of another type or length: {found:?}")),
    };
    first.map_or(Ok(()), |what| Err(format!("element {what}")))
}

fn within(found: f64, exact: f64, bound: f64) -> bool {
    match exact.is_finite() {
        true => (found - exact).abs() <= bound + SMALLEST,
        false => found == exact || (found.is_nan() && exact.is_nan()),
    }
}

fn differing<T: PartialEq + std::fmt::Debug>(
    found: &[T],
    exact: &[T],
    uncertain: &[f64],
) -> Option<String> {
    if found.len() != exact.len() {
        return Some(format!("{found:?}"));
    }
    let mut all = found.iter().zip(exact).zip(uncertain).enumerate();
    let wrong = all.find(|(_, ((f, e), uncertain))| f != e && **uncertain == 0.0);
    wrong.map(|(i, ((f, e), _))| format!("{i}: {f:?} is not {e:?}"))
}

/// The values of all nodes.
fn all_values(g: &Graph, inputs: &[(&str, Array<f64>)]) -> Vec<Value<f64>> {
    let mut g = g.clone();
    g.clear_outputs();
    for v in g.values() {
        g.output(format!("{}", v.index()), v);
    }
    interpret(&g, inputs).unwrap()
}

/// The result of an operator for operands of these shapes.
fn apply(op: Op, operands: &[Array<f64>]) -> Vec<f64> {
    let mut g = Graph::new();
    let names: Vec<String> = (0..operands.len()).map(|i| i.to_string()).collect();
    let input = |(name, x): (&String, &Array<f64>)| {
        g.input(name, Type::float(Shape::fixed(x.shape()))).unwrap()
    };
    let values: Vec<ValueId> = names.iter().zip(operands).map(input).collect();
    let y = g.add(op, &values).unwrap();
    g.output("y", y);
    let inputs: Vec<(&str, Array<f64>)> = names
        .iter()
        .map(|n| &n[..])
        .zip(operands.iter().cloned())
        .collect();
    interpret(&g, &inputs).unwrap()[0].floats().to_vec()
}

fn shape(value: &Value<f64>) -> &[usize] {
    match value {
        Value::Float(array) => array.shape(),
        Value::Int(_, shape) | Value::Bool(_, shape) => shape,
    }
}

/// Numbers of the shape of a value, broadcast to another shape.
fn broadcast(numbers: &[f64], own: &[usize], to: &[usize]) -> Vec<f64> {
    let array = Array::new(own.to_vec(), numbers.to_vec());
    apply(Op::Expand(Shape::fixed(to)), &[array])
}

impl Bounded {
    fn errors(&self) -> Array<f64> {
        Array::new(shape(&self.value).to_vec(), self.error.clone())
    }

    fn sizes(&self) -> Array<f64> {
        let sizes = self.value.floats().iter().map(|v| v.abs()).collect();
        Array::new(shape(&self.value).to_vec(), sizes)
    }

    /// The largest sizes that f32 may find.
    fn most(&self) -> Array<f64> {
        let pairs = self.value.floats().iter().zip(&self.error);
        let most = pairs.map(|(v, e)| v.abs() + e).collect();
        Array::new(shape(&self.value).to_vec(), most)
    }

    fn is_exact(&self) -> bool {
        self.error.iter().all(|&e| e == 0.0)
    }

    fn float_to(&self, to: &[usize]) -> Vec<(f64, f64)> {
        let own = shape(&self.value);
        let values = broadcast(self.value.floats(), own, to);
        let errors = broadcast(&self.error, own, to);
        values.into_iter().zip(errors).collect()
    }
}

/// The bound of an operator's result.
fn error(op: &Op, x: &[&Bounded], y: &Value<f64>) -> Vec<f64> {
    let count = |axes: &[usize]| axes.iter().product::<usize>();
    let none = || vec![0.0; count(shape(y))];
    match op {
        Op::Input(_) | Op::Constant(_) => none(),
        Op::Conv(conv) => {
            let w = shape(&x[1].value);
            let own = bound_of_sum(count(&w[1..])) * by_winograd(&conv.window, conv.groups, w);
            sum_of_products(op.clone(), x, own)
        }
        Op::ConvTranspose(conv) => {
            let w = shape(&x[1].value);
            let terms = w[0] / conv.groups * count(&w[2..]);
            let own = bound_of_sum(terms) * by_winograd(&conv.window, conv.groups, w);
            sum_of_products(op.clone(), x, own)
        }
        Op::MatMul => {
            let terms = shape(&x[0].value).last().copied().unwrap_or(1);
            sum_of_products(op.clone(), x, bound_of_sum(terms))
        }
        Op::Gemm(gemm) => {
            let terms = shape(&x[0].value)[usize::from(!gemm.trans_a)];
            let (alpha, beta) = (gemm.alpha.abs(), gemm.beta.abs());
            let positive = Op::Gemm(Gemm {
                alpha,
                beta,
                ..*gemm
            });
            sum_of_products(positive, x, bound_of_sum(terms + 1))
        }
        Op::AvgPool(pool) => sum(op, x[0], bound_of_sum(count(&pool.window.kernel))),
        Op::Reduce(reduce) => match reduce.kind {
            ReduceKind::Max => apply(op.clone(), &[x[0].errors()]),
            ReduceKind::Sum | ReduceKind::Mean => {
                let terms = x[0].error.len() / count(shape(y)).max(1);
                sum(op, x[0], bound_of_sum(terms))
            }
        },
        Op::BatchNorm(norm) => batch_norm(norm, x),
        Op::Relu => {
            let surely_zero = |v: f64, e: f64| v + e <= 0.0;
            let pairs = x[0].value.floats().iter().zip(&x[0].error);
            pairs
                .map(|(&v, &e)| if surely_zero(v, e) { 0.0 } else { e })
                .collect()
        }
        Op::Unary(unary) => {
            let triples = x[0].value.floats().iter().zip(&x[0].error).zip(y.floats());
            triples
                .map(|((&x, &e), &y)| of_unary(*unary, x, e, y))
                .collect()
        }
        Op::MaxPool(_) => apply(op.clone(), &[x[0].errors()]),
        Op::MaxPoolGrad(window) => max_pool_grad(window, x),
        Op::Binary(binary) => {
            let pairs = x[0]
                .float_to(shape(y))
                .into_iter()
                .zip(x[1].float_to(shape(y)));
            let triples = pairs.zip(y.floats());
            triples
                .map(|((a, b), &y)| of_binary(*binary, a, b, y))
                .collect()
        }
        Op::Compare(_) => {
            let pairs = x[0]
                .float_to(shape(y))
                .into_iter()
                .zip(x[1].float_to(shape(y)));
            let near = |((a, ea), (b, eb)): ((f64, f64), (f64, f64))| {
                ea + eb > 0.0 && (a - b).abs() <= ea + eb
            };
            pairs.map(|pair| f64::from(near(pair))).collect()
        }
        Op::Where => {
            let Value::Bool(mask, own) = &x[0].value else {
                return none();
            };
            let mask: Vec<f64> = mask.iter().map(|&m| f64::from(m)).collect();
            let mask = broadcast(&mask, own, shape(y));
            let uncertain = broadcast(&x[0].error, own, shape(y));
            let branches = x[1]
                .float_to(shape(y))
                .into_iter()
                .zip(x[2].float_to(shape(y)));
            let of = |((m, u), ((a, ea), (b, eb))): (Numbers, (Numbers, Numbers))| match (
                u > 0.0,
                m > 0.0,
            ) {
                (true, _) => (a - b).abs() + ea.max(eb),
                (_, true) => ea,
                (_, false) => eb,
            };
            mask.into_iter()
                .zip(uncertain)
                .zip(branches)
                .map(of)
                .collect()
        }
        Op::Pad(pad) => {
            let axes = pad.axes.clone();
            apply(Op::Pad(Pad { axes, value: 0.0 }), &[x[0].errors()])
        }
        Op::Reshape(_) => x[0].error.clone(),
        Op::Expand(_) => broadcast(&x[0].error, shape(&x[0].value), shape(y)),
        Op::Concat(_) | Op::Slice(_) | Op::Transpose(_) => {
            let errors: Vec<Array<f64>> = x.iter().map(|x| x.errors()).collect();
            apply(op.clone(), &errors)
        }
        Op::Softmax(axis) | Op::LogSoftmax(axis) => {
            let is_logarithm = matches!(op, Op::LogSoftmax(_));
            softmax(x[0], axis.0, y.floats(), is_logarithm)
        }
        Op::ArgMax(axis) => arg_max(x[0], axis.0),
        Op::TopK(top) => top_k(x[0], *top),
        Op::OneHot(depth) => {
            let repeated = x[0]
                .error
                .iter()
                .flat_map(|&e| std::iter::repeat_n(e, *depth));
            repeated.collect()
        }
    }
}

fn bound_of_sum(terms: usize) -> f64 {
    (4.0 * (terms as f64).sqrt() + 8.0) * U
}

/// The factor of a convolution's error if it may be computed by Winograd's method.
fn by_winograd(window: &Window, groups: usize, w: &[usize]) -> f64 {
    let suits = window.kernel == [3, 3] && window.strides == [1, 1] && window.dilations == [1, 1];
    match suits && groups == 1 && w[0].min(w[1]) >= 12 {
        true => WINOGRAD,
        false => 1.0,
    }
}

/// The bound of an operator that adds up, or averages, some of its operand's elements.
fn sum(op: &Op, x: &Bounded, own: f64) -> Vec<f64> {
    let terms = apply(op.clone(), &[x.most()]);
    let errors = apply(op.clone(), &[x.errors()]);
    let pairs = terms.iter().zip(errors);
    pairs.map(|(terms, error)| error + own * terms).collect()
}

/// The bound of an operator that adds up products of two operands and, perhaps, a third.
fn sum_of_products(op: Op, x: &[&Bounded], own: f64) -> Vec<f64> {
    let most: Vec<Array<f64>> = x.iter().map(|x| x.most()).collect();
    let terms = apply(op.clone(), &most);
    if x.iter().all(|x| x.is_exact()) {
        return terms.iter().map(|terms| own * terms).collect();
    }
    let sizes: Vec<Array<f64>> = x.iter().map(|x| x.sizes()).collect();
    let exact = apply(op, &sizes);
    let pairs = terms.iter().zip(exact);
    pairs
        .map(|(terms, exact)| (terms - exact) + own * terms)
        .collect()
}

fn batch_norm(norm: &BatchNorm, x: &[&Bounded]) -> Vec<f64> {
    let extents = shape(&x[0].value);
    let plane: usize = extents[2..].iter().product();
    let [scale, shift, mean, var] = [1, 2, 3, 4].map(|i| x[i].value.floats());
    let of = |(i, (v, e)): (usize, (&f64, &f64))| {
        let c = i / plane % extents[1];
        let factor = scale[c].abs() / (var[c] + f64::from(norm.epsilon)).sqrt();
        let terms = factor * (v.abs() + e + mean[c].abs()) + shift[c].abs();
        factor * e + 8.0 * U * terms
    };
    let pairs = x[0].value.floats().iter().zip(&x[0].error);
    pairs.enumerate().map(of).collect()
}

fn of_unary(unary: Unary, x: f64, error: f64, y: f64) -> f64 {
    let f = |x: f64| match unary {
        Unary::Clip { min, max } => x.max(min.into()).min(max.into()),
        Unary::Cos => x.cos(),
        Unary::Erf => libm_erf(x),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Sin => x.sin(),
        Unary::Softplus => x.exp().ln_1p(),
        Unary::Sqrt => x.max(0.0).sqrt(),
        Unary::Tanh => x.tanh(),
    };
    let passed = match unary {
        _ if error == 0.0 || !x.is_finite() => 0.0,
        Unary::Cos | Unary::Sin => error,
        // Monotonous.
        _ => (f(x + error) - y).abs().max((f(x - error) - y).abs()),
    };
    match unary {
        // It rounds nothing: a bound is met exactly.
        Unary::Clip { .. } => passed,
        _ => passed + 4.0 * U * y.abs(),
    }
}

fn libm_erf(x: f64) -> f64 {
    let array = Array::new(vec![1], vec![x]);
    apply(Op::Unary(Unary::Erf), &[array])[0]
}

fn of_binary(binary: Binary, (a, ea): (f64, f64), (b, eb): (f64, f64), y: f64) -> f64 {
    let corners = |f: fn(f64, f64) -> f64| {
        let all = [
            [a - ea, b - eb],
            [a - ea, b + eb],
            [a + ea, b - eb],
            [a + ea, b + eb],
        ];
        let distances = all.map(|[a, b]| (f(a, b) - y).abs());
        distances.into_iter().fold(0.0, f64::max)
    };
    let exact = ea == 0.0 && eb == 0.0;
    match binary {
        // Terms may be added in another order.
        Binary::Add | Binary::Sub => ea + eb + 2.0 * U * (a.abs() + b.abs()),
        Binary::Mul => a.abs() * eb + b.abs() * ea + ea * eb + 2.0 * U * y.abs(),
        Binary::Div if b.abs() <= eb => f64::INFINITY,
        Binary::Div => corners(|a, b| a / b) + 2.0 * U * y.abs(),
        Binary::Pow if exact => 4.0 * U * y.abs(),
        Binary::Pow => corners(f64::powf) + 4.0 * U * y.abs(),
        Binary::Max | Binary::Min => ea.max(eb),
    }
}

/// The cotangent of a window goes to each element that may be its first largest.
fn max_pool_grad(window: &Window, x: &[&Bounded]) -> Vec<f64> {
    let [values, dy] = [x[0].value.floats(), x[1].value.floats()];
    let (extents, positions) = (shape(&x[0].value), shape(&x[1].value));
    let terms: usize = window.kernel.iter().product();
    let plane: usize = extents[2..].iter().product();
    let per_channel: usize = positions[2..].iter().product();
    let mut errors = vec![0.0; values.len()];
    for (i, (&d, &ed)) in dy.iter().zip(&x[1].error).enumerate() {
        let reads = reads(window, &extents[2..], &positions[2..], i % per_channel);
        let reads = reads.into_iter().map(|r| i / per_channel * plane + r);
        let reads: Vec<usize> = reads.collect();
        let least = reads.iter().map(|&r| values[r] - x[0].error[r]);
        let least = least.fold(f64::NEG_INFINITY, f64::max);
        // Elements that are equal in f64 are copies, which f32 computes equal, too, and of which the
        // first wins; but zeros of a ReLU, unless they are certain.
        let is_certain = |r: usize| values[r] != 0.0 || x[0].error[r] == 0.0;
        let mut able: Vec<usize> = Vec::new();
        for r in reads {
            let is_copy = |&other: &usize| values[other] == values[r] && is_certain(other);
            let known = is_certain(r) && able.iter().any(is_copy);
            if values[r] + x[0].error[r] >= least && !known {
                able.push(r);
            }
        }
        match able[..] {
            [largest] => errors[largest] += ed + bound_of_sum(terms) * d.abs(),
            _ => able.iter().for_each(|&r| errors[r] += d.abs() + ed),
        }
    }
    errors
}

/// What the window reads at a position of a channel, in order.
fn reads(window: &Window, extents: &[usize], positions: &[usize], mut i: usize) -> Vec<usize> {
    let mut at = vec![0; extents.len()];
    for axis in (0..extents.len()).rev() {
        at[axis] = i % positions[axis];
        i /= positions[axis];
    }
    let mut all = vec![0];
    for axis in 0..extents.len() {
        let along = |k: usize| {
            let padded = at[axis] * window.strides[axis] + k * window.dilations[axis];
            let own = padded.checked_sub(window.pads_begin[axis])?;
            (own < extents[axis]).then_some(own)
        };
        let along: Vec<usize> = (0..window.kernel[axis]).filter_map(along).collect();
        let longer = |outer: usize| along.iter().map(move |own| outer * extents[axis] + own);
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// The lines of an array along an axis, as indices.
fn lines(extents: &[usize], axis: usize) -> Vec<Vec<usize>> {
    let inner: usize = extents[axis + 1..].iter().product();
    let outer: usize = extents[..axis].iter().product();
    let line = |i: usize| {
        let first = i / inner * extents[axis] * inner + i % inner;
        (0..extents[axis]).map(|k| first + k * inner).collect()
    };
    (0..outer * inner).map(line).collect()
}

/// Differences from the largest element are rounded, and so are their exponentials and the sum, to
/// which each contributes by its share.
fn softmax(x: &Bounded, axis: usize, y: &[f64], is_logarithm: bool) -> Vec<f64> {
    let values = x.value.floats();
    let mut errors = vec![0.0; y.len()];
    for line in lines(shape(&x.value), axis) {
        let most = |all: &[f64]| {
            line.iter()
                .map(|&i| all[i])
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let (largest, passed) = (most(values), most(&x.error));
        let of_difference = |i: usize| x.error[i] + passed + 2.0 * U * (largest - values[i]);
        let share = |i: usize| if is_logarithm { y[i].exp() } else { y[i] };
        let contributes = |&&i: &&usize| share(i) > 0.0;
        let shares = line
            .iter()
            .filter(contributes)
            .map(|&i| share(i) * of_difference(i));
        let of_sum = shares.sum::<f64>() + bound_of_sum(line.len());
        for &i in &line {
            // Of the logarithm, in which it is absolute.
            let own = of_difference(i) + of_sum + 4.0 * U;
            errors[i] = match is_logarithm {
                true => own + 4.0 * U * y[i].abs(),
                false if y[i] == 0.0 => 0.0,
                false => own.exp_m1() * y[i],
            };
        }
    }
    errors
}

/// Where all elements of a line are off by some of the errors, so is each in the sorted line by the
/// largest of them.
fn top_k(x: &Bounded, top: TopK) -> Vec<f64> {
    let extents = shape(&x.value);
    let inner: usize = extents[top.axis + 1..].iter().product();
    let of_line = lines(extents, top.axis).into_iter();
    let of_line: Vec<f64> = of_line
        .map(|line| line.into_iter().map(|i| x.error[i]).fold(0.0, f64::max))
        .collect();
    let blocks = of_line.chunks(inner);
    let repeated = blocks.flat_map(|block| std::iter::repeat_n(block, top.k).flatten());
    repeated.copied().collect()
}

fn arg_max(x: &Bounded, axis: usize) -> Vec<f64> {
    let values = x.value.floats();
    let is_uncertain = |line: Vec<usize>| {
        let least = line.iter().map(|&i| values[i] - x.error[i]);
        let least = least.fold(f64::NEG_INFINITY, f64::max);
        let able: Vec<&usize> = line
            .iter()
            .filter(|&&i| values[i] + x.error[i] >= least)
            .collect();
        let exact = able.iter().all(|&&i| x.error[i] == 0.0);
        f64::from(able.len() > 1 && !exact)
    };
    lines(shape(&x.value), axis)
        .into_iter()
        .map(is_uncertain)
        .collect()
}
