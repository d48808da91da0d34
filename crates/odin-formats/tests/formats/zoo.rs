//! The graphs of the zoo against PyTorch's logits and scores, and checkpoints that do not fit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::common::*;
use odin_formats::{Checkpoint, Error, ErrorKind, ReadOptions, zoo};
use odin_graph::{Array, interpret, linear_head, odin, verify};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

/// Rounding alone, in f32 and in f64.
const TOLERANCE_F32: f64 = 1e-5;
const TOLERANCE_F64: f64 = 1e-9;

/// The images of a model: the first of the channels of all.
fn images(expected: &Value, model: &Value) -> (Vec<usize>, Vec<f64>) {
    let shape = floats(&expected["input"]["shape"]);
    let mut shape: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
    let data = floats(&expected["input"]["data"]);
    let pixels = shape[2] * shape[3];
    let per_image = shape[1] * pixels;
    shape[1] = model["channels"].as_u64().unwrap() as usize;
    let own = data.chunks(per_image).flat_map(|i| &i[..shape[1] * pixels]);
    (shape.clone(), own.copied().collect())
}

#[test]
fn graphs_give_the_logits_of_pytorch() {
    let expected = expected();
    for (name, model) in models(&expected) {
        let (shape, x) = images(&expected, model);
        for file in files(model) {
            let image_shape = [shape[1], shape[2], shape[3]];
            let built = zoo::build(&open_fixture(file), Some(image_shape)).unwrap();
            verify(&built.graph).unwrap();
            assert_eq!(built.architecture, model["architecture"], "{file}");
            assert_eq!(built.classes, 7, "{file}");
            assert_eq!(built.image_shape, image_shape, "{file}");

            let logits = floats(&model["logits"]);
            let found = run(&built.graph, &shape, x.clone());
            let error = relative_error(&found, &logits);
            assert!(error < TOLERANCE_F64, "{name}, {file}: {error:e} in f64");

            let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
            let found: Vec<f64> = run(&built.graph, &shape, x)
                .into_iter()
                .map(f64::from)
                .collect();
            let error = relative_error(&found, &logits);
            assert!(error < TOLERANCE_F32, "{name}, {file}: {error:e} in f32");
        }
    }
}

#[test]
fn odin_scores_are_those_of_pytorch() {
    let expected = expected();
    let temperature = expected["temperature"].as_f64().unwrap();
    let magnitude = expected["magnitude"].as_f64().unwrap();
    for (name, model) in models(&expected) {
        let (shape, x) = images(&expected, model);
        let checkpoint = open_fixture(files(model)[0]);
        let image_shape = [shape[1], shape[2], shape[3]];
        let built = zoo::build(&checkpoint, Some(image_shape)).unwrap();
        let graph = odin::transform(&built.graph, 1).unwrap();
        let step = Array::new(vec![1, shape[1], 1, 1], vec![magnitude; shape[1]]);
        let inputs = [
            (zoo::INPUT, Array::new(shape, x)),
            (
                odin::names::TEMPERATURE,
                Array::new(vec![], vec![temperature]),
            ),
            (odin::names::STEP, step),
        ];
        let outputs = interpret(&graph, &inputs).unwrap();
        let place = |name| graph.outputs().iter().position(|o| o.name == name).unwrap();
        let scores = |output, temperature| -> Vec<f64> {
            let logits = outputs[place(output)].floats();
            logits
                .chunks(7)
                .map(|z| largest_softmax(z, temperature))
                .collect()
        };
        let cases = [
            ("msp", scores(odin::names::LOGITS, 1.0)),
            ("odin", scores(odin::names::PERTURBED_LOGITS, temperature)),
        ];
        for (score, found) in cases {
            let error = relative_error(&found, &floats(&model[score]));
            assert!(error < TOLERANCE_F64, "{name}: {score}: {error:e}");
        }
    }
}

fn largest_softmax(logits: &[f64], temperature: f64) -> f64 {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits
        .iter()
        .map(|z| ((z - largest) / temperature).exp())
        .sum();
    1.0 / sum
}

