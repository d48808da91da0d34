//! What files look like inside. That runtimes agree on what they compute is shown by
//! `scripts/check_detector.py`, and by reading them back.

use super::*;
use crate::onnx::proto::attribute_type::*;
use crate::onnx::proto::*;
use crate::{Checkpoint, zoo};
use odin_graph::odin::{Probabilities, Settings, detector, max_softmax};
use odin_graph::op::*;
use odin_graph::{Array, Dim, Graph, Op, Shape, Tensor, Type, ValueId, interpret};
use proptest::prelude::*;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::path::Path;

fn decode(graph: &Graph) -> ModelProto {
    let bytes = write(graph, InputType::Float, &Labels::default()).unwrap();
    ModelProto::decode(&bytes[..]).unwrap()
}

fn body(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

/// Every name is given once, and before it is read; every initializer is read.
fn check_names(file: &GraphProto) {
    let mut given: HashSet<&str> = HashSet::new();
    let inputs = file.input.iter().map(|i| i.name.as_str());
    let stored = file.initializer.iter().map(|i| i.name.as_str());
    for name in inputs.chain(stored) {
        assert!(given.insert(name), "{name} is given twice");
    }
    let mut read: HashSet<&str> = HashSet::new();
    let mut nodes: HashSet<&str> = HashSet::new();
    for node in &file.node {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            assert!(
                given.contains(name.as_str()),
                "{name} is read before it is given"
            );
            read.insert(name);
        }
        assert!(
            nodes.insert(&node.name),
            "two nodes are named {}",
            node.name
        );
        for name in &node.output {
            assert!(given.insert(name), "{name} is given twice");
        }
    }
    for output in &file.output {
        assert!(
            given.contains(output.name.as_str()),
            "{} is missing",
            output.name
        );
    }
    for initializer in &file.initializer {
        assert!(
            read.contains(initializer.name.as_str()),
            "{} is unused",
            initializer.name
        );
    }
}

fn zoo_fixtures() -> Vec<zoo::Model> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = [
        "densenet_bc.zip.pth",
        "densenet_torchvision.safetensors",
        "resnet_torchvision.safetensors",
        "resnet_a.safetensors",
        "wide_resnet.safetensors",
        "resnext.safetensors",
    ];
    let open = |file| zoo::build(&Checkpoint::open(folder.join(file)).unwrap(), None).unwrap();
    files.into_iter().map(open).collect()
}

/// A classifier with ODIN and its scores.
fn odin_graph_of(classifier: &Graph, settings: &Settings) -> Graph {
    let mut detector = detector(classifier, 1, settings).unwrap();
    let g = &mut detector.graph;
    let msp = max_softmax(g, detector.logits, 1.0).unwrap();
    let perturbed = detector.perturbed_logits.unwrap();
    let odin = max_softmax(g, perturbed, settings.temperature).unwrap();
    g.output("logits", detector.logits);
    g.output("prediction", detector.prediction);
    g.output("msp", msp);
    g.output("odin", odin);
    detector.graph
}

#[test]
fn a_detector_stores_its_weights_once() {
    for model in zoo_fixtures() {
        let settings = Settings {
            temperature: 1000.0,
            step: vec![0.01; model.image_shape[0]],
            odin: true,
            i_odin: false,
            probabilities: Probabilities::Softmax,
        };
        let weights: usize = model
            .graph
            .values()
            .filter_map(|v| model.graph.constant_value(v))
            .map(|tensor| 4 * tensor.data().len())
            .sum();
        let graph = odin_graph_of(&model.graph, &settings);
        let file = decode(&graph);
        check_names(body(&file));
        let stored = body(&file).initializer.iter();
        let stored: usize = stored.map(|i| i.raw_data.as_ref().unwrap().len()).sum();
        // Beside the weights: shapes, and what picks out the entries of a maximum pool's window.
        let (name, pooling) = (&model.architecture, 81 * 4 * 16);
        assert!(
            stored < weights + weights / 10 + pooling,
            "{name}: {stored} bytes of constants for {weights} bytes of weights"
        );
        let outputs: Vec<&str> = body(&file).output.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(outputs, ["logits", "prediction", "msp", "odin"]);
        assert_eq!((file.ir_version, file.opset_import[0].version), (8, OPSET));
    }
}

