//! Which images `odin eval` takes of which sets, what it calls them, and what it says of them.

use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const REGISTRY: &str = r#"
    [[dataset]]
    name = "own"
    title = "All of it is evaluated"
    licence = "none"
    citation = "none"
    images = 60
    places = ["own.npy"]

    [[dataset]]
    name = "tuned"
    title = "Some of it is for tuning"
    licence = "none"
    citation = "none"
    images = 53
    validation = 40
    shortens_in_set = true
    places = ["own.npy"]

    [[dataset]]
    name = "digits"
    title = "Labels of more classes than it shows"
    licence = "none"
    citation = "none"
    classes = 10
    places = ["labelled.npy"]

    [[network]]
    name = "seven"
    title = "Has six"
    licence = "none"
    citation = "none"
    classes = 7
    shape = [1, 8, 8]
    mean = [0.5]
    std = [0.5]
    places = ["net.safetensors"]
"#;

/// `count` grey images of 8x8 with the side `width`.
fn npy(count: usize, width: usize) -> Vec<u8> {
    let header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 8, {width}), }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend((0..count * 8 * width).map(|i| (i * 7 % 256) as u8));
    bytes
}

/// An image of 8x8.
fn bmp() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [54 + 192, 0, 54, 40, 8, 8, 1 | 24 << 16, 0, 192, 0, 0, 0, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend((0..192).map(|i| i as u8));
    bytes
}

/// A folder with sets of all kinds.
fn folder() -> tempfile::TempDir {
    let demo = |file: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../demo")
            .join(file)
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    for (from, to) in [
        ("model.safetensors", "net.safetensors"),
        ("in.npy", "in.npy"),
        ("in_labels.npy", "in_labels.npy"),
        ("in.npy", "data/labelled.npy"),
        ("in_labels.npy", "data/labelled_labels.npy"),
        ("model.safetensors", "named/net.safetensors"),
        ("model.safetensors", "data/net.safetensors"),
    ] {
        write(to, &std::fs::read(demo(from)).unwrap());
    }
    write(
        "named/model.toml",
        br#"class_names = ["a", "b", "c", "d", "e", "f"]"#,
    );
    write("own.toml", REGISTRY.as_bytes());
    write("data/own.npy", &npy(53, 8));
    write("wide.npy", &npy(3, 12));
    write("p/test/1.bmp", &bmp());
    write("q/test/1.bmp", &bmp());
    write("uniform/1.bmp", &bmp());
    write("Gaussian/1.bmp", &bmp());
    for class in ["a", "b", "c", "d", "e", "f"] {
        write(&format!("six/{class}/1.bmp"), &bmp());
    }
    for class in ["b", "d"] {
        write(&format!("two/{class}/1.bmp"), &bmp());
    }
    let six = ["f", "e", "d", "c", "b", "a"].iter().zip((0..6).rev());
    let six = six.map(|(class, label)| format!("six/{class}/1.bmp {label}\n"));
    write("lists/six.txt", six.collect::<String>().as_bytes());
    write("lists/ood.txt", b"uniform/1.bmp -1\np/test/1.bmp -1\n");
    write("lists/wrong.txt", b"uniform/1.bmp -1\np/test/1.bmp\n");
    write("lists/lost.txt", b"nowhere/1.bmp 0\n");
    for i in 0..5 {
        write(&format!("bad/{i}.bmp"), if i == 3 { b"x" } else { b"BM" });
        write(&format!("mixed/{i}.bmp"), b"BM");
    }
    write("mixed/5.bmp", &bmp());
    folder
}

