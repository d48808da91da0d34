//! Resize and Upsample: along each axis, weighted sums of entries.

use super::pick::mix;
use crate::Error;
use crate::onnx::read::builder::Builder;
use crate::onnx::read::node::{Node, axis};
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::{Dim, Shape, ValueId};

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
    scale: f64,
}

/// Version 10 has operands `x, scales`, later ones `x, roi, scales, sizes`.
fn resize(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let old = node.opset < 11;
    let coordinates = if old { "asymmetric" } else { "half_pixel" };
    let nearest = if old { "floor" } else { "round_prefer_floor" };
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
    let scales = numbers(g, node, if old { 1 } else { 2 })?;
    let extents = numbers(g, node, 3)?;
    apply(g, node, &filter, scales, extents)
}

/// Versions 7 (scales as attribute) and 9 (as operand).
fn upsample(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let filter = Filter {
        mode: node.text("mode", "nearest")?,
        coordinates: "asymmetric".to_string(),
        nearest: "floor".to_string(),
        cubic_a: -0.75,
        exclude_outside: false,
        antialias: false,
    };
    let scales = match node.floats("scales")? {
        Some(scales) => Some(scales.iter().map(|&s| f64::from(s)).collect()),
        None => numbers(g, node, 1)?,
    };
    apply(g, node, &filter, scales, None)
}

fn numbers(g: &Builder<'_>, node: &Node<'_>, i: usize) -> Result<Option<Vec<f64>>, Error> {
    let constant = node.constant(g, i)?;
    let numbers = constant.map(|k| k.data.iter().map(|n| n.value).collect::<Vec<_>>());
    Ok(numbers.filter(|n| !n.is_empty()))
}

fn apply(
    g: &mut Builder<'_>,
    node: &Node<'_>,
    filter: &Filter,
    scales: Option<Vec<f64>>,
    extents: Option<Vec<f64>>,
) -> Read {
    let mut x = node.value(g, 0)?;
    let dims = g.graph.shape(x).dims().to_vec();
    let axes: Vec<usize> = match node.ints("axes")? {
        Some(given) => given
            .iter()
            .map(|&a| axis(a, dims.len()))
            .collect::<Result<_, _>>()?,
        None => (0..dims.len()).collect(),
    };
    let given = scales
        .as_ref()
        .map(Vec::len)
        .or(extents.as_ref().map(Vec::len));
    if given != Some(axes.len()) {
        return Err(Error::corrupt(
            "it has neither a scale nor a size for each axis",
        ));
    }
    for (i, &axis) in axes.iter().enumerate() {
        let Dim::Fixed(from) = dims[axis] else {
            continue; // the batch axis
        };
        let along = match (&extents, &scales) {
            (Some(extents), _) => Along {
                from,
                to: extents[i] as usize,
                scale: extents[i] / from as f64,
            },
            (None, Some(scales)) => Along {
                from,
                to: (from as f64 * scales[i]).floor() as usize,
                scale: scales[i],
            },
            (None, None) => continue,
        };
        if along.to == 0 || !(along.scale.is_finite() && along.scale > 0.0) {
            return Err(Error::corrupt(format!(
                "{from} entries cannot become {}",
                along.to
            )));
        }
        x = filter.resize(g, x, axis, along)?;
    }
    one(x)
}

impl Filter {
    fn resize(
        &self,
        g: &mut Builder<'_>,
        x: ValueId,
        axis: usize,
        along: Along,
    ) -> Result<ValueId, Error> {
        let Along { from, to, .. } = along;
        g.spend(from.saturating_mul(to))?;
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
    fn position(&self, along: Along, i: usize) -> Result<f64, Error> {
        let Along { from, to, scale } = along;
        let (i, n) = (i as f64, from as f64);
        let wanted = scale * n; // before it is rounded to whole entries
        Ok(match self.coordinates.as_str() {
            "half_pixel" => (i + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if to == 1 => 0.0,
            "pytorch_half_pixel" => (i + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = to as f64 / wanted;
                n / 2.0 * (1.0 - adjustment) + (i + 0.5) / scale - 0.5
            }
            "asymmetric" => i / scale,
            "align_corners" if to == 1 => 0.0,
            "align_corners" => i * (n - 1.0) / (wanted - 1.0),
            "tf_half_pixel_for_nn" => (i + 0.5) / scale,
            other => {
                return Err(Error::unsupported(format!(
                    "the coordinate transformation {other:?}"
                )));
            }
        })
    }

    /// Adds the weight of every entry for a result that lies at `x`.
    fn weigh(&self, along: Along, x: f64, row: &mut [f64]) -> Result<(), Error> {
        let last = row.len().saturating_sub(1) as f64;
        let inside = |k: f64| k.clamp(0.0, last) as usize;
        if self.mode == "nearest" {
            row[inside(self.round(x)?)] = 1.0;
            return Ok(());
        }
        let stretch = match self.antialias {
            true => along.scale.min(1.0),
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

    fn round(&self, x: f64) -> Result<f64, Error> {
        Ok(match self.nearest.as_str() {
            "round_prefer_floor" => (x - 0.5).ceil(),
            "round_prefer_ceil" => (x + 0.5).floor(),
            "floor" => x.floor(),
            "ceil" => x.ceil(),
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
