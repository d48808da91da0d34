//! Every geometry of pools that shape inference accepts, forward and gradient, against the reference
//! interpreter: most windows that lie partly in the padding.

use crate::numbers;
use odin_cpu::{Engine, InstructionSet, Output};
use odin_graph::op::*;
use odin_graph::{Array, Graph, Op, Shape, Type, ValueId, interpret, vjp};

/// What [`pools`] adds for each window.
const OUTPUTS: usize = 6;

/// Adds the pools of a window and their gradients; none if the window is refused.
fn pools(g: &mut Graph, x: ValueId, window: &Window) -> Option<()> {
    let mean = |count_padding| {
        let window = window.clone();
        Op::AvgPool(AvgPool {
            window,
            count_padding,
        })
    };
    for op in [Op::MaxPool(window.clone()), mean(false), mean(true)] {
        let name = format!("{op:?}");
        let y = g.add(op, &[x]).ok()?;
        let gradient = vjp(g, y, y, x).unwrap();
        g.output(&name, y);
        g.output(format!("gradient of {name}"), gradient);
    }
    Some(())
}

/// Compares the pools of all windows over an image of these extents, and says how many windows were
/// accepted.
fn check(extents: &[usize], windows: &[Window], sets: &[InstructionSet]) -> usize {
    let shape = Shape::batched(&[&[2], extents].concat());
    let mut g = Graph::new();
    let x = g.input("x", Type::float(shape.clone())).unwrap();
    let own = |window: &&Window| pools(&mut g, x, window).is_some();
    let accepted: Vec<&Window> = windows.iter().filter(own).collect();
    if accepted.is_empty() {
        return 0;
    }
    let images = 2;
    let mut pixels = numbers(3, shape.at(images).iter().product());
    // A window of nothing but these has no largest number, and hides what is in the others.
    pixels[0] = f32::NEG_INFINITY;
    let wide = pixels.iter().map(|&v| f64::from(v)).collect();
    let expected = interpret(&g, &[("x", Array::new(shape.at(images), wide))]).unwrap();
    for &set in sets {
        let engine = Engine::with_instructions(&g, 1, set).unwrap();
        let found = engine.run(images, &[("x", &pixels)]).unwrap();
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let Output::Float(found) = found else {
                panic!("{found:?}")
            };
            let what = format!("{set}, {extents:?}, {}", g.outputs()[i].name);
            let entries = accepted[i / OUTPUTS].kernel.iter().product();
            close(&what, entries, found, expected.floats());
        }
    }
    accepted.len()
}

/// As many numbers from -1 to 1 are added up as a window has entries, each of which rounds by at
/// most 2^-24 of the sum.
fn close(what: &str, entries: usize, found: &[f32], expected: &[f64]) {
    let share = entries.max(16) as f64 / f64::from(1 << 24);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
        let f = f64::from(f);
        let same = f == e || (f.is_nan() && e.is_nan());
        assert!(
            same || (f - e).abs() <= share * e.abs().max(1.0),
            "{what}, element {i}: {f} is not {e}"
        );
    }
}

fn fastest() -> [InstructionSet; 1] {
    [InstructionSet::available()[0]]
}

/// All along one axis: kernels to 13, steps to 4, dilations to 3, padding that may differ at both
/// ends, over 1 to 9 elements.
#[test]
fn along_an_axis() {
    let mut accepted = 0;
    for (extent, kernel) in (1..10).flat_map(|e| (1..14).map(move |k| (e, k))) {
        let mut windows = Vec::new();
        for (dilation, stride) in (1..4).flat_map(|d| (1..5).map(move |s| (d, s))) {
            for begin in 0..kernel {
                let mut ends = vec![begin, 0, kernel / 2, kernel - 1];
                ends.sort_unstable();
                ends.dedup();
                for end in ends {
                    let mut window = Window::new(&[kernel]).stride(stride).dilation(dilation);
                    (window.pads_begin[0], window.pads_end[0]) = (begin, end);
                    windows.push(window);
                }
            }
        }
        accepted += check(&[extent], &windows, &fastest());
    }
    assert!(accepted > 13_000, "{accepted}");
}

/// Windows over rectangles and boxes, drawn at random, with every instruction set.
#[test]
fn over_rectangles() {
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let mut accepted = 0;
    for i in 0..150 {
        let axes = 2 + usize::from(i % 5 == 0);
        let extents: Vec<usize> = (0..axes).map(|_| 1 + draw(9)).collect();
        let windows: Vec<Window> = (0..10)
            .map(|_| {
                let mut all = |below: usize| (0..axes).map(|_| draw(below)).collect::<Vec<_>>();
                let more = |v: Vec<usize>| v.into_iter().map(|v| v + 1).collect::<Vec<_>>();
                let kernel = more(all(if axes == 2 { 13 } else { 5 }));
                let inside = |v: Vec<usize>| v.iter().zip(&kernel).map(|(v, k)| v % k).collect();
                Window {
                    strides: more(all(4)),
                    dilations: more(all(3)),
                    pads_begin: inside(all(13)),
                    pads_end: inside(all(13)),
                    kernel,
                }
            })
            .collect();
        accepted += check(&extents, &windows, &InstructionSet::available());
    }
    assert!(accepted > 400, "{accepted}");
}

/// What spatial pyramid pooling makes of small images, and pools larger than they are.
#[test]
fn of_networks() {
    let sets = &InstructionSet::available()[..];
    let padded = |kernel: usize| Window::new(&[kernel; 2]).pad(kernel / 2);
    for extent in 1..14 {
        let windows = [5, 9, 13].map(padded);
        assert_eq!(check(&[extent; 2], &windows, sets), 3, "{extent}");
    }
    for (extents, window) in [
        ([1, 1], padded(3).stride(2)),
        ([2, 2], padded(3).stride(1000)),
        ([3, 40], Window::new(&[3, 40])),
        ([40, 3], padded(7).stride(50)),
    ] {
        assert_eq!(check(&extents, &[window], sets), 1, "{extents:?}");
    }
}
