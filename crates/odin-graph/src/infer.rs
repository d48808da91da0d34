//! Shape inference: the type of a node's result from those of its operands. Attributes and operands
//! are validated here, so that every node of a graph can be executed.

use crate::op::*;
use crate::{DType, Dim, Op, Shape, Type};

/// The reason why operands do not fit an operator.
type Reason = String;

/// The most elements per image of a value, and of the padded input of a window: 4 GiB. Sizes in
/// bytes, and sums and products of a few of them, never overflow.
const MAX_ELEMENTS: usize = match isize::MAX as usize / 64 {
    least @ ..=0x4000_0000 => least,
    _ => 0x4000_0000,
};
/// The most axes of a value.
const MAX_RANK: usize = 64;
/// The most values that are concatenated by one node.
const MAX_PARTS: usize = 4096;
/// The most elements under the window of a pool, which has no weights to back them.
const MAX_TAPS: usize = 1 << 24;

pub(crate) fn infer(op: &Op, operands: &[&Type]) -> Result<Type, Reason> {
    let ty = match op {
        Op::Input(input) => arity(operands, 0..=0).map(|()| input.ty.clone()),
        Op::Constant(tensor) => {
            arity(operands, 0..=0).map(|()| Type::float(Shape::fixed(tensor.shape())))
        }
        Op::Conv(conv) => infer_conv(conv, operands),
        Op::ConvTranspose(conv) => infer_conv_transpose(conv, operands),
        Op::BatchNorm(norm) => infer_batch_norm(norm, operands),
        Op::Relu => float_operands(operands, 1..=1).map(|s| Type::float(s[0].clone())),
        Op::Unary(unary) => infer_unary(*unary, operands),
        Op::MaxPool(window) => infer_pool(window, operands),
        Op::MaxPoolGrad(window) => infer_max_pool_grad(window, operands),
        Op::AvgPool(pool) => infer_pool(&pool.window, operands),
        Op::Binary(_) => {
            let s = float_operands(operands, 2..=2)?;
            Ok(Type::float(broadcast(s[0], s[1])?))
        }
        Op::Compare(_) => {
            let s = float_operands(operands, 2..=2)?;
            Ok(Type {
                dtype: DType::Bool,
                shape: broadcast(s[0], s[1])?,
            })
        }
        Op::Where => infer_where(operands),
        Op::Concat(concat) => infer_concat(concat, operands),
        Op::Slice(slice) => infer_slice(slice, operands),
        Op::Pad(pad) => infer_pad(pad, operands),
        Op::Reshape(shape) => infer_reshape(shape, operands),
        Op::Expand(shape) => infer_expand(shape, operands),
        Op::Transpose(perm) => infer_transpose(perm, operands),
        Op::MatMul => infer_mat_mul(operands),
        Op::Gemm(gemm) => infer_gemm(gemm, operands),
        Op::Reduce(reduce) => infer_reduce(reduce, operands),
        Op::Softmax(Axis(axis)) | Op::LogSoftmax(Axis(axis)) => {
            let s = float_operands(operands, 1..=1)?;
            fixed_dim(s[0], *axis)?;
            Ok(Type::float(s[0].clone()))
        }
        Op::ArgMax(Axis(axis)) => infer_arg_max(*axis, operands),
        Op::TopK(top) => infer_top_k(*top, operands),
        Op::OneHot(depth) => infer_one_hot(*depth, operands),
    }?;
    check(ty.shape.rank() <= MAX_RANK, || {
        let rank = ty.shape.rank();
        format!("the result would have {rank} axes; at most {MAX_RANK} are supported")
    })?;
    check(!ty.shape.dims().contains(&Dim::PerImage(0)), || {
        format!("the result {} would be empty", ty.shape)
    })?;
    // Also of an empty value, parts of whose shape are multiplied.
    let span = ty.shape.dims().iter();
    let span = span
        .map(|dim| dim.at(1).max(1))
        .try_fold(1usize, usize::checked_mul);
    match ty.shape.elements() {
        Some((_, batch_axes)) if batch_axes <= 1 && span.is_some_and(|n| n <= MAX_ELEMENTS) => {
            Ok(ty)
        }
        Some((_, batch_axes)) if batch_axes > 1 => Err(format!(
            "the result {} would have two axes that grow with the batch",
            ty.shape
        )),
        _ => Err(format!(
            "the result {} is too large: a value may have {MAX_ELEMENTS} elements for each image",
            ty.shape
        )),
    }
}

