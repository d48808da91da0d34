//! Decompositions, in f64 and on the caller's thread. Matrices of `faer` lie column by column.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::qr::no_pivoting::factor::{
    qr_in_place, qr_in_place_scratch, recommended_block_size,
};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Accum, Mat, Par};

use crate::error::{Error, ErrorKind};
use crate::matrix::Matrix;
use crate::training::Training;

/// With more features, one matrix of features x features takes more than half a gigabyte.
const MAX_FEATURES: usize = 8192;
/// So many images are added to a covariance at once.
const BLOCK: usize = 512;

/// A covariance; only the lower triangle is filled.
pub(crate) struct Covariance(Mat<f64>);

impl Covariance {
    /// `1/n Σ (h_i - c_i)(h_i - c_i)ᵀ`, where `centre(i)` is c_i.
    pub(crate) fn new<'c>(
        training: &Training<'_>,
        centre: impl Fn(usize) -> &'c [f64],
    ) -> Result<Self, Error> {
        let features = training.features();
        if features > MAX_FEATURES {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("it is fitted to {MAX_FEATURES} features at most; there are {features}"),
            ));
        }
        let images = training.images();
        let mut covariance = Mat::zeros(features, features);
        for start in (0..images).step_by(BLOCK) {
            let block = &training.all_features()[start * features..];
            let centred = Mat::from_fn(features, BLOCK.min(images - start), |feature, image| {
                f64::from(block[image * features + feature]) - centre(start + image)[feature]
            });
            triangular::matmul(
                covariance.as_mut(),
                BlockStructure::TriangularLower,
                Accum::Add,
                centred.as_ref(),
                BlockStructure::Rectangular,
                centred.transpose(),
                BlockStructure::Rectangular,
                (images as f64).recip(),
                Par::Seq,
            );
        }
        Ok(Self(covariance))
    }

    /// Upper trapezoidal R with `RᵀR = Σ⁺`, so that `‖R g‖² = gᵀ Σ⁺ g` at half the products that a
    /// square matrix would take.
    pub(crate) fn inverse_root(&self) -> Result<Matrix, Error> {
        let eigen = self.eigen()?;
        let kept = eigen.significant();
        if kept == 0 {
            return Err(Error::new(
                ErrorKind::Degenerate,
                "the training features do not vary about their mean, or about those of their \
                 classes: more images are needed",
            ));
        }
        let features = eigen.values.len();
        let whitening = Mat::from_fn(kept, features, |i, feature| {
            let i = features - kept + i;
            eigen.vectors[(feature, i)] / eigen.values[i].sqrt()
        });
        let root = triangular_factor(whitening);
        matrix(
            kept,
            features,
            |i, j| if i <= j { root[(i, j)] } else { 0.0 },
        )
    }

    /// The directions of all but the `principal` largest eigenvalues, one a row.
    pub(crate) fn residual(&self, principal: usize) -> Result<Matrix, Error> {
        let eigen = self.eigen()?;
        if eigen.significant() <= principal {
            return Err(Error::new(
                ErrorKind::Degenerate,
                format!(
                    "the training features span {} dimensions, which leaves nothing beside \
                     {principal} principal ones: more images are needed",
                    eigen.significant()
                ),
            ));
        }
        let features = eigen.values.len();
        matrix(features - principal, features, |i, j| eigen.vectors[(j, i)])
    }

    fn eigen(&self) -> Result<Eigen, Error> {
        let features = self.0.nrows();
        let mut values = Diag::zeros(features);
        let mut vectors = Mat::zeros(features, features);
        let scratch = self_adjoint_evd_scratch::<f64>(
            features,
            ComputeEigenvectors::Yes,
            Par::Seq,
            faer::Spec::default(),
        );
        self_adjoint_evd(
            self.0.as_ref(),
            values.as_mut(),
            Some(vectors.as_mut()),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(scratch)),
            faer::Spec::default(),
        )
        .map_err(|_| not_converged("the eigenvalues of the covariance"))?;
        Ok(Eigen {
            values: values.column_vector().iter().copied().collect(),
            vectors,
        })
    }
}

