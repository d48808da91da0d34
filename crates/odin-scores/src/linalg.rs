//! Covariances and their decompositions, in f64 and on the caller's thread.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use crate::error::{Error, ErrorKind};
use crate::matrix::Matrix;

/// With more features, one matrix of features x features takes more than half a gigabyte.
pub(crate) const MAX_FEATURES: usize = 8192;
/// So many images are added to a covariance at once.
const IMAGES: usize = 512;
/// So many columns of a covariance are computed at once, from the diagonal downwards.
const COLUMNS: usize = 256;

/// Covariances of classes have so many numbers at most, C · D²: a gigabyte as f64.
pub(crate) const MAX_OF_CLASSES: usize = 1 << 27;

/// A covariance of features.
pub(crate) struct Covariance(DMatrix<f64>);

impl Covariance {
    /// `1/n` of a sum of products, of which what is on and below the diagonal is read.
    pub(crate) fn of_products(mut products: DMatrix<f64>, n: u64) -> Self {
        products /= n as f64;
        products.fill_upper_triangle_with_lower_triangle();
        Self(products)
    }

    /// `1/n Σ (h_i - c) (h_i - c)ᵀ` of n `rows`.
    pub(crate) fn about(centre: &[f64], rows: &[&[f32]]) -> Result<Self, Error> {
        let features = centre.len();
        check_features(features)?;
        let mut products = DMatrix::zeros(features, features);
        for block in rows.chunks(IMAGES) {
            let centred = DMatrix::from_fn(features, block.len(), |feature, i| {
                f64::from(block[i][feature]) - centre[feature]
            });
            add_products(&mut products, &centred, 1.0);
        }
        Ok(Self::of_products(products, rows.len() as u64))
    }

    /// R with `RᵀR = Σ⁺`, so that `‖R g‖² = gᵀ Σ⁺ g`. With r rows, row i has zeros after its first
    /// D - r + i + 1 values, which halves the products.
    pub(crate) fn inverse_root(&self) -> Result<Matrix, Error> {
        let root = match self.inverse_cholesky() {
            Some(root) => root,
            None => self.pseudoinverse_root()?,
        };
        to_matrix(&root)
    }

    /// L⁻¹ of `Σ = L Lᵀ`, where it is certain that Σ⁺ = Σ⁻¹: the trace bounds the largest
    /// eigenvalue from above.
    fn inverse_cholesky(&self) -> Option<DMatrix<f64>> {
        let least = cut(self.trace(), self.0.nrows());
        Some(inverse_lower(self.0.clone(), least)?.0)
    }

    pub(crate) fn trace(&self) -> f64 {
        self.0.trace()
    }

    /// R with `RᵀR = (Σ + j I)⁻¹` for a jitter j, lower triangular, and `log det (Σ + j I)`, where it is
    /// certain that each eigenvalue is above so large a share of their mean.
    pub(crate) fn jittered_root(&self, jitter: f64, share: f64) -> Option<(Matrix, f64)> {
        let mut jittered = self.0.clone();
        for i in 0..jittered.nrows() {
            jittered[(i, i)] += jitter;
        }
        let least = share * jittered.trace() / jittered.nrows() as f64;
        let (root, log_determinant) = inverse_lower(jittered, least)?;
        Some((to_matrix(&root).ok()?, log_determinant))
    }

    fn pseudoinverse_root(&self) -> Result<DMatrix<f64>, Error> {
        let eigen = Eigen::new(self.0.clone())?;
        let (rank, features) = (eigen.rank(), self.0.nrows());
        if rank == 0 {
            return Err(Error::new(
                ErrorKind::Degenerate,
                "the training features do not vary about their mean, or about those of their \
                 classes: more images are needed",
            ));
        }
        // Triangular by QR, of columns in reverse order so that zeros come last in each row.
        let whitening = DMatrix::from_fn(rank, features, |i, j| {
            let (value, vector) = eigen.pair(i);
            vector[features - 1 - j] / value.sqrt()
        });
        let upper = whitening.qr().r();
        Ok(DMatrix::from_fn(rank, features, |i, j| {
            upper[(rank - 1 - i, features - 1 - j)]
        }))
    }

    /// The directions of all but the `principal` largest eigenvalues, one a row.
    pub(crate) fn residual(&self, principal: usize) -> Result<Matrix, Error> {
        let eigen = Eigen::new(self.0.clone())?;
        if eigen.rank() <= principal {
            return Err(Error::new(
                ErrorKind::Degenerate,
                format!(
                    "the training features span {} dimensions, which leaves nothing beside \
                     {principal} principal ones: more images are needed, or, if features of this \
                     network depend on one another, fewer principal ones (`vim:d=N`)",
                    eigen.rank()
                ),
            ));
        }
        let features = self.0.nrows();
        to_matrix(&DMatrix::from_fn(features - principal, features, |i, j| {
            eigen.pair(principal + i).1[j]
        }))
    }
}

/// L⁻¹ of a matrix `L Lᵀ` and the logarithm of its determinant, where it is certain that each eigenvalue
/// is above `least`: `1 / ‖L⁻¹‖²` bounds the smallest from below.
fn inverse_lower(matrix: DMatrix<f64>, least: f64) -> Option<(DMatrix<f64>, f64)> {
    let features = matrix.nrows();
    let cholesky = matrix.cholesky()?;
    let lower = cholesky.l_dirty();
    let mut inverse = DMatrix::identity(features, features);
    lower
        .solve_lower_triangular_mut(&mut inverse)
        .then_some(())?;
    let smallest = inverse.norm_squared().recip();
    let log_determinant = 2.0 * lower.diagonal().map(f64::ln).sum();
    (smallest > least).then_some((inverse, log_determinant))
}