/// The element type of each value, where every node reads real numbers of one type.
fn element_types(file: &GraphProto) -> HashMap<String, i32> {
    let mut types: HashMap<String, i32> = HashMap::new();
    let stored = file.initializer.iter();
    types.extend(stored.map(|i| (i.name.clone(), i.data_type)));
    let given = file.input.iter().map(|input| {
        let tensor = input.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
        (input.name.clone(), tensor.elem_type)
    });
    types.extend(given);
    let is_real = |ty: &i32| [data_type::FLOAT, data_type::FLOAT16].contains(ty);
    for node in &file.node {
        let read = node.input.iter().filter(|name| !name.is_empty());
        let read: Vec<i32> = read.map(|name| types[name]).collect();
        let real: HashSet<i32> = read.iter().copied().filter(is_real).collect();
        assert!(real.len() <= 1, "{} reads {read:?}", node.name);
        let result = match node.op_type.as_str() {
            "Cast" => node.attribute[0].i as i32,
            "Greater" | "GreaterOrEqual" => data_type::BOOL,
            "ArgMax" | "Shape" => data_type::INT64,
            _ => real.into_iter().next().unwrap_or(read[0]),
        };
        types.extend(node.output.iter().map(|name| (name.clone(), result)));
    }
    types
}

#[test]
fn only_the_direction_is_computed_in_16_bits() {
    let products = ["Conv", "ConvTranspose", "Gemm", "MatMul"];
    for model in zoo_fixtures() {
        let settings = |i_odin| Settings {
            temperature: 1000.0,
            step: vec![0.01; model.image_shape[0]],
            odin: true,
            i_odin,
            probabilities: Probabilities::Softmax,
        };
        for i_odin in [false, true] {
            let graph = odin_graph_of(&model.graph, &settings(i_odin));
            let labels = Labels::default();
            let typed = |typing| {
                let bytes = write_typed(&graph, InputType::Float, typing, &labels).unwrap();
                (ModelProto::decode(&bytes[..]).unwrap(), bytes.len())
            };
            let (exact, bytes) = typed(Typing::Float);
            let (fast, bytes_of_fast) = typed(Typing::HalfDirection);
            check_names(body(&fast));
            let name = &model.architecture;
            assert!(
                bytes_of_fast < bytes + bytes / 4,
                "{name}: {bytes_of_fast} of {bytes}"
            );
            let types = element_types(body(&fast));
            for output in &body(&fast).output {
                assert_ne!(types[&output.name], data_type::FLOAT16, "{}", output.name);
            }
            // The weights of a layer are read by three passes; one of them is the gradient.
            let count = |file: &ModelProto, ty| {
                let types = element_types(body(file));
                let nodes = body(file).node.iter();
                let of_type = nodes.filter(|n| types[&n.output[0]] == ty);
                of_type.filter(|n| products.contains(&&*n.op_type)).count()
            };
            let all = count(&exact, data_type::FLOAT);
            let half = count(&fast, data_type::FLOAT16);
            assert_eq!(count(&exact, data_type::FLOAT16), 0);
            assert_eq!(count(&fast, data_type::FLOAT) + half, all, "{name}");
            assert!(
                half * 4 >= all && half * 2 <= all,
                "{name}: {half} of {all}"
            );
        }
    }
}

/// A node as text: `Operator(inputs) attribute=value`; lists of integers in place of their names.
fn render(file: &GraphProto, node: &NodeProto) -> String {
    let constant = |name: &String| -> String {
        let found = file.initializer.iter().find(|i| i.name == *name);
        match found {
            Some(list) if list.data_type == data_type::INT64 => {
                let bytes = list.raw_data.as_ref().unwrap().chunks_exact(8);
                let list: Vec<i64> = bytes
                    .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
                    .collect();
                format!("{list:?}")
            }
            _ => name.clone(),
        }
    };
    let inputs: Vec<String> = node.input.iter().map(constant).collect();
    let attributes = node.attribute.iter().map(|a| match a.r#type {
        INT => format!(" {}={}", a.name, a.i),
        FLOAT => format!(" {}={}", a.name, a.f),
        INTS => format!(" {}={:?}", a.name, a.ints),
        other => panic!("attribute of type {other}"),
    });
    let attributes: String = attributes.collect();
    format!("{}({}){attributes}", node.op_type, inputs.join(", "))
}

