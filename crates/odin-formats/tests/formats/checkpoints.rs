//! Every container gives the same weights; what is no checkpoint says so; nothing panics.

mod hostile;

use std::io::Write;

use crate::common::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use odin_formats::{Checkpoint, Container, Error, ErrorKind, ReadOptions, zoo};
use proptest::prelude::*;

/// A file, its container, the key of the weights, and metadata that it must have.
type Case = (
    &'static str,
    Container,
    Option<&'static str>,
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    (
        "densenet_bc.zip.pth",
        Container::TorchZip,
        Some("state_dict"),
        &[("epoch", "100"), ("arch", "densenet")],
    ),
    ("densenet_bc.legacy.pth", Container::TorchLegacy, None, &[]),
    ("densenet_bc.tar.pth", Container::TorchTar, None, &[]),
    ("densenet_bc.tar_module.pth", Container::TorchTar, None, &[]),
    ("densenet_bc.module_zip.pth", Container::TorchZip, None, &[]),
    (
        "densenet_bc.module_legacy.pth",
        Container::TorchLegacy,
        None,
        &[],
    ),
    (
        "densenet_bc.module_2017.pth",
        Container::TorchLegacy,
        None,
        &[],
    ),
    ("densenet_bc.pth.tar.gz", Container::TorchLegacy, None, &[]),
    (
        "densenet_bc.parallel_module.pth",
        Container::TorchLegacy,
        Some("net"),
        &[("epoch", "3")],
    ),
    (
        "densenet_bc.nested.th",
        Container::TorchLegacy,
        Some("model.state_dict"),
        &[],
    ),
    ("densenet_bc.f64.pth", Container::TorchLegacy, None, &[]),
    ("densenet_bc_f16.pth", Container::TorchZip, None, &[]),
    ("densenet_bc_bf16.pth", Container::TorchZip, None, &[]),
    (
        "densenet_bc.safetensors",
        Container::Safetensors,
        None,
        &[("epoch", "100"), ("arch", "densenet")],
    ),
    (
        "wide_resnet.pt",
        Container::TorchZip,
        Some("model_state_dict"),
        &[("epoch", "99")],
    ),
    ("wide_resnet.tar.pth", Container::TorchTar, None, &[]),
    (
        "wide_resnet.module_2017.pth",
        Container::TorchLegacy,
        None,
        &[],
    ),
    (
        "resnet_a.legacy.th",
        Container::TorchLegacy,
        Some("state_dict"),
        &[("best_prec1", "91.7")],
    ),
    (
        "resnet_a.module_2017.pth",
        Container::TorchLegacy,
        None,
        &[],
    ),
];

#[test]
fn containers_are_recognised_by_content() {
    for (file, container, key, metadata) in CASES {
        let checkpoint = Checkpoint::from_bytes(&fixture(file), "some file").expect(file);
        assert_eq!(checkpoint.container(), *container, "{file}");
        assert_eq!(checkpoint.key(), *key, "{file}");
        assert_eq!(checkpoint.name(), "some file");
        let found: Vec<_> = checkpoint.metadata().collect();
        for entry in *metadata {
            assert!(found.contains(entry), "{file}: {found:?}");
        }
    }
}

#[test]
fn all_containers_give_the_same_weights() {
    let expected = expected();
    for (_, model) in models(&expected) {
        let files = files(model);
        let first = open_fixture(files[0]);
        for file in &files[1..] {
            let other = open_fixture(file);
            assert_eq!(first.tensors().len(), other.tensors().len(), "{file}");
            for (name, tensor) in first.tensors() {
                assert_eq!(Some(tensor), other.get(name), "{file}: {name}");
            }
        }
    }
}

fn read_as(object: &[u8], weights: Option<&str>) -> Result<Checkpoint, Error> {
    let mut options = ReadOptions::default();
    options.weights = weights.map(str::to_owned);
    Checkpoint::from_bytes_with(&saved(object), "several.pth", &options)
}

