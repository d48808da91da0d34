//! Files that are made here, node by node: what is read of them, and what is said of those that
//! are refused.

mod heads;

use super::{File, Model, ReadOptions};
use crate::onnx::proto::*;
use crate::{Error, ErrorKind};
use odin_graph::{Array, interpret};
use prost::Message;
use serde_json::Value as Json;

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn node(op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op.to_string(),
        name: format!("{}_{op}", output.first().unwrap_or(&"")),
        input: strings(input),
        output: strings(output),
        ..NodeProto::default()
    }
}

impl NodeProto {
    fn int(mut self, name: &str, i: i64) -> Self {
        self.attribute.push(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::INT,
            i,
            ..AttributeProto::default()
        });
        self
    }

    fn branch(mut self, name: &str, graph: GraphProto) -> Self {
        self.attribute.push(AttributeProto {
            name: name.to_string(),
            g: Some(Box::new(graph)),
            ..AttributeProto::default()
        });
        self
    }
}

fn floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_string(),
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        float_data: data.to_vec(),
        ..TensorProto::default()
    }
}

fn ints(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_string(),
        dims: dims.to_vec(),
        data_type: data_type::INT64,
        int64_data: data.to_vec(),
        ..TensorProto::default()
    }
}

/// A value of real numbers, or of another type; 0 stands for an extent that is left open.
fn typed(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| Dimension {
        value: (d != 0).then_some(Extent::Value(d)),
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor_type = Some(TypeTensor { elem_type, shape });
    ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type }),
    }
}

fn real(name: &str, dims: &[i64]) -> ValueInfoProto {
    typed(name, data_type::FLOAT, dims)
}

/// A graph from `x [N, 4]` to `y`, with `w` of four numbers.
fn graph(node: Vec<NodeProto>) -> GraphProto {
    GraphProto {
        node,
        input: vec![real("x", &[0, 4])],
        output: vec![real("y", &[0, 4])],
        initializer: vec![floats("w", &[4], &[1.0, 2.0, 3.0, 4.0])],
        ..GraphProto::default()
    }
}

fn model(opset: i64, graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            version: opset,
            ..OperatorSetIdProto::default()
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn open(model: ModelProto) -> Result<File, Error> {
    File::parse(model.encode_to_vec(), "m.onnx", None)
}

fn read(model: ModelProto) -> Result<Model, Error> {
    open(model)?.classifier(&ReadOptions::default())
}

/// What a classifier gives for one image.
fn logits(model: &Model, image: &[f64]) -> Vec<f64> {
    let shape = [&[1], &model.input_shape[..]].concat();
    let input = model.graph.inputs().next().unwrap().1.name.clone();
    let images = Array::new(shape, image.to_vec());
    let outputs = interpret(&model.graph, &[(input.as_str(), images)]).unwrap();
    outputs[0].floats().to_vec()
}

/// Each part must be in the message.
fn assert_refused(name: &str, model: ModelProto, parts: &[&str]) {
    let error = read(model).expect_err(name).to_string();
    for part in parts {
        assert!(error.contains(part), "{name}: {part:?} is not in {error:?}");
    }
    assert!(!error.contains("--"), "{name}: {error}");
}

const X: [f64; 4] = [1.0, -1.0, 0.5, 2.0];

#[test]
fn resized_is_what_onnx_runtime_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/resize.json");
    let cases: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 200);
    for case in cases {
        let width = case["width"].as_u64().unwrap() as usize;
        let opset = case["opset"].as_i64().unwrap();
        let scale = |key: &str| case[key].as_f64().map(|s| s as f32);
        let given = match (scale("scale"), case["size"].as_i64()) {
            (Some(scale), _) => floats("given", &[4], &[1.0, 1.0, 1.0, scale]),
            (None, size) => ints("given", &[4], &[1, 1, 1, size.unwrap()]),
        };
        let operands: &[&str] = match (given.data_type, opset) {
            (_, ..=8) => &["x"],
            (_, ..=10) => &["x", "given"],
            (data_type::INT64, _) => &["x", "", "", "given"],
            _ => &["x", "", "given"],
        };
        let mut node = node(case["operator"].as_str().unwrap(), operands, &["y"]);
        for (name, value) in case["attributes"].as_object().unwrap() {
            node = match value {
                Json::String(text) => {
                    node.attribute.push(AttributeProto {
                        name: name.clone(),
                        r#type: attribute_type::STRING,
                        s: text.clone().into_bytes(),
                        ..AttributeProto::default()
                    });
                    node
                }
                number => node.int(name, number.as_i64().unwrap()),
            };
        }
        if opset < 9 {
            node.attribute.push(AttributeProto {
                name: "scales".to_string(),
                r#type: attribute_type::FLOATS,
                floats: given.float_data.clone(),
                ..AttributeProto::default()
            });
        }
        let file = model(
            opset,
            GraphProto {
                node: vec![node],
                // A batch of one, for which sizes are written.
                input: vec![real("x", &[1, 1, 1, width as i64])],
                output: vec![real("y", &[])],
                initializer: vec![given],
                ..GraphProto::default()
            },
        );
        let graph = open(file).unwrap().graph().unwrap();
        let entries = (0..width).map(|i| (37 * i % 23) as f64 / 8.0 - 1.0);
        let x = Array::new(vec![1, 1, 1, width], entries.collect());
        let found = interpret(&graph, &[("x", x)]).unwrap();
        let found = found[0].floats();
        let expected = case["expected"].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{case}");
        for (f, e) in found.iter().zip(expected) {
            // ONNX Runtime weighs in f32; far outside of the operand cubic weights cancel.
            assert!(
                (f - e.as_f64().unwrap()).abs() < 1e-4,
                "{found:?} of {case}"
            );
        }
    }
}

