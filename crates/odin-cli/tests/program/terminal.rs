//! Whatever files call their parts, nothing that a terminal would act on is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Sets the title of the window, clears the screen in two ways, turns text round, and hides.
const ACTS: &str = "owned\u{1b}]0;t\u{7}\u{1b}[2J\u{9b}2J\u{202e}\u{200b}\r\u{7f}";

fn hostile(name: &str) -> String {
    format!("{name}{ACTS}")
}

/// A string of TOML or JSON.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c.is_ascii_graphic() || c == ' ' {
        true => c.to_string(),
        false => format!("\\u{:04x}", c as u32),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// An ONNX file is bytes of protobuf: fields of a tag and a payload.
mod onnx {
    use super::hostile;

    fn varint(mut n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while n > 127 {
            bytes.push((n & 127) as u8 | 128);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    }

    fn field(tag: usize, payload: &[u8]) -> Vec<u8> {
        [&varint(tag << 3 | 2)[..], &varint(payload.len()), payload].concat()
    }

    fn number(tag: usize, n: usize) -> Vec<u8> {
        [varint(tag << 3), varint(n)].concat()
    }

    fn text(tag: usize, name: &str) -> Vec<u8> {
        field(tag, hostile(name).as_bytes())
    }

    fn node(op: &[u8], inputs: &[&str], output: &str) -> Vec<u8> {
        let inputs: Vec<u8> = inputs.iter().flat_map(|name| text(1, name)).collect();
        let node = [inputs, text(2, output), text(3, "node"), field(4, op)].concat();
        field(1, &node)
    }

    fn floats(name: &str, dims: &[usize]) -> Vec<u8> {
        let count: usize = dims.iter().product();
        let values = (0..count).flat_map(|i| ((i * 7 % 11) as f32 / 11.0 - 0.4).to_le_bytes());
        let dims: Vec<u8> = dims.iter().flat_map(|&dim| number(1, dim)).collect();
        let values = field(9, &values.collect::<Vec<_>>());
        field(5, &[dims, number(2, 1), text(8, name), values].concat())
    }

    /// A linear classifier of RGB images of 8x8 pixels whose texts are all hostile.
    pub(super) fn model(op: &[u8]) -> Vec<u8> {
        let dims = [1, 3, 8, 8].map(|dim| match dim {
            1 => field(1, &field(2, b"N")),
            dim => field(1, &number(1, dim)),
        });
        let shape = field(1, &[number(1, 1), field(2, &dims.concat())].concat());
        let graph = [
            node(b"Flatten", &["x"], "flat"),
            node(op, &["flat", "weight", "bias"], "logits"),
            text(2, "graph"),
            floats("weight", &[192, 3]),
            floats("bias", &[3]),
            field(11, &[text(1, "x"), field(2, &shape)].concat()),
            field(12, &text(1, "logits")),
        ];
        let entry = [text(1, "key"), text(2, "value")].concat();
        [
            number(1, 8),
            text(2, "producer"),
            text(3, "version"),
            text(6, "about"),
            field(7, &graph.concat()),
            field(8, &number(2, 13)),
            field(14, &entry),
        ]
        .concat()
    }
}

/// An image as a BMP file.
fn bmp(seed: usize) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [54 + 192, 0, 54, 40, 8, 8, 1 | 24 << 16, 0, 192, 0, 0, 0, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend((0..192).map(|i| (i * seed * 37 % 256) as u8));
    bytes
}

/// A folder with files of all kinds.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path: PathBuf = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write("net.onnx", &onnx::model(b"Gemm"));
    write("odd.onnx", &onnx::model(hostile("Op").as_bytes()));
    let names = ["a", "b", "c"]
        .map(|name| quoted(&hostile(name)))
        .join(", ");
    write(
        "net.toml",
        format!("class_names = [{names}]\nmean = 0\nstd = 1\n").as_bytes(),
    );
    write("bad.toml", format!("sise = {ACTS}\n").as_bytes());
    for seed in 1..=6 {
        let class = hostile(["a", "b", "c"][seed % 3]);
        write(&format!("in/{class}/{}", hostile("i")), &bmp(seed));
        write(
            &format!("in/{class}/{seed}{}.bmp", hostile("i")),
            &bmp(seed),
        );
        write(&format!("out/{seed}{}.bmp", hostile("i")), &bmp(seed + 9));
        write(&format!("broken/{seed}{}.bmp", hostile("i")), b"BM");
    }
    write(&format!("{}.bmp", hostile("one")), &bmp(3));
    write("list.txt", hostile("absent").as_bytes());
    let entry = |kind: &str, name: &str| {
        let [title, licence, citation] = ["t", "l", "c"].map(|text| quoted(&hostile(text)));
        format!(
            "[[{kind}]]\nname = {name}\ntitle = {title}\nlicence = {licence}\ncitation = {citation}\n"
        )
    };
    let dataset = entry("dataset", "\"mine\"") + "images = 5\ngenerator = \"uniform\"\n";
    write("own.toml", dataset.as_bytes());
    write(
        "unknown.toml",
        entry("dataset", &quoted(&hostile("n"))).as_bytes(),
    );
    write("raw.toml", format!("[[dataset]]\nname = {ACTS}").as_bytes());
    let column = hostile("column");
    write(
        "s.csv",
        format!("file,\"{column}\",odin\nx,1,{column}\n").as_bytes(),
    );
    write(
        "s.jsonl",
        format!("{{{}: 1}}\n", quoted(&column)).as_bytes(),
    );
    write("other.jsonl", b"{\"other\": 1}\n");
    folder
}

