//! The multiply-adds of every kind of matrix product.

use odin_graph::cost::multiply_adds;
use odin_graph::op::{Conv, ConvTranspose, Gemm, Window};
use odin_graph::{Error, Graph, Op, Shape, Tensor, Type, ValueId};

type Build = fn(&mut Graph) -> Result<ValueId, Error>;

fn input(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
    g.input("x", Type::float(Shape::batched(dims)))
}

fn zeros(g: &mut Graph, dims: &[usize]) -> Result<ValueId, Error> {
    let data = vec![0.0; dims.iter().product()];
    g.constant(Tensor::new(dims.to_vec(), data)?)
}

#[test]
fn multiply_adds_are_those_of_the_loops() {
    let cases: [(&str, Build, u64); 6] = [
        (
            "a 3x3 convolution, 4 to 8 channels in 2 groups, 6x6 to 4x4",
            |g| {
                let (x, w) = (input(g, &[4, 6, 6])?, zeros(g, &[8, 2, 3, 3])?);
                let window = Window::new(&[3, 3]);
                g.add(Op::Conv(Conv { window, groups: 2 }), &[x, w])
            },
            8 * 4 * 4 * 2 * 9,
        ),
        (
            "the adjoint of a strided one",
            |g| {
                let (x, w) = (input(g, &[8, 4, 4])?, zeros(g, &[8, 2, 3, 3])?);
                let op = ConvTranspose {
                    window: Window::new(&[3, 3]).stride(2),
                    output_padding: vec![0, 0],
                    groups: 2,
                };
                g.add(Op::ConvTranspose(op), &[x, w])
            },
            8 * 4 * 4 * 2 * 9,
        ),
        (
            "a batched matrix product",
            |g| {
                let (x, w) = (input(g, &[2, 3, 5])?, zeros(g, &[5, 7])?);
                g.mat_mul(x, w)
            },
            2 * 3 * 5 * 7,
        ),
        (
            "a linear layer",
            |g| {
                let (x, w) = (input(g, &[5])?, zeros(g, &[7, 5])?);
                let gemm = Gemm {
                    alpha: 1.0,
                    beta: 1.0,
                    trans_a: false,
                    trans_b: true,
                };
                g.add(Op::Gemm(gemm), &[x, w])
            },
            5 * 7,
        ),
        (
            "a product of constants is computed once",
            |g| {
                let (x, a, b) = (input(g, &[5])?, zeros(g, &[5, 9])?, zeros(g, &[9, 7])?);
                let w = g.mat_mul(a, b)?;
                g.mat_mul(x, w)
            },
            5 * 7,
        ),
        (
            "what nothing needs does not count",
            |g| {
                let (x, w) = (input(g, &[5])?, zeros(g, &[5, 7])?);
                g.mat_mul(x, w)?;
                g.relu(x)
            },
            0,
        ),
    ];
    for (name, build, expected) in cases {
        let mut g = Graph::new();
        let y = build(&mut g).unwrap();
        g.output("y", y);
        assert_eq!(multiply_adds(&g), expected, "{name}");
    }
}