/// Whether a covariance of so many features is computed for each of so many classes.
pub(crate) fn check_classes(classes: usize, features: usize) -> Result<(), Error> {
    check_features(features)?;
    let numbers = classes.saturating_mul(features * features);
    if numbers <= MAX_OF_CLASSES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Shape,
        format!(
            "it has a covariance for each class, and {MAX_OF_CLASSES} numbers of them at most; \
             {classes} classes of {features} features would have {numbers}"
        ),
    ))
}

/// Whether a covariance of so many features is computed.
pub(crate) fn check_features(features: usize) -> Result<(), Error> {
    if features <= MAX_FEATURES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Shape,
        format!("it is fitted to {MAX_FEATURES} features at most; there are {features}"),
    ))
}

/// `sum += factor · A Aᵀ` on and below the diagonal.
pub(crate) fn add_products(sum: &mut DMatrix<f64>, a: &DMatrix<f64>, factor: f64) {
    let size = sum.nrows();
    let transposed = a.transpose();
    for start in (0..size).step_by(COLUMNS) {
        let (rows, columns) = (size - start, COLUMNS.min(size - start));
        sum.view_mut((start, start), (rows, columns)).gemm(
            factor,
            &a.rows(start, rows),
            &transposed.columns(start, columns),
            1.0,
        );
    }
}

/// Eigenvalues up to this count as 0: the rule of SciPy's `pinvh` and of scikit-learn's
/// `EmpiricalCovariance`.
fn cut(largest: f64, size: usize) -> f64 {
    largest * size as f64 * f64::EPSILON
}

/// The eigenvector of the largest eigenvalue of a symmetric matrix.
pub(crate) fn leading_direction(matrix: DMatrix<f64>) -> Result<DVector<f64>, Error> {
    let eigen = Eigen::new(matrix)?;
    Ok(eigen.pair(0).1.into_owned())
}

/// Eigenvalues and eigenvectors, the largest first.
struct Eigen {
    decomposition: SymmetricEigen<f64, nalgebra::Dyn>,
    order: Vec<usize>,
}

impl Eigen {
    fn new(matrix: DMatrix<f64>) -> Result<Self, Error> {
        let steps = 1000 * matrix.nrows();
        let decomposition = SymmetricEigen::try_new(matrix, f64::EPSILON, steps)
            .ok_or_else(|| Error::new(ErrorKind::Degenerate, "the eigenvalues cannot be found"))?;
        let values = &decomposition.eigenvalues;
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
        Ok(Self {
            decomposition,
            order,
        })
    }

    fn pair(&self, rank: usize) -> (f64, nalgebra::DVectorView<'_, f64>) {
        let index = self.order[rank];
        (
            self.decomposition.eigenvalues[index],
            self.decomposition.eigenvectors.column(index),
        )
    }

    /// How many eigenvalues count as above 0.
    fn rank(&self) -> usize {
        let cut = cut(self.pair(0).0, self.order.len());
        let values = self.decomposition.eigenvalues.iter();
        values.filter(|&&value| value > cut).count()
    }
}

/// `W⁺ b` for `weight` W [C, D] and b [C], from the smaller of the Gram matrices WWᵀ and WᵀW.
pub(crate) fn pseudoinverse_times(weight: &Matrix, b: &[f32]) -> Result<Vec<f64>, Error> {
    let weight = from_matrix(weight);
    let b = DVector::from_iterator(b.len(), b.iter().map(|&b| f64::from(b)));
    let transposed = weight.transpose();
    let product = if weight.nrows() <= weight.ncols() {
        &transposed * gram_pseudoinverse_times(&weight, &b)?
    } else {
        gram_pseudoinverse_times(&transposed, &(&transposed * &b))?
    };
    Ok(product.iter().copied().collect())
}

/// `(A Aᵀ)⁺ b`.
fn gram_pseudoinverse_times(a: &DMatrix<f64>, b: &DVector<f64>) -> Result<DVector<f64>, Error> {
    let mut gram = DMatrix::zeros(a.nrows(), a.nrows());
    add_products(&mut gram, a, 1.0);
    gram.fill_upper_triangle_with_lower_triangle();
    let eigen = Eigen::new(gram)?;
    let mut product = DVector::zeros(b.len());
    for (value, vector) in (0..eigen.rank()).map(|i| eigen.pair(i)) {
        product.axpy(vector.dot(b) / value, &vector, 1.0);
    }
    Ok(product)
}

/// The matrix times each of `rows`, of as many values as it has columns; one result a row.
pub(crate) fn transform(matrix: &Matrix, rows: &[f64]) -> Result<Matrix, Error> {
    let columns = matrix.columns();
    let rows = DMatrix::from_column_slice(columns, rows.len() / columns, rows);
    to_matrix(&(from_matrix(matrix) * rows).transpose())
}

fn from_matrix(matrix: &Matrix) -> DMatrix<f64> {
    let values = matrix.values().iter().map(|&value| f64::from(value));
    DMatrix::from_row_iterator(matrix.rows(), matrix.columns(), values)
}

fn to_matrix(matrix: &DMatrix<f64>) -> Result<Matrix, Error> {
    let values: Vec<f32> = matrix
        .transpose()
        .iter()
        .map(|&value| value as f32)
        .collect();
    if values.iter().any(|value| !value.is_finite()) {
        return Err(Error::new(
            ErrorKind::Degenerate,
            "the training features vary so little, or so much, that what is fitted cannot be \
             written as 32-bit numbers",
        ));
    }
    Ok(Matrix::new(matrix.ncols(), values))
}
