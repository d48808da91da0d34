//! The `odin` command as a user meets it: exit codes, streams, files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn demo(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    folder.join(file).display().to_string()
}

fn onnx(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../odin-formats/tests/fixtures/onnx");
    folder.join(file).display().to_string()
}

/// Runs `odin` in `folder`; `{demo}` in an argument is the folder of the demonstration, `{onnx}`
/// that of the ONNX files.
fn odin(folder: &Path, args: &str) -> Output {
    command(folder, args).output().unwrap()
}

fn command(folder: &Path, args: &str) -> Command {
    let (demo, onnx) = (demo(""), onnx(""));
    let args = args.split_whitespace();
    let args = args.map(|a| a.replace("{demo}/", &demo).replace("{onnx}/", &onnx));
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    command.args(args).current_dir(folder);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The same lines with one space where columns stand apart.
fn squeezed(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const EVAL: &str = "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --magnitude 0.005";

#[test]
fn the_demonstration_prints_its_table() {
    let folder = tempfile::tempdir().unwrap();
    let output = odin(folder.path(), "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = squeezed(&text(&output.stdout));
    for wanted in [
        "DenseNet-BC-22-12",
        "Accuracy on in-distribution: 99.4%\n",
        "\ndigits 6-9 0.005 361/714 ",
        "\nUniform 0.005 361/361 ",
        "in-distribution",
    ] {
        assert!(table.contains(wanted), "no {wanted:?} in\n{table}");
    }
}

/// Without training images the network's graph tells; the warning is one, and in JSON.
#[test]
fn scores_that_do_not_suit_the_network_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let silu = "{onnx}/efficientnet.torchscript13.onnx";
    for (network, scores, expected) in [
        (
            silu,
            "ash,energy,lts,scale",
            "ash, lts, scale: The features come from",
        ),
        (silu, "energy,entropy", ""),
        (
            "{onnx}/resnet.torchscript9.onnx",
            "ash,energy,lts,scale",
            "",
        ),
        (
            "{onnx}/swin.dynamo18.onnx",
            "energy,gen",
            "energy: The network attends",
        ),
    ] {
        let args = "--in-dataset Uniform --out-dataset Uniform --limit 5 --format json";
        let output = odin(
            folder.path(),
            &format!("eval --nn {network} {args} --score {scores}"),
        );
        let (said, report) = (text(&output.stderr), json(&output));
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), usize::from(!expected.is_empty()), "{said}");
        for warning in warnings {
            let warning = warning.as_str().unwrap();
            assert!(warning.starts_with(expected), "{warning}");
            let line = format!("warning: {warning}\n");
            assert_eq!(said.matches(&line).count(), 1, "{said}");
        }
        assert_eq!(
            said.contains("The features come"),
            expected.contains("features")
        );
        // Those of logits alone are shown without being asked for, and warned of as well.
        for command in [
            "calibrate -o d.toml",
            "tune --in-only --temperatures 1 --magnitudes 0",
        ] {
            let args = "--in-dataset Uniform --limit 20 --format json";
            let report = json(&odin(
                folder.path(),
                &format!("{command} --nn {network} {args} --score {scores}"),
            ));
            let warnings = report["warnings"].as_array().unwrap();
            let mut texts = warnings.iter().map(|warning| warning.as_str().unwrap());
            let reported = texts.any(|text| text.starts_with(expected));
            assert!(reported || expected.is_empty(), "{command}: {warnings:?}");
        }
    }
}