#[test]
fn image_shapes_have_defaults() {
    let cases = [
        ("densenet_bc.safetensors", [3, 32, 32]),
        ("densenet_plain_grey.safetensors", [1, 32, 32]),
        ("densenet_torchvision.safetensors", [3, 224, 224]),
        ("resnet_torchvision.safetensors", [3, 224, 224]),
    ];
    for (file, expected) in cases {
        let model = zoo::build(&open_fixture(file), None).unwrap();
        assert_eq!(model.image_shape, expected, "{file}");
    }
}

/// Tensors that can be changed before they become a checkpoint again.
type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn weights(file: &str) -> Weights {
    let checkpoint = open_fixture(file);
    let tensors = checkpoint.tensors();
    let owned = |(name, t): (&str, &odin_graph::Tensor)| {
        (name.to_owned(), (t.shape().to_vec(), t.data().to_vec()))
    };
    tensors.map(owned).collect()
}

fn checkpoint(weights: &Weights) -> Result<Checkpoint, Error> {
    checkpoint_of(weights, None)
}

fn checkpoint_of(weights: &Weights, wanted: Option<&str>) -> Result<Checkpoint, Error> {
    let mut options = ReadOptions::default();
    options.weights = wanted.map(str::to_owned);
    let bytes = |data: &[f32]| -> Vec<u8> { data.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let stored: Vec<_> = weights.iter().map(|(n, (s, d))| (n, s, bytes(d))).collect();
    let views = stored.iter().map(|(name, shape, data)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
        (name.as_str(), view)
    });
    let file = serialize(views, None).unwrap();
    Checkpoint::from_bytes_with(&file, "changed.safetensors", &options)
}

/// Lightning saves the tensors of a loss and of metrics beside the network's.
#[test]
fn what_lies_beside_a_network_is_left_aside_or_named() {
    let network = |prefix: &str| {
        let mut weights = weights("resnet_b.safetensors");
        rename(&mut weights, |name| format!("{prefix}{name}"));
        weights
    };
    let with = |extra: &[(&str, &[usize])]| {
        let mut weights = network("model.");
        for (name, shape) in extra {
            let data = vec![0.5; shape.iter().product()];
            weights.insert(name.to_string(), (shape.to_vec(), data));
        }
        weights
    };
    let vector = with(&[("criterion.weight", &[7]), ("best", &[])]);
    let layer = with(&[("criterion.weight", &[7]), ("head.weight", &[2, 7])]);
    let mut two = network("model.");
    two.extend(network("model_ema."));
    let mut deep = network("net.student.");
    deep.extend(network("net.teacher."));
    for (weights, wanted, expected) in [
        (&vector, None, Ok("`best`, `criterion.weight`")),
        (&vector, Some("model"), Ok("`best`, `criterion.weight`")),
        (
            &vector,
            Some("ema"),
            Err("no weights `ema`; the file has [\"model\"]"),
        ),
        (&layer, None, Err("may be layers of it: `head.weight`")),
        (
            &layer,
            Some("model"),
            Ok("`criterion.weight`, `head.weight`"),
        ),
        (&two, None, Err("under `model` and `model_ema`")),
        (&two, Some("ema"), Ok("under `model_ema`")),
        (&two, Some("model"), Ok("under `model`")),
        (&deep, Some("teacher"), Ok("under `net.teacher`")),
        (&deep, Some("net"), Err("give the whole name")),
    ] {
        let model = checkpoint_of(weights, wanted).and_then(|c| zoo::build(&c, None));
        match (model, expected) {
            (Ok(model), Ok(part)) => {
                assert_eq!(model.classes, 7);
                let [notice] = &model.notices[..] else {
                    panic!("{:?}", model.notices);
                };
                assert!(notice.contains(part), "{notice}");
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (other, _) => panic!("{wanted:?}: {:?}", other.map(|m| m.notices)),
        }
    }
    let alone = zoo::build(&checkpoint(&network("model.")).unwrap(), None).unwrap();
    assert_eq!(alone.notices, [""; 0]);
}

/// A file, a change to its weights, what becomes of it, and what the message must name.
type BadFit = (
    &'static str,
    fn(&mut Weights),
    ErrorKind,
    &'static [&'static str],
);

