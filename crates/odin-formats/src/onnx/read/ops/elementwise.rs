//! Constant evaluation of elementwise operators.

use crate::Error;
use crate::onnx::read::builder::Builder;
use crate::onnx::read::const_value::{ConstValue, Kind, elements};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::Evaluated;
use odin_graph::Shape;

/// A function of each number of one operand.
pub(super) fn map(x: &[ConstValue], f: fn(f64) -> f64) -> Evaluated {
    map_numbers(x, |n| n.is_fixed().then(|| f(n.value)))
}

/// A function that leaves whole numbers what they are.
pub(super) fn round(x: &[ConstValue], f: fn(f64) -> f64) -> Evaluated {
    let whole = |n: Number| n.per_image && n.value.fract() == 0.0;
    map_numbers(x, |n| (n.is_fixed() || whole(n)).then(|| f(n.value)))
}

fn map_numbers(x: &[ConstValue], f: impl Fn(Number) -> Option<f64>) -> Evaluated {
    let [x] = x else { return Ok(None) };
    let apply = |&n: &Number| Some(Number { value: f(n)?, ..n });
    let data: Option<Vec<Number>> = x.data.iter().map(apply).collect();
    let (kind, shape) = (x.kind, x.shape.clone());
    Ok(data.map(|data| ConstValue { kind, shape, data }.rounded()))
}

/// A function of two numbers, of two operands that are broadcast; the result is of the first one's
/// kind. `f` is told whether that is integers, and gives none where the result would grow with the
/// batch in a way that no [`Number`] does.
pub(super) fn arithmetic(
    g: &mut Builder<'_>,
    operands: &[ConstValue],
    f: impl Fn(Number, Number, bool) -> Option<Number>,
) -> Evaluated {
    let [a, b] = operands else { return Ok(None) };
    let ints = a.kind == Kind::Int;
    combine(g, a, b, a.kind, |a, b| f(a, b, ints)).map(Some)
}

/// A truth value of two numbers, as [`arithmetic`].
pub(super) fn predicate(
    g: &mut Builder<'_>,
    operands: &[ConstValue],
    f: impl Fn(Number, Number) -> Option<bool>,
) -> Evaluated {
    let [a, b] = operands else { return Ok(None) };
    let truth = |a, b| f(a, b).map(Number::truth);
    combine(g, a, b, Kind::Bool, truth).map(Some)
}

fn combine(
    g: &mut Builder<'_>,
    a: &ConstValue,
    b: &ConstValue,
    kind: Kind,
    f: impl Fn(Number, Number) -> Option<Number>,
) -> Result<ConstValue, Error> {
    let shape = joint_shape(g, &[a, b])?;
    let [a, b] = [a, b].map(|v| v.broadcast(&shape));
    let pairs = a.data.iter().zip(&b.data);
    let data: Option<Vec<Number>> = pairs.map(|(a, b)| f(*a, *b)).collect();
    let data = data
        .ok_or_else(|| Error::unsupported("unsupported arithmetic on the symbolic batch size"))?;
    Ok(ConstValue { kind, shape, data }.rounded())
}

/// The shape that operands are broadcast to.
pub(super) fn joint_shape(
    g: &mut Builder<'_>,
    operands: &[&ConstValue],
) -> Result<Vec<usize>, Error> {
    let joint = operands.iter().try_fold(Shape::default(), |joint, x| {
        joint.broadcast(&Shape::fixed(&x.shape))
    });
    let joint = joint.and_then(|s| s.as_fixed());
    let joint = joint.ok_or_else(|| Error::corrupt("the operands' shapes do not fit"))?;
    g.spend::<Number>(elements(&joint)?)?;
    Ok(joint)
}
