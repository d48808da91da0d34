//! What classifiers end in, and where their logits are found.

use super::*;
use odin_graph::linear_head;

impl NodeProto {
    fn floats(mut self, name: &str, floats: &[f32]) -> Self {
        self.attribute.push(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::FLOATS,
            floats: floats.to_vec(),
            ..AttributeProto::default()
        });
        self
    }

    fn ints(mut self, name: &str, ints: &[i64]) -> Self {
        self.attribute.push(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::INTS,
            ints: ints.to_vec(),
            ..AttributeProto::default()
        });
        self
    }

    fn text(mut self, name: &str, text: &str) -> Self {
        self.attribute.push(AttributeProto {
            name: name.to_string(),
            r#type: attribute_type::STRING,
            s: text.as_bytes().to_vec(),
            ..AttributeProto::default()
        });
        self
    }

    fn texts(mut self, name: &str, texts: &[&str]) -> Self {
        let texts = texts.iter().map(|text| text.as_bytes().to_vec());
        self.attribute.push(AttributeProto {
            name: name.to_string(),
            r#type: 8,
            strings: texts.collect(),
            ..AttributeProto::default()
        });
        self
    }

    fn of_ml(mut self) -> Self {
        self.domain = "ai.onnx.ml".to_string();
        self
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::MIN, f64::max);
    let powers: Vec<f64> = logits.iter().map(|v| (v - max).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|v| v / total).collect()
}

fn assert_close(name: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        // Weights are rounded to f32.
        assert!(
            (found - expected).abs() < 1e-6,
            "{name}: {found} {expected}"
        );
    }
}

/// `x [N, 4]` to `y`, by nodes that may also read `z = x + w`, `ones [4, 1]`, and some numbers.
fn ending(nodes: Vec<NodeProto>) -> ModelProto {
    let z = node("Add", &["x", "w"], &["z"]);
    let mut graph = graph([z].into_iter().chain(nodes).collect());
    graph.output[0].r#type = None;
    graph.initializer.extend([
        floats("ones", &[4, 1], &[1.0, 0.5, -2.0, 1.0]),
        floats("bias", &[1], &[0.75]),
        floats("1", &[], &[1.0]),
        floats("tiny", &[], &[1e-7]),
        ints("last", &[1], &[-1]),
    ]);
    model(18, graph)
}

/// What the file gives for an image as it is.
fn given(model: ModelProto, image: &[f64]) -> Vec<f64> {
    let graph = open(model).unwrap().graph().unwrap();
    let images = Array::new(vec![1, image.len()], image.to_vec());
    interpret(&graph, &[("x", images)]).unwrap()[0]
        .floats()
        .to_vec()
}

/// A file that gives probabilities is read as the logits that these are the softmax of.
#[test]
fn logits_are_found_behind_probabilities() {
    let sum = || node("ReduceSum", &["e", "last"], &["t"]);
    let divided = || [sum(), node("Div", &["e", "t"], &["y"])];
    let behind = |first: NodeProto| [vec![first], divided().to_vec()].concat();
    let cases: Vec<(&str, Vec<NodeProto>)> = vec![
        ("Softmax", vec![node("Softmax", &["z"], &["y"])]),
        (
            "bounded",
            vec![
                node("Softmax", &["z"], &["p"]),
                node("Clip", &["p", "tiny", "1"], &["y"]),
            ],
        ),
        ("normalised", behind(node("Softmax", &["z"], &["e"]))),
        ("exp over sum", behind(node("Exp", &["z"], &["e"]))),
        ("one against rest", behind(node("Sigmoid", &["z"], &["e"]))),
        (
            "exp of log",
            vec![
                node("LogSoftmax", &["z"], &["l"]),
                node("Exp", &["l"], &["y"]),
            ],
        ),
        (
            "naive Bayes",
            vec![
                node("ReduceLogSumExp", &["z", "last"], &["t"]),
                node("Sub", &["z", "t"], &["l"]),
                node("Exp", &["l"], &["y"]),
            ],
        ),
        (
            "both of two classes",
            vec![
                node("MatMul", &["x", "ones"], &["a"]),
                node("Sigmoid", &["a"], &["p"]),
                node("Sub", &["1", "p"], &["q"]),
                node("Concat", &["q", "p"], &["y"]).int("axis", 1),
            ],
        ),
    ];
    for (name, nodes) in cases {
        let read = read(ending(nodes.clone())).unwrap();
        let found = softmax(&logits(&read, &X));
        assert_close(name, &found, &given(ending(nodes), &X));
        assert!(read.notices[0].contains("Softmax"), "{name}: {read:?}");
    }
}

