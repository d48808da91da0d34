//! The feature map is found however a network pools it.

use odin_graph::op::{ReduceKind, Window};
use odin_graph::{Array, Graph, Op, Shape, Type, ValueId, feature_map, interpret};

/// A network whose map are the squares of its inputs, and whose pooling `pool` adds.
fn network(extents: &[usize], pool: impl Fn(&mut Graph, ValueId) -> ValueId) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(extents))).unwrap();
    let map = g.mul(x, x).unwrap();
    let features = pool(&mut g, map);
    g.output("features", features);
    g
}

/// The means of the map along its channels are the features.
fn check(name: &str, g: &Graph, channels: usize) {
    let map = feature_map(g, g.outputs()[0].value).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut with_map = g.clone();
    let channels_first = map.channels_first(&mut with_map).unwrap();
    with_map.output("map", channels_first);
    let shape = g.inputs().next().unwrap().1.ty.shape.at(2);
    let count = shape.iter().product();
    let images = Array::new(shape, (0..count).map(|i| i as f64 * 0.25).collect());
    let outputs = interpret(&with_map, &[("x", images)]).unwrap();
    let (features, values) = (outputs[0].floats(), outputs[1].floats());
    let positions = count / 2 / channels;
    for (channel, feature) in values.chunks(positions).zip(features) {
        let mean = channel.iter().sum::<f64>() / positions as f64;
        assert!((feature - mean).abs() < 1e-9, "{name}: {feature} {mean}");
    }
}

type Pool = fn(&mut Graph, ValueId) -> ValueId;

#[test]
fn every_way_to_pool_is_found() {
    let cases: [(&str, &[usize], usize, Pool); 8] = [
        ("global average pooling", &[3, 2, 4], 3, |g, x| {
            let y = g.global_average_pool(x).unwrap();
            g.flatten(y).unwrap()
        }),
        ("mean without its axes", &[3, 2, 4], 3, |g, x| {
            g.reduce(x, ReduceKind::Mean, vec![2, 3], false).unwrap()
        }),
        ("channels last", &[2, 4, 3], 3, |g, x| {
            g.reduce(x, ReduceKind::Mean, vec![1, 2], false).unwrap()
        }),
        ("channels last, kept and moved", &[2, 4, 3], 3, |g, x| {
            let y = g.reduce(x, ReduceKind::Mean, vec![1, 2], true).unwrap();
            g.add(Op::Transpose(vec![0, 3, 1, 2]), &[y]).unwrap()
        }),
        ("average pooling", &[3, 2, 4], 3, |g, x| {
            let y = g.avg_pool(x, Window::new(&[2, 4]), true).unwrap();
            g.flatten(y).unwrap()
        }),
        ("pooling of one pixel", &[3, 2, 4], 3, |g, x| {
            let y = g.avg_pool(x, Window::new(&[2, 4]), false).unwrap();
            let y = g.global_average_pool(y).unwrap();
            g.flatten(y).unwrap()
        }),
        ("flattened positions", &[3, 2, 4], 3, |g, x| {
            let y = g.reshape(x, Shape::batched(&[3, 8])).unwrap();
            g.reduce(y, ReduceKind::Mean, vec![2], false).unwrap()
        }),
        ("one axis", &[5, 6], 5, |g, x| {
            g.reduce(x, ReduceKind::Mean, vec![2], false).unwrap()
        }),
    ];
    for (name, extents, channels, pool) in cases {
        check(name, &network(extents, pool), channels);
    }
}

#[test]
fn what_is_no_mean_over_positions_is_named() {
    let cases: [(&str, &[usize], Pool); 5] = [
        ("Relu", &[3, 2, 4], |g, x| {
            let y = g.global_average_pool(x).unwrap();
            g.at("last").relu(y).unwrap()
        }),
        ("ReduceSum", &[3, 2, 4], |g, x| {
            g.at("last")
                .reduce(x, ReduceKind::Sum, vec![2, 3], false)
                .unwrap()
        }),
        ("ReduceMean", &[3, 2, 4], |g, x| {
            g.at("last")
                .reduce(x, ReduceKind::Mean, vec![3], false)
                .unwrap()
        }),
        ("AveragePool", &[3, 2, 4], |g, x| {
            g.at("last")
                .avg_pool(x, Window::new(&[2, 2]).stride(2), true)
                .unwrap()
        }),
        ("Input", &[3], |g, _| {
            let ty = Type::float(Shape::batched(&[3]));
            g.at("last").input("features", ty).unwrap()
        }),
    ];
    for (operator, extents, pool) in cases {
        let g = network(extents, pool);
        let reason = feature_map(&g, g.outputs()[0].value).unwrap_err();
        assert!(
            reason.contains(operator) && reason.contains("last"),
            "{operator}: {reason}"
        );
    }
}
