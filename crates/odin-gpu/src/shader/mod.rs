//! Compute shaders: WGSL text, and the numbers that it is run with.
//!
//! Extents of windows and planes are literals in the text, where a division by them is cheap.
//! Channel counts and places in memory are parameters, so that layers of equal shape share a
//! pipeline.

mod copy;
mod direct;
mod elementwise;
mod expression;
mod operand;
mod pool;
mod product;
mod reduce;
mod rows;

pub(crate) use copy::{Padding, copy, one_hot, pad};
pub(crate) use direct::{Direct, Direction, direct};
pub(crate) use elementwise::elementwise;
pub(crate) use expression::{Expression, Instruction, Leaf, is_elementwise};
pub(crate) use operand::{Home, Operand, Place};
pub(crate) use pool::{avg_pool, max_pool, max_pool_grad};
pub(crate) use product::{Columns, Inputs, Product, Rows, Taps, Tile, product};
pub(crate) use reduce::reduce;
pub(crate) use rows::{arg_max, softmax, top_k};

use odin_graph::DType;
use std::fmt::Write;

/// Elementary functions, as exact as those of the CPU engine.
const MATH: &str = include_str!("math.wgsl");

/// The invocations of a workgroup of kernels that compute elements independently.
pub(crate) const GROUP: usize = 256;

/// The largest constant that travels with a step's parameters, in elements.
const SMALL_CONSTANT: usize = 1 << 14;

/// How many workgroups a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grid {
    /// This many for every image.
    PerImage(usize),
    /// Of a matrix product: `row_tiles` for every `tile` columns of all images together.
    Columns {
        row_tiles: usize,
        per_image: usize,
        tile: usize,
        /// Independent products.
        products: usize,
        /// Whether the columns of all images lie side by side.
        is_merged: bool,
    },
}

/// A constant that a step binds by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    pub(crate) key: (usize, String),
    pub(crate) data: WeightData,
}

/// What is uploaded of a constant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum WeightData {
    Whole(odin_graph::Tensor),
    Packed(std::sync::Arc<[f32]>),
}

impl WeightData {
    pub(crate) fn elements(&self) -> &[f32] {
        match self {
            Self::Whole(tensor) => tensor.data(),
            Self::Packed(packed) => packed,
        }
    }
}

/// A shader that is complete.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) text: String,
    /// Parameters and small constants.
    pub(crate) params: Vec<u32>,
    pub(crate) weights: Option<Weights>,
    pub(crate) grid: Grid,
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
enum Param {
    Number(u32),
    /// Where a constant begins among the small constants.
    Data(usize),
}

/// A shader in the making.
#[derive(Debug, Default)]
pub(crate) struct Shader {
    functions: String,
    params: Vec<Param>,
    data: Vec<u32>,
    weights: Option<Weights>,
    are_weights_packed: bool,
    names: usize,
}

impl Shader {
    /// The expression of a parameter.
    fn param(&mut self, number: usize) -> String {
        self.push(Param::Number(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    fn push(&mut self, param: Param) -> String {
        self.params.push(param);
        format!("params[{}u]", self.params.len() - 1)
    }

    /// A name that no other function has.
    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}_{}", self.names)
    }

    /// Binds a packed constant.
    fn bind_packed(&mut self, weights: Weights) {
        self.weights = Some(weights);
        self.are_weights_packed = true;
    }

    /// Appends functions.
    fn write(&mut self, text: &str) {
        self.functions.push_str(text);
    }

    /// The shader with this entry point.
    fn finish(self, entry: &str, grid: Grid) -> Kernel {
        let count = self.params.len();
        let number = |param: Param| match param {
            Param::Number(number) => number,
            Param::Data(at) => u32::try_from(count + at).unwrap_or(u32::MAX),
        };
        let params = self.params.iter().map(|&param| number(param));
        let params = params.chain(self.data.iter().copied()).collect();
        let mut text = String::from(BINDINGS);
        if self.weights.is_some() {
            let element = if self.are_weights_packed {
                "vec4<f32>"
            } else {
                "f32"
            };
            let _ = writeln!(
                text,
                "@group(0) @binding(2) var<storage, read> weights: array<{element}>;"
            );
        }
        let body = self.functions + entry;
        if FUNCTIONS.iter().any(|f| body.contains(f)) {
            text.push_str(MATH);
        }
        text.push_str(&body);
        Kernel {
            text,
            params,
            weights: self.weights,
            grid,
        }
    }
}

/// What every shader binds: the arena of all values, its parameters, and the size of the batch.
const BINDINGS: &str = "
struct Run { images: u32, capacity: u32 }
@group(0) @binding(0) var<storage, read_write> arena: array<u32>;
@group(0) @binding(1) var<storage, read> params: array<u32>;
@group(0) @binding(3) var<uniform> run: Run;
";

/// What the names of the functions of `math.wgsl` contain.
const FUNCTIONS: [&str; 4] = ["odin_", "infinity(", "is_nan(", "not_a_number("];

/// The entry point of a kernel that computes elements independently: `body` computes element `i` of
/// `count` of the image `img`.
fn per_element(count: &str, body: &str) -> String {
    format!(
        "
@compute @workgroup_size({GROUP})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {{
  let img = group.z;
  let i = (group.y * groups.x + group.x) * {GROUP}u + local;
  if (i >= {count}) {{ return; }}
{body}
}}
"
    )
}

/// The grid of [`per_element`].
fn elements(count: usize) -> Grid {
    Grid::PerImage(count.div_ceil(GROUP))
}

/// The word that stands for a value of a type in the arena.
fn word(dtype: DType, value: &str) -> String {
    match dtype {
        DType::Bool => format!("select(0u, 1u, {value})"),
        DType::Int => value.to_string(),
        _ => format!("bitcast<u32>({value})"),
    }
}

/// A type in WGSL.
fn wgsl(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::Int => "u32",
        _ => "f32",
    }
}

/// A number as WGSL writes it; infinities and NaN by their bits, at run time.
fn literal(number: f32) -> String {
    if number.is_finite() {
        format!("{number:?}f")
    } else if number.is_nan() {
        "not_a_number()".to_string()
    } else if number > 0.0 {
        "infinity()".to_string()
    } else {
        "(-infinity())".to_string()
    }
}

/// The type of the results of expressions that are applied one after the other.
fn result_type(then: &[Expression]) -> DType {
    then.last().map_or(DType::Float, |last| last.dtype)
}
