//! Whatever a file holds, reading it ends in a graph or an error, soon and in bounded memory.

use odin_formats::onnx::{self, ReadOptions};
use odin_graph::{Array, Graph, interpret, odin, verify};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/onnx");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    let read = |path: PathBuf| (path.clone(), std::fs::read(path).unwrap());
    files.into_iter().map(read).collect()
}

/// A damaged file that is still read gives a sound graph, and ODIN around it or an error.
fn try_to_read(bytes: &[u8]) {
    match onnx::read(bytes, "damaged.onnx", &ReadOptions::default()) {
        Ok(model) => {
            verify(&model.graph).unwrap();
            let _ = odin::transform(&model.graph, 1);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("damaged.onnx: "), "{message}");
            assert!(message.len() < 20_000, "{}", message.len());
        }
    }
    if let Ok(graph) = onnx::read_graph(bytes, "damaged.onnx") {
        verify(&graph).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        try_to_read(&bytes);
    }

    #[test]
    fn truncated(pick: prop::sample::Index, cut: prop::sample::Index) {
        let files = fixtures();
        let (_, bytes) = pick.get(&files);
        try_to_read(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn damaged(pick: prop::sample::Index, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let files = fixtures();
        let (_, mut bytes) = pick.get(&files).clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        try_to_read(&bytes);
    }
}

/// Damage among the first bytes of each node, where names, operators and attributes are, rather
/// than in the weights.
#[test]
fn damage_outside_of_weights() {
    for (path, bytes) in fixtures() {
        let text = |b: u8| b.is_ascii_graphic();
        let places: Vec<usize> = (1..bytes.len())
            .filter(|&i| text(bytes[i]) != text(bytes[i - 1]))
            .collect();
        let step = places.len().div_ceil(40).max(1);
        for (k, &at) in places.iter().step_by(step).enumerate() {
            let mut damaged = bytes.clone();
            damaged[at] = [0, 1, 0x7f, 0xff, bytes[at] ^ 1][k % 5];
            try_to_read(&damaged);
        }
        assert!(path.exists());
    }
}

/// A file is bytes of protobuf: fields of a tag and a payload.
mod protobuf {
    fn varint(mut n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let more = n > 127;
            bytes.push((n & 127) as u8 | if more { 128 } else { 0 });
            n >>= 7;
            if !more {
                return bytes;
            }
        }
    }

    pub(super) fn field(tag: usize, payload: &[u8]) -> Vec<u8> {
        [&varint(tag << 3 | 2)[..], &varint(payload.len()), payload].concat()
    }

    pub(super) fn number(tag: usize, n: usize) -> Vec<u8> {
        [varint(tag << 3), varint(n)].concat()
    }

    pub(super) fn node(op: &str, inputs: &[&str], output: &str, domain: &str) -> Vec<u8> {
        let inputs = inputs.iter().map(|i| field(1, i.as_bytes()));
        let mut bytes = inputs.collect::<Vec<_>>().concat();
        bytes.extend(field(2, output.as_bytes()));
        bytes.extend(field(4, op.as_bytes()));
        bytes.extend(field(7, domain.as_bytes()));
        bytes
    }

    /// A model of these nodes, from `x [N, 4]` to `y`, with more fields of the graph and the model.
    pub(super) fn model(nodes: &[Vec<u8>], graph: &[u8], model: &[u8]) -> Vec<u8> {
        let dims = [field(1, &field(2, b"N")), field(1, &number(1, 4))].concat();
        let ty = field(2, &field(1, &[number(1, 1), field(2, &dims)].concat()));
        let nodes = nodes
            .iter()
            .map(|n| field(1, n))
            .collect::<Vec<_>>()
            .concat();
        let input = field(11, &[field(1, b"x"), ty].concat());
        let output = field(12, &field(1, b"y"));
        let opset = field(8, &number(2, 13));
        let graph = field(7, &[&nodes[..], &input, &output, graph].concat());
        [&opset[..], &graph, model].concat()
    }
}