/// `floor(20 · 0.7)` is 14 in f32, as exporters write the size to resize to.
#[test]
fn sizes_are_computed_in_single_precision() {
    let part = |name: &str, at: i64| {
        let at = ints(name, &[1], &[at]);
        (
            at,
            node("Gather", &["shape", name], &[&format!("{name}_of")]),
        )
    };
    let ((a, first), (b, second)) = (part("a", 0), part("b", 2));
    let nodes = vec![
        node("Shape", &["x"], &["shape"]),
        first,
        second,
        node("Cast", &["b_of"], &["real"]).int("to", data_type::FLOAT.into()),
        node("Mul", &["real", "factor"], &["product"]),
        node("Floor", &["product"], &["floor"]),
        node("Cast", &["floor"], &["whole"]).int("to", data_type::INT64.into()),
        node("Concat", &["a_of", "one", "whole"], &["sizes"]).int("axis", 0),
        node("Resize", &["x", "", "", "sizes"], &["resized"]),
        node("Flatten", &["resized"], &["y"]),
    ];
    let initializer = vec![a, b, ints("one", &[1], &[1]), floats("factor", &[], &[0.7])];
    let file = model(
        13,
        GraphProto {
            node: nodes,
            input: vec![real("x", &[0, 1, 20])],
            output: vec![real("y", &[])],
            initializer,
            ..GraphProto::default()
        },
    );
    assert_eq!(read(file).unwrap().classes, 14);
}

#[test]
fn the_batch_is_not_resized() {
    let resize = |given: TensorProto| {
        let operands: &[&str] = match given.data_type {
            data_type::INT64 => &["x", "", "", "given"],
            _ => &["x", "", "given"],
        };
        let nodes = vec![node("Resize", operands, &["y"])];
        let mut graph = graph(nodes);
        graph.initializer.push(given);
        model(13, graph)
    };
    assert_eq!(
        read(resize(floats("given", &[2], &[1.0, 0.5])))
            .unwrap()
            .classes,
        2
    );
    let refused = "number of images";
    assert_refused(
        "scale",
        resize(floats("given", &[2], &[2.0, 0.5])),
        &[refused],
    );
    assert_refused("size", resize(ints("given", &[2], &[1, 2])), &[refused]);
}