/// The numbers are PyTorch's, computed by demo/train.py in f64.
#[test]
fn eval_agrees_with_pytorch_on_the_demonstration() {
    let folder = tempfile::tempdir().unwrap();
    let measured = json(&odin(
        folder.path(),
        &format!("{EVAL} --format json --scores scores"),
    ));
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(demo("expected.json")).unwrap()).unwrap();
    let (result, reference) = (&measured["results"][0], &expected["results"]["near"]);
    assert_eq!(measured["positive_class"], "in-distribution");
    assert_eq!(result["n_in"], reference["n_in"]);
    assert_eq!(result["n_out"], reference["n_out"]);
    for score in ["baseline", "odin"] {
        for (name, value) in reference[score].as_object().unwrap() {
            let found = result[score][name].as_f64().unwrap();
            // A last bit of f32 may swap two neighbours in rank.
            assert!(
                (found - value.as_f64().unwrap()).abs() < 2e-5,
                "{score} {name}: {found} for {value}"
            );
        }
    }
    let csv = std::fs::read_to_string(folder.path().join("scores/in.csv")).unwrap();
    let scores = expected["scores"]["in"].as_array().unwrap();
    for (line, reference) in csv.lines().skip(1).zip(scores) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        assert_eq!(fields[1], reference["prediction"].to_string());
        assert!(
            (number(2) - reference["msp"].as_f64().unwrap()).abs() < 1e-5,
            "{line}"
        );
        assert!(
            (number(3) - reference["odin"].as_f64().unwrap()).abs() < 1e-6,
            "{line}"
        );
    }
}

#[test]
fn results_do_not_depend_on_threads_or_batches() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &str| {
        json(&odin(
            folder.path(),
            &format!("{EVAL} --limit 40 --format json {args}"),
        ))
    };
    let reference = run("--threads 1 --batch-size 1");
    for args in [
        "--threads 2",
        "--threads 3 --batch-size 7",
        "--batch-size 1000",
    ] {
        assert_eq!(run(args), reference, "{args}");
    }
}

#[test]
fn sets_of_one_name_get_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let args = format!(
        "{EVAL} --out-dataset {{demo}}/in.npy --out-dataset Uniform --limit 5 --scores s --quiet"
    );
    let output = odin(folder.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path().join("s"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let csv = std::fs::read_to_string(&file).unwrap();
        assert_eq!(csv.lines().count(), 6, "{}", file.display());
        assert!(csv.starts_with("file,prediction,msp,odin\n"));
    }
}

#[test]
fn csv_has_a_line_for_each_score_and_intervals_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = odin(
        folder.path(),
        &format!("{EVAL} --limit 30 --format csv --ci"),
    );
    let csv = text(&output.stdout);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(lines[0].contains("auroc_ci95_lower"));
    let columns = |line: &str| line.split(',').count();
    assert!(
        lines.iter().all(|line| columns(line) == columns(lines[0])),
        "{csv}"
    );
}