/// Trained weights and averaged ones, under the names that training programs give them.
#[test]
fn of_several_weights_one_is_taken_and_the_others_are_named() {
    let some = || dict(&[("w", tensor(0, &[2], &[1]))]);
    let other = || dict(&[("w", tensor(0, &[1], &[1]))]);
    let inside = |inner: Vec<u8>| dict(&[("checkpoint", inner)]);
    for (object, key, others, asked) in [
        (
            dict(&[("state_dict", some()), ("state_dict_ema", other())]),
            "state_dict",
            "state_dict_ema",
            ["ema", "state_dict_ema"],
        ),
        (
            dict(&[("ema_state_dict", other()), ("state_dict", some())]),
            "state_dict",
            "ema_state_dict",
            ["EMA", "ema_state_dict"],
        ),
        (
            dict(&[("model", some()), ("model_ema", other())]),
            "model",
            "model_ema",
            ["ema", "model_ema"],
        ),
        (
            dict(&[("ema", other()), ("net", some())]),
            "net",
            "ema",
            ["ema", "ema"],
        ),
        (
            inside(dict(&[("model", some()), ("ema", other())])),
            "checkpoint.model",
            "checkpoint.ema",
            ["ema", "checkpoint.ema"],
        ),
    ] {
        let taken = read_as(&object, None).unwrap();
        assert_eq!(
            (taken.key(), taken.others()),
            (Some(key), &[others.to_owned()][..])
        );
        assert_eq!(taken.get("w").unwrap().shape(), [2]);
        for weights in asked {
            let taken = read_as(&object, Some(weights)).unwrap();
            assert_eq!(taken.key(), Some(others), "{weights}");
            assert_eq!(taken.others(), [key], "{weights}");
            assert_eq!(taken.get("w").unwrap().shape(), [1], "{weights}");
        }
        assert_eq!(read_as(&object, Some(key)).unwrap().key(), Some(key));
    }
}

#[test]
fn weights_under_no_known_key_are_asked_for() {
    let some = || dict(&[("w", tensor(0, &[2], &[1]))]);
    let object = dict(&[("generator_a", some()), ("generator_b", some())]);
    for (weights, key) in [
        (Some("a"), Ok("generator_a")),
        (Some("generator_b"), Ok("generator_b")),
    ]
    .into_iter()
    .chain([
        (None, Err("say which `weights`")),
        (Some("generator"), Err("give the whole key")),
    ]) {
        match (read_as(&object, weights), key) {
            (Ok(taken), Ok(key)) => assert_eq!(taken.key(), Some(key)),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (other, _) => panic!("{weights:?}: {other:?}"),
        }
    }
}

#[test]
fn batch_counters_are_set_aside_and_order_is_kept() {
    let checkpoint = open_fixture("resnet_a.legacy.th");
    assert_eq!(checkpoint.set_aside()[0], "bn1.num_batches_tracked");
    let names: Vec<&str> = checkpoint.tensors().map(|(name, _)| name).take(3).collect();
    assert_eq!(names, ["conv1.weight", "bn1.weight", "bn1.bias"]);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A legacy container around this pickle of the saved object, without storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    legacy_with(object, b"\x80\x02].")
}

/// A legacy container of a saved object, and the list of storage keys with the storages.
fn legacy_with(object: &[u8], keys_and_storages: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
    let protocol = b"\x80\x02M\xe9\x03.";
    let facts = b"\x80\x02}.";
    [&magic[..], protocol, facts, object, keys_and_storages].concat()
}

/// A pickled text.
fn text(text: &str) -> Vec<u8> {
    [b"U", &[text.len() as u8][..], text.as_bytes()].concat()
}

/// A pickled tuple of numbers.
fn tuple(numbers: &[u32]) -> Vec<u8> {
    let numbers = numbers
        .iter()
        .map(|n| [b"J", &n.to_le_bytes()[..]].concat());
    [b"(", numbers.collect::<Vec<_>>().concat().as_slice(), b"t"].concat()
}

/// A pickled tensor: a view of this shape and these strides into the storage 0 of two floats or
/// the storage 1 of eight bytes.
fn tensor(storage: usize, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let (class, key, count) = [
        ("FloatStorage", "0", b"K\x02"),
        ("ByteStorage", "1", b"K\x08"),
    ][storage];
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        text(key),
        text("cpu"),
        count.to_vec(),
        b"NtQK\x00".to_vec(),
        tuple(shape),
        tuple(strides),
        b"\x89NtR".to_vec(),
    ]
    .concat()
}

/// A pickled dict.
fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries
        .iter()
        .map(|(key, value)| [&text(key), &value[..], b"s"].concat());
    [&b"}"[..], &entries.collect::<Vec<_>>().concat()].concat()
}

