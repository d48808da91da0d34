//! The operators that are read, and how each becomes part of a graph.

mod activation;
mod arithmetic;
mod attention;
mod convolution;
mod layout;
mod norm;
mod pick;
mod product;
mod reduce;
mod reshape;
mod resize;

pub(super) use layout::permutation;
pub(super) use pick::{indices, slice_lists, split_sizes};
pub(super) use reshape::{fixed_shape, shape_from};

use super::import::{Importer, Value};
use super::node::Node;
use crate::Error;
use odin_graph::ValueId;

/// What an operator's node gives.
type Read = Result<Vec<Value>, Error>;

/// An operator of the ONNX standard.
pub(super) struct Operator {
    pub(super) name: &'static str,
    pub(super) import: fn(&mut Importer<'_>, &Node<'_>) -> Read,
}

const fn operator(
    name: &'static str,
    import: fn(&mut Importer<'_>, &Node<'_>) -> Read,
) -> Operator {
    Operator { name, import }
}

/// All operators, by name.
pub(super) const OPERATORS: &[Operator] = &[
    operator("Abs", arithmetic::abs),
    operator("Add", arithmetic::binary),
    operator("And", known_only),
    operator("ArgMax", reduce::arg_max),
    operator("Attention", attention::attention),
    operator("AveragePool", convolution::average_pool),
    operator("BatchNormalization", norm::batch),
    operator("Cast", arithmetic::cast),
    operator("CastLike", arithmetic::cast_like),
    operator("Ceil", known_only),
    operator("Celu", activation::celu),
    operator("Clip", activation::clip),
    operator("Concat", layout::concat),
    operator("Constant", layout::constant),
    operator("ConstantOfShape", known_only),
    operator("Conv", convolution::conv),
    operator("ConvTranspose", convolution::conv_transpose),
    operator("Cos", activation::unary),
    operator("DepthToSpace", layout::depth_to_space),
    operator("Div", arithmetic::binary),
    operator("Dropout", layout::identity),
    operator("Einsum", product::einsum),
    operator("Elu", activation::elu),
    operator("Equal", known_only),
    operator("Erf", activation::unary),
    operator("Exp", activation::unary),
    operator("Expand", reshape::expand),
    operator("Flatten", reshape::flatten),
    operator("Floor", known_only),
    operator("Gather", pick::gather),
    operator("GatherND", pick::gather_nd),
    operator("Gelu", activation::gelu),
    operator("Gemm", product::gemm),
    operator("GlobalAveragePool", convolution::global_average_pool),
    operator("GlobalMaxPool", convolution::global_max_pool),
    operator("Greater", arithmetic::compare),
    operator("GreaterOrEqual", arithmetic::compare),
    operator("GroupNormalization", norm::group),
    operator("HardSigmoid", activation::hard_sigmoid),
    operator("HardSwish", activation::hard_swish),
    operator("Identity", layout::identity),
    operator("If", known_only),
    operator("InstanceNormalization", norm::instance),
    operator("LRN", norm::local_response),
    operator("LayerNormalization", norm::layer),
    operator("LeakyRelu", activation::leaky_relu),
    operator("Less", arithmetic::compare),
    operator("LessOrEqual", arithmetic::compare),
    operator("Log", activation::unary),
    operator("LogSoftmax", activation::softmax),
    operator("LpNormalization", norm::lp),
    operator("MatMul", product::mat_mul),
    operator("Max", arithmetic::variadic),
    operator("MaxPool", convolution::max_pool),
    operator("Mean", arithmetic::variadic),
    operator("Min", arithmetic::variadic),
    operator("Mish", activation::mish),
    operator("Mod", known_only),
    operator("Mul", arithmetic::binary),
    operator("Neg", arithmetic::neg),
    operator("Not", known_only),
    operator("OneHot", reduce::one_hot),
    operator("Or", known_only),
    operator("PRelu", activation::p_relu),
    operator("Pad", layout::pad),
    operator("Pow", arithmetic::pow),
    operator("RMSNormalization", norm::root_mean_square),
    operator("Range", known_only),
    operator("Reciprocal", arithmetic::reciprocal),
    operator("ReduceL1", reduce::reduce),
    operator("ReduceL2", reduce::reduce),
    operator("ReduceLogSumExp", reduce::reduce),
    operator("ReduceMax", reduce::reduce),
    operator("ReduceMean", reduce::reduce),
    operator("ReduceMin", reduce::reduce),
    operator("ReduceProd", known_only),
    operator("ReduceSum", reduce::reduce),
    operator("ReduceSumSquare", reduce::reduce),
    operator("Relu", activation::relu),
    operator("Reshape", reshape::reshape),
    operator("Resize", resize::resize),
    operator("Round", known_only),
    operator("ScatterND", known_only),
    operator("Selu", activation::selu),
    operator("Shape", known_only),
    operator("Sigmoid", activation::unary),
    operator("Sign", arithmetic::sign),
    operator("Sin", activation::unary),
    operator("Size", known_only),
    operator("Slice", pick::slice),
    operator("Softmax", activation::softmax),
    operator("Softplus", activation::unary),
    operator("Softsign", activation::softsign),
    operator("SpaceToDepth", layout::space_to_depth),
    operator("Split", pick::split),
    operator("Sqrt", activation::unary),
    operator("Squeeze", reshape::squeeze),
    operator("Sub", arithmetic::binary),
    operator("Sum", arithmetic::variadic),
    operator("Swish", activation::swish),
    operator("Tanh", activation::unary),
    operator("ThresholdedRelu", activation::thresholded_relu),
    operator("Tile", layout::tile),
    operator("Transpose", layout::transpose),
    operator("Unsqueeze", reshape::unsqueeze),
    operator("Upsample", resize::upsample),
    operator("Where", arithmetic::r#where),
];

pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

/// Whether only numbers known beforehand may go through an operator.
pub(super) fn is_known_only(name: &str) -> bool {
    const IMPORT: fn(&mut Importer<'_>, &Node<'_>) -> Read = known_only;
    find(name).is_some_and(|operator| std::ptr::fn_addr_eq(operator.import, IMPORT))
}

/// Operators that only numbers known beforehand may go through.
fn known_only(_: &mut Importer<'_>, node: &Node<'_>) -> Read {
    Err(Error::unsupported(format!(
        "{} is supported for shapes and other constants only, this one works on what is computed from the input",
        node.op()
    )))
}

fn one(value: ValueId) -> Read {
    Ok(vec![Value::Node(value)])
}
