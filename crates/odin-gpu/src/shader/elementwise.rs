//! Fused elementwise operators as a kernel.

use super::expression::Expression;
use super::operand::Place;
use super::{Kernel, Shader, elements, per_element, word};

/// Computes an expression.
pub(crate) fn elementwise(expression: &Expression, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let count: usize = expression.shape.iter().product();
    let limit = shader.param(count);
    let value = expression.write(&mut shader);
    let to = shader.place(output);
    let stored = word(expression.dtype, &format!("{value}(img, i)"));
    let body = format!("  arena[{to} + i] = {stored};");
    shader.finish(&per_element(&limit, &body), elements(count))
}
