//! Convolutions and their adjoints one element at a time: for few channels per group, as depthwise
//! ones have, and for any number of axes.

use super::expression::Expression;
use super::operand::{Operand, Place};
use super::{Kernel, Shader, elements, per_element, word};
use odin_graph::op::Window;
use odin_lower::row_major;
use std::fmt::Write;

/// Whether it is a convolution or the adjoint of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Adjoint,
}

/// A convolution of `x [N, C, spatial...]`, contiguous, to `shape`.
pub(crate) struct Direct<'a> {
    pub(crate) direction: Direction,
    pub(crate) window: &'a Window,
    pub(crate) groups: usize,
    pub(crate) x: Operand,
    pub(crate) w: Operand,
    pub(crate) shape: &'a [usize],
}

/// Computes a convolution, and applies the expressions to each result.
pub(crate) fn direct(conv: &Direct<'_>, then: &[Expression], output: Place) -> Kernel {
    let mut shader = Shader::default();
    let (y, x) = (conv.shape, &conv.x.shape);
    let count: usize = y.iter().product();
    let (m, c) = (y[1], x[1]);
    let (m_each, c_each) = (m / conv.groups, c / conv.groups);
    let [limit, m, c, m_each, c_each] = [count, m, c, m_each, c_each].map(|n| shader.param(n));
    let (plane, x_plane) = (inner(y), inner(x));
    let taps: usize = conv.window.kernel.iter().product();
    let [reader, weights] = [&conv.x, &conv.w].map(|operand| shader.reader(operand));
    let to = shader.place(output);
    let functions: Vec<String> = then.iter().map(|e| e.write(&mut shader)).collect();
    let mut body = format!(
        "  let channel = i / {plane}u;
  let m = channel % {m};
  let image = channel / {m};
  let g = m / {m_each};
  let x_base = {} + (image * {c} + g * {c_each}) * {x_plane}u;
  let w_base = {};
  var x = 0.0f;
  for (var c = 0u; c < {c_each}; c++) {{
",
        reader.base("img"),
        weights.base("img")
    );
    let own_weights = match conv.direction {
        Direction::Forward => format!("(m * {c_each} + c) * {taps}u"),
        Direction::Adjoint => format!("((g * {c_each} + c) * {m_each} + m % {m_each}) * {taps}u"),
    };
    let _ = writeln!(body, "    let own_weights = w_base + {own_weights};");
    body.push_str(&taps_inside(conv, "      ", |at, tap| {
        format!(
            "x = fma({}, {}, x);",
            reader.at(&format!("x_base + c * {x_plane}u + {at}")),
            weights.at(&format!("own_weights + {tap}"))
        )
    }));
    body.push_str("  }\n");
    let mut value = "x".to_string();
    for function in functions {
        value = format!("{function}(img, i, {value})");
    }
    let _ = write!(
        body,
        "  arena[{to} + i] = {};",
        word(super::result_type(then), &value)
    );
    shader.finish(&per_element(&limit, &body), elements(count))
}

/// The elements of a channel.
pub(super) fn inner(shape: &[usize]) -> usize {
    shape[2..].iter().product()
}

/// Loops over the taps of element `i` that read `x`: `body` is given the offset of the element read
/// in its channel, and the number of the tap.
fn taps_inside(conv: &Direct<'_>, indent: &str, body: impl Fn(&str, &str) -> String) -> String {
    let w = conv.window;
    let (y, x) = (&conv.shape[2..], &conv.x.shape[2..]);
    let (y_inner, x_inner) = (row_major(y), row_major(x));
    let tap_inner = row_major(&w.kernel);
    let mut text = String::new();
    let (mut at, mut tap) = (String::from("0u"), String::from("0u"));
    for axis in 0..w.axes() {
        let (stride, dilation, pad) = (w.strides[axis], w.dilations[axis], w.pads_begin[axis]);
        let position = format!("(i / {}u) % {}u", y_inner[axis].max(1), y[axis].max(1));
        let _ = writeln!(
            text,
            "{indent}for (var t{axis} = 0u; t{axis} < {}u; t{axis}++) {{",
            w.kernel[axis]
        );
        // Below 0 it wraps, and is larger than any extent.
        let read = match conv.direction {
            Direction::Forward => {
                format!(
                    "  let r{axis} = ({position}) * {stride}u + t{axis} * {dilation}u - {pad}u;"
                )
            }
            Direction::Adjoint => format!(
                "  let s{axis} = ({position}) + {pad}u - t{axis} * {dilation}u;
{indent}  if (s{axis} >= 0x80000000u || s{axis} % {stride}u != 0u) {{ continue; }}
{indent}  let r{axis} = s{axis} / {stride}u;"
            ),
        };
        let _ = writeln!(text, "{indent}{read}");
        let _ = writeln!(
            text,
            "{indent}  if (r{axis} >= {}u) {{ continue; }}",
            x[axis]
        );
        at += &format!(" + r{axis} * {}u", x_inner[axis]);
        tap += &format!(" + t{axis} * {}u", tap_inner[axis]);
    }
    let _ = writeln!(text, "{indent}  {}", body(&at, &tap));
    for _ in 0..w.axes() {
        let _ = writeln!(text, "{indent}}}");
    }
    text
}
