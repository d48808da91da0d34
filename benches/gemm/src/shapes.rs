//! The products: weights `[M x K]` times pixels `[K x N]`.

pub(crate) struct Shape {
    pub(crate) place: &'static str,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Whether one side is weights, which may be packed beforehand.
    pub(crate) constant: Constant,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Constant {
    /// The left side: a convolution's weights before pixels in columns.
    Left,
    /// The right side: a linear layer's weights behind rows of tokens.
    Right,
    /// Neither.
    None,
}

impl Shape {
    pub(crate) fn flops(&self) -> f64 {
        2.0 * (self.m * self.k * self.n) as f64
    }
}

const fn conv(place: &'static str, m: usize, k: usize, n: usize) -> Shape {
    let constant = Constant::Left;
    Shape {
        place,
        m,
        k,
        n,
        constant,
    }
}

const fn linear(place: &'static str, m: usize, k: usize, n: usize) -> Shape {
    let constant = Constant::Right;
    Shape {
        place,
        m,
        k,
        n,
        constant,
    }
}

const fn attention(place: &'static str, m: usize, k: usize, n: usize) -> Shape {
    let constant = Constant::None;
    Shape {
        place,
        m,
        k,
        n,
        constant,
    }
}

const DENSE: &str = "DenseNet-BC-100, 1x1";
const DENSE_VJP: &str = "DenseNet-BC-100, 1x1, gradient";
const DENSE_3X3: &str = "DenseNet-BC-100, 3x3";
const DENSE_3X3_VJP: &str = "DenseNet-BC-100, 3x3, gradient";
const WIDE: &str = "WRN-28-10, 3x3";
const RES_1X1: &str = "ResNet-50, 1x1";
const RES_3X3: &str = "ResNet-50, 3x3";
const VIT: &str = "ViT-B/16, linear";
const VIT_ATTENTION: &str = "ViT-B/16, attention";

#[rustfmt::skip]
pub(crate) const SHAPES: &[Shape] = &[
    conv(DENSE, 48, 24, 1024), conv(DENSE, 48, 120, 1024), conv(DENSE, 48, 204, 1024),
    conv(DENSE, 48, 108, 256), conv(DENSE, 48, 204, 256), conv(DENSE, 48, 288, 256),
    conv(DENSE, 48, 150, 64), conv(DENSE, 48, 246, 64), conv(DENSE, 48, 342, 64),
    conv(DENSE_VJP, 24, 48, 1024), conv(DENSE_VJP, 120, 48, 1024), conv(DENSE_VJP, 204, 48, 1024),
    conv(DENSE_VJP, 108, 48, 256), conv(DENSE_VJP, 288, 48, 256),
    conv(DENSE_VJP, 150, 48, 64), conv(DENSE_VJP, 342, 48, 64),
    conv(DENSE_3X3, 12, 432, 1024), conv(DENSE_3X3, 12, 432, 256), conv(DENSE_3X3, 12, 432, 64),
    conv(DENSE_3X3_VJP, 48, 108, 1024), conv(DENSE_3X3_VJP, 48, 108, 256), conv(DENSE_3X3_VJP, 48, 108, 64),
    conv(WIDE, 160, 1440, 1024), conv(WIDE, 320, 2880, 256), conv(WIDE, 640, 5760, 64),
    conv(RES_1X1, 64, 256, 3136), conv(RES_1X1, 256, 64, 3136), conv(RES_3X3, 64, 576, 3136),
    conv(RES_1X1, 128, 512, 784), conv(RES_1X1, 512, 128, 784), conv(RES_3X3, 128, 1152, 784),
    conv(RES_1X1, 256, 1024, 196), conv(RES_1X1, 1024, 256, 196), conv(RES_3X3, 256, 2304, 196),
    conv(RES_1X1, 512, 2048, 49), conv(RES_1X1, 2048, 512, 49), conv(RES_3X3, 512, 4608, 49),
    linear(VIT, 197, 768, 768), linear(VIT, 197, 768, 2304), linear(VIT, 197, 768, 3072), linear(VIT, 197, 3072, 768),
    attention(VIT_ATTENTION, 197, 64, 197), attention(VIT_ATTENTION, 197, 197, 64),
];