#[test]
fn logits_are_found_behind_logarithms() {
    let cases = [
        ("LogSoftmax", vec![node("LogSoftmax", &["z"], &["y"])]),
        (
            "log of softmax",
            vec![node("Softmax", &["z"], &["p"]), node("Log", &["p"], &["y"])],
        ),
    ];
    for (name, nodes) in cases {
        let read = read(ending(nodes.clone())).unwrap();
        let given: Vec<f64> = given(ending(nodes), &X).iter().map(|v| v.exp()).collect();
        assert_close(name, &softmax(&logits(&read, &X)), &given);
        assert!(read.notices[0].contains("Softmax"), "{name}: {read:?}");
    }
}

/// The first of two softmaxes has the logits, and so does that behind a Sigmoid.
#[test]
fn outer_functions_are_removed() {
    let cases = [
        (
            vec![
                node("Softmax", &["z"], &["p"]),
                node("Softmax", &["p"], &["y"]),
            ],
            "softmax of a softmax",
        ),
        (vec![node("Sigmoid", &["z"], &["y"])], "multi-label"),
    ];
    for (nodes, part) in cases {
        let read = read(ending(nodes)).unwrap();
        assert_close(part, &logits(&read, &X), &[2.0, 1.0, 3.5, 6.0]);
        let said = read.notices.iter().any(|notice| notice.contains(part));
        assert!(said, "{part}: {:?}", read.notices);
        assert_eq!(read.multi_label, part == "multi-label", "{part}");
    }
}

/// Whatever form a single number has, its softmax is the sigmoid of it, and the last linear layer
/// remains one.
#[test]
fn a_single_logit_is_two_classes() {
    let product = || node("MatMul", &["x", "ones"], &["a"]);
    let biased = || node("Add", &["a", "bias"], &["y"]);
    let cases = [
        (vec![product(), biased()], 0.75),
        (vec![node("Gemm", &["x", "ones", "bias"], &["y"])], 0.75),
        (
            vec![product(), node("Squeeze", &["a", "last"], &["y"])],
            0.0,
        ),
        (vec![product(), node("Sigmoid", &["a"], &["y"])], 0.0),
        (
            vec![
                product(),
                node("Sigmoid", &["a"], &["p"]),
                node("Squeeze", &["p", "last"], &["y"]),
            ],
            0.0,
        ),
    ];
    for (nodes, bias) in cases {
        let name = format!("{nodes:?}");
        let read = read(ending(nodes)).unwrap();
        let z = X[0] + 0.5 * X[1] - 2.0 * X[2] + X[3] + bias;
        assert_close(&name, &logits(&read, &X), &[-z / 2.0, z / 2.0]);
        assert_eq!(read.classes, 2);
        assert!(linear_head(&read.graph).is_ok(), "{name}");
        let said = read.notices.iter().any(|n| n.contains("sigmoid of z"));
        assert!(said, "{name}: {:?}", read.notices);
        // Without a sigmoid it may be a quantity.
        let doubted = read.notices.iter().any(|n| n.contains("regression"));
        assert_eq!(
            doubted,
            !name.contains("Sigmoid"),
            "{name}: {:?}",
            read.notices
        );
    }
    let deep = vec![product(), node("Tanh", &["a"], &["y"])];
    let read = read(ending(deep)).unwrap();
    let z = (X[0] + 0.5 * X[1] - 2.0 * X[2] + X[3]).tanh();
    assert_close("Tanh", &logits(&read, &X), &[-z / 2.0, z / 2.0]);
}

#[test]
fn probabilities_without_logits_are_doubted() {
    for (name, doubted) in [("probabilities", true), ("scores", false)] {
        let nodes = vec![
            node("Tanh", &["z"], &["a"]),
            node("Mul", &["a", "a"], &[name]),
        ];
        let mut file = ending(nodes);
        let graph = file.graph.as_mut().unwrap();
        graph.output[0].name = name.to_string();
        let notices = read(file).unwrap().notices;
        let said = notices.iter().any(|n| n.contains("no logits were found"));
        assert_eq!(said, doubted, "{name}: {notices:?}");
    }
}