/// Arguments, what standard output must contain, with one space for many, and what standard error.
type Run = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// In this order, in one folder.
const RUNS: &[Run] = &[
    (
        "inspect {demo}/model.safetensors",
        &[
            "DenseNet-BC-22-12",
            "safetensors",
            "x float[N, 1, 8, 8]",
            "logits float[N, 6]",
            "mean 0.305185, std 0.377469 (from the file)",
            "Parameters: 70,974\n",
            "Cost: 1,925,118 multiply-adds per image, ",
            "every operator",
            "Conv 21",
            "test_accuracy",
        ],
        &[],
    ),
    (
        "inspect {onnx}/resnet.torchscript9.onnx",
        &[
            "ONNX, opset 9",
            "pytorch",
            "Conv",
            "NCHW",
            "assumed",
            "CIFAR",
            "every operator",
        ],
        &[],
    ),
    (
        "explain --nn {demo}/model.safetensors --repetitions 1",
        &[
            "GFLOP an image",
            "affine relu > conv 1x1 > bias relu",
            "conv-transpose 1x1",
            "8x8",
            "Where the time goes",
        ],
        &[],
    ),
    (
        "explain --nn {demo}/model.safetensors --repetitions 1 --threads 2",
        &["ms an image on 2 threads"],
        &[],
    ),
    (
        "explain --nn {onnx}/vit.torchscript17.onnx --repetitions 1 --format json",
        &["\"what\": \"matmul\"", "\"instructions\":", "\"seconds\":"],
        &[],
    ),
    (
        "inspect {onnx}/bytes.torchscript13.onnx",
        &[
            "bytes[N, 32, 32, 3]",
            "NHWC",
            "std 0.003921569 (from the file)",
        ],
        &[],
    ),
    (
        "inspect {onnx}/three_outputs.torchscript17.onnx",
        &["Outputs:", "logits"],
        &[],
    ),
    (
        "inspect {onnx}/conv3d.torchscript13.softmax.onnx",
        &["NCDHW", "Notice:", "oftmax"],
        &[],
    ),
    (
        "compile --nn {demo}/model.safetensors --magnitude 0.005 --threshold 0.17 -o demo.onnx",
        &[
            "demo.onnx: ONNX, opset",
            "images [N, 1, 8, 8]: pixels, float32",
            "is_in_distribution bool[N]",
            "ODIN T = 1000, ε = 0.005",
            "decides by odin, threshold 0.17",
            "SHA-256",
        ],
        &["DenseNet-BC-22-12", "normalisation: mean 0.305185"],
    ),
    (
        "verify demo.onnx --nn {demo}/model.safetensors",
        &["Images: 32\n", "they agree"],
        &["DenseNet-BC-22-12"],
    ),
    (
        "verify demo.onnx --nn {demo}/model.safetensors --images {demo}/in.npy --count 40 --format json --quiet",
        &[
            "\"images\": 40,",
            "\"agree\": true",
            "\"predictions_that_differ\": 0,",
        ],
        &[],
    ),
    (
        "inspect demo.onnx",
        &[
            "Detector:",
            "T = 1000, ε = 0.005, threshold 0.17, input pixels-f32",
            "odin.magnitude",
        ],
        &[],
    ),
    (
        "eval --nn demo.onnx --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy",
        &[
            "Neural network architecture: DenseNet-BC-22-12\n",
            "Magnitude: 0.005\n",
            "Temperature: 1000\n",
        ],
        &["mean 0, std 1 (from the file)"],
    ),
    (
        "eval --nn demo.onnx --in-dataset {demo}/in.npy --out-dataset {demo}/near.npy --temperature 500 --magnitude 0.001 --limit 5",
        &["Magnitude: 0.001\n", "Temperature: 500\n"],
        &["was compiled with T = 1000, ε = 0.005; T = 500, ε = 0.001 is used"],
    ),
    (
        "compile --nn {demo}/model.safetensors --input pixels-u8 --quiet -o bytes.onnx",
        &["images [N, 8, 8, 1]: pixels, uint8"],
        &[],
    ),
    (
        "verify bytes.onnx --nn {demo}/model.safetensors --images Gaussian --count 8 --seed 3",
        &["they agree"],
        &[],
    ),
    (
        "compile --nn {demo}/model.safetensors --format json --quiet -o mobile.onnx",
        &[
            "\"file\": \"mobile.onnx\"",
            "\"shape\": \"[N, 1, 8, 8]\"",
            "\"threshold\": null",
        ],
        &[],
    ),
    (
        "compile --nn {onnx}/mobilenet_v2.dynamo18.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 -o mobile.onnx",
        &["input [N, 3, 32, 32]: the model's own input"],
        &["(given)"],
    ),
    (
        "verify mobile.onnx --nn {onnx}/mobilenet_v2.dynamo18.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --count 4",
        &["they agree"],
        &[],
    ),
    (
        "eval --nn {onnx}/conv1d.torchscript11.onnx --mean 0.5,0.4 --std 0.25,0.3 --in-dataset Uniform --out-dataset Gaussian --limit 8",
        &["Uniform", "Gaussian"],
        &["signals 2x96", "NCL"],
    ),
];

#[test]
fn models_are_inspected_compiled_verified_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    for (args, on_stdout, on_stderr) in RUNS {
        let output = odin(folder.path(), args);
        let (stdout, stderr) = (squeezed(&text(&output.stdout)), text(&output.stderr));
        assert!(output.status.success(), "odin {args}\n{stderr}");
        for wanted in *on_stdout {
            assert!(
                stdout.contains(wanted),
                "odin {args}: no {wanted:?} in\n{stdout}"
            );
        }
        for wanted in *on_stderr {
            assert!(
                stderr.contains(wanted),
                "odin {args}: no {wanted:?} in\n{stderr}"
            );
        }
        if args.contains("--quiet") {
            assert_eq!(stderr, "", "odin {args}");
        }
    }
    let mut left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["bytes.onnx", "demo.onnx", "mobile.onnx"]);
}