type Build = fn(&mut Graph, ValueId) -> ValueId;

fn weights(g: &mut Graph, shape: &[usize]) -> ValueId {
    let count: usize = shape.iter().product();
    let data: Vec<f32> = (0..count).map(|v| v as f32).collect();
    g.constant(Tensor::new(shape.to_vec(), data).unwrap())
        .unwrap()
}

/// To 3 channels for each group, with output padding along the last axis.
fn transposed(g: &mut Graph, x: ValueId, window: Window, groups: usize) -> ValueId {
    let w = weights(g, &[4, 3, window.kernel[0], window.kernel[1]]);
    let conv = ConvTranspose {
        window,
        output_padding: vec![0, 1],
        groups,
    };
    g.add(Op::ConvTranspose(conv), &[x, w]).unwrap()
}

fn uneven() -> Window {
    Window {
        kernel: vec![2, 3],
        strides: vec![1, 2],
        dilations: vec![1, 1],
        pads_begin: vec![0, 1],
        pads_end: vec![1, 2],
    }
}

/// Padded as the gradients of convolutions of stride 2 are.
fn less_at_the_end(pads_end: [usize; 2]) -> Window {
    Window {
        kernel: vec![3, 4],
        strides: vec![2, 2],
        dilations: vec![1, 1],
        pads_begin: vec![1, 1],
        pads_end: pads_end.to_vec(),
    }
}