/// Outputs that only their computation or width tells apart; `y` is the one meant.
#[test]
fn the_output_of_a_linear_layer_is_chosen() {
    let head = || node("MatMul", &["z", "square"], &["y"]);
    let norm = |name| node("LpNormalization", &["z"], &[name]);
    type Case<'a> = (&'a str, Vec<NodeProto>, [&'a str; 2], Option<usize>);
    let cases: Vec<Case<'_>> = vec![
        ("first", vec![head(), norm("a")], ["y", "a"], None),
        ("second", vec![head(), norm("a")], ["a", "y"], None),
        ("behind", vec![norm("z1"), head()], ["z1", "y"], None),
        (
            "behind a softmax",
            vec![
                norm("a"),
                node("MatMul", &["z", "square"], &["b"]),
                node("Softmax", &["b"], &["y"]),
            ],
            ["a", "y"],
            None,
        ),
        (
            "largest of them",
            vec![head(), node("ReduceMax", &["y", "last"], &["a"])],
            ["y", "a"],
            None,
        ),
        (
            "by width",
            vec![head(), node("MatMul", &["z", "wide"], &["a"])],
            ["a", "y"],
            Some(4),
        ),
    ];
    for (name, nodes, outputs, classes) in cases {
        let mut file = ending(nodes);
        let graph = file.graph.as_mut().unwrap();
        let square: Vec<f32> = (0..16_u8).map(f32::from).collect();
        graph.initializer.push(floats("square", &[4, 4], &square));
        graph.initializer.push(floats("wide", &[4, 5], &[1.0; 20]));
        graph.output = outputs
            .iter()
            .map(|&o| real(o, if o == "a" { &[0, 5] } else { &[0, 4] }))
            .collect();
        let options = ReadOptions {
            classes,
            ..ReadOptions::default()
        };
        let read = open(file).unwrap().classifier(&options).unwrap();
        assert_eq!(read.graph.outputs()[0].name, "y", "{name}");
    }
}

/// A network that gives features says so, whether they are its only output or not, unless they are
/// asked for, or are as wide as there are classes.
#[test]
fn networks_without_a_head_are_refused() {
    for outputs in [
        &["embeddings"][..],
        &["image_features"],
        &["last_hidden_state", "pooler_output"],
        &["embeddings", "normed"],
    ] {
        let file = || {
            let nodes = outputs.iter().map(|o| node("Tanh", &["x"], &[o]));
            let mut graph = graph(nodes.collect());
            graph.output = outputs.iter().map(|o| real(o, &[0, 4])).collect();
            open(model(18, graph)).unwrap()
        };
        let error = file().classifier(&ReadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SeveralOutputs);
        for part in ["are features by their names", outputs[0]] {
            assert!(error.to_string().contains(part), "{error}");
        }
        let asked = ReadOptions {
            output: Some(outputs[0].to_string()),
            ..ReadOptions::default()
        };
        assert!(file().classifier(&asked).is_ok(), "{outputs:?}");
    }
    let mut known = graph(vec![node("Tanh", &["x"], &["embeddings"])]);
    known.output = vec![real("embeddings", &[0, 4])];
    let options = ReadOptions {
        classes: Some(4),
        ..ReadOptions::default()
    };
    let file = open(model(18, known)).unwrap();
    assert!(file.classifier(&options).is_ok());
}

/// A linear model of scikit-learn as skl2onnx writes it, with the label before the probabilities.
fn linear_model(rows: &[f32], biases: &[f32], transform: &str, labels: &[&str]) -> ModelProto {
    let linear = node("LinearClassifier", &["s"], &["label", "p"])
        .floats("coefficients", rows)
        .floats("intercepts", biases)
        .texts("classlabels_strings", labels)
        .text("post_transform", transform);
    let scaler = node("Scaler", &["x"], &["s"])
        .floats("offset", &[1.0, 0.0, -1.0, 0.5])
        .floats("scale", &[0.5]);
    let normalizer = node("Normalizer", &["p"], &["probabilities"]).text("norm", "L1");
    let map = node("ZipMap", &["probabilities"], &["output_probability"])
        .texts("classlabels_strings", labels);
    let nodes = [scaler, linear, normalizer, map].map(NodeProto::of_ml);
    let mut graph = graph(nodes.to_vec());
    let untyped = |name: &str| ValueInfoProto {
        name: name.to_string(),
        r#type: Some(TypeProto { tensor_type: None }),
    };
    graph.output = vec![
        typed("label", data_type::STRING, &[0]),
        untyped("output_probability"),
    ];
    model(18, graph)
}