/// A detector that is not that of the model: the differences, a reason, exit code 1.
#[test]
fn verify_fails_where_files_differ() {
    let folder = tempfile::tempdir().unwrap();
    let compiled = odin(
        folder.path(),
        "compile --nn {demo}/model.safetensors -o demo.onnx --mean 0.5 --std 0.2",
    );
    assert!(compiled.status.success(), "{}", text(&compiled.stderr));
    let output = odin(
        folder.path(),
        "verify demo.onnx --nn {demo}/model.safetensors",
    );
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stdout.contains("they differ"), "{stdout}");
    assert!(stderr.contains("another normalisation"), "{stderr}");
    assert!(stderr.contains("not the same detector"), "{stderr}");
}

#[test]
fn model_toml_is_used_and_travels_into_reports() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("net.onnx");
    std::fs::copy(onnx("resnet.torchscript9.onnx"), &model).unwrap();
    let config = "mean = [0.5]\nstd = [0.25]\ntransform = \"resize:32x32\"\n\
        class_names = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\"]";
    std::fs::write(folder.path().join("model.toml"), config).unwrap();
    let run = "eval --nn net.onnx --in-dataset {demo}/in.npy --out-dataset Uniform --limit 6 --format json";
    let output = odin(folder.path(), run);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("from model.toml"), "{stderr}");
    assert!(stderr.contains("every image: resize to 32x32"), "{stderr}");
    let network = &json(&output)["network"];
    assert_eq!(network["mean"], serde_json::json!([0.5, 0.5, 0.5]));
    assert_eq!(network["normalization_from"], "from model.toml");
    assert_eq!(network["transform"], "resize to 32x32 (bilinear)");
    assert_eq!(network["class_names"][6], "g");
    assert_eq!(network["sha256"].as_str().unwrap().len(), 64);
    let network = &json(&odin(folder.path(), &format!("{run} --mean 0 --std 1")))["network"];
    assert_eq!(network["normalization_from"], "given");
    std::fs::write(folder.path().join("model.toml"), "sise = 32").unwrap();
    let output = odin(folder.path(), run);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("model.toml") && stderr.contains("sise"),
        "{stderr}"
    );
}

#[test]
fn help_fits_on_a_screen_and_has_examples() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&odin(folder.path(), "--help").stdout);
    assert!(help.lines().count() <= 40, "{help}");
    for command in [
        "eval",
        "tune",
        "calibrate",
        "score",
        "serve",
        "drift",
        "metrics",
        "inspect",
        "explain",
        "compile",
        "verify",
        "fetch",
        "list",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{help}");
        let own = text(&odin(folder.path(), &format!("{command} --help")).stdout);
        assert!(own.contains("Examples:"), "{own}");
        assert!(own.contains(&format!("odin {command}")), "{own}");
    }
}

/// Other programs offer the same command line.
#[cfg(unix)]
#[test]
fn usage_names_the_command_whatever_the_program_is_called() {
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().unwrap();
    for (args, wanted) in [
        ("--help", "Usage: odin [COMMAND]"),
        ("inspect --help", "Usage: odin inspect "),
        ("inspect --wrong", "Usage: odin inspect "),
        ("--version", concat!("odin ", env!("CARGO_PKG_VERSION"))),
    ] {
        let mut command = command(folder.path(), args);
        let output = command.arg0("odin_ood/__main__.py").output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains(wanted), "{args}\n{said}");
        assert!(!said.contains("__main__"), "{args}\n{said}");
    }
}

