//! Kernels that move elements.

use super::expression::Expression;
use super::operand::{Operand, Place};
use super::{Kernel, Shader, elements, literal, per_element, word};
use odin_graph::DType;
use odin_lower::row_major;

/// Copies an operand to positions of this shape by `strides` in the output.
pub(crate) fn copy(operand: &Operand, output: Place, strides: &[usize]) -> Kernel {
    let mut shader = Shader::default();
    let count: usize = operand.shape.iter().product();
    let limit = shader.param(count);
    let value = Expression::operand(operand.clone()).write(&mut shader);
    let target = Operand {
        strides: strides.to_vec(),
        ..operand.clone()
    };
    let (to, offset) = (shader.place(output), target.offset("i"));
    let stored = word(operand.dtype, &format!("{value}(img, i)"));
    let body = format!("  arena[{to} + {offset}] = {stored};");
    shader.finish(&per_element(&limit, &body), elements(count))
}

/// The padding of each axis: the entries before the first.
pub(crate) struct Padding<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) before: &'a [usize],
    pub(crate) value: f32,
}

/// Copies an operand into a larger shape, and fills the rest.
pub(crate) fn pad(operand: &Operand, padding: &Padding<'_>, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let count: usize = padding.shape.iter().product();
    let limit = shader.param(count);
    let reader = shader.reader(operand);
    let to = shader.place(output);
    let mut body = String::from("  var inside = true;\n  var start = 0u;\n");
    for (axis, inner) in row_major(padding.shape).into_iter().enumerate() {
        let (extent, before) = (padding.shape[axis], padding.before[axis]);
        body += &format!(
            "  {{ let c = (i / {}u) % {extent}u - {before}u;\n    inside = inside && c < {}u;\n    start += c * {}u; }}\n",
            inner.max(1),
            operand.shape[axis],
            operand.strides[axis]
        );
    }
    let element = reader.at(&format!("{} + start", reader.base("img")));
    body += &format!(
        "  var x = {};\n  if (inside) {{ x = {element}; }}\n  arena[{to} + i] = {};",
        literal(padding.value),
        word(operand.dtype, "x")
    );
    shader.finish(&per_element(&limit, &body), elements(count))
}

/// Indices to rows of 0 and 1.
pub(crate) fn one_hot(indices: &Operand, depth: usize, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let count = indices.shape.iter().product::<usize>() * depth;
    let [limit, depth] = [count, depth].map(|n| shader.param(n));
    let load = shader.load(indices, &indices.shape);
    let to = shader.place(output);
    let hot = format!("select(0.0f, 1.0f, {load}(img, i / {depth}) == i % {depth})");
    let body = format!("  arena[{to} + i] = {};", word(DType::Float, &hot));
    shader.finish(&per_element(&limit, &body), elements(count))
}