fn arity(operands: &[&Type], allowed: std::ops::RangeInclusive<usize>) -> Result<(), Reason> {
    if allowed.contains(&operands.len()) {
        return Ok(());
    }
    let (low, high) = (allowed.start(), allowed.end());
    let expected = match (*low, *high) {
        (low, usize::MAX) => format!("at least {low}"),
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low} to {high}"),
    };
    Err(format!(
        "it takes {expected} operands, {} were given",
        operands.len()
    ))
}

/// The shapes of operands that must all be floats.
fn float_operands<'a>(
    operands: &[&'a Type],
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<Vec<&'a Shape>, Reason> {
    arity(operands, allowed)?;
    operands
        .iter()
        .enumerate()
        .map(|(i, ty)| match ty.dtype {
            DType::Float => Ok(&ty.shape),
            other => Err(format!("operand {i} must be float, it is {other}")),
        })
        .collect()
}

fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, Reason> {
    a.broadcast(b)
        .ok_or_else(|| format!("{a} and {b} cannot be broadcast to one shape"))
}

fn check(holds: bool, reason: impl FnOnce() -> Reason) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(reason()) }
}

fn check_axis(shape: &Shape, axis: usize) -> Result<Dim, Reason> {
    let dims = shape.dims();
    dims.get(axis)
        .copied()
        .ok_or_else(|| format!("there is no axis {axis} in {shape}"))
}

/// The extent of an axis that must not depend on the batch.
fn fixed_dim(shape: &Shape, axis: usize) -> Result<usize, Reason> {
    match check_axis(shape, axis)? {
        Dim::Fixed(0) => Err(format!("axis {axis} of {shape} is empty")),
        Dim::Fixed(k) => Ok(k),
        Dim::PerImage(_) => Err(format!(
            "working along axis {axis} of {shape} would mix the images of a batch"
        )),
    }
}

fn check_window(window: &Window, spatial: usize) -> Result<(), Reason> {
    let w = window;
    let lengths = [
        w.kernel.len(),
        w.strides.len(),
        w.dilations.len(),
        w.pads_begin.len(),
        w.pads_end.len(),
    ];
    check(spatial >= 1 && lengths == [spatial; 5], || {
        format!(
            "a window over {spatial} spatial axes needs {spatial} entries for each of kernel, strides, dilations and pads, it has {lengths:?}"
        )
    })?;
    let positive = [&w.kernel, &w.strides, &w.dilations];
    check(positive.iter().all(|v| v.iter().all(|&k| k >= 1)), || {
        format!(
            "kernel {:?}, strides {:?} and dilations {:?} must be at least 1",
            w.kernel, w.strides, w.dilations
        )
    })
}

/// The batch axis, the channels and the spatial extents of `[N, C, spatial...]`.
fn image_dims(shape: &Shape) -> Result<(Dim, usize, Vec<usize>), Reason> {
    check(shape.rank() >= 3, || {
        format!("it works on [N, C, spatial...], not on {shape}")
    })?;
    let channels = fixed_dim(shape, 1)?;
    let spatial: Result<Vec<usize>, Reason> = (2..shape.rank())
        .map(|axis| fixed_dim(shape, axis))
        .collect();
    Ok((shape.dims()[0], channels, spatial?))
}

