//! Pools and their gradients, one element at a time.

use super::direct::inner;
use super::operand::{Operand, Place};
use super::{Kernel, Shader, elements, per_element};
use odin_graph::op::{AvgPool, Window};
use odin_lower::row_major;
use std::fmt::Write;

/// The largest value under each window position.
pub(crate) fn max_pool(window: &Window, x: &Operand, shape: &[usize], output: Place) -> Kernel {
    let mut shader = Shader::default();
    let count: usize = shape.iter().product();
    let limit = shader.param(count);
    let reader = shader.reader(x);
    let to = shader.place(output);
    let (at, plane) = (positions(shape, "i", "o"), inner(shape));
    let taps = winner(window, &x.shape, &reader.at("base + at"), "o");
    let body = format!(
        "  let base = {} + (i / {plane}u) * {}u;
{at}{taps}  arena[{to} + i] = bitcast<u32>(best);",
        reader.base("img"),
        inner(&x.shape)
    );
    shader.finish(&per_element(&limit, &body), elements(count))
}

/// The mean under each window position.
pub(crate) fn avg_pool(pool: &AvgPool, x: &Operand, shape: &[usize], output: Place) -> Kernel {
    let mut shader = Shader::default();
    let count: usize = shape.iter().product();
    let limit = shader.param(count);
    let reader = shader.reader(x);
    let to = shader.place(output);
    let (at, plane) = (positions(shape, "i", "o"), inner(shape));
    let element = reader.at("base + at");
    let taps = taps(
        &pool.window,
        &x.shape,
        "o",
        &format!("sum += {element}; inside++;"),
    );
    let size: usize = pool.window.kernel.iter().product();
    let divisor = match pool.count_padding {
        true => format!("{size}.0f"),
        false => "f32(inside)".to_string(),
    };
    let body = format!(
        "  let base = {} + (i / {plane}u) * {}u;
{at}  var sum = 0.0f;
  var inside = 0u;
{taps}  arena[{to} + i] = bitcast<u32>(sum / {divisor});",
        reader.base("img"),
        inner(&x.shape)
    );
    shader.finish(&per_element(&limit, &body), elements(count))
}

/// The vjp of [`max_pool`]: each element gathers the cotangents of the windows that it wins.
pub(crate) fn max_pool_grad(window: &Window, x: &Operand, dy: &Operand, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let shape = &x.shape;
    let count: usize = shape.iter().product();
    let limit = shader.param(count);
    let [reader, cotangents] = [x, dy].map(|operand| shader.reader(operand));
    let to = shader.place(output);
    let (plane, dy_plane) = (inner(shape), inner(&dy.shape));
    let mut body = format!(
        "  let base = {} + (i / {plane}u) * {plane}u;
  let dy_base = {} + (i / {plane}u) * {dy_plane}u;
{}  var sum = 0.0f;
",
        reader.base("img"),
        cotangents.base("img"),
        positions(shape, "i", "p")
    );
    let mut position = String::from("0u");
    for (axis, stride) in row_major(&dy.shape[2..]).into_iter().enumerate() {
        let (s, pad) = (window.strides[axis], window.pads_begin[axis]);
        let reach = (window.kernel[axis].max(1) - 1) * window.dilations[axis];
        // The first position whose window ends at the element or behind it.
        let _ = writeln!(
            body,
            "  let first{axis} = u32(max(i32(p{axis}) + {pad} - {reach} + {s} - 1, 0)) / {s}u;
  let last{axis} = min((p{axis} + {pad}u) / {s}u + 1u, {}u);
  for (var o{axis} = first{axis}; o{axis} < last{axis}; o{axis}++) {{",
            dy.shape[2 + axis]
        );
        position += &format!(" + o{axis} * {stride}u");
    }
    body.push_str(&winner(window, shape, &reader.at("base + at"), "o"));
    let _ = writeln!(
        body,
        "  if (found && best_at == i % {plane}u) {{ sum += {}; }}",
        cotangents.at(&format!("dy_base + {position}"))
    );
    body.push_str(&"  }\n".repeat(window.axes()));
    let _ = write!(body, "  arena[{to} + i] = bitcast<u32>(sum);");
    shader.finish(&per_element(&limit, &body), elements(count))
}

/// The spatial coordinates of an element, as variables.
fn positions(shape: &[usize], i: &str, name: &str) -> String {
    let mut text = String::new();
    for (axis, stride) in row_major(&shape[2..]).into_iter().enumerate() {
        let extent = shape[2 + axis].max(1);
        let _ = writeln!(
            text,
            "  let {name}{axis} = ({i} / {}u) % {extent}u;",
            stride.max(1)
        );
    }
    text
}

/// Loops over the elements under the window at a position; `at` is the offset in the channel.
fn taps(w: &Window, x: &[usize], position: &str, body: &str) -> String {
    let mut text = String::new();
    let mut at = String::from("0u");
    for (axis, stride) in row_major(&x[2..]).into_iter().enumerate() {
        let _ = writeln!(
            text,
            "  for (var t{axis} = 0u; t{axis} < {}u; t{axis}++) {{
    let r{axis} = {position}{axis} * {}u + t{axis} * {}u - {}u;
    if (r{axis} >= {}u) {{ continue; }}",
            w.kernel[axis],
            w.strides[axis],
            w.dilations[axis],
            w.pads_begin[axis],
            x[2 + axis]
        );
        at += &format!(" + r{axis} * {stride}u");
    }
    let _ = writeln!(text, "    let at = {at};\n    {body}");
    text.push_str(&"  }\n".repeat(w.axes()));
    text
}

/// Finds the first largest element under a window: `best`, `best_at`, and whether there is one.
/// NaN counts as the largest.
fn winner(w: &Window, x: &[usize], element: &str, position: &str) -> String {
    let wins = "!found || odin_wins(v, best)";
    let body =
        format!("let v = {element}; if ({wins}) {{ best = v; best_at = at; found = true; }}");
    format!(
        "  var best = -infinity();
  var best_at = 0u;
  var found = false;
{}",
        taps(w, x, position, &body)
    )
}
