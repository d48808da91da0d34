//! The product of two matrices: the one place where this crate calls unsafe code.

/// A view of a matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    /// The distance between neighbours in a column.
    pub(crate) row_stride: usize,
    /// The distance between neighbours in a row.
    pub(crate) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix stored row by row, `columns` entries each.
    pub(crate) fn rows(data: &'a [f32], columns: usize) -> Self {
        Self {
            data,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The same matrix with rows and columns swapped.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        holds(
            self.data.len(),
            rows,
            columns,
            self.row_stride,
            self.column_stride,
        )
    }
}

/// Whether the last entry of a matrix that is not empty lies within `len` elements.
fn holds(len: usize, rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> bool {
    let last_row = (rows - 1).checked_mul(row_stride);
    let last_column = (columns - 1).checked_mul(column_stride);
    let last = last_row
        .zip(last_column)
        .and_then(|(r, c)| r.checked_add(c));
    last.is_some_and(|last| last < len)
}

/// `y = alpha · a · b`, or `y += alpha · a · b`, for `a [m, k]`, `b [k, n]` and `y [m, n]` stored
/// in rows `y_stride` apart. On one thread: the sums are formed in an order that depends on
/// nothing but m, n, k and the strides.
#[allow(unsafe_code)]
pub(crate) fn gemm(
    [m, n, k]: [usize; 3],
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    y: &mut [f32],
    y_stride: usize,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !accumulate {
            y.chunks_mut(y_stride.max(1))
                .take(m)
                .for_each(|row| row[..n].fill(0.0));
        }
        return;
    }
    assert!(
        a.holds(m, k) && b.holds(k, n),
        "an operand is smaller than its matrix"
    );
    assert!(
        (m == 1 || y_stride >= n) && holds(y.len(), m, n, y_stride, 1),
        "the result is smaller than its matrix, or its rows overlap"
    );
    let stride = |s: usize| s as isize;
    // SAFETY: the asserts above show that every entry of the three matrices lies inside its
    // slice (a slice has at most isize::MAX bytes, so that the strides used fit isize), and that
    // the entries of `y` are distinct. `y` is borrowed mutably, so that it overlaps neither `a`
    // nor `b`. f32 is a type that `gemm` supports; `y` is initialised whether it is read or not.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            stride(y_stride),
            accumulate,
            a.data.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