fn image_shape(batch: Dim, channels: usize, spatial: Vec<usize>) -> Type {
    let rest = std::iter::once(channels).chain(spatial).map(Dim::Fixed);
    let dims: Vec<Dim> = std::iter::once(batch).chain(rest).collect();
    Type::float(Shape::new(dims))
}

/// Padding is written out by kernels that copy their input, so that it must be as small as values.
fn check_padded(
    channels: usize,
    mut extents: impl Iterator<Item = Option<usize>>,
) -> Result<(), Reason> {
    let count = extents.try_fold(channels, |n, extent| n.checked_mul(extent?));
    check(count.is_some_and(|n| n <= MAX_ELEMENTS), || {
        format!("with its padding the input has more than {MAX_ELEMENTS} elements for each image")
    })
}

/// The extents of an input with its padding.
fn padded<'a>(
    window: &'a Window,
    spatial: &'a [usize],
) -> impl Iterator<Item = Option<usize>> + 'a {
    let extent = |(axis, &extent): (usize, &usize)| {
        let begin = extent.checked_add(window.pads_begin[axis])?;
        begin.checked_add(window.pads_end[axis])
    };
    spatial.iter().enumerate().map(extent)
}

fn window_outputs(window: &Window, spatial: &[usize]) -> Result<Vec<usize>, Reason> {
    check_window(window, spatial.len())?;
    let extents = spatial.iter().enumerate();
    extents
        .map(|(axis, &extent)| window.output_extent(axis, extent))
        .collect::<Option<_>>()
        .ok_or_else(|| {
            format!(
                "the window {:?} (dilations {:?}) is larger than the padded input {spatial:?}",
                window.kernel, window.dilations
            )
        })
}

fn bias_is(channels: usize, bias: Option<&&Shape>) -> Result<(), Reason> {
    match bias {
        Some(bias) if **bias != Shape::fixed(&[channels]) => Err(format!(
            "the bias must have shape [{channels}], it has {bias}"
        )),
        _ => Ok(()),
    }
}

fn weight_dims(w: &Shape, window: &Window) -> Result<(usize, usize), Reason> {
    let dims = w
        .as_fixed()
        .ok_or_else(|| format!("the weights {w} must not depend on the batch"))?;
    check(dims.len() >= 3 && dims[2..] == window.kernel[..], || {
        format!(
            "the weights {w} do not have the window's kernel {:?}",
            window.kernel
        )
    })?;
    check(dims.iter().all(|&d| d > 0), || {
        format!("the weights {w} are empty")
    })?;
    Ok((dims[0], dims[1]))
}

fn infer_conv(conv: &Conv, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 2..=3)?;
    let (batch, channels, spatial) = image_dims(s[0])?;
    let outputs = window_outputs(&conv.window, &spatial)?;
    check_padded(channels, padded(&conv.window, &spatial))?;
    let (m, c_per_group) = weight_dims(s[1], &conv.window)?;
    let g = conv.groups;
    check(
        g >= 1 && m % g == 0 && c_per_group.checked_mul(g) == Some(channels),
        || {
            format!(
                "weights {} in {g} groups do not fit an input of {channels} channels",
                s[1]
            )
        },
    )?;
    bias_is(m, s.get(2))?;
    Ok(image_shape(batch, m, outputs))
}