#[test]
fn training_mode_is_refused() {
    let parameters = ["x", "w", "w", "w", "w"];
    let norm = |outputs: &[&str]| node("BatchNormalization", &parameters, outputs);
    let all = ["y", "mean", "var", "saved_mean", "saved_var"];
    let dropout = node("Dropout", &["x", "", "trains"], &["y"]);
    let trains = |trains: bool| {
        let mut graph = graph(vec![dropout.clone()]);
        let data = vec![i32::from(trains)];
        graph.initializer.push(TensorProto {
            name: "trains".to_string(),
            data_type: data_type::BOOL,
            int32_data: data,
            ..TensorProto::default()
        });
        model(13, graph)
    };
    let of = |opset: i64, node: NodeProto| model(opset, graph(vec![node]));
    let cases = [
        ("all outputs at 13", of(13, norm(&all)), false),
        ("all outputs at 9", of(9, norm(&all)), false),
        ("two outputs at 7", of(7, norm(&["y", "", "var"])), false),
        ("one output at 13", of(13, norm(&["y"])), true),
        ("outputs left out", of(9, norm(&["y", "", ""])), true),
        (
            "is_test=0 at 6",
            of(6, norm(&["y"]).int("is_test", 0)),
            false,
        ),
        ("no is_test at 6", of(6, norm(&["y"])), false),
        (
            "is_test=1 at 6",
            of(6, norm(&["y"]).int("is_test", 1)),
            true,
        ),
        (
            "training_mode at 14",
            of(14, norm(&["y", "m", "v"]).int("training_mode", 1)),
            false,
        ),
        ("inference at 15", of(15, norm(&["y"])), true),
        (
            "dropout at 6",
            of(6, node("Dropout", &["x"], &["y"])),
            false,
        ),
        (
            "dropout at 9",
            of(9, node("Dropout", &["x"], &["y", "mask"])),
            true,
        ),
        (
            "dropout at 13",
            of(13, node("Dropout", &["x"], &["y"])),
            true,
        ),
        ("dropout that trains", trains(true), false),
        ("dropout that does not", trains(false), true),
    ];
    for (name, model, is_read) in cases {
        match is_read {
            true => drop(read(model).expect(name)),
            false => assert_refused(name, model, &["training mode", "model.eval()"]),
        }
    }
}

#[test]
fn nodes_are_sorted() {
    let double = || node("Add", &["a", "a"], &["y"]);
    let sum = || node("Add", &["x", "w"], &["a"]);
    let expected: Vec<f64> = [4.0, 2.0, 7.0, 12.0].to_vec();

    let unsorted = model(13, graph(vec![double(), sum()]));

    let result = |name: &str, node: Vec<NodeProto>| GraphProto {
        node,
        output: vec![real(name, &[])],
        ..GraphProto::default()
    };
    let condition = TensorProto {
        name: "c".to_string(),
        data_type: data_type::BOOL,
        int32_data: vec![1],
        ..TensorProto::default()
    };
    let branches = node("If", &["c"], &["z"])
        .branch("then_branch", result("y", vec![double(), sum()]))
        .branch(
            "else_branch",
            result("e", vec![node("Relu", &["x"], &["e"])]),
        );
    // The branch has a value of its own called y, and the result is read before it is given.
    let mut in_branch = graph(vec![node("Identity", &["z"], &["y"]), branches]);
    in_branch.initializer.push(condition);

    let mut call = node("Twice", &["x", "w"], &["y"]);
    call.domain = "own".to_string();
    let mut in_function = model(13, graph(vec![call]));
    in_function.functions.push(FunctionProto {
        name: "Twice".to_string(),
        domain: "own".to_string(),
        input: strings(&["x", "w"]),
        output: strings(&["y"]),
        node: vec![double(), sum()],
        ..FunctionProto::default()
    });
    for (name, model) in [
        ("graph", unsorted),
        ("branch", model(13, in_branch)),
        ("function", in_function),
    ] {
        let model = read(model).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(logits(&model, &X), expected, "{name}");
    }
}

#[test]
fn sparse_initializers_are_read() {
    let sparse = |dims: &[i64], values: TensorProto, indices: TensorProto| SparseTensorProto {
        values: Some(Box::new(values)),
        indices: Some(Box::new(indices)),
        dims: dims.to_vec(),
    };
    let numbers = || floats("s", &[2], &[5.0, 7.0]);
    let add = |constant: SparseTensorProto| {
        let mut graph = graph(vec![node("Add", &["x", "s"], &["y"])]);
        graph.sparse_initializer.push(constant);
        model(13, graph)
    };
    let as_attribute = |constant: SparseTensorProto| {
        let mut stored = node("Constant", &[], &["s"]);
        stored.attribute.push(AttributeProto {
            name: "sparse_value".to_string(),
            r#type: attribute_type::SPARSE_TENSOR,
            sparse_tensor: Some(Box::new(constant)),
            ..AttributeProto::default()
        });
        model(13, graph(vec![stored, node("Add", &["x", "s"], &["y"])]))
    };
    let positions = || sparse(&[4], numbers(), ints("", &[2], &[3, 1]));
    let coordinates = || sparse(&[1, 4], numbers(), ints("", &[2, 2], &[0, 3, 0, 1]));
    for model in [
        add(positions()),
        add(coordinates()),
        as_attribute(positions()),
    ] {
        assert_eq!(logits(&read(model).unwrap(), &X), [1.0, 6.0, 0.5, 7.0]);
    }
    let refused = [
        (
            "outside",
            sparse(&[4], numbers(), ints("", &[2], &[1, 4])),
            "outside of [4]",
        ),
        (
            "negative",
            sparse(&[4], numbers(), ints("", &[2], &[-1, 2])),
            "outside of [4]",
        ),
        (
            "twice",
            sparse(&[4], numbers(), ints("", &[2], &[1, 1])),
            "two values",
        ),
        (
            "fewer",
            sparse(&[4], numbers(), ints("", &[1], &[1])),
            "2 values at 1",
        ),
        (
            "rank",
            sparse(&[4], numbers(), ints("", &[1, 2], &[1, 1])),
            "indices",
        ),
        (
            "no integers",
            sparse(&[4], numbers(), floats("", &[2], &[1.0, 2.0])),
            "integers",
        ),
        (
            "large",
            sparse(&[1 << 40], numbers(), ints("", &[2], &[1, 2])),
            "file of this size",
        ),
        (
            "overflow",
            sparse(&[1 << 40, 1 << 40], numbers(), ints("", &[2], &[1, 2])),
            "too large",
        ),
    ];
    for (name, constant, part) in refused {
        assert_refused(name, add(constant), &["\"s\"", part]);
    }
}