fn rename(weights: &mut Weights, change: impl Fn(&str) -> String) {
    *weights = weights
        .iter()
        .map(|(n, w)| (change(n), w.clone()))
        .collect();
}

const BAD_FITS: &[BadFit] = &[
    (
        "densenet_bc.safetensors",
        |w| drop(w.remove("block2.layer.0.conv2.weight")),
        ErrorKind::Mismatch,
        &[
            "changed.safetensors",
            "`block2.layer.0.conv2.weight` is missing",
        ],
    ),
    (
        "densenet_bc.safetensors",
        |w| {
            w.remove("fc.weight");
            rename(w, |n| format!("net.{n}"));
        },
        ErrorKind::Mismatch,
        &["`net.fc.weight` is missing"],
    ),
    (
        "densenet_bc.safetensors",
        |w| drop(w.insert("aux.weight".into(), (vec![1], vec![0.0]))),
        ErrorKind::Mismatch,
        &["`aux.weight` is left over"],
    ),
    (
        "resnet_b.safetensors",
        |w| {
            for i in 0..9 {
                w.insert(format!("aux.{i}"), (vec![1], vec![0.0]));
            }
        },
        ErrorKind::Mismatch,
        &["9 tensors are left over", "`aux.4`"],
    ),
    (
        "wide_resnet.safetensors",
        |w| w.get_mut("block1.layer.0.bn2.bias").unwrap().0 = vec![1, 2],
        ErrorKind::Mismatch,
        &["`block1.layer.0.bn2.bias`", "expected [2]", "found [1, 2]"],
    ),
    (
        "wide_resnet.safetensors",
        |w| drop(w.insert("fc.weight".into(), (vec![7, 3], vec![0.0; 21]))),
        ErrorKind::Mismatch,
        &["`fc.weight`", "expected [any, 8]", "found [7, 3]"],
    ),
    (
        "wide_resnet.safetensors",
        |w| drop(w.remove("bn1.weight")),
        ErrorKind::Mismatch,
        &["`bn1.weight` is missing"],
    ),
    (
        "resnet_downsample.safetensors",
        |w| drop(w.insert("layer2.0.conv1.weight".into(), (vec![4], vec![0.0; 4]))),
        ErrorKind::Mismatch,
        &[
            "`layer2.0.conv1.weight`",
            "expected [4, 2, 3, 3]",
            "found [4]",
        ],
    ),
    (
        "resnet_a.safetensors",
        |w| w.get_mut("layer1.0.bn1.running_var").unwrap().1[0] = -1.0,
        ErrorKind::Mismatch,
        &["`layer1.0.bn1.running_var` holds -1"],
    ),
    (
        "resnet_a.safetensors",
        |w| w.get_mut("layer1.0.conv1.weight").unwrap().1[5] = f32::NAN,
        ErrorKind::NotFinite,
        &["`layer1.0.conv1.weight` holds NaN at element 5"],
    ),
    (
        "resnet_a.safetensors",
        |w| w.get_mut("linear.bias").unwrap().1[1] = f32::NEG_INFINITY,
        ErrorKind::NotFinite,
        &["`linear.bias` holds -inf"],
    ),
    (
        "resnet_a.safetensors",
        |w| rename(w, |n| n.replace("layer", "stage")),
        ErrorKind::UnknownArchitecture,
        &[
            "Known: DenseNet",
            "Wide ResNet",
            "ResNet",
            "bn1.bias",
            "torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), \"model.onnx\"",
        ],
    ),
    (
        "resnet_a.safetensors",
        |w| {
            let block: Vec<_> = w
                .iter()
                .filter(|(n, _)| n.starts_with("layer2.0"))
                .collect();
            let copy = |(n, v): &(&String, &(Vec<usize>, Vec<f32>))| {
                (n.replace(".0", ".99999999999999999999"), (*v).clone())
            };
            let huge: Weights = block.iter().map(copy).collect();
            w.extend(huge);
        },
        ErrorKind::Mismatch,
        &["left over", "layer2.99999999999999999999"],
    ),
    (
        "resnet_a.safetensors",
        |w| rename(w, |n| n.replace("layer2.0", "layer2.18446744073709551615")),
        ErrorKind::Mismatch,
        &["`layer2.0.conv2.weight` is missing"],
    ),
];