/// What `torch.save` wrote of this object, whose tensors are those of [`tensor`]: the floats are
/// 0.5 and -2.
fn saved(object: &[u8]) -> Vec<u8> {
    let object = [b"\x80\x02", object, b"."].concat();
    let mut keys = b"\x80\x02]".to_vec();
    let mut storages = Vec::new();
    let floats = [0.5f32, -2.0].map(f32::to_le_bytes).concat();
    let all: [(&str, &str, i64, &[u8]); 2] = [
        ("FloatStorage", "0", 2, &floats),
        ("ByteStorage", "1", 8, b"bytes..."),
    ];
    for (class, key, count, content) in all {
        if object.windows(class.len()).any(|w| w == class.as_bytes()) {
            keys.extend([text(key), b"a".to_vec()].concat());
            storages.extend([&count.to_le_bytes(), content].concat());
        }
    }
    legacy_with(&object, &[&keys[..], b".", &storages].concat())
}

#[test]
fn weights_are_found_beside_the_state_of_a_random_generator() {
    let weight = || tensor(0, &[2], &[1]);
    let rng = || ("rng", tensor(1, &[8], &[1]));
    let cases: [(Vec<u8>, Option<&str>, &[&str]); 3] = [
        (
            dict(&[("my_net", dict(&[("w", weight())])), rng()]),
            Some("my_net"),
            &[],
        ),
        (
            dict(&[rng(), ("my_net", dict(&[("w", weight())]))]),
            Some("my_net"),
            &[],
        ),
        (dict(&[("w", weight()), rng()]), None, &["rng"]),
    ];
    for (object, key, set_aside) in cases {
        let checkpoint = Checkpoint::from_bytes(&saved(&object), "rng.pth").unwrap();
        assert_eq!(checkpoint.key(), key);
        assert_eq!(checkpoint.get("w").unwrap().data(), [0.5, -2.0]);
        assert_eq!(checkpoint.set_aside(), set_aside);
    }
}

#[test]
fn batch_counters_are_set_aside_as_floats_too() {
    let counter = tensor(0, &[], &[]);
    let object = dict(&[
        ("bn.weight", tensor(0, &[2], &[1])),
        ("bn.num_batches_tracked", counter),
    ]);
    let checkpoint = Checkpoint::from_bytes(&saved(&object), "swa.pth").unwrap();
    assert_eq!(checkpoint.set_aside(), ["bn.num_batches_tracked"]);
    assert_eq!(checkpoint.tensors().len(), 1);
}

#[test]
fn expanded_tensors_are_read_up_to_a_limit() {
    let cases: [(&[u32], &[u32], &[f32]); 3] = [
        (&[3], &[0], &[0.5; 3]),
        (&[2, 2], &[1, 0], &[0.5, 0.5, -2.0, -2.0]),
        (&[1000, 1000], &[0, 0], &[0.5; 1_000_000]),
    ];
    for (shape, strides, expected) in cases {
        let object = dict(&[("w", tensor(0, shape, strides))]);
        let checkpoint = Checkpoint::from_bytes(&saved(&object), "expanded.pth").unwrap();
        assert_eq!(checkpoint.get("w").unwrap().data(), expected);
    }
    // Four gigabytes in one tensor, and in many that are each within the limit.
    let one = dict(&[("w", tensor(0, &[1 << 15, 1 << 15], &[0, 0]))]);
    let names: Vec<String> = (0..64).map(|i| i.to_string()).collect();
    let many = names
        .iter()
        .map(|n| (n.as_str(), tensor(0, &[1 << 24], &[0])));
    for object in [one, dict(&many.collect::<Vec<_>>())] {
        let error = refused(&saved(&object));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(".contiguous()"), "{error}");
    }
    let past_the_end = dict(&[("w", tensor(0, &[3, 2], &[0, 2]))]);
    assert_eq!(refused(&saved(&past_the_end)).kind(), ErrorKind::Corrupt);
}

fn refused(bytes: &[u8]) -> Error {
    Checkpoint::from_bytes(bytes, "bad.pth").expect_err("refused")
}