fn infer_conv_transpose(conv: &ConvTranspose, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 2..=3)?;
    let (batch, channels, spatial) = image_dims(s[0])?;
    check_window(&conv.window, spatial.len())?;
    let (c, m_per_group) = weight_dims(s[1], &conv.window)?;
    let g = conv.groups;
    check(g >= 1 && c == channels && c % g == 0, || {
        format!(
            "weights {} in {g} groups do not fit an input of {channels} channels",
            s[1]
        )
    })?;
    check(conv.output_padding.len() == spatial.len(), || {
        format!(
            "output padding {:?} does not have one entry for each of {} spatial axes",
            conv.output_padding,
            spatial.len()
        )
    })?;
    let m = m_per_group
        .checked_mul(g)
        .ok_or("the number of channels overflows")?;
    bias_is(m, s.get(2))?;
    let full = |(axis, &extent): (usize, &usize)| {
        let covered = conv.window.strides[axis].checked_mul(extent.checked_sub(1)?)?;
        let covered = covered.checked_add(conv.window.reach(axis)?)?;
        covered.checked_add(conv.output_padding[axis])
    };
    check_padded(m, spatial.iter().enumerate().map(full))?;
    let outputs: Option<Vec<usize>> = spatial
        .iter()
        .enumerate()
        .map(|(axis, &extent)| conv.output_extent(axis, extent))
        .collect();
    let outputs =
        outputs.ok_or_else(|| format!("nothing is left of {spatial:?} after the padding"))?;
    Ok(image_shape(batch, m, outputs))
}

fn infer_batch_norm(norm: &BatchNorm, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 5..=5)?;
    check(s[0].rank() >= 2, || {
        format!("it works on [N, C, ...], not on {}", s[0])
    })?;
    let channels = Shape::fixed(&[fixed_dim(s[0], 1)?]);
    check(norm.epsilon.is_finite() && norm.epsilon >= 0.0, || {
        format!("epsilon must be a number from 0, it is {}", norm.epsilon)
    })?;
    for (parameter, name) in s[1..].iter().zip(["scale", "shift", "mean", "variance"]) {
        check(**parameter == channels, || {
            format!("the {name} must have shape {channels}, it has {parameter}")
        })?;
    }
    Ok(Type::float(s[0].clone()))
}

fn infer_unary(unary: Unary, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    if let Unary::Clip { min, max } = unary {
        check(min <= max, || {
            format!("the bounds {min} and {max} leave no number between them")
        })?;
    }
    Ok(Type::float(s[0].clone()))
}

/// A window position over padding alone has no maximum and no mean.
fn check_no_empty_window(window: &Window, spatial: &[usize]) -> Result<(), Reason> {
    let w = window;
    let sees_an_entry = |axis: usize| {
        let reach = w.reach(axis).unwrap_or(usize::MAX);
        let jumps_over = w.kernel[axis] > 1 && w.dilations[axis] > spatial[axis];
        w.pads_begin[axis] < reach && w.pads_end[axis] < reach && !jumps_over
    };
    check((0..w.axes()).all(sees_an_entry), || {
        format!(
            "a window {:?} (dilations {:?}) over {spatial:?} with padding {:?} and {:?} would see nothing but padding",
            w.kernel, w.dilations, w.pads_begin, w.pads_end
        )
    })
}

fn infer_pool(window: &Window, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    let (batch, channels, spatial) = image_dims(s[0])?;
    let outputs = window_outputs(window, &spatial)?;
    check_padded(channels, padded(window, &spatial))?;
    let taps = window
        .kernel
        .iter()
        .try_fold(1usize, |n, &k| n.checked_mul(k));
    check(taps.is_some_and(|n| n <= MAX_TAPS), || {
        format!(
            "the window {:?} has more than {MAX_TAPS} elements",
            window.kernel
        )
    })?;
    check_no_empty_window(window, &spatial)?;
    Ok(image_shape(batch, channels, outputs))
}

fn infer_max_pool_grad(window: &Window, operands: &[&Type]) -> Result<Type, Reason> {
    arity(operands, 2..=2)?;
    let pooled = infer_pool(window, &operands[..1])?;
    check(*operands[1] == pooled, || {
        format!("the cotangent must be {pooled}, it is {}", operands[1])
    })?;
    Ok(operands[0].clone())
}

fn infer_where(operands: &[&Type]) -> Result<Type, Reason> {
    arity(operands, 3..=3)?;
    check(operands[0].dtype == DType::Bool, || {
        format!("the condition must be bool, it is {}", operands[0].dtype)
    })?;
    let s = float_operands(&operands[1..], 2..=2)?;
    let branches = broadcast(s[0], s[1])?;
    Ok(Type::float(broadcast(&operands[0].shape, &branches)?))
}

