//! Signals and vectors as users have them, in arrays, through `odin eval`: scores against
//! PyTorch's.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn onnx() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../odin-formats/tests/fixtures/onnx")
}

fn index() -> Value {
    serde_json::from_slice(&std::fs::read(onnx().join("index.json")).unwrap()).unwrap()
}

/// The four samples of a shape such as `2x96`, from 0 to 255.
fn levels(shape: &str) -> Vec<f32> {
    let bytes = std::fs::read(onnx().join("images.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let place = |i: usize| tensors[shape]["data_offsets"][i].as_u64().unwrap() as usize;
    let levels = &bytes[8 + header + place(0)..8 + header + place(1)];
    levels.iter().map(|&level| f32::from(level)).collect()
}

fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().copied().flat_map(f32::to_le_bytes));
    bytes
}

fn odin(folder: &Path, args: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_odin"))
        .args(args.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Mean or standard deviation in a unit of which `scale` are one on the pixel scale.
fn in_unit(values: &Value, scale: f64) -> String {
    let values = values.as_array().unwrap().iter();
    let values: Vec<String> = values
        .map(|v| (v.as_f64().unwrap() * scale).to_string())
        .collect();
    values.join(",")
}

/// A network, the shape of an array of its samples, whether its channels are last, and what is
/// said of it.
const CASES: [(&str, &[usize], bool, &str); 4] = [
    (
        "conv1d",
        &[4, 2, 96],
        false,
        "[4, 2, 96] is read as [N, C, L], signals of 2 channels",
    ),
    (
        "conv1d",
        &[4, 96, 2],
        true,
        "[4, 96, 2] is read as [N, L, C], signals of 2 channels",
    ),
    (
        "mlp",
        &[4, 24],
        false,
        "[4, 24] is read as [N, F], vectors of 24 values",
    ),
    ("mlp", &[4, 1, 24], false, "[4, 1, 24] is read as"),
];

/// Whatever the unit of the data, if mean, standard deviation and ε are in it too.
#[test]
fn scores_of_signals_and_vectors_are_those_of_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let index = index();
    let magnitude = index["magnitude"].as_f64().unwrap();
    for (network, shape, channels_last, words) in CASES {
        let reference = &index["networks"][network];
        let file = onnx().join(match network {
            "conv1d" => "conv1d.torchscript11.onnx",
            _ => "mlp.torchscript9.onnx",
        });
        let mut levels = levels(reference["shape"].as_str().unwrap());
        if channels_last {
            let (l, c) = (shape[1], shape[2]);
            let samples = levels.chunks(l * c);
            levels = samples
                .flat_map(|sample| (0..l * c).map(move |i| sample[i % c * l + i / c]))
                .collect();
        }
        for unit in [1.0, 255.0] {
            let values: Vec<f32> = levels.iter().map(|v| v / 255.0 * unit).collect();
            std::fs::write(folder.path().join("in.npy"), npy(shape, &values)).unwrap();
            std::fs::write(folder.path().join("out.npy"), npy(shape, &values)).unwrap();
            let unit = f64::from(unit);
            let output = odin(
                folder.path(),
                &format!(
                    "eval --nn {} --in-dataset in.npy --out-dataset out.npy --scores scores \
                     --mean {} --std {} --magnitude {}",
                    file.display(),
                    in_unit(&reference["mean"], unit),
                    in_unit(&reference["std"], unit),
                    magnitude * unit,
                ),
            );
            let stderr = text(&output.stderr);
            assert!(output.status.success(), "{network}: {stderr}");
            assert!(stderr.contains(words), "{network}: {stderr}");
            assert!(stderr.contains("taken as they are"), "{network}: {stderr}");
            let csv = std::fs::read_to_string(folder.path().join("scores/in.csv")).unwrap();
            assert_eq!(csv.lines().count(), 5, "{csv}");
            for (i, line) in csv.lines().skip(1).enumerate() {
                let fields: Vec<&str> = line.split(',').collect();
                let differs = |field: usize, name: &str| {
                    let found: f64 = fields[field].parse().unwrap();
                    (found - reference[name][i].as_f64().unwrap()).abs()
                };
                assert_eq!(
                    fields[1],
                    reference["prediction"][i].to_string(),
                    "{network}"
                );
                assert!(differs(2, "msp") < 2e-5, "{network}, {unit}: {line}");
                assert!(differs(3, "odin") < 1e-6, "{network}, {unit}: {line}");
            }
        }
    }
}

#[test]
fn arrays_that_do_not_fit_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, shape: &[usize], value: f32| {
        let count = shape.iter().product();
        std::fs::write(folder.path().join(name), npy(shape, &vec![value; count])).unwrap();
    };
    write("three.npy", &[4, 3, 96], 0.5);
    write("nan.npy", &[4, 2, 96], f32::NAN);
    write("bytes.npy", &[2, 3, 32, 32], 200.0);
    write("bands.npy", &[2, 5, 32, 32], 0.5);
    for (network, set, words) in [
        (
            "conv1d.torchscript11",
            "three.npy",
            "[N, 2, L] or [N, L, 2]",
        ),
        ("conv1d.torchscript11", "nan.npy", "must be finite"),
        ("resnet.torchscript9", "bytes.npy", "must lie in [0, 1]"),
        ("resnet.torchscript9", "bands.npy", "with 1 or 3 channels"),
    ] {
        let network = onnx().join(format!("{network}.onnx"));
        let output = odin(
            folder.path(),
            &format!(
                "eval --nn {} --in-dataset {set} --out-dataset Uniform",
                network.display()
            ),
        );
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{set}: {stderr}");
        assert!(stderr.contains(words), "{set}: {stderr}");
    }
}