#[test]
fn what_is_no_checkpoint_says_what_it_is() {
    let state_dict = fixture("densenet_bc.legacy.pth");
    let module_name = b"\x80\x02X\x03\x00\x00\x00net.";
    let empty = b"\x80\x02}.";
    let one_tensor = saved(&tensor(0, &[2], &[1]));
    let truncated_gzip = &gzip(&state_dict)[..200];
    let nested = (0..6).fold(state_dict.clone(), |inner, _| gzip(&inner));
    let two = tar(&[("a.pth", &state_dict), ("b.pth", &state_dict)]);
    let cases: [(&[u8], ErrorKind, &str); 15] = [
        (b"", ErrorKind::UnknownContainer, "empty"),
        (
            b"<!DOCTYPE html><html>",
            ErrorKind::UnknownContainer,
            "web page",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1",
            ErrorKind::UnknownContainer,
            "git lfs pull",
        ),
        (
            b"some text that is no model at all",
            ErrorKind::UnknownContainer,
            "expected a PyTorch checkpoint",
        ),
        (
            b"\x80\x02}.",
            ErrorKind::UnknownContainer,
            "a pickle that torch.save did not write",
        ),
        (&legacy(module_name), ErrorKind::NoWeights, "a string"),
        (&legacy(empty), ErrorKind::NoWeights, "a dict"),
        (
            &one_tensor,
            ErrorKind::NoWeights,
            "the saved object is a tensor, without",
        ),
        (
            &one_tensor[..one_tensor.len() - 1],
            ErrorKind::Corrupt,
            "bad.pth: storage `0`: the file ends",
        ),
        (truncated_gzip, ErrorKind::Corrupt, "gzip"),
        (&nested, ErrorKind::Unsupported, "unpack"),
        (&two, ErrorKind::NoWeights, "a.pth"),
        (
            &state_dict[..state_dict.len() - 1],
            ErrorKind::Corrupt,
            "truncated",
        ),
        (&state_dict[..3000], ErrorKind::Corrupt, "truncated"),
        (
            &fixture("densenet_bc.zip.pth")[..9000],
            ErrorKind::Corrupt,
            "zip",
        ),
    ];
    for (bytes, kind, message) in cases {
        let error = refused(bytes);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{message:?}: {error}");
        assert!(error.to_string().starts_with("bad.pth: "), "{error}");
    }
}

#[test]
fn nothing_but_a_regular_file_is_opened() {
    for path in [fixture_path(""), fixture_path("absent.pth")] {
        let error = Checkpoint::open(&path).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("fixtures"), "{error}");
    }
}

#[test]
fn wrappers_are_unwrapped() {
    let state_dict = fixture("densenet_bc.safetensors");
    let cases = [
        gzip(&state_dict),
        tar(&[
            ("./readme.txt", b"about"),
            ("x/model.safetensors", &state_dict),
        ]),
        gzip(&tar(&[("weights", &state_dict)])),
    ];
    for bytes in cases {
        let checkpoint = Checkpoint::from_bytes(&bytes, "wrapped").unwrap();
        assert_eq!(checkpoint.container(), Container::Safetensors);
    }
}

/// Reads and builds; any outcome but a panic is right.
fn try_all(bytes: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::from_bytes(bytes, "arbitrary") {
        let _ = zoo::build(&checkpoint, None);
    }
}

/// Every opcode, and bytes that are likely operands.
fn pickle_like() -> impl Strategy<Value = Vec<u8>> {
    let opcodes = b"(.012FIJKLMNPQRSTUVXacdeghijloprstu}])bGB\x81\x85\x86\x87\x88\x89\x8a\x8b\
        C\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\n\x00\x01\x02\x03";
    prop::collection::vec(prop::sample::select(opcodes.to_vec()), 0..200)
}

fn a_fixture() -> impl Strategy<Value = Vec<u8>> {
    let files: Vec<&str> = CASES.iter().map(|(file, ..)| *file).collect();
    prop::sample::select(files).prop_map(fixture)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        try_all(&bytes);
    }

    #[test]
    fn arbitrary_pickles_never_panic(object in pickle_like()) {
        try_all(&legacy(&object));
    }

    #[test]
    fn truncated_files_never_panic(file in a_fixture(), keep in 0.0..1.0) {
        try_all(&file[..(file.len() as f64 * keep) as usize]);
    }

    #[test]
    fn damaged_files_never_panic(
        file in a_fixture(),
        damage in prop::collection::vec((0.0..1.0, any::<u8>()), 1..8),
    ) {
        let mut file = file;
        let length = file.len();
        for (place, byte) in damage {
            file[(place * length as f64) as usize] = byte;
        }
        try_all(&file);
    }
}
