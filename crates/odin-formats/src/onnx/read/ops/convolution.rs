//! Convolutions and pooling.

use crate::Error;
use crate::onnx::read::builder::Builder;
use crate::onnx::read::node::{Node, sizes};
use crate::onnx::read::operator::{Operator, Read, one, operator};
use odin_graph::op::{AvgPool, Conv, ConvTranspose, PadAxis, ReduceKind, Window};
use odin_graph::{Op, ValueId};

pub(super) const OPERATORS: &[Operator] = &[
    operator("AveragePool", average_pool),
    operator("Conv", conv),
    operator("ConvTranspose", conv_transpose),
    operator("GlobalAveragePool", global_average_pool),
    operator("GlobalMaxPool", global_max_pool),
    operator("MaxPool", max_pool),
];

fn spatial(g: &Builder<'_>, x: ValueId) -> Result<Vec<usize>, Error> {
    let shape = g.graph.shape(x);
    let rest = shape.dims().get(2..).unwrap_or_default();
    match rest.is_empty() {
        false => Ok(rest.iter().map(|d| d.at(1)).collect()),
        true => Err(Error::corrupt(format!(
            "it works on [N, C, spatial...], not on {shape}"
        ))),
    }
}

fn per_axis(node: &Node<'_>, name: &str, axes: usize, default: usize) -> Result<Vec<usize>, Error> {
    let given = node.ints(name)?.map(|v| sizes(&v, name)).transpose()?;
    let values = given.unwrap_or_else(|| vec![default; axes]);
    match values.len() == axes {
        true => Ok(values),
        false => Err(Error::corrupt(format!(
            "{name} {values:?} does not have one entry for each of {axes} spatial axes"
        ))),
    }
}

/// The window of a node over an input of these extents, its padding worked out.
fn window(node: &Node<'_>, kernel: Vec<usize>, input: &[usize]) -> Result<Window, Error> {
    let axes = input.len();
    if kernel.len() != axes {
        return Err(Error::corrupt(format!(
            "the kernel {kernel:?} does not have one entry for each of {axes} spatial axes"
        )));
    }
    let strides = per_axis(node, "strides", axes, 1)?;
    let dilations = per_axis(node, "dilations", axes, 1)?;
    if [&kernel, &strides, &dilations]
        .iter()
        .any(|v| v.contains(&0))
    {
        return Err(Error::corrupt(
            "kernel, strides and dilations must be at least 1",
        ));
    }
    let mut pads = per_axis(node, "pads", 2 * axes, 0)?;
    let auto = node.text("auto_pad", "NOTSET")?;
    if auto.starts_with("SAME") {
        for axis in 0..axes {
            let reach = (kernel[axis] - 1)
                .saturating_mul(dilations[axis])
                .saturating_add(1);
            let positions = input[axis].div_ceil(strides[axis]);
            let covered = positions.saturating_sub(1).saturating_mul(strides[axis]);
            let total = covered.saturating_add(reach).saturating_sub(input[axis]);
            let less = total / 2;
            let (begin, end) = match auto.as_str() {
                "SAME_UPPER" => (less, total - less),
                _ => (total - less, less),
            };
            (pads[axis], pads[axes + axis]) = (begin, end);
        }
    } else if auto == "VALID" {
        pads.fill(0);
    }
    Ok(Window {
        kernel,
        strides,
        dilations,
        pads_end: pads.split_off(axes),
        pads_begin: pads,
    })
}

fn kernel_of(g: &Builder<'_>, node: &Node<'_>, w: ValueId) -> Result<Vec<usize>, Error> {
    let own = g.graph.shape(w).dims().iter().skip(2).map(|d| d.at(1));
    let own: Vec<usize> = own.collect();
    match node.ints("kernel_shape")? {
        Some(given) if sizes(&given, "kernel_shape")? != own => Err(Error::corrupt(format!(
            "kernel_shape {given:?} is not that of the weights, {own:?}"
        ))),
        _ => Ok(own),
    }
}

fn groups(node: &Node<'_>) -> Result<usize, Error> {
    Ok(sizes(&[node.int("group", 1)?], "group")?[0])
}

fn conv(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, w) = (node.value(g, 0)?, node.value(g, 1)?);
    let window = window(node, kernel_of(g, node, w)?, &spatial(g, x)?)?;
    let mut operands = vec![x, w];
    operands.extend(node.optional_value(g, 2)?);
    let groups = groups(node)?;
    one(g.op(Op::Conv(Conv { window, groups }), &operands)?)
}