/// A network of a registry that lies in the data folder as an archive.
#[test]
fn what_lies_packed_is_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut archive = tar::Builder::new(std::fs::File::create(data.join("net.tar")).unwrap());
    archive
        .append_path_with_name(demo("model.safetensors"), "net/weights.safetensors")
        .unwrap();
    archive.finish().unwrap();
    let registry = r#"
        [[network]]
        name = "digits"
        title = "Digits"
        licence = "CC BY 4.0"
        citation = "none"
        classes = 6
        shape = [1, 8, 8]
        mean = [0.25]
        std = [0.5]
        [[network.file]]
        name = "net.tar"
        urls = ["https://example.invalid/net.tar"]
        unpack = true
        member = "net/weights.safetensors"
    "#;
    std::fs::write(folder.path().join("own.toml"), registry).unwrap();
    let output = odin(
        folder.path(),
        "inspect digits --registry own.toml --format json",
    );
    let found = json(&output);
    assert_eq!(found["parameters"], 70974);
    // What the file says is nearer to the network than what the registry says.
    assert_eq!(found["normalization_from"], "from the file");
}

/// Names that would fall together, for lower-case file systems and for numbered ones.
#[test]
fn score_files_never_fall_together() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a.npy", "A.npy", "a.npy-2", "x/a.npy", "in.npy.csv.npy"];
    std::fs::create_dir(folder.path().join("x")).unwrap();
    let mut args = String::from(
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --limit 3 --scores s --quiet",
    );
    for name in names {
        std::fs::copy(demo("near.npy"), folder.path().join(name)).unwrap();
        args.push_str(&format!(" --out-dataset {name}"));
    }
    let output = odin(folder.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let files = std::fs::read_dir(folder.path().join("s")).unwrap();
    let files: std::collections::HashSet<String> = files
        .map(|e| e.unwrap().file_name().into_string().unwrap().to_lowercase())
        .collect();
    assert_eq!(files.len(), 1 + names.len(), "{files:?}");
}

/// Arguments, exit code, and what standard error must contain.
/// What becomes of `--gpu` where there are not a hundred graphics processors, and of `--device cuda`
/// where no library of ONNX Runtime knows one.
const GPU: (i32, &str) = match cfg!(feature = "gpu") {
    true => (1, "no graphics processor number 99"),
    false => (2, "--features gpu"),
};
const CUDA: (i32, &str) = match cfg!(feature = "onnxruntime") {
    true => (1, "onnxruntime-gpu[cuda,cudnn]"),
    false => (2, "--features onnxruntime"),
};