/// A file whose weights lie in another one, which is gone after the first graph was made.
#[test]
fn a_file_is_read_once() {
    use protobuf::{field, model, node, number};
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let data = folder.join("weights_of_onnx_robust.bin");
    let weights: Vec<u8> = (0..8).flat_map(|v| (v as f32).to_le_bytes()).collect();
    std::fs::write(&data, weights).unwrap();
    let location = [
        field(1, b"location"),
        field(2, b"weights_of_onnx_robust.bin"),
    ];
    let tensor = [
        number(1, 4),
        number(1, 2),
        number(2, 1),
        field(8, b"w"),
        field(13, &location.concat()),
        number(14, 1),
    ];
    let nodes = [node("MatMul", &["x", "w"], "y", "")];
    let bytes: Arc<[u8]> = model(&nodes, &field(5, &tensor.concat()), &[]).into();

    let error = onnx::File::parse(Arc::clone(&bytes), "alone", None).unwrap();
    let error = error.classifier(&ReadOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("alone: "), "{error}");

    let file = onnx::File::parse(bytes, "external", Some(&folder)).unwrap();
    let mut wrong = ReadOptions::default();
    wrong.input_shape = Some(vec![Some(5)]);
    let refused = file.classifier(&wrong).unwrap_err();
    assert_eq!(refused.kind(), odin_formats::ErrorKind::Mismatch);
    let first = file.classifier(&ReadOptions::default()).unwrap();
    std::fs::remove_file(&data).unwrap();
    let second = file.classifier(&ReadOptions::default()).unwrap();
    assert_eq!((first.classes, second.classes), (2, 2));
    let whole = file.graph().unwrap();
    let constant = |graph: &Graph| {
        let mut constants = graph.values().filter_map(|v| graph.constant_value(v));
        constants.next().unwrap().data().as_ptr()
    };
    let places = [&first.graph, &second.graph, &whole].map(constant);
    assert!(places.iter().all(|place| *place == places[0]));
}

/// An external tensor `w` of these extents in a file beside the model, multiplied by `x`.
fn with_external(location: &str, dims: [usize; 2]) -> Vec<u8> {
    use protobuf::{field, model, node, number};
    let place = [field(1, b"location"), field(2, location.as_bytes())];
    let tensor = [
        number(1, dims[0]),
        number(1, dims[1]),
        number(2, 1),
        field(8, b"w"),
        field(13, &place.concat()),
        number(14, 1),
    ];
    let nodes = [node("MatMul", &["x", "w"], "y", "")];
    model(&nodes, &field(5, &tensor.concat()), &[])
}

