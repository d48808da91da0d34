//! What is said to those who meet the program for the first time.

use super::runs::{odin, text};
use std::fs;
use std::path::Path;

/// Arguments, exit code, what is said on either stream, and what is not.
type Said = (
    &'static str,
    i32,
    &'static [&'static str],
    &'static [&'static str],
);

const DEMO: &str = "--nn {demo}/model.safetensors --in-dataset {demo}/in.npy";

/// `{demo on}` stands for [`DEMO`].
const SAID: &[Said] = &[
    (
        "eval {demo on}",
        2,
        &[
            "--out-dataset is missing",
            "Uniform",
            "synthetic noise",
            "`odin tune`",
        ],
        &[],
    ),
    (
        "eval {demo on} --out-dataset Uniform --score all --limit 20",
        0,
        &["fdbd, nci: fitted to training images; give them with --fit-on"],
        &["it is fitted"],
    ),
    (
        "score --detector d.toml large.bmp",
        1,
        &[
            "large.bmp: the image is 12x20 (height x width), the network takes 8x8\n",
            "it has no transform: odin calibrate --transform resize:8x8 makes",
        ],
        &["channel"],
    ),
    (
        "score --detector resized.toml large.bmp",
        1,
        &[
            "its transform is resize",
            "odin calibrate --transform resize:8x8 makes",
        ],
        &["it has no transform"],
    ),
    (
        "score --detector d.toml large.bmp right.bmp",
        0,
        &["1 image scored", "1 image has an error", "resize:8x8"],
        &[" 1 images", "channel"],
    ),
    ("score --detector d.toml right.bmp", 0, &[], &["resize"]),
    (
        "calibrate {demo on} --score msp -o new.toml",
        0,
        &["Whether msp suits this network", "odin or energy is better"],
        &["(msp)"],
    ),
    (
        "calibrate {demo on} --limit 1 -o new.toml",
        0,
        &["in, 1 image\n", "1 image is too few"],
        &[" 1 images"],
    ),
    (
        "calibrate {demo on} --limit 2 -o new.toml",
        0,
        &["it was calibrated on in (1 image)"],
        &[" 1 images"],
    ),
    (
        "tune {demo on} --limit 20",
        0,
        &["{demo}/in.npy -o detector.toml\n"],
        &["--temperature", "--magnitude"],
    ),
    (
        "tune {demo on} --limit 20 --tune-on Uniform --temperatures 1000 --magnitudes 0.003",
        0,
        &["{demo}/in.npy --magnitude 0.003 -o detector.toml\n"],
        &["--temperature"],
    ),
    (
        "tune {demo on} --limit 20 --tune-on Uniform --temperatures 10 --magnitudes 0.0014",
        0,
        &["{demo}/in.npy --temperature 10 -o detector.toml\n"],
        &["--magnitude"],
    ),
    (
        "tune {demo on} --limit 20 --mean 0.5 --std 0.25 --image-size 8 --transform resize:8x8 --skip-bad --batch-size 7",
        0,
        &[
            "{demo}/in.npy --transform resize:8x8:bilinear --skip-bad --mean 0.5 --std 0.25 --image-size 8x8 -o detector.toml\n",
        ],
        &["--batch-size"],
    ),
    (
        "tune {demo on} --limit 20 --for knn:k=2/4 --fit-on {demo}/validation.npy --fit-images 90 --tune-on {demo}/near.npy --mean 0.5 --std 0.25",
        0,
        &[
            " --mean 0.5 --std 0.25 --score knn",
            " --fit-on {demo}/validation.npy --fit-images 90 -o detector.toml\n",
        ],
        &["--temperature"],
    ),
    (
        "compile --detector d.toml -o d.onnx",
        0,
        &[
            "images 1x8x8 (from the detector)",
            "std 0.377469 (from the detector)",
        ],
        &["(given)"],
    ),
    (
        "drift by-msp.csv by-msp.jsonl",
        0,
        &["Score                   msp\n"],
        &["odin"],
    ),
];

/// A bitmap of one colour.
fn bitmap(width: u8, height: u8) -> Vec<u8> {
    let row = usize::from(width) * 3;
    let padded = row.next_multiple_of(4);
    let size = 54 + padded * usize::from(height);
    let mut file = b"BM".to_vec();
    file.extend((size as u32).to_le_bytes());
    file.extend(b"\0\0\0\0\x36\0\0\0\x28\0\0\0");
    file.extend(u32::from(width).to_le_bytes());
    file.extend(u32::from(height).to_le_bytes());
    file.extend(b"\x01\0\x18\0");
    file.resize(54, 0);
    file.resize(size, 0x7f);
    file
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("large.bmp"), bitmap(20, 12)).unwrap();
    fs::write(here.join("right.bmp"), bitmap(8, 8)).unwrap();
    for args in [
        "calibrate {demo on} --limit 80 -o d.toml",
        "calibrate {demo on} --limit 80 --transform resize:8 -o resized.toml",
        "calibrate {demo on} --limit 80 --score msp -o msp.toml",
        "score --detector msp.toml {demo}/near.npy -o by-msp.csv",
        "score --detector msp.toml {demo}/near.npy -o by-msp.jsonl",
    ] {
        let (code, said) = run(here, &format!("{args} --quiet"));
        assert_eq!(code, Some(0), "{args}\n{said}");
    }
    folder
}

/// The exit code, and what both streams say.
fn run(folder: &Path, args: &str) -> (Option<i32>, String) {
    let output = odin(folder, &args.replace("{demo on}", DEMO));
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn messages_say_what_to_do() {
    let folder = folder();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let demo = demo.display().to_string();
    for (args, code, wanted, unwanted) in SAID {
        let (found, said) = run(folder.path(), args);
        assert_eq!(found, Some(*code), "odin {args}\n{said}");
        for wanted in *wanted {
            let wanted = wanted.replace("{demo}", &demo);
            assert!(
                said.contains(&wanted),
                "no {wanted:?} in odin {args}\n{said}"
            );
        }
        for unwanted in *unwanted {
            assert!(
                !said.contains(unwanted),
                "{unwanted:?} in odin {args}\n{said}"
            );
        }
    }
}