const MISTAKES: &[(&str, i32, &str)] = &[
    ("eval", 2, "--nn"),
    ("frobnicate", 2, "frobnicate"),
    (
        "eval --nn nothing.pth --in-dataset x --out-dataset y",
        1,
        "nothing.pth",
    ),
    (
        "eval --nn {demo}/in.npy --in-dataset {demo}/in.npy --out-dataset Uniform",
        1,
        "in.npy",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset absent --out-dataset Uniform",
        1,
        "--in-dataset",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset absent",
        1,
        "--out-dataset",
    ),
    (
        "eval --nn {demo}/model.safetensors --out-dataset Uniform",
        2,
        "--in-dataset",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --gpu 99",
        GPU.0,
        GPU.1,
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --device cuda",
        CUDA.0,
        CUDA.1,
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --temperature 0",
        2,
        "temperature",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --temperature -3",
        2,
        "temperature",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --temperature nan",
        2,
        "temperature",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --magnitude -0.1",
        2,
        "magnitude",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --magnitude nan",
        2,
        "magnitude",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --magnitude paper",
        2,
        "densenet10",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --mean 0.5",
        2,
        "--std",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --mean 0.5 --std 0",
        2,
        "std",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --mean 0.5,0.5,0.5 --std 1,1,1",
        2,
        "--mean, --std: ",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --channels BGR",
        2,
        "BGR is an order of the channels of colour images, which this network does not take (given)",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --engine-cache kept",
        2,
        "--engine-cache: the device cpu builds no engines; tensorrt:N does",
    ),
    (
        "explain --nn {demo}/model.safetensors --batch-size 0",
        2,
        "a whole number from 1",
    ),
    (
        "explain --nn {demo}/model.safetensors --threads 4294967295",
        2,
        "1 to 1024",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --image-size 16",
        1,
        "16x16",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --limit 0",
        2,
        "limit",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --threads 0",
        2,
        "threads",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --split test",
        2,
        "--split all",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Imagenet",
        1,
        "odin fetch Imagenet",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --threads 100000",
        2,
        "--threads",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --out-dataset Uniform --batch-size 0",
        2,
        "--batch-size",
    ),
    (
        "verify d.onnx --nn {demo}/model.safetensors --threads 0",
        2,
        "--threads",
    ),
    ("list --registry /dev/zero", 1, "not a regular file"),
    ("explain", 2, "--nn"),
    (
        "explain --nn {demo}/model.safetensors --repetitions 0",
        2,
        "--repetitions",
    ),
    ("inspect", 2, "FILE"),
    ("inspect absent.onnx", 1, "absent.onnx"),
    ("inspect {demo}/in.npy", 1, "in.npy"),
    ("inspect {onnx}/index.json", 1, "index.json"),
    (
        "inspect {onnx}/resnet.torchscript9.onnx --output absent",
        1,
        "absent",
    ),
    (
        "inspect {onnx}/resnet.torchscript9.onnx --layout NWHC",
        2,
        "NHWC",
    ),
    (
        "inspect {onnx}/resnet.torchscript9.onnx --layout NCL",
        2,
        "NCL",
    ),
    (
        "inspect {onnx}/resnet.torchscript9.onnx --model-config absent.toml",
        1,
        "absent.toml",
    ),
    ("compile --nn {demo}/model.safetensors", 2, "--out"),
    (
        "compile --nn {demo}/model.safetensors --temperature 0 -o d.onnx",
        2,
        "temperature",
    ),
    (
        "compile --nn {demo}/model.safetensors --magnitude -1 -o d.onnx",
        2,
        "magnitude",
    ),
    (
        "compile --nn {demo}/model.safetensors --input pixels -o d.onnx",
        2,
        "pixels-u8",
    ),
    (
        "compile --nn {demo}/model.safetensors -o absent/d.onnx",
        1,
        "absent/d.onnx",
    ),
    (
        "compile --nn {demo}/model.safetensors -o {demo}/model.safetensors",
        1,
        "is the model itself",
    ),
    (
        "verify {onnx}/resnet.torchscript9.onnx --nn {demo}/model.safetensors",
        1,
        "no compiled detector",
    ),
    (
        "verify absent.onnx --nn {demo}/model.safetensors",
        1,
        "absent.onnx",
    ),
    ("verify {demo}/in.npy", 2, "--nn"),
    ("fetch nonsense", 1, "nonsense"),
    ("fetch Imagenet --offline", 1, "Imagenet"),
];

#[test]
fn mistakes_end_in_a_message_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    for (args, code, wanted) in MISTAKES {
        let output = odin(folder.path(), args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "odin {args}\n{stderr}");
        assert!(
            stderr.contains(wanted),
            "odin {args}: no {wanted:?} in\n{stderr}"
        );
        assert!(!stderr.contains("panicked"), "odin {args}\n{stderr}");
        assert!(output.stdout.is_empty(), "odin {args}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(
        left.iter()
            .all(|e| e.as_ref().unwrap().file_name() == "data"),
        "{left:?}"
    );
}

#[test]
fn what_was_fetched_is_one_json_array() {
    let folder = tempfile::tempdir().unwrap();
    let rows = json(&odin(folder.path(), "fetch Uniform Gaussian --format json"));
    for (i, name) in ["Uniform", "Gaussian"].iter().enumerate() {
        assert_eq!(rows[i]["name"], *name);
        assert_eq!(rows[i]["status"], "generated");
    }
}

#[test]
fn the_list_shows_the_sets_and_networks_of_the_paper() {
    let folder = tempfile::tempdir().unwrap();
    let table = text(&odin(folder.path(), "list").stdout);
    let rows = json(&odin(folder.path(), "list --format json"));
    let names: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    for name in [
        "cifar10",
        "cifar100",
        "Imagenet",
        "Imagenet_resize",
        "LSUN",
        "LSUN_resize",
        "iSUN",
        "Uniform",
        "Gaussian",
        "densenet10",
        "densenet100",
        "wideresnet10",
        "wideresnet100",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
        assert!(table.contains(name), "{name} is not in\n{table}");
    }
}