fn infer_concat(concat: &Concat, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=usize::MAX)?;
    check(s.len() <= MAX_PARTS, || {
        format!(
            "{} values are concatenated; at most {MAX_PARTS} are supported",
            s.len()
        )
    })?;
    let axis = concat.axis;
    let mut total = 0usize;
    for shape in &s {
        let extent = fixed_dim(shape, axis)?;
        total = total.checked_add(extent).ok_or("the result is too large")?;
        let mut other = shape.dims().to_vec();
        other[axis] = s[0].dims()[axis];
        check(other == s[0].dims(), || {
            format!("{} and {shape} differ in more than axis {axis}", s[0])
        })?;
    }
    let mut dims = s[0].dims().to_vec();
    dims[axis] = Dim::Fixed(total);
    Ok(Type::float(Shape::new(dims)))
}

fn infer_slice(slice: &Slice, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    let mut dims = s[0].dims().to_vec();
    distinct_axes(slice.axes.iter().map(|a| a.axis))?;
    for cut in &slice.axes {
        let extent = fixed_dim(s[0], cut.axis)?;
        check(
            cut.step >= 1 && cut.start < cut.end && cut.end <= extent,
            || {
                format!(
                    "{}..{} with step {} does not lie in axis {} of {}",
                    cut.start, cut.end, cut.step, cut.axis, s[0]
                )
            },
        )?;
        dims[cut.axis] = Dim::Fixed(cut.extent());
    }
    Ok(Type::float(Shape::new(dims)))
}

fn infer_pad(pad: &Pad, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    let mut dims = s[0].dims().to_vec();
    distinct_axes(pad.axes.iter().map(|a| a.axis))?;
    for border in &pad.axes {
        let extent = fixed_dim(s[0], border.axis)?
            .checked_add(border.before)
            .and_then(|k| k.checked_add(border.after))
            .ok_or("the result is too large")?;
        dims[border.axis] = Dim::Fixed(extent);
    }
    Ok(Type::float(Shape::new(dims)))
}

fn distinct_axes(axes: impl Iterator<Item = usize>) -> Result<(), Reason> {
    let mut seen: Vec<usize> = axes.collect();
    seen.sort_unstable();
    check(seen.windows(2).all(|pair| pair[0] != pair[1]), || {
        "an axis is named twice".to_string()
    })
}

fn infer_reshape(shape: &Shape, operands: &[&Type]) -> Result<Type, Reason> {
    arity(operands, 1..=1)?;
    let (from, to) = (operands[0].shape.elements(), shape.elements());
    check(to.is_some() && from == to, || {
        format!(
            "{} and {shape} do not hold the same number of elements",
            operands[0].shape
        )
    })?;
    let around = |shape: &Shape| {
        let mut outside = shape.dims().iter().map_while(|dim| dim.fixed());
        outside.try_fold(1usize, |n, extent| n.checked_mul(extent))
    };
    let grows = from.is_some_and(|(_, batch_axes)| batch_axes > 0);
    check(
        !grows || around(&operands[0].shape) == around(shape),
        || {
            let from = &operands[0].shape;
            format!("reading {from} as {shape} would mix the images of a batch")
        },
    )?;
    Ok(Type {
        dtype: operands[0].dtype,
        shape: shape.clone(),
    })
}

fn infer_expand(shape: &Shape, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    check(s[0].broadcast(shape).as_ref() == Some(shape), || {
        format!("{} cannot be repeated to {shape}", s[0])
    })?;
    Ok(Type::float(shape.clone()))
}

