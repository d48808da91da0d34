//! Row-major matrices of f32.

/// A matrix of f32, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matrix {
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// `values.len()` must be a multiple of `columns`, which is not 0.
    pub(crate) fn new(columns: usize, values: Vec<f32>) -> Self {
        debug_assert!(columns > 0 && values.len().is_multiple_of(columns));
        Self { columns, values }
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.columns
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.columns..][..self.columns]
    }

    pub(crate) fn iter_rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.columns)
    }

    /// Some rows at a time.
    pub(crate) fn row_blocks(&self, rows: usize) -> impl Iterator<Item = &[f32]> {
        self.values.chunks(rows * self.columns)
    }

    pub(crate) fn transposed(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..self.columns {
            values.extend(self.iter_rows().map(|row| row[column]));
        }
        Self::new(self.rows(), values)
    }
}
