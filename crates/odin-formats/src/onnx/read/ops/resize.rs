//! Resize and Upsample: along each axis, weighted sums of entries.
//!
//! Sizes and positions are computed in f32, in the order of ONNX Runtime's operations: where they
//! are rounded to entries, an exact result would be another entry (`0.7 · 20` is 13.99999976 in f64
//! and 14 in f32).

use super::pick::mix;
use crate::Error;
use crate::onnx::read::builder::Builder;
use crate::onnx::read::const_value::ConstValue;
use crate::onnx::read::node::{Node, axis};
use crate::onnx::read::number::Number;
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::{Dim, Shape, ValueId};
use std::sync::Arc;

pub(super) const OPERATORS: &[Operator] =
    &[operator("Resize", resize), operator("Upsample", upsample)];

/// How entries are weighted.
struct Filter {
    mode: String,
    coordinates: String,
    nearest: String,
    cubic_a: f64,
    exclude_outside: bool,
    antialias: bool,
}

/// One axis to be resized.
#[derive(Clone, Copy)]
struct Along {
    from: usize,
    to: usize,
    /// The factor, which need not be `to / from`.
    scale: f32,
}

/// Version 10 has operands `x, scales`, later ones `x, roi, scales, sizes`.
fn resize(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let old = node.opset < 11;
    let coordinates = if old { "asymmetric" } else { "half_pixel" };
    let nearest = if old {
        OLD_NEAREST
    } else {
        "round_prefer_floor"
    };
    let filter = Filter {
        mode: node.text("mode", "nearest")?,
        coordinates: node.text("coordinate_transformation_mode", coordinates)?,
        nearest: node.text("nearest_mode", nearest)?,
        cubic_a: f64::from(node.float("cubic_coeff_a", -0.75)?),
        exclude_outside: node.int("exclude_outside", 0)? != 0,
        antialias: node.int("antialias", 0)? != 0,
    };
    if node.text("keep_aspect_ratio_policy", "stretch")? != "stretch" {
        return Err(Error::unsupported("resizing that keeps the aspect ratio"));
    }
    let scales = operand(g, node, if old { 1 } else { 2 })?;
    let extents = operand(g, node, 3)?;
    let target = match (scales, extents) {
        (Some(scales), None) => Target::Scales(in_f32(&scales)?),
        (None, Some(extents)) => Target::Extents(extents.data.clone()),
        _ => return Err(Error::corrupt("it must have either scales or sizes")),
    };
    apply(g, node, &filter, &target)
}

/// Versions 7 (scales as attribute) and 9 (as operand).
fn upsample(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let filter = Filter {
        mode: node.text("mode", "nearest")?,
        coordinates: "asymmetric".to_string(),
        nearest: OLD_NEAREST.to_string(),
        cubic_a: -0.75,
        exclude_outside: false,
        antialias: false,
    };
    let scales = match node.floats("scales")? {
        Some(scales) => scales,
        None => match operand(g, node, 1)? {
            Some(scales) => in_f32(&scales)?,
            None => return Err(Error::corrupt("it has no scales")),
        },
    };
    apply(g, node, &filter, &Target::Scales(scales))
}

/// What the axes are to be resized to.
enum Target {
    Scales(Vec<f32>),
    Extents(Vec<Number>),
}

/// A constant operand that is there and not empty.
fn operand(g: &Builder<'_>, node: &Node<'_>, i: usize) -> Result<Option<Arc<ConstValue>>, Error> {
    let constant = node.constant(g, i)?;
    Ok(constant.filter(|constant| !constant.data.is_empty()))
}

fn in_f32(scales: &ConstValue) -> Result<Vec<f32>, Error> {
    let scale = |n: &Number| match n.is_fixed() {
        true => Ok(n.value as f32),
        false => Err(Error::unsupported(
            "a scale depends on the size of the batch",
        )),
    };
    scales.data.iter().map(scale).collect()
}