fn infer_transpose(perm: &[usize], operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    check(sorted.into_iter().eq(0..s[0].rank()), || {
        format!("{perm:?} is not an order of the axes of {}", s[0])
    })?;
    let dims: Vec<Dim> = perm.iter().map(|&axis| s[0].dims()[axis]).collect();
    Ok(Type::float(Shape::new(dims)))
}

fn infer_mat_mul(operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 2..=2)?;
    let (a, b) = (s[0], s[1]);
    check(a.rank() >= 2 && b.rank() >= 2, || {
        format!("it multiplies matrices, not {a} and {b}")
    })?;
    let (ra, rb) = (a.rank(), b.rank());
    let (k, k_b) = (fixed_dim(a, ra - 1)?, fixed_dim(b, rb - 2)?);
    check(k == k_b, || {
        format!("{a} and {b} do not share their inner axis")
    })?;
    let lead = |shape: &Shape, rank: usize| Shape::new(&shape.dims()[..rank - 2]);
    let mut dims = broadcast(&lead(a, ra), &lead(b, rb))?.dims().to_vec();
    dims.extend([a.dims()[ra - 2], b.dims()[rb - 1]]);
    Ok(Type::float(Shape::new(dims)))
}

fn infer_gemm(gemm: &Gemm, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 2..=3)?;
    check(s[0].rank() == 2 && s[1].rank() == 2, || {
        format!("it multiplies two matrices, not {} and {}", s[0], s[1])
    })?;
    let (a_row, a_col) = if gemm.trans_a { (1, 0) } else { (0, 1) };
    let (b_row, b_col) = if gemm.trans_b { (1, 0) } else { (0, 1) };
    let (k, k_b) = (fixed_dim(s[0], a_col)?, fixed_dim(s[1], b_row)?);
    check(k == k_b, || {
        format!("{} and {} do not share their inner axis", s[0], s[1])
    })?;
    let result = Shape::new([s[0].dims()[a_row], s[1].dims()[b_col]]);
    if let Some(c) = s.get(2) {
        check(c.broadcast(&result).as_ref() == Some(&result), || {
            format!("the addend {c} cannot be repeated to {result}")
        })?;
    }
    Ok(Type::float(result))
}

fn infer_reduce(reduce: &Reduce, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    distinct_axes(reduce.axes.iter().copied())?;
    for &axis in &reduce.axes {
        fixed_dim(s[0], axis)?;
    }
    let dims: Vec<Dim> = s[0]
        .dims()
        .iter()
        .enumerate()
        .filter_map(|(axis, &dim)| match reduce.axes.contains(&axis) {
            true => reduce.keep_dims.then_some(Dim::Fixed(1)),
            false => Some(dim),
        })
        .collect();
    Ok(Type::float(Shape::new(dims)))
}

fn infer_arg_max(axis: usize, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    fixed_dim(s[0], axis)?;
    let mut dims = s[0].dims().to_vec();
    dims.remove(axis);
    Ok(Type {
        dtype: DType::Int,
        shape: Shape::new(dims),
    })
}

fn infer_top_k(top: TopK, operands: &[&Type]) -> Result<Type, Reason> {
    let s = float_operands(operands, 1..=1)?;
    let extent = fixed_dim(s[0], top.axis)?;
    check((1..=extent).contains(&top.k), || {
        format!(
            "{} elements cannot be kept of the {extent} along axis {} of {}",
            top.k, top.axis, s[0]
        )
    })?;
    let mut dims = s[0].dims().to_vec();
    dims[top.axis] = Dim::Fixed(top.k);
    Ok(Type::float(Shape::new(dims)))
}

fn infer_one_hot(depth: usize, operands: &[&Type]) -> Result<Type, Reason> {
    arity(operands, 1..=1)?;
    check(operands[0].dtype == DType::Int, || {
        format!("it takes indices, not {}", operands[0].dtype)
    })?;
    let mut dims = operands[0].shape.dims().to_vec();
    dims.push(Dim::Fixed(depth));
    Ok(Type::float(Shape::new(dims)))
}