/// Expected: `predict_proba` by the definition of scikit-learn, of `z = s · rowsᵀ + biases`.
#[test]
fn linear_models_of_scikit_learn_are_read() {
    let rows = [
        0.5, -1.0, 0.25, 1.0, 1.0, 0.0, -0.5, 0.5, -1.5, 1.0, 0.25, -1.5,
    ];
    let s: Vec<f64> = X
        .iter()
        .zip([1.0, 0.0, -1.0, 0.5])
        .map(|(x, offset)| (x - offset) * 0.5)
        .collect();
    let z = |row: &[f32], bias: f64| -> f64 {
        let products = row.iter().zip(&s).map(|(w, s)| f64::from(*w) * s);
        products.sum::<f64>() + bias
    };
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let all = [
        z(&rows[..4], 0.5),
        z(&rows[4..8], 0.0),
        z(&rows[8..], -0.25),
    ];
    let rest = all.map(sigmoid);
    let total: f64 = rest.iter().sum();
    let p = sigmoid(z(&rows[..4], 0.5));
    let opposite: Vec<f32> = rows[..4].iter().map(|w| -w).collect();
    let opposite = [&opposite[..], &rows[..4]].concat();
    let three = ["a", "b", "c"];
    let cases = [
        (
            &rows[..],
            &[0.5, 0.0, -0.25][..],
            "SOFTMAX",
            &three[..],
            softmax(&all),
        ),
        (
            &rows,
            &[0.5, 0.0, -0.25],
            "LOGISTIC",
            &three,
            rest.map(|r| r / total).to_vec(),
        ),
        (
            &opposite,
            &[-0.5, 0.5],
            "LOGISTIC",
            &three[..2],
            vec![1.0 - p, p],
        ),
        (
            &rows[..4],
            &[0.5],
            "LOGISTIC",
            &three[..2],
            vec![1.0 - p, p],
        ),
    ];
    for (rows, biases, transform, labels, expected) in cases {
        let name = format!("{transform} {}", biases.len());
        let read = read(linear_model(rows, biases, transform, labels)).unwrap();
        assert_close(&name, &softmax(&logits(&read, &X)), &expected);
        assert_eq!(read.class_names.as_deref().unwrap(), labels, "{name}");
        let linear = linear_head(&read.graph).is_ok();
        assert_eq!(linear, name != "LOGISTIC 3", "{name}");
    }
}

/// Labels that count from 0 are no names; others are.
#[test]
fn labels_name_the_classes() {
    for (labels, expected) in [
        ([0, 1], None),
        ([3, 7], Some(vec!["3".to_string(), "7".to_string()])),
    ] {
        let linear = node("LinearClassifier", &["x"], &["label", "y"])
            .floats("coefficients", &[1.0, -1.0, 0.5, 2.0])
            .floats("intercepts", &[0.5])
            .ints("classlabels_ints", &labels)
            .of_ml();
        let read = read(model(18, graph(vec![linear]))).unwrap();
        assert_eq!(read.class_names, expected);
    }
}

#[test]
fn what_has_no_gradient_is_refused_with_the_reason() {
    for (op, ml, part) in [
        ("TreeEnsembleClassifier", true, "trees"),
        ("TreeEnsembleRegressor", true, "trees"),
        ("SVMClassifier", true, "linear ones"),
        ("QLinearConv", false, "QDQ"),
        ("MatMulInteger", false, "QDQ"),
    ] {
        let refused = node(op, &["x"], &["y"]);
        let refused = if ml { refused.of_ml() } else { refused };
        assert_refused(op, model(18, graph(vec![refused])), &[part, op]);
    }
    let bare = node("LinearClassifier", &["x"], &["l", "y"]).of_ml();
    let rest = bare.clone().floats("coefficients", &[1.0; 5]);
    for node in [bare, rest] {
        assert_refused("misfit", model(18, graph(vec![node])), &["do not fit"]);
    }
}
