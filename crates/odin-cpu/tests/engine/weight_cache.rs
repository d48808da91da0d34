//! Engines that share a weight cache hold one copy of packed weights, and compute the same bits.

use odin_cpu::{Engine, Options, WeightCache, Winograd};
use odin_graph::op::Window;
use odin_graph::{Graph, Shape, Tensor, Type, ValueId};

const PIXELS: usize = 3 * 16 * 16;
/// Constants of [`network`] that are packed.
const PACKED: usize = 5;

fn weights(g: &mut Graph, shape: &[usize]) -> ValueId {
    let count: usize = shape.iter().product();
    let data = (0..count).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.49);
    let tensor = Tensor::new(shape.to_vec(), data.collect::<Vec<_>>());
    g.constant(tensor.unwrap()).unwrap()
}

/// A layer for each kind of packed weights: direct, Winograd, 1x1, depthwise, matrix product.
fn network() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::float(Shape::batched(&[3, 16, 16])));
    let three = || Window::new(&[3, 3]).pad(1);
    let layers: [(&[usize], Window, usize); 4] = [
        (&[16, 3, 3, 3], three().stride(2), 1),
        (&[16, 16, 3, 3], three(), 1),
        (&[24, 16, 1, 1], Window::new(&[1, 1]), 1),
        (&[24, 1, 3, 3], three(), 24),
    ];
    let mut y = x.unwrap();
    for (shape, window, groups) in layers {
        let w = weights(&mut g, shape);
        y = g.conv(y, w, None, window, groups).unwrap();
        y = g.relu(y).unwrap();
    }
    let pooled = g.global_average_pool(y).unwrap();
    let features = g.flatten(pooled).unwrap();
    let w = weights(&mut g, &[10, 24]);
    let logits = g.linear(features, w, None).unwrap();
    g.output("logits", logits);
    g
}

#[test]
fn engines_with_one_cache_pack_shared_constants_once() {
    let graph = network();
    // Another graph of the same constants.
    let mut scaled = graph.clone();
    let (logits, two) = (graph.outputs()[0].value, scaled.scalar(2.0).unwrap());
    let double = scaled.mul(logits, two).unwrap();
    scaled.output("double", double);

    let (cache, options) = (WeightCache::default(), Options::default());
    let first = Engine::with_weights(&graph, 1, options, &cache).unwrap();
    assert_eq!(cache.packings(), PACKED);
    let second = Engine::with_weights(&scaled, 2, options, &cache).unwrap();
    assert_eq!(cache.packings(), PACKED);

    let x: Vec<f32> = (0..2 * PIXELS).map(|i| (i % 17) as f32 / 17.0).collect();
    let run = |engine: &Engine| engine.run(2, &[("x", &x)]).unwrap().swap_remove(0);
    let alone = Engine::new(&graph, 1).unwrap();
    assert!(run(&first) == run(&alone) && run(&second) == run(&alone));
}

/// What is packed in another way, or is another constant, is not shared.
#[test]
fn other_packings_and_constants_are_kept_apart() {
    let (graph, cache) = (network(), WeightCache::default());
    Engine::with_weights(&graph, 1, Options::default(), &cache).unwrap();
    let mut direct = Options::default();
    direct.winograd = Winograd::Never;
    Engine::with_weights(&graph, 1, direct, &cache).unwrap();
    assert_eq!(cache.packings(), PACKED + 1);
    // Equal numbers, but not the same tensors.
    Engine::with_weights(&network(), 1, Options::default(), &cache).unwrap();
    assert_eq!(cache.packings(), 2 * PACKED + 1);
}
