//! Sums, means and maxima along axes.

use super::expression::{Expression, Leaf};
use super::operand::{Operand, Place};
use super::{Grid, Kernel, Shader, elements, per_element};
use odin_graph::op::{Reduce, ReduceKind};
use odin_lower::row_major;

/// The invocations that share a reduction.
pub(super) const LANES: usize = 64;
/// From as many elements on, invocations share a reduction.
const SHARED: usize = 32;

/// Reduces the values of an expression.
pub(crate) fn reduce(reduce: &Reduce, x: &Expression, output: Place) -> Kernel {
    let mut shader = Shader::default();
    let is_reduced = |axis: &usize| reduce.axes.contains(axis);
    let rank = x.shape.len();
    let reduced: Vec<usize> = (0..rank).filter(is_reduced).collect();
    let kept: Vec<usize> = (0..rank).filter(|axis| !is_reduced(axis)).collect();
    let extent = |axes: &[usize]| axes.iter().map(|&a| x.shape[a]).product::<usize>();
    let (rows, depth) = (extent(&kept), extent(&reduced));
    let [row_count, count] = [rows, depth].map(|n| shader.param(n));
    // An operand is read by its own strides, an expression by position.
    let source = match (&x.leaves[..], &x.instructions[..]) {
        ([Leaf::Operand(operand)], []) => Some(operand.clone()),
        _ => None,
    };
    let strides = match &source {
        Some(operand) => operand.strides.clone(),
        None => row_major(&x.shape),
    };
    let offset = |axes: &[usize], i: &str| {
        let part = Axes::new(&x.shape, &strides, axes);
        part.offset(i)
    };
    let at = format!("{} + {}", offset(&kept, "i"), offset(&reduced, "k"));
    let element = match &source {
        Some(operand) => {
            let reader = shader.reader(operand);
            reader.at(&format!("{} + {at}", reader.base("img")))
        }
        None => format!("{}(img, {at})", x.write(&mut shader)),
    };
    let to = shader.place(output);
    let is_max = reduce.kind == ReduceKind::Max;
    let start = if is_max { "-infinity()" } else { "0.0f" };
    let with = |x: &str| match is_max {
        true => format!("odin_max(sum, {x})"),
        false => format!("sum + {x}"),
    };
    let (step, join) = (with("x"), with("partial[lane]"));
    let result = match reduce.kind {
        ReduceKind::Mean => format!("sum / f32({count})"),
        _ => "sum".to_string(),
    };
    if depth < SHARED {
        let body = format!(
            "  var sum = {start};
  for (var k = 0u; k < {count}; k++) {{ let x = {element}; sum = {step}; }}
  arena[{to} + i] = bitcast<u32>({result});"
        );
        return shader.finish(&per_element(&row_count, &body), elements(rows));
    }
    let entry = per_row(
        &row_count,
        &format!(
            "  var sum = {start};
  for (var k = local; k < {count}; k += {LANES}u) {{ let x = {element}; sum = {step}; }}
  partial[local] = sum;
  workgroupBarrier();
  if (local == 0u) {{
    for (var lane = 1u; lane < {LANES}u; lane++) {{ sum = {join}; }}
    arena[{to} + i] = bitcast<u32>({result});
  }}"
        ),
    );
    shader.finish(&entry, Grid::PerImage(rows))
}

/// Some axes of an array.
pub(super) struct Axes(Operand);

impl Axes {
    pub(super) fn new(shape: &[usize], strides: &[usize], axes: &[usize]) -> Self {
        let pick = |all: &[usize]| axes.iter().map(|&a| all[a]).collect();
        let home = super::operand::Home::Arena(Place {
            slot: 0,
            stride: 0,
            offset: 0,
        });
        Self(Operand {
            home,
            dtype: odin_graph::DType::Float,
            shape: pick(shape),
            strides: pick(strides),
        })
    }

    /// The offset of position `i` of the axes, in row-major order.
    pub(super) fn offset(&self, i: &str) -> String {
        self.0.offset(i)
    }
}

/// The entry point of a kernel whose workgroups compute a row each: `body` is row `i` of `count` of
/// the image `img`, by the invocations `local`.
pub(super) fn per_row(count: &str, body: &str) -> String {
    format!(
        "
var<workgroup> partial: array<f32, {LANES}>;
@compute @workgroup_size({LANES})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
  let img = group.z;
  let i = group.y * groups.x + group.x;
  if (i >= {count}) {{ return; }}
{body}
}}
"
    )
}