#[cfg(unix)]
fn make_fifo(path: &std::path::Path) {
    let _ = std::fs::remove_file(path);
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Weights in a FIFO, a folder, or a hole of 50 GB.
#[cfg(unix)]
#[test]
fn external_data_must_be_on_the_disk() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("external_of_onnx_robust");
    std::fs::create_dir_all(folder.join("folder")).unwrap();
    make_fifo(&folder.join("fifo"));
    let sparse = std::fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(50_000_000_000).unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    std::fs::write(folder.join("pointer"), pointer).unwrap();
    let cases = [
        (
            "pointer",
            64,
            "pointer: expected the weights of the model, but this is a Git LFS",
        ),
        ("fifo", 2, "is not a regular file but a FIFO"),
        ("folder", 2, "is not a regular file but a directory"),
        ("missing", 2, "missing: "),
        ("sparse", 3_125_000_000, "unfold to more than"),
        ("sparse", 6_250_000_000, "it has 50000000000 bytes"),
    ];
    for (location, columns, expected) in cases {
        let bytes = with_external(location, [4, columns]);
        let file = onnx::File::parse(bytes, "external", Some(&folder)).unwrap();
        let error = file.classifier(&ReadOptions::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    std::fs::remove_file(folder.join("sparse")).unwrap();
}

#[cfg(unix)]
#[test]
fn only_regular_files_are_opened() {
    let fifo = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fifo_of_onnx_robust.onnx");
    make_fifo(&fifo);
    let zero = PathBuf::from("/dev/zero");
    for (path, what) in [(&fifo, "a FIFO"), (&zero, "a device")] {
        let error = onnx::File::open(path).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), odin_formats::ErrorKind::Io);
        let expected = format!("{} is not a regular file but {what}", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

/// What an operator of `x [N, 4]` gives for 1, 2, 3, 4.
fn of_four(node: Vec<u8>, graph: &[u8]) -> Vec<f64> {
    let bytes = protobuf::model(&[node], graph, &[]);
    let graph = onnx::read_graph(&bytes, "four").unwrap();
    let x = Array::new(vec![1, 4], vec![1.0, 2.0, 3.0, 4.0]);
    let outputs = interpret::<f64>(&graph, &[("x", x)]).unwrap();
    outputs[0].floats().to_vec()
}

/// Windows and repetitions that are larger than what they are over.
#[test]
fn large_settings_mean_what_they_say() {
    use protobuf::{field, node, number};
    let int = |name: &str, i: usize| {
        let value = [field(1, name.as_bytes()), number(3, i), number(20, 2)];
        field(5, &value.concat())
    };
    let real = |name: &str, x: f32| {
        let tag = vec![2 << 3 | 5];
        let value = [tag, x.to_le_bytes().to_vec()].concat();
        field(
            5,
            &[field(1, name.as_bytes()), value, number(20, 1)].concat(),
        )
    };
    // alpha / size = 1 and beta = 1: every channel is divided by 1 + 30, the sum of all squares.
    let size = 1 << 20;
    let settings = [
        int("size", size),
        real("alpha", size as f32),
        real("beta", 1.0),
    ];
    let lrn = [node("LRN", &["x"], "y", ""), settings.concat()].concat();
    for (y, x) in of_four(lrn, &[]).iter().zip([1.0, 2.0, 3.0, 4.0]) {
        assert!((y - x / 31.0).abs() < 1e-6, "{y}");
    }
    let tensor = [
        number(1, 2),
        number(2, 7),
        field(8, b"c"),
        number(7, 1),
        number(7, 3),
    ];
    let tiled = of_four(
        node("Tile", &["x", "c"], "y", ""),
        &field(5, &tensor.concat()),
    );
    assert_eq!(tiled, [1.0, 2.0, 3.0, 4.0].repeat(3));
}

/// Small files that unfold to gigabytes, or to work without end, unless that is counted.
#[test]
fn files_that_unfold() {
    use protobuf::{field, model, node, number};
    let chain = |op: &str, twice: bool, length: usize| {
        let mut nodes = Vec::new();
        let mut last = "a".to_string();
        for i in 0..length {
            let next = format!("c{i}");
            let inputs = if twice {
                vec![&last[..]; 2]
            } else {
                vec![&last[..]]
            };
            nodes.push(node(op, &inputs, &next, ""));
            last = next;
        }
        nodes.push(node("Reshape", &["x", &last], "y", ""));
        nodes
    };
    let zeros = |count: usize| {
        let tensor = [
            number(1, count),
            number(2, 7),
            field(8, b"a"),
            field(9, &vec![0; count * 8]),
        ];
        field(5, &tensor.concat())
    };
    let function = |depth: usize| {
        let inner = depth.checked_sub(1).map(|d| format!("F{d}"));
        let call = |i: usize| {
            let input = if i == 0 {
                "i".to_string()
            } else {
                format!("t{}", i - 1)
            };
            let (op, domain) = match &inner {
                Some(inner) => (inner.as_str(), "f"),
                None => ("Relu", ""),
            };
            field(7, &node(op, &[&input], &format!("t{i}"), domain))
        };
        let body = (0..8).flat_map(call).collect::<Vec<u8>>();
        let name = field(1, format!("F{depth}").as_bytes());
        field(
            25,
            &[name, field(4, b"i"), field(5, b"t7"), body, field(10, b"f")].concat(),
        )
    };
    let functions: Vec<u8> = (0..14).flat_map(function).collect();
    let cases = [
        (
            "doubling",
            model(&chain("Concat", true, 40), &zeros(1000), &[]),
        ),
        (
            "copying",
            model(&chain("Identity", false, 20_000), &zeros(50_000), &[]),
        ),
        (
            "calling",
            model(&[node("F13", &["x"], "y", "f")], &[], &functions),
        ),
        ("empty nodes", model(&vec![Vec::new(); 200_000], &[], &[])),
    ];
    for (name, bytes) in cases {
        assert!(bytes.len() < 2_000_000, "{name}: {}", bytes.len());
        try_to_read(&bytes);
        let error = onnx::read(&bytes, name, &ReadOptions::default()).unwrap_err();
        println!("{name}: {} bytes: {error:.200}", bytes.len());
    }
}
