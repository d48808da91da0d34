//! Elementary functions over arguments of all magnitudes, against those of f64.

use crate::networks::floats;
use crate::subject::gpu;
use odin_gpu::Engine;
use odin_graph::op::{Binary, Unary};
use odin_graph::{Array, Graph, Op, Shape, Type, interpret};

/// Units in the last place by which results may be off.
const BOUND: f64 = 4.0;
/// Of the sine and cosine, which near a zero cancel: a share of 1.
const CIRCULAR: f64 = 2.4e-7;

fn arguments() -> Vec<f32> {
    let mut all = vec![0.0, 0.625, 0.9, 4.0, 88.0, -87.0, 1.0, -1.0];
    // Every exponent from 2^-30 to 2^6, with mantissas that look random.
    for i in 0..20_000_u32 {
        let mantissa = i.wrapping_mul(2_654_435_761) >> 9;
        let exponent = 97 + i % 37;
        let sign = (i / 37 % 2) << 31;
        all.push(f32::from_bits(sign | (exponent << 23) | mantissa));
    }
    all
}

/// The largest error in units in the last place of the exact result; where that is tiny, of the
/// smallest normal number.
fn largest(found: &[f32], exact: &[f64]) -> (f64, usize) {
    let mut worst = (0.0, 0);
    for (i, (&f, &e)) in found.iter().zip(exact).enumerate() {
        if !e.is_finite() || e.abs() > f64::from(f32::MAX) || e.is_nan() {
            continue;
        }
        let unit = (e.abs().log2().floor().max(-126.0) - 23.0).exp2();
        let error = (f64::from(f) - e).abs() / unit;
        if error > worst.0 || error.is_nan() {
            worst = (error, i);
        }
    }
    worst
}

#[test]
fn functions_are_as_exact_as_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let data = arguments();
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[data.len()])))
        .unwrap();
    let unary = [
        Unary::Exp,
        Unary::Log,
        Unary::Sigmoid,
        Unary::Softplus,
        Unary::Tanh,
        Unary::Erf,
        Unary::Sqrt,
        Unary::Sin,
        Unary::Cos,
    ];
    for op in unary {
        let y = g.add(Op::Unary(op), &[x]).unwrap();
        g.output(format!("{op:?}"), y);
    }
    for exponent in [2.0, 3.0, -1.0, 0.3, 1.7, -2.6] {
        let exponent_value = g.scalar(exponent).unwrap();
        let y = g.add(Op::Binary(Binary::Pow), &[x, exponent_value]);
        g.output(format!("to the power of {exponent}"), y.unwrap());
    }
    let engine = Engine::new(&g, gpu, 2).unwrap();
    let found = engine.run(1, &[("x", &data)]).unwrap();
    let wide: Vec<f64> = data.iter().map(|&x| f64::from(x)).collect();
    let exact = interpret(&g, &[("x", Array::new(vec![1, data.len()], wide))]).unwrap();
    for ((output, found), exact) in g.outputs().iter().zip(&found).zip(&exact) {
        let (found, exact) = (floats(found), exact.floats());
        let name = &output.name;
        if name == "Sin" || name == "Cos" {
            let pairs = found.iter().zip(exact);
            let most = pairs.map(|(&f, &e)| (f64::from(f) - e).abs());
            let most = most.fold(0.0, f64::max);
            println!("{name}: {most:e}");
            assert!(most <= CIRCULAR, "{name}: {most:e}");
            continue;
        }
        let (most, at) = largest(found, exact);
        println!("{name}: {most:.2} units in the last place");
        assert!(
            most <= BOUND,
            "{name} of {}: {} is not {}, by {most} units",
            data[at],
            found[at],
            exact[at]
        );
    }
}
