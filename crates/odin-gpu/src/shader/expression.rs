//! Fused elementwise operators as a function of WGSL.

use super::operand::Operand;
use super::{Shader, literal, wgsl};
use odin_graph::op::{Binary, Compare, Unary};
use odin_graph::{DType, Op};
use std::fmt::Write;

/// An operator on values that are numbered: the leaves first, then the results of the operators.
#[derive(Debug, Clone)]
pub(crate) struct Instruction {
    pub(crate) op: Op,
    pub(crate) from: Vec<usize>,
}

/// A leaf of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Leaf {
    Operand(Operand),
    /// The value that the kernel computes before it applies the expression.
    Computed,
}

/// A value computed from its leaves by elementwise operators, all of one shape.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    pub(crate) shape: Vec<usize>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) instructions: Vec<Instruction>,
    pub(crate) dtype: DType,
}

/// Whether an operator is elementwise.
pub(crate) fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Relu | Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Where | Op::BatchNorm(_)
    )
}

impl Expression {
    /// The value that a kernel computes, as it is.
    pub(crate) fn identity(shape: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            leaves: vec![Leaf::Computed],
            instructions: Vec::new(),
            dtype: DType::Float,
        }
    }

    /// An operand, as it is.
    pub(crate) fn operand(operand: Operand) -> Self {
        Self {
            shape: operand.shape.clone(),
            dtype: operand.dtype,
            leaves: vec![Leaf::Operand(operand)],
            instructions: Vec::new(),
        }
    }

    /// Appends an operator to the expression's value, and further operands.
    pub(crate) fn then(mut self, op: Op, operands: &[Operand]) -> Self {
        let new = operands.len();
        let old = self.leaves.len();
        for instruction in &mut self.instructions {
            for from in &mut instruction.from {
                *from += if *from >= old { new } else { 0 };
            }
        }
        let value = match self.instructions.len() {
            0 => 0,
            n => old + new + n - 1,
        };
        self.leaves
            .extend(operands.iter().cloned().map(Leaf::Operand));
        self.instructions.push(Instruction {
            op,
            from: std::iter::once(value).chain(old..old + new).collect(),
        });
        self
    }

    /// Writes it as a function of the image, the flat position, and the computed value `x`, if there
    /// is one; returns the function's name.
    pub(super) fn write(&self, shader: &mut Shader) -> String {
        let mut body = String::new();
        let mut computed = "";
        for (n, leaf) in self.leaves.iter().enumerate() {
            let value = match leaf {
                Leaf::Computed => {
                    computed = ", x: f32";
                    "x".to_string()
                }
                Leaf::Operand(operand) => {
                    format!("{}(img, i)", shader.load(operand, &self.shape))
                }
            };
            let _ = writeln!(body, "  let v{n} = {value};");
        }
        for (n, instruction) in self.instructions.iter().enumerate() {
            let from: Vec<String> = instruction.from.iter().map(|v| format!("v{v}")).collect();
            let value = apply(&instruction.op, &from);
            let _ = writeln!(body, "  let v{} = {value};", self.leaves.len() + n);
        }
        let last = self.leaves.len() + self.instructions.len() - 1;
        let name = shader.name("value");
        let ty = wgsl(self.dtype);
        shader.write(&format!(
            "fn {name}(img: u32, i: u32{computed}) -> {ty} {{\n{body}  return v{last};\n}}\n"
        ));
        name
    }
}

/// An operator applied to variables.
fn apply(op: &Op, x: &[String]) -> String {
    let function = |name: &str| format!("{name}({})", x.join(", "));
    match op {
        Op::Relu => function("odin_relu"),
        Op::Unary(Unary::Clip { min, max }) => {
            let mut value = x[0].clone();
            if *min != f32::NEG_INFINITY {
                value = format!("select({value}, {0}, {value} < {0})", literal(*min));
            }
            if *max != f32::INFINITY {
                value = format!("select({value}, {0}, {1} > {0})", literal(*max), x[0]);
            }
            format!("select({value}, {0}, is_nan({0}))", x[0])
        }
        Op::Unary(Unary::Cos) => function("odin_cos"),
        Op::Unary(Unary::Erf) => function("odin_erf"),
        Op::Unary(Unary::Exp) => function("odin_exp"),
        Op::Unary(Unary::Log) => function("odin_log"),
        Op::Unary(Unary::Sigmoid) => function("odin_sigmoid"),
        Op::Unary(Unary::Sin) => function("odin_sin"),
        Op::Unary(Unary::Softplus) => function("odin_softplus"),
        Op::Unary(Unary::Sqrt) => function("sqrt"),
        Op::Unary(Unary::Tanh) => function("odin_tanh"),
        Op::Binary(Binary::Add) => format!("{} + {}", x[0], x[1]),
        Op::Binary(Binary::Sub) => format!("{} - {}", x[0], x[1]),
        Op::Binary(Binary::Mul) => format!("{} * {}", x[0], x[1]),
        Op::Binary(Binary::Div) => format!("{} / {}", x[0], x[1]),
        Op::Binary(Binary::Pow) => function("odin_pow"),
        Op::Binary(Binary::Max) => function("odin_max"),
        Op::Binary(Binary::Min) => function("odin_min"),
        Op::Compare(Compare::Greater) => format!("{} > {}", x[0], x[1]),
        Op::Compare(Compare::GreaterOrEqual) => format!("{} >= {}", x[0], x[1]),
        Op::Where => format!("select({2}, {1}, {0})", x[0], x[1], x[2]),
        // Scale and shift, where the statistics are constants.
        Op::BatchNorm(_) if x.len() == 3 => function("fma"),
        Op::BatchNorm(norm) => format!(
            "({} - {}) / sqrt({} + {}) * {} + {}",
            x[0],
            x[3],
            x[4],
            literal(norm.epsilon),
            x[1],
            x[2]
        ),
        // A product's `alpha` and `beta`; see `Expression::then`.
        Op::Gemm(gemm) => match x {
            [product] => format!("{product} * {}", literal(gemm.alpha)),
            [product, addend, ..] => format!(
                "{product} * {} + {addend} * {}",
                literal(gemm.alpha),
                literal(gemm.beta)
            ),
            [] => String::new(),
        },
        // No other operator is elementwise.
        _ => x[0].clone(),
    }
}