/// What follows `x [N, 4, 6, 6]`, and the nodes that it is written as.
const FORMS: &[(Build, &[&str])] = &[
    (
        |g, x| {
            let (w, b) = (weights(g, &[8, 2, 2, 3]), weights(g, &[8]));
            g.at("layer").conv(x, w, Some(b), uneven(), 2).unwrap()
        },
        &[
            "Conv(x, layer.weight, layer.bias) kernel_shape=[2, 3] strides=[1, 2] pads=[0, 1, 1, 2] dilations=[1, 1] group=2",
        ],
    ),
    (
        |g, x| transposed(g, x, uneven(), 1),
        &[
            "ConvTranspose(x, weight) kernel_shape=[2, 3] strides=[1, 2] pads=[0, 1, 1, 2] dilations=[1, 1] output_padding=[0, 1] group=1",
        ],
    ),
    (
        |g, x| {
            let y = transposed(g, x, uneven(), 1);
            let w = g.node(y).operands[1];
            let y = g.slice(y, vec![]).unwrap();
            g.conv(y, w, None, uneven(), 1).unwrap()
        },
        &[
            "ConvTranspose(x, weight) kernel_shape=[2, 3] strides=[1, 2] pads=[0, 1, 1, 2] dilations=[1, 1] output_padding=[0, 1] group=1",
            "Identity(ConvTranspose)",
            "Neg(weight)",
            "Neg(weight/Neg)",
            "Conv(Slice, weight/Neg_2) kernel_shape=[2, 3] strides=[1, 2] pads=[0, 1, 1, 2] dilations=[1, 1] group=1",
        ],
    ),
    (
        |g, x| transposed(g, x, less_at_the_end([0, 1]), 1),
        &[
            "ConvTranspose(x, weight) kernel_shape=[3, 4] strides=[2, 2] pads=[1, 1, 1, 1] dilations=[1, 1] output_padding=[1, 1] group=1",
        ],
    ),
    (
        |g, x| transposed(g, x, less_at_the_end([0, 2]), 1),
        &[
            "ConvTranspose(x, weight) kernel_shape=[3, 4] strides=[2, 2] pads=[1, 1, 1, 1] dilations=[1, 1] output_padding=[1, 0] group=1",
        ],
    ),
    (
        |g, x| transposed(g, x, less_at_the_end([0, 0]), 1),
        &[
            "ConvTranspose(x, weight) kernel_shape=[3, 4] strides=[2, 2] pads=[1, 1, 0, 0] dilations=[1, 1] output_padding=[0, 1] group=1",
        ],
    ),
    (
        |g, x| transposed(g, x, Window::new(&[1, 3]).dilation(2), 1),
        &[
            "Gather(weight, [2, 1, 0]) axis=3",
            "Transpose(ConvTranspose/Gather) perm=[1, 0, 2, 3]",
            "Conv(x, ConvTranspose/Transpose) kernel_shape=[1, 3] strides=[1, 1] pads=[0, 4, 0, 5] dilations=[2, 2] group=1",
        ],
    ),
    (
        |g, x| transposed(g, x, Window::new(&[1, 1]), 2),
        &[
            "Reshape(weight, [2, 2, 3, 1, 1])",
            "Transpose(ConvTranspose/Reshape) perm=[0, 2, 1, 3, 4]",
            "Reshape(ConvTranspose/Transpose, [6, 2, 1, 1])",
            "Conv(x, ConvTranspose/Reshape_2) kernel_shape=[1, 1] strides=[1, 1] pads=[0, 0, 0, 1] dilations=[1, 1] group=2",
        ],
    ),
    (
        |g, x| {
            let v = weights(g, &[4]);
            g.at("bn").batch_norm(x, [v, v, v, v], 0.5).unwrap()
        },
        &["BatchNormalization(x, bn.scale, bn.scale, bn.scale, bn.scale) epsilon=0.5"],
    ),
    (
        |g, x| g.avg_pool(x, uneven(), true).unwrap(),
        &[
            "AveragePool(x) kernel_shape=[2, 3] strides=[1, 2] pads=[0, 1, 1, 2] count_include_pad=1",
        ],
    ),
    (
        |g, x| g.max_pool(x, Window::new(&[2, 2]).dilation(2)).unwrap(),
        &["MaxPool(x) kernel_shape=[2, 2] strides=[1, 1] pads=[0, 0, 0, 0] dilations=[2, 2]"],
    ),
    (
        |g, x| {
            let max = f32::INFINITY;
            g.unary(Unary::Clip { min: 0.5, max }, x).unwrap()
        },
        &["Clip(x, constant/0.5, )"],
    ),
    (
        |g, x| {
            let half = g.scalar(0.5).unwrap();
            let more = g.compare(Compare::GreaterOrEqual, x, half).unwrap();
            g.select(more, x, half).unwrap()
        },
        &[
            "GreaterOrEqual(x, constant/0.5)",
            "Where(GreaterOrEqual, x, constant/0.5)",
        ],
    ),
    (
        |g, x| {
            let cut = |axis, start, end, step| SliceAxis {
                axis,
                start,
                end,
                step,
            };
            let cuts = vec![cut(2, 1, 6, 2), cut(1, 0, 3, 1)];
            g.slice(x, cuts).unwrap()
        },
        &["Slice(x, [1, 0], [6, 3], [2, 1], [2, 1])"],
    ),
    (
        |g, x| {
            let border = PadAxis {
                axis: 3,
                before: 1,
                after: 2,
            };
            g.pad(x, vec![border], -1.5).unwrap()
        },
        &["Pad(x, [0, 0, 0, 1, 0, 0, 0, 2], constant/-1.5)"],
    ),
    (|g, x| g.flatten(x).unwrap(), &["Reshape(x, [0, 144])"]),
    (
        |g, x| {
            let joined = [Dim::PerImage(4), Dim::Fixed(36)];
            let rows = g.reshape(x, Shape::new(joined)).unwrap();
            g.reshape(rows, Shape::batched(&[4, 6, 6])).unwrap()
        },
        &["Reshape(x, [-1, 36])", "Reshape(Reshape, [-1, 4, 6, 6])"],
    ),
    (
        |g, x| {
            let mean = g.global_average_pool(x).unwrap();
            g.expand(mean, Shape::batched(&[4, 6, 6])).unwrap()
        },
        &[
            "ReduceMean(x) axes=[2, 3] keepdims=1",
            "Expand(ReduceMean, [1, 4, 6, 6])",
        ],
    ),
    (
        |g, _| {
            let zero = g.scalar(0.0).unwrap();
            let shape = [Dim::Fixed(2), Dim::PerImage(3), Dim::Fixed(5)];
            g.expand(zero, Shape::new(shape)).unwrap()
        },
        &[
            "Shape(x)",
            "Gather(batch/Shape, [0]) axis=0",
            "Mul(batch/Gather, [3])",
            "Concat([2], Expand/Mul, [5]) axis=0",
            "Expand(constant/0, Expand/Concat)",
        ],
    ),
    (
        |g, x| {
            let sum = g.reduce(x, ReduceKind::Sum, vec![1, 2], false).unwrap();
            g.reduce(sum, ReduceKind::Sum, vec![], false).unwrap()
        },
        &["ReduceSum(x, [1, 2]) keepdims=0", "Identity(ReduceSum)"],
    ),
    (
        |g, x| {
            let (flat, w) = (g.flatten(x).unwrap(), weights(g, &[5, 144]));
            let gemm = Gemm {
                alpha: 2.0,
                beta: 0.5,
                trans_a: false,
                trans_b: true,
            };
            g.add(Op::Gemm(gemm), &[flat, w]).unwrap()
        },
        &[
            "Reshape(x, [0, 144])",
            "Gemm(Reshape, weight) alpha=2 beta=0.5 transA=0 transB=1",
        ],
    ),
    (
        |g, x| {
            let rows = g.reduce(x, ReduceKind::Max, vec![2, 3], false).unwrap();
            let class = g.add(Op::ArgMax(Axis(1)), &[rows]).unwrap();
            g.add(Op::OneHot(4), &[class]).unwrap()
        },
        &[
            "ReduceMax(x) axes=[2, 3] keepdims=0",
            "ArgMax(ReduceMax) axis=1 keepdims=0",
            "OneHot(ArgMax, [4], off_and_on) axis=-1",
        ],
    ),
    (|g, x| g.top_k(x, 2, 5).unwrap(), &["TopK(x, [5]) axis=2"]),
];