struct Eigen {
    /// In ascending order.
    values: Vec<f64>,
    /// One column each.
    vectors: Mat<f64>,
}

impl Eigen {
    /// How many eigenvalues count as above 0, by the rule of SciPy's `pinvh` and scikit-learn's
    /// `EmpiricalCovariance`.
    fn significant(&self) -> usize {
        let largest = self.values.last().copied().unwrap_or(0.0);
        let cut = largest * self.values.len() as f64 * f64::EPSILON;
        self.values.iter().filter(|&&value| value > cut).count()
    }
}

/// R of the QR decomposition, on and above the diagonal.
fn triangular_factor(mut matrix: Mat<f64>) -> Mat<f64> {
    let (rows, columns) = matrix.shape();
    let block = recommended_block_size::<f64>(rows, columns);
    let mut coefficients = Mat::zeros(block, rows.min(columns));
    let scratch = qr_in_place_scratch::<f64>(rows, columns, block, Par::Seq, faer::Spec::default());
    qr_in_place(
        matrix.as_mut(),
        coefficients.as_mut(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        faer::Spec::default(),
    );
    matrix
}

/// `W⁺ b` for `weight` W [C, D] and b [C].
pub(crate) fn pseudoinverse_times(weight: &Matrix, b: &[f32]) -> Result<Vec<f64>, Error> {
    let (rows, columns) = (weight.rows(), weight.columns());
    let size = rows.min(columns);
    let mut left = Mat::zeros(rows, size);
    let mut right = Mat::zeros(columns, size);
    let mut values = Diag::zeros(size);
    let thin = ComputeSvdVectors::Thin;
    let scratch = svd_scratch::<f64>(rows, columns, thin, thin, Par::Seq, faer::Spec::default());
    svd(
        to_mat(weight).as_ref(),
        values.as_mut(),
        Some(left.as_mut()),
        Some(right.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        faer::Spec::default(),
    )
    .map_err(|_| not_converged("the singular values of the last layer's weight"))?;
    let values: Vec<f64> = values.column_vector().iter().copied().collect();
    let cut = values[0] * rows.max(columns) as f64 * f64::EPSILON;
    let mut product = vec![0.0; columns];
    for (i, &value) in values.iter().enumerate().filter(|&(_, &value)| value > cut) {
        let share: f64 = (0..rows).map(|r| left[(r, i)] * f64::from(b[r])).sum();
        for (column, sum) in product.iter_mut().enumerate() {
            *sum += right[(column, i)] * share / value;
        }
    }
    Ok(product)
}

/// `rows · matrixᵀ`: each of the `rows`, of `matrix.columns()` values, multiplied by the matrix.
pub(crate) fn transform(matrix_: &Matrix, rows: &[f64]) -> Result<Matrix, Error> {
    let columns = matrix_.columns();
    let rows = Mat::from_fn(columns, rows.len() / columns, |i, row| {
        rows[row * columns + i]
    });
    let mut product = Mat::zeros(matrix_.rows(), rows.ncols());
    matmul(
        product.as_mut(),
        Accum::Replace,
        to_mat(matrix_).as_ref(),
        rows.as_ref(),
        1.0,
        Par::Seq,
    );
    matrix(rows.ncols(), matrix_.rows(), |row, i| product[(i, row)])
}

fn to_mat(matrix: &Matrix) -> Mat<f64> {
    Mat::from_fn(matrix.rows(), matrix.columns(), |i, j| {
        f64::from(matrix.row(i)[j])
    })
}

fn matrix(
    rows: usize,
    columns: usize,
    value: impl Fn(usize, usize) -> f64,
) -> Result<Matrix, Error> {
    let mut values = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        values.extend((0..columns).map(|column| value(row, column) as f32));
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::new(
            ErrorKind::Degenerate,
            "the training features vary so little, or so much, that what is fitted cannot be \
             written as 32-bit numbers",
        ));
    }
    Ok(Matrix::new(columns, values))
}

fn not_converged(what: &str) -> Error {
    Error::new(ErrorKind::Degenerate, format!("{what} cannot be found"))
}