fn conv_transpose(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let (x, w) = (node.value(g, 0)?, node.value(g, 1)?);
    let input = spatial(g, x)?;
    let axes = input.len();
    let mut output_padding = per_axis(node, "output_padding", axes, 0)?;
    let mut window = window(node, kernel_of(g, node, w)?, &input)?;
    let auto = node.text("auto_pad", "NOTSET")?;
    let wanted = match node.ints("output_shape")? {
        Some(shape) => {
            let all = sizes(&shape, "output_shape")?;
            let first = all.len().saturating_sub(axes);
            Some(all[first..].to_vec())
        }
        None if auto.starts_with("SAME") => {
            let extents = input.iter().zip(&window.strides);
            Some(extents.map(|(n, s)| n.saturating_mul(*s)).collect())
        }
        None => None,
    };
    if let Some(wanted) = wanted.filter(|w| w.len() == axes) {
        for axis in 0..axes {
            let reach = (window.kernel[axis] - 1)
                .saturating_mul(window.dilations[axis])
                .saturating_add(1);
            let full = window.strides[axis]
                .saturating_mul(input[axis].saturating_sub(1))
                .saturating_add(output_padding[axis])
                .saturating_add(reach);
            let total = full.saturating_sub(wanted[axis]);
            let more = wanted[axis].saturating_sub(full);
            output_padding[axis] = output_padding[axis].saturating_add(more);
            let half = total / 2;
            let (begin, end) = match auto.as_str() {
                "SAME_UPPER" => (half, total - half),
                _ => (total - half, half),
            };
            (window.pads_begin[axis], window.pads_end[axis]) = (begin, end);
        }
    }
    let mut operands = vec![x, w];
    operands.extend(node.optional_value(g, 2)?);
    let op = ConvTranspose {
        window,
        output_padding,
        groups: groups(node)?,
    };
    one(g.op(Op::ConvTranspose(op), &operands)?)
}

fn pool_window(g: &Builder<'_>, node: &Node<'_>, x: ValueId) -> Result<Window, Error> {
    let kernel = node.ints("kernel_shape")?;
    let kernel = kernel.ok_or_else(|| Error::corrupt("it has no kernel_shape"))?;
    window(node, sizes(&kernel, "kernel_shape")?, &spatial(g, x)?)
}

/// With `ceil_mode` the last window may reach past the padded end, as long as it begins before
/// it: how many entries further, for each axis.
fn overhang(node: &Node<'_>, window: &Window, input: &[usize]) -> Result<Vec<usize>, Error> {
    let ceil = node.int("ceil_mode", 0)? != 0;
    let along = |axis: usize| {
        let reach = (window.kernel[axis] - 1)
            .saturating_mul(window.dilations[axis])
            .saturating_add(1);
        let begin = input[axis].saturating_add(window.pads_begin[axis]);
        let padded = begin.saturating_add(window.pads_end[axis]);
        let stride = window.strides[axis];
        // Of a window that is larger than the padded input by a step or more, there is no position.
        if reach.saturating_sub(padded) >= stride {
            return 0;
        }
        let steps = padded.saturating_sub(reach).div_ceil(stride);
        let steps = match steps.saturating_mul(stride) >= begin {
            true => steps.saturating_sub(1),
            false => steps,
        };
        let end = steps.saturating_mul(stride).saturating_add(reach);
        if ceil { end.saturating_sub(padded) } else { 0 }
    };
    Ok((0..input.len()).map(along).collect())
}

fn max_pool(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let mut window = pool_window(g, node, x)?;
    let overhang = overhang(node, &window, &spatial(g, x)?)?;
    let ends = window.pads_end.iter_mut().zip(overhang);
    ends.for_each(|(end, more)| *end = end.saturating_add(more));
    one(g.op(Op::MaxPool(window), &[x])?)
}

/// Where padding counts but what lies past it does not, the padding is written out.
fn average_pool(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let mut x = node.value(g, 0)?;
    let mut window = pool_window(g, node, x)?;
    let overhang = overhang(node, &window, &spatial(g, x)?)?;
    let mut count_padding = node.int("count_include_pad", 0)? != 0;
    if count_padding && overhang.iter().any(|&more| more > 0) {
        let borders = (0..window.axes()).map(|axis| PadAxis {
            axis: axis + 2,
            before: window.pads_begin[axis],
            after: window.pads_end[axis],
        });
        let borders = borders.collect();
        x = g.pad(x, borders, 0.0)?;
        window.pads_begin.fill(0);
        window.pads_end.fill(0);
        count_padding = false;
    }
    let ends = window.pads_end.iter_mut().zip(overhang);
    ends.for_each(|(end, more)| *end = end.saturating_add(more));
    let pool = AvgPool {
        window,
        count_padding,
    };
    one(g.op(Op::AvgPool(pool), &[x])?)
}

fn global_average_pool(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let axes = (2..g.rank(x)).collect();
    one(g.reduce(x, ReduceKind::Mean, axes, true)?)
}

fn global_max_pool(g: &mut Builder<'_>, node: &Node<'_>) -> Read {
    let x = node.value(g, 0)?;
    let window = Window::new(&spatial(g, x)?);
    one(g.op(Op::MaxPool(window), &[x])?)
}