#[test]
fn every_operator_has_the_form_that_onnx_defines() {
    for (build, expected) in FORMS {
        let mut g = Graph::new();
        let x = g
            .input("x", Type::float(Shape::batched(&[4, 6, 6])))
            .unwrap();
        let y = build(&mut g, x);
        g.output("y", y);
        let model = decode(&g);
        check_names(body(&model));
        let nodes = body(&model).node.iter();
        let nodes: Vec<String> = nodes.map(|n| render(body(&model), n)).collect();
        assert_eq!(nodes, *expected);
    }
}

/// What is written equals what it was written from: read back, it gives the same numbers.
#[test]
fn transposed_convolutions_of_any_pads_are_read_back() {
    for pads_begin in 0..3 {
        for pads_end in 0..3 {
            for appended in 0..2 {
                let mut window = Window::new(&[3, 3]).stride(2);
                (window.pads_begin, window.pads_end) = (vec![pads_begin; 2], vec![pads_end; 2]);
                let mut g = Graph::new();
                let images = Type::float(Shape::batched(&[4, 5, 5]));
                let x = g.input("x", images).unwrap();
                let w = weights(&mut g, &[4, 3, 3, 3]);
                let conv = ConvTranspose {
                    window,
                    output_padding: vec![appended; 2],
                    groups: 1,
                };
                let y = g.add(Op::ConvTranspose(conv), &[x, w]).unwrap();
                g.output("y", y);
                let bytes = write(&g, InputType::Float, &Labels::default()).unwrap();
                let again = crate::onnx::read_graph(&bytes, "again").unwrap();
                let run = |graph: &Graph| {
                    let pixels = (0..100).map(|i| f64::from(i * 7 % 11)).collect();
                    let x = Array::new(vec![1, 4, 5, 5], pixels);
                    interpret::<f64>(graph, &[("x", x)]).unwrap()
                };
                assert_eq!(run(&g), run(&again), "{pads_begin}, {pads_end}, {appended}");
            }
        }
    }
}

#[test]
fn bytes_become_numbers_inside_the_file() {
    let mut g = Graph::new();
    let images = Type::float(Shape::batched(&[6, 6, 3]));
    let x = g.input("images", images).unwrap();
    let y = g.relu(x).unwrap();
    g.output("y", y);
    g.output("again", y);
    let labels = Labels {
        name: "network".to_string(),
        producer_version: "1.2.3".to_string(),
        metadata: vec![("key".to_string(), "value".to_string())],
    };
    let bytes = write(&g, InputType::Byte, &labels).unwrap();
    let model = ModelProto::decode(&bytes[..]).unwrap();
    let file = body(&model);
    let nodes: Vec<String> = file.node.iter().map(|n| render(file, n)).collect();
    let expected = ["Cast(images) to=1", "Relu(images/Cast)", "Identity(y)"];
    assert_eq!(nodes, expected);
    let input = file.input[0].r#type.as_ref().unwrap();
    let input = input.tensor_type.as_ref().unwrap();
    assert_eq!(input.elem_type, data_type::UINT8);
    let batch = &input.shape.as_ref().unwrap().dim[0].value;
    assert_eq!(*batch, Some(Extent::Name("N".to_string())));
    assert_eq!(model.metadata_props[0].key, "key");
    assert_eq!(
        (model.producer_version.as_str(), file.name.as_str()),
        ("1.2.3", "network")
    );
}

