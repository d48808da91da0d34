//! What the program says of an error of the library: its words, and below them the option or the
//! command that helps.

use std::path::Path;
use std::process::Command;

/// Arguments, what the library says and what the program adds; no option is in the former.
const ERRORS: [(&str, &str, &str); 8] = [
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset wide.npy",
        "8x12 (height x width)",
        "Images are only resized when asked to: --transform resize:HxW; --image-size gives a checkpoint's own size, if it is another.",
    ),
    (
        "score --detector moved.toml {demo}/in.npy",
        "of the detector is not there",
        "--nn gives the present path of the model.",
    ),
    (
        "compile --detector moved.toml -o d.onnx",
        "of the detector is not there",
        "--nn gives the present path of the model.",
    ),
    (
        "score --detector none.toml {demo}/in.npy",
        "this is no calibrated detector",
        "`odin calibrate` writes detectors, and `odin tune -o tuned.toml` settings for its --tuned.",
    ),
    (
        "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --tuned none.toml -o d.toml",
        "this is no tuned setting",
        "`odin calibrate` writes detectors, and `odin tune -o tuned.toml` settings for its --tuned.",
    ),
    (
        "verify {demo}/model.safetensors --nn {demo}/model.safetensors",
        "this is no compiled detector",
        "`odin compile` writes compiled detectors.",
    ),
    (
        "inspect open.onnx",
        "input \"x\": its shape [?, 1, ?, ?] leaves extents open",
        "--image-size HxW gives the size of the images, or `size` in model.toml.",
    ),
    (
        "inspect two.onnx",
        "each of its outputs [\"one\", \"two\"] may hold the logits",
        "--output NAME takes one, or `output` in model.toml.",
    ),
];

/// An ONNX file of nodes that each turn images `x` of one channel into an output `[N, 4]`; the
/// size of the images is 2x2, or left open.
fn onnx(size: Option<u8>, outputs: &[&str]) -> Vec<u8> {
    let number = |tag: u8, value: u8| vec![tag << 3, value];
    let field = |tag: u8, payload: &[u8]| {
        let len = u8::try_from(payload.len()).unwrap();
        assert!(len < 128, "a longer length takes two bytes");
        [&[tag << 3 | 2, len], payload].concat()
    };
    let open = field(2, b"?");
    let side = size.map_or(open.clone(), |size| number(1, size));
    let dims = [&open, &number(1, 1), &side, &side].map(|dim| field(1, dim));
    let tensor = [number(1, 1), field(2, &dims.concat())].concat();
    let input = [field(1, b"x"), field(2, &field(1, &tensor))].concat();
    let node = |output: &&str| {
        let flatten = [
            field(1, b"x"),
            field(2, output.as_bytes()),
            field(4, b"Flatten"),
        ];
        field(1, &flatten.concat())
    };
    let mut graph: Vec<u8> = outputs.iter().flat_map(node).collect();
    graph.extend(field(11, &input));
    for output in outputs {
        graph.extend(field(12, &field(1, output.as_bytes())));
    }
    [number(1, 8), field(8, &number(2, 13)), field(7, &graph)].concat()
}

#[test]
fn the_program_adds_the_advice() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let demo = demo.display().to_string();
    let odin = |args: &str| {
        let args = args.split_whitespace().map(|a| a.replace("{demo}", &demo));
        let mut odin = Command::new(env!("CARGO_BIN_EXE_odin"));
        odin.args(args).current_dir(here).output().unwrap()
    };
    std::fs::copy(
        format!("{demo}/model.safetensors"),
        here.join("net.safetensors"),
    )
    .unwrap();
    let calibrate = "calibrate --nn net.safetensors --in-dataset {demo}/in.npy --limit 100";
    let calibrated = odin(&format!("{calibrate} -o moved.toml"));
    assert!(calibrated.status.success());
    std::fs::remove_file(here.join("net.safetensors")).unwrap();
    std::fs::write(here.join("none.toml"), "size = 32\n").unwrap();
    let mut wide = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    let head = "{'descr': '|u1', 'fortran_order': False, 'shape': (5, 8, 12), }";
    wide.extend(format!("{head:<117}\n").bytes());
    wide.extend([0; 5 * 8 * 12]);
    std::fs::write(here.join("wide.npy"), wide).unwrap();
    std::fs::write(here.join("open.onnx"), onnx(None, &["y"])).unwrap();
    std::fs::write(here.join("two.onnx"), onnx(Some(2), &["one", "two"])).unwrap();
    for (args, error, advice) in ERRORS {
        let output = odin(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = format!("odin {args}\n{stderr}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        let (message, found) = stderr.trim_end().rsplit_once('\n').expect(&said);
        let (_, message) = message.rsplit_once("error: ").expect(&said);
        assert_eq!(message.matches(error).count(), 1, "{said}");
        assert!(
            !message.contains("--") && !message.contains("`odin "),
            "{said}"
        );
        assert_eq!(found, advice, "{said}");
    }
}