fn apply(g: &mut Builder<'_>, node: &Node<'_>, filter: &Filter, target: &Target) -> Read {
    let mut x = node.value(g, 0)?;
    let dims = g.graph.shape(x).dims().to_vec();
    let axes: Vec<usize> = match node.ints("axes")? {
        Some(given) => given
            .iter()
            .map(|&a| axis(a, dims.len()))
            .collect::<Result<_, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let given = match target {
        Target::Scales(scales) => scales.len(),
        Target::Extents(extents) => extents.len(),
    };
    if given != axes.len() {
        return Err(Error::corrupt(format!(
            "it has scales or sizes for {given} axes, not for {}",
            axes.len()
        )));
    }
    let mut resized = Vec::new();
    for (i, &axis) in axes.iter().enumerate() {
        match dims[axis] {
            Dim::Fixed(from) => resized.push((axis, target.along(i, from)?)),
            batch @ Dim::PerImage(_) => target.check_batch(i, batch, g.fixed_batch)?,
        }
    }
    // ONNX Runtime copies what keeps its shape, whatever the scales are.
    if resized.iter().all(|(_, along)| along.from == along.to) {
        return one(x);
    }
    for (axis, along) in resized {
        if along.scale != 1.0 {
            x = filter.resize(g, x, axis, along)?;
        }
    }
    one(x)
}

impl Target {
    fn along(&self, i: usize, from: usize) -> Result<Along, Error> {
        let (to, scale) = match self {
            Self::Scales(scales) => ((scales[i] * from as f32).floor(), scales[i]),
            Self::Extents(extents) if extents[i].is_fixed() => {
                let to = extents[i].value as f32;
                (to, to / from as f32)
            }
            Self::Extents(_) => {
                return Err(Error::unsupported("a size depends on the number of images"));
            }
        };
        match to >= 1.0 && scale.is_finite() && scale > 0.0 {
            true => Ok(Along {
                from,
                to: to as usize,
                scale,
            }),
            false => Err(Error::corrupt(format!("{from} entries cannot become {to}"))),
        }
    }

    /// The axis of the batch must stay what it is.
    fn check_batch(&self, i: usize, own: Dim, fixed_batch: Option<usize>) -> Result<(), Error> {
        let kept = match self {
            Self::Scales(scales) => scales[i] == 1.0,
            Self::Extents(extents) if extents[i].per_image => extents[i].value == own.at(1) as f64,
            Self::Extents(extents) => {
                fixed_batch.is_some_and(|n| extents[i].value == own.at(n) as f64)
            }
        };
        match kept {
            true => Ok(()),
            false => Err(Error::unsupported(
                "it changes the number of images along the axis of the batch",
            )),
        }
    }
}

/// How positions were rounded before there was an attribute for it: those of smaller results up,
/// others down.
const OLD_NEAREST: &str = "up when shrinking";

impl Filter {
    fn resize(
        &self,
        g: &mut Builder<'_>,
        x: ValueId,
        axis: usize,
        along: Along,
    ) -> Result<ValueId, Error> {
        let Along { from, to, .. } = along;
        g.spend::<f64>(from.saturating_mul(to))?;
        let mut matrix = vec![0.0; from * to];
        for (i, row) in matrix.chunks_exact_mut(from.max(1)).enumerate() {
            self.weigh(along, self.position(along, i)?, row)?;
        }
        let is_one = |row: usize, column: usize| matrix[row * from + column] == 1.0;
        if from == to && (0..to).all(|i| is_one(i, i)) {
            return Ok(x);
        }
        let times = to / from;
        if to == from * times && (0..to).all(|i| is_one(i, i / times)) {
            return repeat(g, x, axis, times);
        }
        mix(g, x, axis, from, to, |i, k| matrix[i * from + k])
    }

    /// Where entry `i` of the result lies in the operand.
    fn position(&self, along: Along, i: usize) -> Result<f32, Error> {
        let Along { from, to, scale } = along;
        let [i, from, to] = [i, from, to].map(|n| n as f32);
        Ok(match self.coordinates.as_str() {
            "half_pixel" => (i + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if to == 1.0 => 0.0,
            "pytorch_half_pixel" => (i + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = to / (scale * from);
                let offset = from / 2.0 * (1.0 - adjustment);
                let position = (f64::from(i) + 0.5) / f64::from(scale);
                (f64::from(offset) + position - 0.5) as f32
            }
            "asymmetric" => i / scale,
            "align_corners" if to == 1.0 => 0.0,
            "align_corners" => i * (from - 1.0) / (to - 1.0),
            "tf_half_pixel_for_nn" => (i + 0.5) / scale,
            other => {
                return Err(Error::unsupported(format!(
                    "the coordinate transformation {other:?}"
                )));
            }
        })
    }

    /// Adds the weight of every entry for a result that lies at `x`.
    fn weigh(&self, along: Along, x: f32, row: &mut [f64]) -> Result<(), Error> {
        let (x, scale) = (f64::from(x), f64::from(along.scale));
        let last = row.len().saturating_sub(1) as f64;
        let inside = |k: f64| k.clamp(0.0, last) as usize;
        if self.mode == "nearest" {
            row[inside(self.round(x, scale < 1.0)?)] = 1.0;
            return Ok(());
        }
        let stretch = match self.antialias {
            true => scale.min(1.0),
            false => 1.0,
        };
        let radius = match self.mode.as_str() {
            "linear" | "bilinear" => 1.0,
            "cubic" => 2.0,
            other => return Err(Error::unsupported(format!("the mode {other:?}"))),
        };
        let reach = (radius / stretch).ceil();
        let (first, end) = (x.floor() - reach + 1.0, x.floor() + reach);
        let taps = (0..=(end - first) as usize).map(|k| first + k as f64);
        let counts = |k: &f64| !self.exclude_outside || (0.0..=last).contains(k);
        let taps: Vec<(f64, f64)> = taps
            .filter(counts)
            .map(|k| (k, self.kernel((x - k) * stretch)))
            .collect();
        let total: f64 = taps.iter().map(|(_, w)| w).sum();
        for (k, weight) in taps {
            row[inside(k)] += weight / total;
        }
        Ok(())
    }

    fn round(&self, x: f64, shrinks: bool) -> Result<f64, Error> {
        let middle = x.floor() + 0.5;
        // ONNX Runtime takes what is as near as this for a tie that f32 has missed.
        let x = match (x - middle).abs() <= 1e-6 && self.nearest.starts_with("round") {
            true => middle,
            false => x,
        };
        Ok(match self.nearest.as_str() {
            "round_prefer_floor" => (x - 0.5).ceil(),
            "round_prefer_ceil" => (x + 0.5).floor(),
            "floor" => x.floor(),
            "ceil" => x.ceil(),
            OLD_NEAREST if shrinks => x.ceil(),
            OLD_NEAREST => x.trunc(),
            other => return Err(Error::unsupported(format!("the nearest mode {other:?}"))),
        })
    }

    /// The weight of an entry at this distance.
    fn kernel(&self, distance: f64) -> f64 {
        let (d, a) = (distance.abs(), self.cubic_a);
        match self.mode.as_str() {
            "cubic" if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            "cubic" if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            "cubic" => 0.0,
            _ => (1.0 - d).max(0.0),
        }
    }
}

/// Every entry of an axis `times` times.
fn repeat(g: &mut Builder<'_>, x: ValueId, axis: usize, times: usize) -> Result<ValueId, Error> {
    let dims = g.graph.shape(x).dims().to_vec();
    let mut apart = dims.clone();
    apart.insert(axis + 1, Dim::Fixed(1));
    let mut repeated = apart.clone();
    repeated[axis + 1] = Dim::Fixed(times);
    let mut joined = dims;
    joined[axis] = Dim::Fixed(joined[axis].at(1) * times);
    let apart = g.reshape(x, Shape::new(apart))?;
    let repeated = g.expand(apart, Shape::new(repeated))?;
    g.reshape(repeated, Shape::new(joined))
}