/// Files without an end, `{end}.EXT`, where a file is due, and what is said.
#[cfg(unix)]
const ENDLESS: &[(&str, &str)] = &[
    ("inspect {end}.onnx", "not a regular file"),
    ("inspect {end}.pth", "not a regular file"),
    (
        "inspect {demo}/model.safetensors --model-config {end}.toml",
        "not a regular file",
    ),
    (
        "inspect {demo}/model.safetensors --model-config names-{end}.toml",
        "not a regular file",
    ),
    (
        "verify {end}.onnx --nn {demo}/model.safetensors",
        "not a regular file",
    ),
    (
        "compile --detector {end}.toml -o x.onnx",
        "not a regular file",
    ),
    (
        "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --tuned {end}.toml -o x.toml",
        "not a regular file",
    ),
    (
        "eval --nn {demo}/model.safetensors --in-dataset {end}.npy --out-dataset Uniform",
        "neither a file nor a folder",
    ),
    (
        "score --detector {end}.toml {demo}/in.npy",
        "not a regular file",
    ),
    ("score --detector d.toml {end}.txt", "not a regular file"),
    (
        "score --detector d.toml {end}.png",
        "neither a file nor a folder",
    ),
    ("drift {end}.csv {end}.csv", "not a regular file"),
    ("drift {end}.jsonl {end}.jsonl", "not a regular file"),
    ("drift {end}.parquet {end}.parquet", "not a regular file"),
];

#[cfg(unix)]
#[test]
fn files_without_an_end_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let calibrate = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --limit 80 --magnitude 0 -o d.toml";
    assert!(odin(here, calibrate).status.success());
    for extension in [
        "onnx", "pth", "toml", "npy", "txt", "png", "csv", "jsonl", "parquet",
    ] {
        let zero = here.join(format!("zero.{extension}"));
        std::os::unix::fs::symlink("/dev/zero", zero).unwrap();
        fifo(&here.join(format!("fifo.{extension}")));
    }
    for end in ["zero", "fifo"] {
        let config = format!("class_names = \"{end}.txt\"\n");
        std::fs::write(here.join(format!("names-{end}.toml")), config).unwrap();
        for (args, wanted) in ENDLESS {
            let args = args.replace("{end}", end);
            let output = within_seconds(command(here, &args));
            let stderr = text(&output.stderr);
            assert!(!output.status.success(), "odin {args}\n{stderr}");
            assert!(stderr.contains(wanted), "odin {args}\n{stderr}");
        }
    }
}

/// Among images, one that has no end is a row with an error.
#[cfg(unix)]
#[test]
fn a_fifo_among_images_is_a_row_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let calibrate = "calibrate --nn {demo}/model.safetensors --in-dataset {demo}/in.npy --limit 80 --magnitude 0 -o d.toml";
    assert!(odin(here, calibrate).status.success());
    std::fs::create_dir(here.join("images")).unwrap();
    fifo(&here.join("images/a.bmp"));
    std::fs::write(here.join("images/b.bmp"), grey_bmp()).unwrap();
    let args = "score --detector d.toml images --format jsonl";
    let output = within_seconds(command(here, args));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    let error = rows[0]["error"].as_str().unwrap();
    assert!(error.contains("not a regular file"), "{error}");
    assert!(rows[1]["odin"].is_f64(), "{rows:?}");
}

/// An image of 8x8 pixels.
#[cfg(unix)]
fn grey_bmp() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [54 + 192, 0, 54, 40, 8, 8, 1 | 24 << 16, 0, 192, 0, 0, 0, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend([99; 192]);
    bytes
}

#[cfg(unix)]
fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// What a program printed that must end by itself.
#[cfg(unix)]
fn within_seconds(mut command: Command) -> Output {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[cfg(not(feature = "serve"))]
#[test]
fn a_build_without_the_service_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = odin(folder.path(), "serve detector.toml --port 0");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("rebuild with `--features serve`"), "{said}");
}
