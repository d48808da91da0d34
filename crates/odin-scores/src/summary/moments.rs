//! Sums of features, and of their products about the means of classes, in f64.

use nalgebra::DMatrix;

use crate::linalg::add_products;
use crate::numeric::add;

/// So many columns are multiplied at once, wherever batches end.
const COLUMNS: usize = 512;

/// For each class the sum of its features, and for all of them
/// `Σ (h_i - μ_k) (h_i - μ_k)ᵀ` with the mean μ_k of the class of each image.
///
/// Each image adds the product about the mean of those before it, `n / (n + 1) · (h - μ) (h - μ)ᵀ`
/// (B. P. Welford, *Note on a Method for Calculating Corrected Sums of Squares and Products*,
/// Technometrics 4, 1962), and a merge that of the means, `n m / (n + m) · (μ - ν) (μ - ν)ᵀ` (T. F.
/// Chan, G. H. Golub, R. J. LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing
/// Sample Variances*, COMPSTAT 1982). Nothing is subtracted from a sum of squares, so that nothing
/// cancels.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    features: usize,
    /// Of each class; empty for one without an image.
    sums: Vec<Vec<f64>>,
    /// On and below the diagonal.
    products: DMatrix<f64>,
    /// Columns whose products are not in the sum yet.
    columns: Vec<f64>,
    /// So many columns are multiplied at once.
    most_columns: usize,
}

impl Moments {
    pub(crate) fn new(classes: usize, features: usize) -> Self {
        Self::of(
            vec![Vec::new(); classes],
            DMatrix::zeros(features, features),
        )
    }

    /// Of the sums of classes, and products on and below the diagonal.
    pub(crate) fn of(sums: Vec<Vec<f64>>, products: DMatrix<f64>) -> Self {
        Self {
            features: products.nrows(),
            sums,
            products,
            columns: Vec::new(),
            most_columns: COLUMNS,
        }
    }

    /// The same, with so many columns at most whose products are not in the sum yet, 1 at least.
    pub(crate) fn with_columns(self, most_columns: usize) -> Self {
        Self {
            most_columns: most_columns.max(1),
            ..self
        }
    }

    /// Adds an image of a class that has `before` images.
    pub(crate) fn add<T: Copy + Into<f64>>(&mut self, class: usize, before: u64, features: &[T]) {
        let sum = &mut self.sums[class];
        if before == 0 {
            *sum = features.iter().map(|&h| h.into()).collect();
            return;
        }
        let before = before as f64;
        let weight = (before / (before + 1.0)).sqrt();
        let about_mean = features.iter().zip(sum.iter());
        self.columns
            .extend(about_mean.map(|(&h, s)| weight * (h.into() - s / before)));
        add(sum, features);
        self.flush_if_full();
    }

    /// Adds the images of another, where the classes have `counts` and `other_counts` images.
    pub(crate) fn merge(&mut self, counts: &[u64], other: &Self, other_counts: &[u64]) {
        for (class, sum) in other.sums.iter().enumerate() {
            match (counts[class], other_counts[class]) {
                (_, 0) => {}
                (0, _) => self.sums[class].clone_from(sum),
                (own, others) => self.merge_class(class, own as f64, sum, others as f64),
            }
        }
        self.products += &other.products;
        for column in other.columns.chunks_exact(self.features) {
            self.columns.extend_from_slice(column);
            self.flush_if_full();
        }
    }

    fn merge_class(&mut self, class: usize, own: f64, sum: &[f64], others: f64) {
        let weight = (own * others / (own + others)).sqrt();
        let means = self.sums[class].iter().zip(sum);
        self.columns
            .extend(means.map(|(a, b)| weight * (a / own - b / others)));
        for (a, b) in self.sums[class].iter_mut().zip(sum) {
            *a += b;
        }
        self.flush_if_full();
    }

    fn flush_if_full(&mut self) {
        if self.columns.len() >= self.most_columns * self.features {
            let columns = std::mem::take(&mut self.columns);
            add_columns(&mut self.products, columns);
        }
    }

    /// For each class the sum of its features; empty for one without an image.
    pub(crate) fn sums(&self) -> &[Vec<f64>] {
        &self.sums
    }

    /// The mean of all images, of which there are so many.
    pub(crate) fn mean(&self, images: u64) -> Vec<f64> {
        let mut mean = vec![0.0; self.features];
        for sum in &self.sums {
            add(&mut mean, sum);
        }
        mean.iter().map(|sum| sum / images.max(1) as f64).collect()
    }

    /// The products about the means of the classes, on and below the diagonal.
    pub(crate) fn within(&self) -> DMatrix<f64> {
        let mut products = self.products.clone();
        add_columns(&mut products, self.columns.clone());
        products
    }

    /// The products about `mean`, that of all images, on and below the diagonal: those about the
    /// means of the classes and those of the means.
    pub(crate) fn total(&self, counts: &[u64], mean: &[f64]) -> DMatrix<f64> {
        let mut products = self.within();
        let mut columns = Vec::new();
        for (sum, &count) in self
            .sums
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
        {
            let count = count as f64;
            let about_mean = sum.iter().zip(mean);
            columns.extend(about_mean.map(|(s, m)| count.sqrt() * (s / count - m)));
            if columns.len() >= COLUMNS * self.features {
                add_columns(&mut products, std::mem::take(&mut columns));
            }
        }
        add_columns(&mut products, columns);
        products
    }
}

/// `sum += A Aᵀ` on and below the diagonal, for the columns of A.
fn add_columns(sum: &mut DMatrix<f64>, columns: Vec<f64>) {
    let features = sum.nrows();
    if columns.is_empty() || features == 0 {
        return;
    }
    let count = columns.len() / features;
    add_products(sum, &DMatrix::from_vec(features, count, columns), 1.0);
}
