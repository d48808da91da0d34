//! Strides of arrays.

/// The strides of a row-major array.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        // Wraps only where an extent is 0, so that there is no element.
        strides[axis - 1] = usize::wrapping_mul(strides[axis], shape[axis]);
    }
    strides
}

/// The strides, one per axis of `shape`, of an array of shape `own` broadcast to it.
pub fn broadcast_strides(own: &[usize], shape: &[usize]) -> Vec<usize> {
    let lead = shape.len() - own.len();
    let stride = |(&extent, stride)| if extent == 1 { 0 } else { stride };
    let strides = own.iter().zip(row_major(own)).map(stride);
    std::iter::repeat_n(0, lead).chain(strides).collect()
}
