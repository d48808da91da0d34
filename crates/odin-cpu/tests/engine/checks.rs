//! The check that the tests of operators rely on.

use crate::{numbers, rounding};
use odin_cpu::{Engine, Output};
use odin_graph::op::Window;
use odin_graph::{Array, Graph, Shape, Tensor, Type};

/// It sees an element that lacks one of its terms, or has the
/// wrong sign, however small it is beside the others.
#[test]
fn small_elements_are_checked() {
    let mut g = Graph::new();
    let x = g
        .input("x", Type::float(Shape::batched(&[4, 9, 9])))
        .unwrap();
    // The first channel is a million times smaller than the others.
    let mut w = numbers(99, 5 * 36);
    w[..36].iter_mut().for_each(|w| *w *= 1e-6);
    let w = Tensor::new(vec![5, 4, 3, 3], w).unwrap();
    let w = g.constant(w).unwrap();
    let y = g.conv(x, w, None, Window::new(&[3, 3]).pad(1), 1).unwrap();
    g.output("y", y);
    let mut pixels = numbers(1, 4 * 81);

    let engine = Engine::new(&g, 1).unwrap();
    let found = engine.run(1, &[("x", &pixels)]).unwrap().swap_remove(0);
    let bounds = |pixels: &[f32]| {
        let wide = pixels.iter().map(|&v| f64::from(v)).collect();
        rounding::outputs(&g, &[("x", Array::new(vec![1, 4, 9, 9], wide))]).swap_remove(0)
    };
    let expected = bounds(&pixels);
    rounding::check(&found, &expected).unwrap();
    let Output::Float(floats) = found else {
        panic!("{found:?}")
    };
    let largest = floats.iter().fold(0.0, |most: f32, f| most.max(f.abs()));
    for i in 0..81 {
        assert!(floats[i].abs() < 1e-5 * largest);
        let mut wrong = floats.clone();
        wrong[i] = -wrong[i];
        rounding::check(&Output::Float(wrong), &expected).unwrap_err();
    }
    // One pixel less: a term is missing in nine elements of each channel.
    pixels[40] = 0.0;
    let lacking = engine.run(1, &[("x", &pixels)]).unwrap().swap_remove(0);
    let Output::Float(lacking) = lacking else {
        panic!("{lacking:?}")
    };
    let changed: Vec<usize> = (0..81).filter(|&i| lacking[i] != floats[i]).collect();
    assert_eq!(changed.len(), 9);
    for i in changed {
        let mut wrong = floats.clone();
        wrong[i] = lacking[i];
        rounding::check(&Output::Float(wrong), &expected).unwrap_err();
    }
}