/// What is wrong with a file as a whole, what is changed for that, and what is said.
type Contradiction = (&'static str, fn(&mut GraphProto), &'static [&'static str]);

/// The same of a change that nothing is said of.
type Change = (&'static str, fn(&mut GraphProto));

const CONTRADICTIONS: [Contradiction; 13] = [
    (
        "two producers",
        |g| g.node.push(node("Relu", &["x"], &["y"])),
        &["Add \"y_Add\"", "Relu \"y_Relu\"", "both give \"y\""],
    ),
    (
        "an input is computed",
        |g| g.node.push(node("Relu", &["y"], &["x"])),
        &["Relu \"x_Relu\"", "input", "\"x\""],
    ),
    (
        "an initializer is computed",
        |g| g.node.push(node("Relu", &["x"], &["w"])),
        &["Relu \"w_Relu\"", "initializer", "\"w\""],
    ),
    (
        "two inputs",
        |g| g.input.push(real("x", &[0, 4])),
        &["two inputs", "\"x\""],
    ),
    (
        "two initializers",
        |g| g.initializer.push(floats("w", &[4], &[0.0; 4])),
        &["two initializers", "\"w\""],
    ),
    (
        "sparse and dense",
        |g| {
            let values = Some(Box::new(floats("w", &[0], &[])));
            g.sparse_initializer.push(SparseTensorProto {
                values,
                ..SparseTensorProto::default()
            });
        },
        &["two initializers", "\"w\""],
    ),
    (
        "shape of an initializer",
        |g| g.input.push(real("w", &[3])),
        &["another type or shape", "\"w\""],
    ),
    (
        "type of an initializer",
        |g| g.input.push(typed("w", data_type::INT64, &[4])),
        &["another type or shape", "\"w\""],
    ),
    ("no outputs", |g| g.output.clear(), &["no outputs"]),
    (
        "an output of nothing",
        |g| g.output.push(real("z", &[])),
        &["nothing gives the output", "\"z\""],
    ),
    (
        "nothing gives an operand",
        |g| g.node[0].input[1] = "nowhere".to_string(),
        &["Add \"y_Add\"", "\"nowhere\" is not the output of any node"],
    ),
    (
        "a cycle",
        |g| {
            g.node.push(node("Add", &["x", "q"], &["p"]));
            g.node.push(node("Relu", &["p"], &["q"]));
        },
        &["2 nodes form a cycle", "Add \"p_Add\"", "Relu \"q_Relu\""],
    ),
    (
        "a node that reads itself",
        |g| g.node.push(node("Add", &["x", "p"], &["p"])),
        &["Add \"p_Add\"", "reads what it gives"],
    ),
];

#[test]
fn contradictions_are_named() {
    let sound = || graph(vec![node("Add", &["x", "w"], &["y"])]);
    assert_eq!(read(model(13, sound())).unwrap().classes, 4);
    for (name, change, parts) in CONTRADICTIONS {
        let mut graph = sound();
        change(&mut graph);
        assert_refused(name, model(13, graph), &[&["m.onnx: "][..], parts].concat());
    }
    // None of these is one: ONNX Runtime runs such files.
    let harmless: [Change; 3] = [
        ("an initializer twice", |g| {
            g.initializer.push(g.initializer[0].clone())
        }),
        ("an initializer that is declared", |g| {
            g.input.push(real("w", &[4]))
        }),
        ("an output twice", |g| g.output.push(g.output[0].clone())),
    ];
    for (name, change) in harmless {
        let mut graph = sound();
        change(&mut graph);
        let file = open(model(13, graph)).expect(name);
        assert_eq!(file.graph().expect(name).outputs().len(), 1, "{name}");
        assert!(file.classifier(&ReadOptions::default()).is_ok(), "{name}");
    }
}

/// Outputs with their extents, those of the classes first; from which the logits are taken.
type Outputs = (
    &'static [(&'static str, &'static [i64])],
    Option<&'static str>,
);

const OUTPUTS: [Outputs; 12] = [
    (
        &[("embeddings", &[0, 4]), ("predictions", &[0, 4])],
        Some("predictions"),
    ),
    (
        &[("predictions", &[0, 4]), ("embeddings", &[0, 4])],
        Some("predictions"),
    ),
    (
        &[("a", &[0, 4]), ("logits", &[0, 4]), ("b", &[0, 4])],
        Some("logits"),
    ),
    (
        &[
            ("a", &[0, 4]),
            ("class_logits", &[0, 4]),
            ("class_probs", &[0, 4]),
        ],
        Some("class_logits"),
    ),
    (&[("map", &[0, 4, 7, 7]), ("rows", &[0, 4])], Some("rows")),
    (&[("label", &[0]), ("rows", &[0, 4])], Some("rows")),
    (
        &[("out", &[0, 4]), ("aux1", &[0, 4]), ("aux2", &[0, 4])],
        Some("out"),
    ),
    (&[("one", &[0, 4]), ("two", &[0, 4])], None),
    (&[("embedding", &[0, 4]), ("features", &[0, 4])], None),
    (
        &[("one", &[0, 4]), ("behind one", &[0, 4])],
        Some("behind one"),
    ),
    (&[("map", &[0, 4, 7, 7]), ("label", &[0])], None),
    (&[("open", &[0, 0]), ("map", &[0, 4, 7, 7])], Some("open")),
];

#[test]
fn the_output_of_the_classes_is_chosen() {
    for (outputs, expected) in OUTPUTS {
        let mut last = "x";
        let nodes = outputs.iter().map(|&(name, _)| {
            let operand = if name.starts_with("behind") {
                last
            } else {
                "x"
            };
            last = name;
            node("Add", &[operand, "w"], &[name])
        });
        let mut graph = graph(nodes.collect());
        graph.output = outputs
            .iter()
            .map(|(name, dims)| real(name, dims))
            .collect();
        let names: Vec<&str> = outputs.iter().map(|(name, _)| *name).collect();
        let file = open(model(13, graph)).unwrap();
        let found = file.classifier(&ReadOptions::default());
        match (found, expected) {
            (Ok(model), Some(expected)) => {
                assert_eq!(model.graph.outputs()[0].name, expected, "{names:?}");
                let notice = &model.notices[0];
                assert!(notice.contains(&format!("from {expected:?}")), "{notice}");
                assert!(names.iter().all(|n| notice.contains(n)), "{notice}");
            }
            (Err(error), None) => {
                assert_eq!(error.kind(), ErrorKind::SeveralOutputs, "{names:?}");
                let message = error.to_string();
                assert!(names.iter().all(|n| message.contains(n)), "{message}");
            }
            (found, _) => panic!("{names:?}: {found:?}"),
        }
        let options = ReadOptions {
            output: Some(names[0].to_string()),
            ..ReadOptions::default()
        };
        assert_eq!(
            file.classifier(&options).unwrap().graph.outputs()[0].name,
            names[0]
        );
    }
}

#[test]
fn what_an_input_leaves_open_is_asked_for() {
    for dims in [&[0, 0][..], &[0, 3, 0, 0], &[]] {
        let mut graph = graph(vec![node("Add", &["x", "w"], &["y"])]);
        graph.input = vec![real("x", dims)];
        let error = read(model(13, graph)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OpenShape, "{error}");
        assert!(error.to_string().contains("input \"x\""), "{error}");
        assert!(!error.to_string().contains("--"), "{error}");
    }
}

#[test]
fn impostors_are_recognised() {
    let cases: [(&[u8], &str); 4] = [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        (b"", "no ONNX file"),
    ];
    for (bytes, part) in cases {
        let error = File::parse(bytes, "net.onnx", None)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("net.onnx: ") && error.contains(part),
            "{error}"
        );
    }
}