#[test]
fn batch_counters_saved_as_floats_are_left_out() {
    for counter in [1563.0, f32::INFINITY] {
        let mut changed = weights("resnet_a.safetensors");
        let layers: Vec<String> = changed
            .keys()
            .filter_map(|n| n.strip_suffix("running_var").map(str::to_owned))
            .collect();
        for layer in layers {
            changed.insert(layer + "num_batches_tracked", (vec![], vec![counter]));
        }
        let checkpoint = checkpoint(&changed).unwrap();
        assert!(
            checkpoint
                .set_aside()
                .contains(&"bn1.num_batches_tracked".to_owned())
        );
        zoo::build(&checkpoint, None).unwrap();
    }
}

#[test]
fn gaps_between_stages_take_little_time() {
    const COUNT: usize = 100_000;
    let mut changed = weights("resnet_a.safetensors");
    let scalar = || (vec![1], vec![0.0]);
    changed.insert(format!("layer{COUNT}.x"), scalar());
    changed.extend((0..COUNT).map(|i| (format!("layer1.x.{i}"), scalar())));
    let checkpoint = checkpoint(&changed).unwrap();
    let start = Instant::now();
    let error = zoo::build(&checkpoint, None).expect_err("too many tensors");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert!(
        error.to_string().contains("100001 tensors are left over"),
        "{error}"
    );
}

/// The network of one number `z` gives `-z/2` and `z/2`, `z` being the first logit of the other.
#[test]
fn a_single_logit_is_two_classes() {
    let mut single = weights("resnet_a.safetensors");
    let features = single["linear.weight"].0[1];
    let weight = single["linear.weight"].1[..features].to_vec();
    let bias = single["linear.bias"].1[..1].to_vec();
    single.insert("linear.weight".into(), (vec![1, features], weight));
    single.insert("linear.bias".into(), (vec![1], bias));
    let logits = |weights: &Weights| {
        let model = zoo::build(&checkpoint(weights).unwrap(), Some([3, 8, 8])).unwrap();
        let pixels = (0..3 * 64).map(|i| f64::from(i % 7) / 7.0).collect();
        let images = Array::new(vec![1, 3, 8, 8], pixels);
        let name = model.graph.inputs().next().unwrap().1.name.clone();
        let outputs = interpret(&model.graph, &[(name.as_str(), images)]).unwrap();
        (outputs[0].floats().to_vec(), model)
    };
    let (all, _) = logits(&weights("resnet_a.safetensors"));
    let (two, model) = logits(&single);
    for (found, expected) in two.iter().zip([-all[0] / 2.0, all[0] / 2.0]) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
    assert_eq!(model.classes, 2);
    for part in ["sigmoid of z", "regression"] {
        assert!(model.notices[0].contains(part), "{:?}", model.notices);
    }
    assert!(linear_head(&model.graph).is_ok());
}

#[test]
fn a_checkpoint_that_does_not_fit_says_where() {
    for (file, change, kind, names) in BAD_FITS {
        let mut changed = weights(file);
        change(&mut changed);
        let result = checkpoint(&changed).and_then(|c| zoo::build(&c, None));
        let error = result.expect_err(names[0]);
        assert_eq!(error.kind(), *kind, "{error}");
        for name in *names {
            let found = error.to_string().contains(name);
            assert!(found, "{name:?} not in: {error}");
        }
    }
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let cases = [
        (
            "densenet_bc.safetensors",
            [1, 32, 32],
            "takes images of 3 channels",
        ),
        ("densenet_bc.safetensors", [3, 2, 2], "too small"),
        ("densenet_bc.safetensors", [3, 0, 0], "too small"),
        ("resnet_a.safetensors", [3, usize::MAX, usize::MAX], ""),
    ];
    for (file, shape, message) in cases {
        let error = zoo::build(&open_fixture(file), Some(shape)).expect_err(file);
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}
