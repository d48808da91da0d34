//! Kernels along one axis: softmax and its logarithm, the largest elements.

use super::operand::{Operand, Place};
use super::reduce::{Axes, LANES, per_row};
use super::{Grid, Kernel, Shader, elements, per_element};
use odin_lower::row_major;

/// The rows of an operand along an axis, and of a result of this extent.
struct Rows {
    count: usize,
    extent: usize,
    /// Where row `i` begins in the operand, and the distance of its elements.
    first: String,
    stride: usize,
    /// The same of the result.
    to_first: String,
    to_stride: usize,
}

impl Rows {
    fn new(x: &Operand, axis: usize, to_extent: usize) -> Self {
        let others: Vec<usize> = (0..x.shape.len()).filter(|&a| a != axis).collect();
        let mut to_shape = x.shape.clone();
        to_shape[axis] = to_extent;
        let to_strides = row_major(&to_shape);
        Self {
            count: others.iter().map(|&a| x.shape[a]).product(),
            extent: x.shape[axis],
            first: Axes::new(&x.shape, &x.strides, &others).offset("i"),
            stride: x.strides[axis],
            to_first: Axes::new(&x.shape, &to_strides, &others).offset("i"),
            to_stride: to_strides[axis],
        }
    }
}

/// `exp(x) / sum(exp(x))` along an axis, or its logarithm.
pub(crate) fn softmax(x: &Operand, axis: usize, is_log: bool, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let rows = Rows::new(x, axis, x.shape[axis]);
    let [count, extent] = [rows.count, rows.extent].map(|n| shader.param(n));
    let reader = shader.reader(x);
    let to = shader.place(output);
    let element = reader.at(&format!("start + k * {}u", rows.stride));
    let result = match is_log {
        true => "x - largest - odin_log(sum)",
        false => "odin_exp(x - largest) / sum",
    };
    let entry = per_row(
        &count,
        &format!(
            "  let start = {base} + {first};
  var largest = -infinity();
  for (var k = local; k < {extent}; k += {LANES}u) {{ largest = odin_max(largest, {element}); }}
  partial[local] = largest;
  workgroupBarrier();
  for (var lane = 0u; lane < {LANES}u; lane++) {{ largest = odin_max(largest, partial[lane]); }}
  workgroupBarrier();
  var sum = 0.0f;
  for (var k = local; k < {extent}; k += {LANES}u) {{ sum += odin_exp({element} - largest); }}
  partial[local] = sum;
  workgroupBarrier();
  sum = 0.0f;
  for (var lane = 0u; lane < {LANES}u; lane++) {{ sum += partial[lane]; }}
  let to = {to} + {to_first};
  for (var k = local; k < {extent}; k += {LANES}u) {{
    let x = {element};
    arena[to + k * {to_stride}u] = bitcast<u32>({result});
  }}",
            base = reader.base("img"),
            first = rows.first,
            to_first = rows.to_first,
            to_stride = rows.to_stride,
        ),
    );
    shader.finish(&entry, Grid::PerImage(rows.count))
}

/// The index of the first largest element along an axis; NaN counts as the largest.
pub(crate) fn arg_max(x: &Operand, axis: usize, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let rows = Rows::new(x, axis, 1);
    let [count, extent] = [rows.count, rows.extent].map(|n| shader.param(n));
    let reader = shader.reader(x);
    let to = shader.place(output);
    let element = reader.at(&format!("start + k * {}u", rows.stride));
    let entry = per_row(
        &count,
        &format!(
            "  let start = {base} + {first};
  var best = -infinity();
  var best_at = {extent};
  for (var k = local; k < {extent}; k += {LANES}u) {{
    let x = {element};
    if (best_at == {extent} || odin_wins(x, best)) {{ best = x; best_at = k; }}
  }}
  partial[local] = best;
  places[local] = best_at;
  workgroupBarrier();
  if (local == 0u) {{
    for (var lane = 1u; lane < {LANES}u; lane++) {{
      let x = partial[lane];
      let k = places[lane];
      if (k == {extent}) {{ continue; }}
      if (odin_wins(x, best) || (!odin_wins(best, x) && k < best_at)) {{ best = x; best_at = k; }}
    }}
    arena[{to} + i] = best_at;
  }}",
            base = reader.base("img"),
            first = rows.first,
        ),
    );
    let entry = format!("var<workgroup> places: array<u32, {LANES}>;{entry}");
    shader.finish(&entry, Grid::PerImage(rows.count))
}

/// The largest elements along an axis, in descending order, by selection; NaN counts as the largest.
pub(crate) fn top_k(x: &Operand, axis: usize, k: usize, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let rows = Rows::new(x, axis, k);
    let [count, extent, kept] = [rows.count, rows.extent, k].map(|n| shader.param(n));
    let reader = shader.reader(x);
    let to = shader.place(output);
    let element = reader.at(&format!("start + k * {}u", rows.stride));
    let body = format!(
        "  let start = {base} + {first};
  let to = {to} + {to_first};
  // The last one taken; what comes after it is smaller, or equal and behind it.
  var last = 0.0f;
  var last_at = 0u;
  for (var n = 0u; n < {kept}; n++) {{
    var best = 0.0f;
    var best_at = {extent};
    for (var k = 0u; k < {extent}; k++) {{
      let x = {element};
      let is_left = n == 0u || odin_wins(last, x) || (!odin_wins(x, last) && k > last_at);
      if (is_left && (best_at == {extent} || odin_wins(x, best))) {{
        best = x;
        best_at = k;
      }}
    }}
    last = best;
    last_at = best_at;
    arena[to + n * {to_stride}u] = bitcast<u32>(best);
  }}",
        base = reader.base("img"),
        first = rows.first,
        to_first = rows.to_first,
        to_stride = rows.to_stride,
    );
    shader.finish(&per_element(&count, &body), elements(rows.count))
}