fn odin(folder: &Path, args: &str) -> Output {
    let common = "--registry own.toml --limit 50";
    Command::new(env!("CARGO_BIN_EXE_odin"))
        .args(format!("eval {args} {common}").split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Arguments; places in the JSON report with what is there; what standard error contains.
type Run = (&'static str, &'static [(&'static str, Value)], &'static str);

fn runs() -> Vec<Run> {
    // Makes of `Value`s, which are not const, something that lives as long.
    fn values<const N: usize>(
        values: [(&'static str, Value); N],
    ) -> &'static [(&'static str, Value)] {
        Box::leak(Box::new(values))
    }
    vec![
        (
            "--nn net.safetensors --in-dataset in.npy --out-dataset own",
            values([
                ("/results/0/n_out", json!(50)),
                ("/results/0/out_set/images", json!(53)),
                ("/results/0/out_set/expected_images", json!(60)),
                ("/results/0/in_set_shortened", json!(false)),
                ("/in_set/expected_images", Value::Null),
                ("/in_set/path", json!("in.npy")),
            ]),
            "own: 53 images are here, the registry says 60",
        ),
        (
            "--nn net.safetensors --in-dataset in.npy --out-dataset tuned --batch-size 18446744073709551615",
            values([
                ("/results/0/n_out", json!(13)),
                ("/results/0/n_in", json!(13)),
                ("/results/0/in_set_shortened", json!(true)),
                ("/results/0/out_set/expected_images", Value::Null),
            ]),
            "tuned: 13 of 53 images, from image 40",
        ),
        (
            "--nn net.safetensors --in-dataset own --out-dataset tuned --split validation",
            values([
                ("/results/0/n_out", json!(40)),
                ("/results/0/n_in", json!(40)),
            ]),
            "own: the validation part takes up to 1000 images, which are all of these",
        ),
        (
            "--nn net.safetensors --in-dataset six --out-dataset Uniform",
            values([("/no_accuracy", Value::Null)]),
            "",
        ),
        (
            "--nn net.safetensors --in-dataset two --out-dataset Uniform",
            values([
                ("/accuracy", Value::Null),
                (
                    "/no_accuracy",
                    json!("it has 2 classes, the network has 6; they cannot be the same"),
                ),
            ]),
            "",
        ),
        (
            "--nn named/net.safetensors --in-dataset two --out-dataset Uniform",
            values([("/no_accuracy", Value::Null)]),
            "",
        ),
        (
            "--nn net.safetensors --in-dataset uniform --out-dataset Uniform",
            values([
                ("/accuracy", Value::Null),
                ("/no_accuracy", json!("its images have no labels")),
                ("/results/0/n_in", json!(1)),
                ("/results/0/n_out", json!(50)),
            ]),
            "",
        ),
        // One image under each of the six labels.
        (
            "--nn net.safetensors --in-dataset lists/six.txt --out-dataset lists/ood.txt",
            values([
                ("/accuracy", json!(1.0 / 6.0)),
                ("/no_accuracy", Value::Null),
                ("/in_dataset", json!("six")),
                ("/results/0/out_dataset", json!("ood")),
                ("/results/0/n_in", json!(6)),
                ("/results/0/n_out", json!(2)),
            ]),
            "six: the paths of the list are below ",
        ),
        (
            "--nn net.safetensors --in-dataset lists/ood.txt --out-dataset Uniform",
            values([("/no_accuracy", json!("its images have no labels"))]),
            "",
        ),
        (
            "--nn net.safetensors --in-dataset digits --out-dataset Uniform",
            values([
                ("/accuracy", Value::Null),
                (
                    "/no_accuracy",
                    json!("it has 10 classes, the network has 6; they cannot be the same"),
                ),
            ]),
            "",
        ),
        (
            "--nn net.safetensors --in-dataset mixed --out-dataset Uniform --skip-bad --batch-size 1",
            values([("/in_set/skipped", json!(5)), ("/results/0/n_in", json!(1))]),
            "5 images were left out",
        ),
        (
            "--nn net.safetensors --in-dataset in.npy --out-dataset p/test --out-dataset q/test",
            values([
                ("/results/0/out_dataset", json!("p/test")),
                ("/results/1/out_dataset", json!("q/test")),
                ("/in_dataset", json!("in")),
            ]),
            "",
        ),
        (
            "--nn net.safetensors --in-dataset in.npy --out-dataset Gaussian",
            values([("/results/0/n_out", json!(50))]),
            "write ./Gaussian for the path of that name",
        ),
    ]
}

#[test]
fn the_images_named_take_part_under_their_names() {
    let folder = folder();
    for (args, places, on_stderr) in runs() {
        let output = odin(folder.path(), &format!("{args} --format json"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args}\n{stderr}");
        assert!(
            stderr.contains(on_stderr),
            "{args}: no {on_stderr:?} in\n{stderr}"
        );
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (place, expected) in places {
            assert_eq!(
                report.pointer(place),
                Some(expected),
                "{args}: {place} in\n{report:#}"
            );
        }
    }
}

/// Arguments, exit code, and what standard error contains.
const MISTAKES: &[(&str, i32, &[&str])] = &[
    (
        "--nn net.safetensors --in-dataset bad --out-dataset Uniform --skip-bad",
        1,
        &[
            "bad: there is no image to score (5 were",
            "5 could not be read); the first, ",
            "bad/0.bmp does not decode",
        ],
    ),
    (
        "--nn net.safetensors --in-dataset bad --out-dataset Uniform",
        1,
        &["--skip-bad"],
    ),
    (
        "--nn net.safetensors --in-dataset in.npy --out-dataset wide.npy --scores scores",
        1,
        &[
            "wide",
            "8x12 (height x width)",
            "--transform resize:",
            "--image-size",
        ],
    ),
    (
        "--nn net.safetensors --in-dataset lists/wrong.txt --out-dataset Uniform",
        1,
        &["lists/wrong.txt: line 2: expected the path"],
    ),
    (
        "--nn net.safetensors --in-dataset lists/lost.txt --out-dataset Uniform",
        1,
        &[
            "lists/lost.txt: the first image, nowhere/1.bmp",
            "images_classic",
        ],
    ),
    (
        "--nn net.safetensors --in-dataset in.npy --out-dataset gaussian",
        1,
        &["the registry spells it Gaussian"],
    ),
    (
        "--nn net.safetensors --in-dataset absent --out-dataset all",
        1,
        &[
            "6 sets",
            "absent",
            "Imagenet is not",
            "LSUN_resize is not",
            "iSUN is not",
        ],
    ),
    (
        "--nn seven --in-dataset in.npy --out-dataset Uniform",
        1,
        &["6 classes", "says 7"],
    ),
    (
        "--nn net.safetensors --in-dataset in.npy --out-dataset Uniform --scores in.npy",
        1,
        &["--scores"],
    ),
    (
        "--nn net.safetensors --in-dataset in.npy --out-dataset Uniform --magnitude 1e300",
        1,
        &["in, 00", "the magnitude"],
    ),
];

#[test]
fn mistakes_are_found_before_anything_is_scored() {
    let folder = folder();
    for (args, code, wanted) in MISTAKES {
        let output = odin(folder.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{args}\n{stderr}");
        for wanted in *wanted {
            assert!(
                stderr.contains(wanted),
                "{args}: no {wanted:?} in\n{stderr}"
            );
        }
    }
    assert!(!folder.path().join("scores").exists());
}

#[test]
fn quiet_is_quiet_about_images_left_out() {
    let folder = folder();
    let args = "--nn net.safetensors --in-dataset mixed --out-dataset Uniform --skip-bad --quiet";
    let output = odin(folder.path(), args);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("mixed: 5 images were left out"), "{table}");
}

#[cfg(unix)]
#[test]
fn a_link_has_its_own_name_and_score_files_have_those_of_the_sets() {
    let folder = folder();
    std::os::unix::fs::symlink("p/test", folder.path().join("link")).unwrap();
    let args = "--nn net.safetensors --in-dataset in.npy --out-dataset link --out-dataset q/test --out-dataset p/test --scores s";
    let output = odin(folder.path(), args);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut files: Vec<_> = std::fs::read_dir(folder.path().join("s"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["in.csv", "link.csv", "p_test.csv", "q_test.csv"]);
}

/// The checksum of a zip member.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), bit);
    !bytes.iter().fold(!0, byte)
}

/// A zip archive of stored files.
fn stored_zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let size = (content.len() as u32).to_le_bytes();
        let checksum = crc32(content).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        let common = [
            &b"\x14\0\0\0\0\0\0\0\0\0"[..],
            &checksum,
            &size,
            &size,
            &length,
            &[0; 2],
        ]
        .concat();
        let offset = (zip.len() as u32).to_le_bytes();
        let entry = [
            b"PK\x01\x02\x14\0",
            &common[..],
            &[0; 10],
            &offset,
            name.as_bytes(),
        ];
        directory.extend(entry.concat());
        zip.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let sizes = [directory.len() as u32, zip.len() as u32].map(u32::to_le_bytes);
    zip.extend(directory);
    zip.extend(
        [
            b"PK\x05\x06\0\0\0\0",
            &count[..],
            &count,
            &sizes.concat(),
            &[0; 2],
        ]
        .concat(),
    );
    zip
}

/// A file as of MedMNIST: 181 images to validate on, and 361 for tests.
fn medmnist(folder: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let read = |name: &str| std::fs::read(demo.join(name)).unwrap();
    let files = [
        ("val_images.npy", read("validation.npy")),
        ("val_labels.npy", read("validation_labels.npy")),
        ("test_images.npy", read("in.npy")),
        ("test_labels.npy", read("in_labels.npy")),
    ];
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, file)| (*name, &file[..]))
        .collect();
    std::fs::write(folder.join("medmnist.npz"), stored_zip(&files)).unwrap();
}

/// Arguments, and what is said of the set.
const OF_SPLITS: [(&str, &[&str]); 7] = [
    (
        "eval {out}",
        &["test_images is read", "medmnist: 361 images\n", "99.4%"],
    ),
    (
        "eval {out} --split test --limit 90",
        &["test_images is read", "90 of 361 images"],
    ),
    (
        "eval {out} --split validation",
        &["val_images is read", "medmnist: 181 images\n"],
    ),
    (
        "eval {out} --split all",
        &["test_images is read", "medmnist: 361 images\n"],
    ),
    (
        "calibrate -o d.toml",
        &["val_images is read", "medmnist: 181 images\n"],
    ),
    (
        "calibrate --split test -o d.toml",
        &["test_images is read", "medmnist: 361 images\n"],
    ),
    (
        "tune --out-dataset {demo}/near.npy",
        &["val_images is read", "medmnist: 181 images\n", "(361 in, "],
    ),
];

/// Sets that bring splits are evaluated on the one, and calibrated and tuned on the other.
#[test]
fn splits_that_a_set_brings_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    medmnist(here);
    for (args, expected) in OF_SPLITS {
        let args = args.replace("{out}", "--out-dataset Uniform");
        let args = format!("{args} --nn {{demo}}/model.safetensors --in-dataset medmnist.npz");
        let output = super::runs::odin(here, &args);
        let said = super::runs::text(&output.stdout) + &super::runs::text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "odin {args}\n{said}");
        for expected in expected {
            assert!(
                said.contains(expected),
                "no {expected:?} in odin {args}\n{said}"
            );
        }
        assert!(
            !said.contains("none is left for a test"),
            "odin {args}\n{said}"
        );
    }
}