fn odin(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_odin"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn is_harmless(c: char) -> bool {
    matches!(c, '\n' | '\t') || !(c.is_control() || matches!(c, '\u{202e}' | '\u{200b}'))
}

/// What is printed, of which nothing acts.
#[track_caller]
fn printed(output: &Output, args: &[&str]) -> [String; 2] {
    [&output.stdout, &output.stderr].map(|bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let acts = text.chars().find(|c| !is_harmless(*c));
        assert_eq!(acts, None, "odin {args:?} prints {text:?}");
        text
    })
}

/// Where a text of a file is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Seen {
    Nowhere,
    Stdout,
    Stderr,
}
use Seen::{Nowhere, Stderr, Stdout};

/// In this order, in one folder: whether it succeeds, where a file's text is seen, the arguments.
const RUNS: &[(bool, Seen, &str)] = &[
    (true, Stdout, "inspect net.onnx"),
    (true, Stdout, "inspect net.onnx --format json"),
    (false, Stderr, "inspect odd.onnx"),
    (false, Stderr, "inspect net.onnx --model-config bad.toml"),
    (true, Stdout, "explain --nn net.onnx --repetitions 1"),
    (
        true,
        Stdout,
        "explain --nn net.onnx --repetitions 1 --format json",
    ),
    (true, Nowhere, "compile --nn net.onnx -o d.onnx"),
    (true, Stdout, "inspect d.onnx"),
    (true, Nowhere, "verify d.onnx --nn net.onnx"),
    (
        true,
        Nowhere,
        "eval --nn net.onnx --in-dataset in --out-dataset out --score all --fit-on in",
    ),
    (
        true,
        Nowhere,
        "eval --nn net.onnx --in-dataset in --out-dataset out --format csv",
    ),
    (
        true,
        Stdout,
        "eval --nn net.onnx --in-dataset in --out-dataset out --format json",
    ),
    (
        false,
        Stderr,
        "eval --nn net.onnx --in-dataset in --out-dataset broken",
    ),
    (
        false,
        Stderr,
        "eval --nn net.onnx --in-dataset in --out-dataset broken --skip-bad",
    ),
    (
        true,
        Nowhere,
        "tune --nn net.onnx --in-dataset in --tune-on out --temperatures 1 -o t.toml",
    ),
    (
        true,
        Nowhere,
        "calibrate --nn net.onnx --in-dataset in --tuned t.toml -o d.toml",
    ),
    (true, Stdout, "score --detector d.toml in"),
    (true, Stdout, "score --detector d.toml in --format jsonl"),
    (true, Stdout, "score --detector d.toml {one}"),
    (false, Stdout, "score --detector d.toml broken"),
    (false, Stderr, "score --detector d.toml list.txt"),
    (true, Nowhere, "score --detector d.toml in -o scores.csv"),
    (true, Nowhere, "drift scores.csv scores.csv"),
    (false, Stderr, "drift s.csv s.csv"),
    (false, Stderr, "drift s.csv s.csv --score nothing"),
    (false, Stderr, "drift s.jsonl s.jsonl"),
    (true, Nowhere, "metrics scores.csv scores.csv"),
    (true, Stdout, "metrics s.jsonl s.jsonl"),
    (true, Stdout, "metrics s.jsonl s.jsonl --metrics paper"),
    (true, Stdout, "metrics s.jsonl s.jsonl --format json"),
    (true, Stdout, "metrics s.jsonl s.jsonl --format csv"),
    (false, Nowhere, "metrics s.csv s.csv"),
    (false, Stderr, "metrics s.csv s.jsonl --score nothing"),
    (false, Stderr, "metrics s.jsonl other.jsonl"),
    (true, Stdout, "list --registry own.toml"),
    (true, Stdout, "list --registry own.toml --format json"),
    (false, Stderr, "list --registry unknown.toml"),
    (false, Stderr, "list --registry raw.toml"),
    (false, Stderr, "inspect net.onnx {one}"),
];

#[test]
fn nothing_that_acts_is_printed() {
    let folder = folder();
    let one = hostile("one") + ".bmp";
    for (succeeds, seen, args) in RUNS {
        let args: Vec<&str> = args.split(' ').collect();
        let args: Vec<&str> = args
            .iter()
            .map(|&arg| if arg == "{one}" { &one } else { arg })
            .collect();
        let output = odin(folder.path(), &args);
        let [stdout, stderr] = printed(&output, &args);
        let said = format!("odin {args:?}\n{stdout}{stderr}");
        assert_eq!(output.status.success(), *succeeds, "{said}");
        assert!(!stderr.contains("panicked"), "{said}");
        let is_json = args.ends_with(&["--format", "json"]);
        assert!(
            !is_json || serde_json::from_str::<serde_json::Value>(&stdout).is_ok(),
            "{said}"
        );
        // The test would prove nothing of a command that shows no text of a file.
        match seen {
            Nowhere => {}
            Stdout => assert!(stdout.contains("owned"), "{said}"),
            Stderr => assert!(stderr.contains("owned"), "{said}"),
        }
    }
}

/// A table has a line for each entry, whatever its value.
#[test]
fn a_value_stays_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("net.onnx"), onnx::model(b"Gemm")).unwrap();
    let config = "class_names = [\"a\\nFormat: forged\", \"b\", \"c\"]\nmean = 0\nstd = 1\n";
    fs::write(folder.path().join("model.toml"), config).unwrap();
    let args = ["inspect", "net.onnx"];
    let [table, _] = printed(&odin(folder.path(), &args), &args);
    let formats = table.lines().filter(|line| line.starts_with("Format:"));
    assert_eq!(formats.count(), 1, "{table}");
    assert!(table.contains("a\\u{a}Format: forged"), "{table}");
}
