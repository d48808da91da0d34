//! One way to multiply for each crate. All matrices are row-major.

use crate::shapes::{Constant, Shape};
use gemm::Parallelism;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::Matrix;

/// The factors of a product.
pub(crate) struct Factors {
    pub(crate) shape: &'static Shape,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Factors {
    pub(crate) fn new(shape: &'static Shape) -> Self {
        let values = |count: usize, step: usize| -> Vec<f32> {
            let value = |i: usize| (i * step % 1009) as f32 / 1009.0 - 0.5;
            (0..count).map(value).collect()
        };
        let (a, b) = (
            values(shape.m * shape.k, 631),
            values(shape.k * shape.n, 389),
        );
        Self { shape, a, b }
    }

    fn left(&self) -> Matrix<'_, f32> {
        Matrix::from_data([self.shape.m, self.shape.k], &self.a[..])
    }

    fn right(&self) -> Matrix<'_, f32> {
        Matrix::from_data([self.shape.k, self.shape.n], &self.b[..])
    }
}

/// Writes the product of some factors.
pub(crate) type Run<'a> = Box<dyn FnMut(&mut [f32]) + 'a>;

pub(crate) struct Product {
    pub(crate) name: &'static str,
    /// Does what may be done once; `None` where there is nothing to pack.
    pub(crate) prepare: for<'a> fn(&'a Factors) -> Option<Run<'a>>,
}

pub(crate) const PRODUCTS: &[Product] = &[
    Product {
        name: "rten-gemm, weights packed",
        prepare: rten_packed,
    },
    Product {
        name: "rten-gemm",
        prepare: rten,
    },
    Product {
        name: "gemm",
        prepare: gemm_crate,
    },
    Product {
        name: "matrixmultiply",
        prepare: matrix_multiply,
    },
];

fn rten_packed(factors: &Factors) -> Option<Run<'_>> {
    let executor = GemmExecutor::<f32>::default();
    let (a, b) = (factors.left(), factors.right());
    match factors.shape.constant {
        Constant::Left => {
            let a = executor.prepack_a(a);
            Some(Box::new(move |c| {
                rten_multiply(
                    &executor,
                    GemmInputA::Packed(&a),
                    GemmInputB::Unpacked(b),
                    c,
                )
            }))
        }
        Constant::Right => {
            let b = executor.prepack_b(b);
            Some(Box::new(move |c| {
                rten_multiply(
                    &executor,
                    GemmInputA::Unpacked(a),
                    GemmInputB::Packed(&b),
                    c,
                )
            }))
        }
        Constant::None => None,
    }
}

fn rten(factors: &Factors) -> Option<Run<'_>> {
    let executor = GemmExecutor::<f32>::default();
    let (a, b) = (factors.left(), factors.right());
    Some(Box::new(move |c| {
        rten_multiply(
            &executor,
            GemmInputA::Unpacked(a),
            GemmInputB::Unpacked(b),
            c,
        )
    }))
}

fn rten_multiply(
    executor: &GemmExecutor,
    a: GemmInputA<'_, f32>,
    b: GemmInputB<'_, f32>,
    c: &mut [f32],
) {
    let done = executor.gemm(c, a, b, GemmOptions::default());
    done.expect("the shapes fit");
}

fn gemm_crate(factors: &Factors) -> Option<Run<'_>> {
    let &Shape { m, k, n, .. } = factors.shape;
    let (a, b) = (factors.a.as_ptr(), factors.b.as_ptr());
    let (rows_of_k, rows_of_n) = (k as isize, n as isize);
    Some(Box::new(move |c| {
        assert_eq!(c.len(), m * n);
        let c = c.as_mut_ptr();
        // SAFETY: the factors are m x k and k x n, the product is m x n, all row-major.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c,
                1,
                rows_of_n,
                false,
                a,
                1,
                rows_of_k,
                b,
                1,
                rows_of_n,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }))
}

fn matrix_multiply(factors: &Factors) -> Option<Run<'_>> {
    let &Shape { m, k, n, .. } = factors.shape;
    let (a, b) = (factors.a.as_ptr(), factors.b.as_ptr());
    let (rows_of_k, rows_of_n) = (k as isize, n as isize);
    Some(Box::new(move |c| {
        assert_eq!(c.len(), m * n);
        let c = c.as_mut_ptr();
        // SAFETY: the factors are m x k and k x n, the product is m x n, all row-major.
        unsafe {
            matrixmultiply::sgemm(
                m, k, n, 1.0, a, rows_of_k, 1, b, rows_of_n, 1, 0.0, c, rows_of_n, 1,
            );
        }
    }))
}
