//! The operators that are read, by family. To add one is to add an entry to the table of its family,
//! and its functions beside that.

mod activation;
mod arithmetic;
mod attention;
mod convolution;
mod elementwise;
mod layout;
mod logic;
mod ml;
mod norm;
mod pick;
mod product;
mod quantize;
mod reduce;
mod reshape;
mod resize;
mod shape;

use super::operator::Operator;

const FAMILIES: [&[Operator]; 14] = [
    activation::OPERATORS,
    arithmetic::OPERATORS,
    attention::OPERATORS,
    convolution::OPERATORS,
    layout::OPERATORS,
    logic::OPERATORS,
    norm::OPERATORS,
    pick::OPERATORS,
    product::OPERATORS,
    quantize::OPERATORS,
    reduce::OPERATORS,
    reshape::OPERATORS,
    resize::OPERATORS,
    shape::OPERATORS,
];

/// All standard operators.
pub(super) fn all() -> impl Iterator<Item = &'static Operator> {
    FAMILIES.into_iter().flatten()
}

/// The operator of this name in a domain.
pub(super) fn find(domain: &str, name: &str) -> Option<&'static Operator> {
    match domain {
        "" | "ai.onnx" => all().find(|operator| operator.name == name),
        "ai.onnx.ml" => ml::OPERATORS.iter().find(|operator| operator.name == name),
        _ => None,
    }
}