/// What is refused, and parts of what is said of it.
const REFUSED: &[(Build, [&str; 2])] = &[
    (
        |g, x| {
            let window = Window::new(&[2, 2]).dilation(2);
            g.at("pool3").avg_pool(x, window, false).unwrap()
        },
        ["pool3: AveragePool", "dilations"],
    ),
    (
        |g, x| {
            g.output("x", x);
            g.relu(x).unwrap()
        },
        ["\"x\"", "unique"],
    ),
];

#[test]
fn what_has_no_form_is_refused_by_name() {
    for (build, parts) in REFUSED {
        let mut g = Graph::new();
        let x = g
            .input("x", Type::float(Shape::batched(&[4, 6, 6])))
            .unwrap();
        let y = build(&mut g, x);
        g.output("y", y);
        let error = write(&g, InputType::Float, &Labels::default()).unwrap_err();
        let message = error.to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}

/// One of a few operators that keep `[N, 4, 6, 6]`, by number.
fn step(g: &mut Graph, x: ValueId, y: ValueId, kind: u8) -> ValueId {
    let added = match kind % 8 {
        0 => g.relu(x),
        1 => g.add_values(x, y),
        2 => g.unary(Unary::Tanh, y),
        3 => {
            let number = g.scalar(f32::from(kind)).unwrap();
            g.mul(x, number)
        }
        4 => {
            let w = weights(g, &[4, 4, 1, 1]);
            g.conv(x, w, None, Window::new(&[1, 1]), 1)
        }
        5 => g.max_pool(x, Window::new(&[3, 3]).pad(1)),
        6 => g.add(Op::Transpose(vec![0, 1, 3, 2]), &[x]),
        _ => g.softmax(y, 1),
    };
    added.unwrap()
}

proptest! {
    #[test]
    fn a_file_has_the_nodes_of_its_graph(
        kinds in prop::collection::vec((any::<u8>(), any::<u8>()), 1..20),
        origins in prop::collection::vec("[a-c /]{0,3}", 20),
    ) {
        let mut g = Graph::new();
        let images = Type::float(Shape::batched(&[4, 6, 6]));
        let mut values = vec![g.input("x", images).unwrap()];
        for ((kind, other), origin) in kinds.iter().zip(&origins) {
            let y = values[usize::from(*other) % values.len()];
            g.at(origin.clone());
            let last = values[values.len() - 1];
            values.push(step(&mut g, last, y, *kind));
        }
        for (i, &value) in values.iter().enumerate().skip(1) {
            g.output(format!("y{i}"), value);
        }
        let computed = |n: &&odin_graph::Node| !matches!(n.op, Op::Input(_) | Op::Constant(_));
        let expected = g.nodes().iter().filter(computed).map(|n| n.op.name());
        let model = decode(&g);
        let file = body(&model);
        check_names(file);
        prop_assert!(file.node.iter().map(|n| n.op_type.as_str()).eq(expected));
        let outputs = file.node.iter().map(|n| n.output[0].clone());
        let asked = g.outputs().iter().map(|o| o.name.clone());
        prop_assert!(outputs.eq(asked));
    }
}

/// Protocol buffers allow either form; rten reads only that of the ONNX project's own schema.
#[test]
fn lists_of_attributes_are_not_packed() {
    let attribute = AttributeProto {
        ints: vec![5, 6],
        ..AttributeProto::default()
    };
    assert_eq!(attribute.encode_to_vec(), [0x40, 5, 0x40, 6]);
    let tensor = TensorProto {
        dims: vec![5, 6],
        ..TensorProto::default()
    };
    assert_eq!(tensor.encode_to_vec(), [0x08, 5, 0x08, 6]);
}
