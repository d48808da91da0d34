//! What `odin` writes, and what it must leave as it is: files that it reads, links, pipes, journals.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn command(folder: &Path, args: &str) -> Command {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let demo = demo.canonicalize().unwrap().display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    let args = args.split_whitespace().map(|a| a.replace("{demo}", &demo));
    command.args(args).current_dir(folder);
    command
}

fn odin(folder: &Path, args: &str) -> Output {
    command(folder, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a run says that ends with this code.
fn said(folder: &Path, args: &str, code: i32) -> String {
    let output = odin(folder, args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "odin {args}\n{said}");
    said
}

/// A grey BMP of 8x8.
fn bmp(seed: u8) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for word in [54 + 192, 0, 54, 40, 8, 8, 1 | 24 << 16, 0, 192, 0, 0, 0, 0] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend((0..64u8).flat_map(|i| [i.wrapping_mul(seed); 3]));
    bytes
}

const CALIBRATE: &str =
    "calibrate --nn m.safetensors --in-dataset in.npy --magnitude 0.005 --quiet -o detector.toml";

/// A folder with a model, its configuration, sets, a detector, images and a list of them.
fn work() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    for (from, to) in [
        ("model.safetensors", "m.safetensors"),
        ("in.npy", "in.npy"),
        ("near.npy", "near.npy"),
    ] {
        fs::copy(demo.join(from), at(to)).unwrap();
    }
    fs::write(at("model.toml"), "class_names = \"names.txt\"\n").unwrap();
    fs::write(at("names.txt"), "a\nb\nc\nd\ne\nf\n").unwrap();
    fs::create_dir(at("images")).unwrap();
    for i in 0..4 {
        fs::write(at(&format!("images/{i}.bmp")), bmp(i)).unwrap();
    }
    fs::write(at("list.txt"), "images/1.bmp\nimages/2.bmp\n").unwrap();
    said(folder.path(), &format!("{CALIBRATE} --limit 100"), 0);
    folder
}

/// Every file below a folder, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => files.push((path.clone(), fs::read(&path).unwrap_or_default())),
        }
    }
    files.sort();
    files
}

const COMPILE: &str = "compile --nn m.safetensors --quiet -o";
const TUNE: &str = "tune --nn m.safetensors --in-dataset in.npy --tune-on near.npy --limit 20 --temperatures 1 --magnitudes 0 --quiet -o";
const SCORE: &str = "score --detector detector.toml --quiet";
const EVAL: &str = "eval --nn m.safetensors --in-dataset in.npy --out-dataset near.npy --limit 20 --quiet --scores";

/// A link to make, its target, the arguments, and what is said.
const SOURCES: &[(&str, &str, &str, &str)] = &[
    ("", "", "m.safetensors", "the model itself; name another"),
    (
        "x",
        "m.safetensors",
        "x",
        "the model itself, m.safetensors, under",
    ),
    (
        "",
        "",
        "model.toml",
        "the configuration of the model itself",
    ),
    ("", "", "names.txt", "a file of the model itself"),
];

#[test]
fn what_is_read_is_not_written_over() {
    let folder = work();
    let at = |name: &str| folder.path().join(name);
    let mut cases: Vec<(String, &str, &str, String)> = Vec::new();
    for (link, target, out, words) in SOURCES {
        cases.push((format!("{COMPILE} {out}"), link, target, words.to_string()));
    }
    for (args, link, target, words) in [
        (
            format!("{TUNE} model.toml"),
            "",
            "",
            "the configuration of the model",
        ),
        (
            format!("{TUNE} x.csv"),
            "x.csv",
            "near.npy",
            "a set of images itself, near.npy",
        ),
        (
            format!("{TUNE} x.json"),
            "x.json",
            "m.safetensors",
            "the model itself",
        ),
        (
            format!("{SCORE} images -o images/1.bmp --format csv"),
            "",
            "",
            "a set of images",
        ),
        (
            format!("{SCORE} images -o x.csv"),
            "x.csv",
            "images/1.bmp",
            "a set of images",
        ),
        (
            format!("{SCORE} images/1.bmp -o images/1.bmp --format csv"),
            "",
            "",
            "an image itself",
        ),
        (
            format!("{SCORE} list.txt -o list.txt --format csv"),
            "",
            "",
            "the list itself",
        ),
        (
            format!("{SCORE} list.txt -o x.csv"),
            "x.csv",
            "images/2.bmp",
            "an image itself",
        ),
        (
            format!("{SCORE} images -o detector.toml --format csv"),
            "",
            "",
            "the detector itself",
        ),
        (
            format!("{SCORE} images -o x.csv"),
            "x.csv",
            "m.safetensors",
            "the model itself",
        ),
        (
            "compile --detector detector.toml -o detector.toml".into(),
            "",
            "",
            "the detector itself",
        ),
        (
            format!("{EVAL} s"),
            "s/in.csv",
            "../near.npy",
            "a set of images itself",
        ),
        (
            format!("{EVAL} s"),
            "s/in.csv",
            "../m.safetensors",
            "the model itself",
        ),
        (
            format!("{} --report x.html", EVAL.replace(" --scores", "")),
            "x.html",
            "near.npy",
            "a set of images itself",
        ),
        (
            format!("{} --plots p", EVAL.replace(" --scores", "")),
            "p/near-roc.svg",
            "../near.npy",
            "a set of images itself",
        ),
        (
            format!("{CALIBRATE} --report x.html"),
            "x.html",
            "m.safetensors",
            "the model itself",
        ),
        (
            format!("{TUNE} x.csv --report x.html"),
            "x.html",
            "names.txt",
            "a file of the model itself",
        ),
        (
            "drift a.csv b.csv --detector detector.toml --report x.html".into(),
            "x.html",
            "detector.toml",
            "the detector itself",
        ),
        (
            CALIBRATE.replace("detector.toml", "model.toml"),
            "",
            "",
            "is no detector",
        ),
    ] {
        cases.push((args, link, target, words.to_string()));
    }
    fs::create_dir(at("s")).unwrap();
    fs::create_dir(at("p")).unwrap();
    for (args, link, target, words) in cases {
        for hard in [false, true] {
            match (link, hard) {
                ("", _) => {}
                (_, false) => symlink(target, at(link)).unwrap(),
                (_, true) => fs::hard_link(at(target.trim_start_matches("../")), at(link)).unwrap(),
            }
            let before = contents(folder.path());
            let said = said(folder.path(), &args, 1);
            assert!(
                said.contains(&words),
                "odin {args}: no {words:?} in\n{said}"
            );
            assert!(contents(folder.path()) == before, "odin {args}");
            if !link.is_empty() {
                fs::remove_file(at(link)).unwrap();
            }
        }
    }
    // A plot that leads to the model is not drawn.
    symlink("m.safetensors", at("grid-heat-map.svg")).unwrap();
    let model = fs::read(at("m.safetensors")).unwrap();
    let drawn = TUNE.replace(
        "--temperatures 1 --magnitudes 0",
        "--temperatures 1,1000 --magnitudes 0,0.005",
    );
    let said = said(folder.path(), &format!("{drawn} grid.csv"), 1);
    assert!(said.contains("grid-heat-map.svg is the model"), "{said}");
    assert!(fs::read(at("m.safetensors")).unwrap() == model);
}

/// Before anything is opened that takes long.
#[test]
fn what_cannot_be_written_is_known_at_once() {
    let folder = work();
    for args in [
        "compile --nn absent.onnx -o none/d.onnx",
        "tune --nn absent.onnx --in-dataset absent -o none/t.toml",
        "calibrate --nn absent.onnx --in-dataset absent -o none/d.toml",
        "score --detector absent.toml absent -o none/s.csv",
        "score --detector absent.toml absent -o images --format csv",
    ] {
        let said = said(folder.path(), args, 1);
        let expected = match args.contains("none/") {
            true => ["--out: cannot write none/", ": there is no folder none"],
            false => ["--out: cannot write images", ": it is a folder"],
        };
        assert!(expected.iter().all(|e| said.contains(e)), "{args}: {said}");
    }
}

/// Also where it is written to record by record.
#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_named() {
    let folder = work();
    for args in ["images", "images --format csv", "images --format jsonl"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut run = command(folder.path(), &format!("{SCORE} {args}"));
        let output = run.stdout(full).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args}: {said}");
        assert!(
            said.contains("cannot write to standard output: No space left"),
            "{args}: {said}"
        );
    }
}

#[test]
fn streams_are_written_into_and_links_followed() {
    let folder = work();
    let at = |name: &str| folder.path().join(name);
    said(folder.path(), &format!("{SCORE} images -o whole.csv"), 0);
    let whole = fs::read(at("whole.csv")).unwrap();

    said(
        folder.path(),
        &format!("{SCORE} images -o /dev/null --format csv"),
        0,
    );
    let null = fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());

    symlink("whole.csv", at("link.csv")).unwrap();
    fs::write(at("whole.csv"), "old").unwrap();
    said(folder.path(), &format!("{SCORE} images -o link.csv"), 0);
    assert!(at("link.csv").symlink_metadata().unwrap().is_symlink());
    assert_eq!(text(&fs::read(at("whole.csv")).unwrap()), text(&whole));

    let output = odin(
        folder.path(),
        &format!("{SCORE} images -o /dev/stdout --format csv"),
    );
    assert_eq!(text(&output.stdout), text(&whole));

    let made = Command::new("mkfifo").arg(at("pipe.csv")).status().unwrap();
    assert!(made.success());
    let pipe = at("pipe.csv");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    said(folder.path(), &format!("{SCORE} images -o pipe.csv"), 0);
    assert_eq!(text(&reader.join().unwrap()), text(&whole));
    assert!(fs::metadata(at("pipe.csv")).unwrap().file_type().is_fifo());
    let said_of_pipe = said(
        folder.path(),
        &format!("{SCORE} images -o pipe.csv --resume"),
        2,
    );
    assert!(said_of_pipe.contains("no regular file"), "{said_of_pipe}");

    fs::remove_file(at("pipe.csv")).unwrap();

    // Standard output that goes to a file: what is printed comes behind what is written.
    said(folder.path(), &format!("{COMPILE} d.onnx"), 0);
    let compiled = fs::read(at("d.onnx")).unwrap();
    let mut run = command(folder.path(), &format!("{COMPILE} /dev/stdout"));
    let status = run.stdout(File::create(at("both")).unwrap()).status();
    assert!(status.unwrap().success());
    let both = fs::read(at("both")).unwrap();
    assert!(both.starts_with(&compiled) && both.len() > compiled.len());

    let left: Vec<PathBuf> = contents(folder.path())
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with('.') || name.ends_with(".part")
    };
    assert!(!left.iter().any(ours), "{left:?}");
}

/// Links under the names of what is only there for a while.
#[test]
fn no_link_leads_a_temporary_file_astray() {
    let folder = work();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("precious"), "").unwrap();
    for name in [".s.csv.whole.part", ".s.csv.part"] {
        symlink("precious", at(name)).unwrap();
    }
    said(folder.path(), &format!("{SCORE} images -o s.csv"), 0);
    for target in ["precious", "not-there"] {
        symlink(target, at("t.csv.part")).unwrap();
        for resume in ["", "--resume"] {
            said(
                folder.path(),
                &format!("{SCORE} images -o t.csv {resume}"),
                1,
            );
        }
        fs::remove_file(at("t.csv.part")).unwrap();
    }
    assert_eq!(fs::read(at("precious")).unwrap(), b"");
    assert!(!at("not-there").exists());
}

#[test]
fn eval_leaves_other_jobs_alone() {
    let folder = work();
    let at = |name: &str| folder.path().join(name);
    let eval = format!("{EVAL} s");
    fs::create_dir(at("s")).unwrap();
    fs::write(at("s/near.csv.part"), "a journal").unwrap();
    let words = said(folder.path(), &eval, 1);
    assert!(
        words.contains("near.csv.part belongs to a job of odin score"),
        "{words}"
    );
    assert_eq!(
        contents(&at("s")),
        [(at("s/near.csv.part"), b"a journal".to_vec())]
    );
    fs::rename(at("s/near.csv.part"), at("s/other.csv.part")).unwrap();

    let other = File::open(at("s")).unwrap();
    other.lock().unwrap();
    let words = said(folder.path(), &eval, 1);
    assert!(
        words.contains("another odin eval is writing into s"),
        "{words}"
    );
    drop(other);
    said(folder.path(), &eval, 0);
    assert_eq!(fs::read(at("s/other.csv.part")).unwrap(), b"a journal");
    assert_eq!(fs::read_dir(at("s")).unwrap().count(), 3);
}

#[test]
fn a_finished_file_is_only_that_of_its_job() {
    let folder = work();
    let other = CALIBRATE.replace("detector.toml", "other.toml --tpr 0.9 --limit 100");
    said(folder.path(), &other, 0);
    for name in ["s.csv", "s.jsonl", "s.parquet"] {
        let run = |args: &str, code| said(folder.path(), &format!("score {args} -o {name}"), code);
        run("--detector detector.toml images", 0);
        let before = contents(folder.path());
        let words = run("--detector detector.toml images --resume", 0);
        assert!(words.contains("complete already"), "{words}");
        for (args, words) in [
            ("--detector other.toml images", "is of the detector"),
            (
                "--detector detector.toml in.npy",
                "the job's image there is",
            ),
            (
                "--detector detector.toml list.txt",
                "the job's image there is",
            ),
            (
                "--detector detector.toml images in.npy",
                "it has 4 records, the job 365",
            ),
            (
                "--detector detector.toml images/0.bmp",
                "the job has 1 image",
            ),
            ("--detector detector.toml images --shard 1/2", "record"),
        ] {
            let found = run(&format!("{args} --resume"), 1);
            assert!(
                found.contains(words) && found.contains("--resume: "),
                "{args}: {found}"
            );
        }
        assert!(contents(folder.path()) == before, "{name}");
    }
    fs::write(folder.path().join("s.csv"), "mine").unwrap();
    let words = said(
        folder.path(),
        &format!("{SCORE} images -o s.csv --resume"),
        1,
    );
    assert!(words.contains("its columns are mine"), "{words}");
}

/// Whether it is written at once, at the end, or while images are scored.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = work();
    for args in [
        "--help",
        "inspect m.safetensors",
        "score --detector detector.toml images/1.bmp",
        "score --detector detector.toml images",
        "score --detector detector.toml near.npy in.npy --format jsonl",
    ] {
        let mut command = command(folder.path(), args);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "odin {args}\n{said}");
        assert!(!said.contains("error:"), "odin {args}\n{said}");
    }
}

/// A job for which there is time to be disturbed.
const LONG: &str =
    "score --detector detector.toml near.npy in.npy --batch-size 1 --threads 1 -o s.jsonl --resume";

/// A running job whose journal has some records.
fn begun(folder: &Path) -> Child {
    let mut run = command(folder, LONG);
    let mut child = run.stderr(Stdio::piped()).spawn().unwrap();
    let part = folder.join("s.jsonl.part");
    let records = || fs::read(&part).map_or(0, |bytes| bytes.split(|&b| b == b'\n').count());
    for _ in 0..1000 {
        if records() > 20 {
            return child;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the job does not begin");
}

#[test]
fn damage_to_a_journal_loses_no_image_and_changes_no_score() {
    let folder = work();
    let at = |name: &str| folder.path().join(name);
    said(folder.path(), LONG, 0);
    let undisturbed = fs::read(at("s.jsonl")).unwrap();
    fs::remove_file(at("s.jsonl")).unwrap();

    // Cut from outside while the job runs.
    let mut child = begun(folder.path());
    let part = File::options()
        .write(true)
        .open(at("s.jsonl.part"))
        .unwrap();
    part.set_len(part.metadata().unwrap().len() / 2).unwrap();
    let status = child.wait().unwrap();
    let mut words = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut words)
        .unwrap();
    assert_eq!(status.code(), Some(1), "{words}");
    assert!(
        words.contains("was changed or cut off while the job ran"),
        "{words}"
    );
    assert!(!at("s.jsonl").exists());
    said(folder.path(), LONG, 0);
    assert!(fs::read(at("s.jsonl")).unwrap() == undisturbed);
    fs::remove_file(at("s.jsonl")).unwrap();

    // Another digit in a line.
    let mut child = begun(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = fs::read(at("s.jsonl.part")).unwrap();
    let lines: Vec<usize> = (0..journal.len())
        .filter(|&i| journal[i] == b'\n')
        .collect();
    for line in [1, 10, lines.len() - 1] {
        let odin = journal[lines[line - 1]..]
            .windows(8)
            .position(|w| w == b"\"odin\":0");
        let mut altered = journal.clone();
        let digit = &mut altered[lines[line - 1] + odin.unwrap() + 12];
        *digit = if *digit == b'3' { b'4' } else { b'3' };
        fs::write(at("s.jsonl.part"), altered).unwrap();
        let words = said(folder.path(), LONG, 0);
        let expected = format!("line {} of s.jsonl.part is damaged", line + 1);
        assert!(words.contains(&expected), "{words}");
        assert!(
            fs::read(at("s.jsonl")).unwrap() == undisturbed,
            "line {line}"
        );
        fs::remove_file(at("s.jsonl")).unwrap();
    }
}

/// Whenever it is killed, a calibration leaves the detector that was there or its own.
#[test]
fn a_killed_calibration_leaves_a_detector_that_opens() {
    let folder = work();
    let calibrate =
        format!("{CALIBRATE} --limit 60 --score knn --fit-on near.npy --fit-images 200 --tpr");
    said(folder.path(), &format!("{calibrate} 0.5"), 0);
    for (kill, millis) in (0u32..).zip([40, 120, 200, 300, 450, 700]) {
        let mut child = command(folder.path(), &format!("{calibrate} 0.{}", 6 + kill % 2));
        let mut child = child.stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        let _ = child.kill();
        child.wait().unwrap();
        said(folder.path(), &format!("{SCORE} images/1.bmp"), 0);
    }
}

/// Names of bytes that are no UTF-8, of control characters and of how these are spelled, and names
/// that a spreadsheet would compute.
#[test]
fn every_image_is_a_row_whatever_it_is_called() {
    let folder = work();
    fs::create_dir(folder.path().join("n")).unwrap();
    let names: [(&[u8], &str, &str); 8] = [
        (b"n/\\u{1b}.bmp", "n/\\\\u{1b}.bmp", "n/\\\\u{1b}.bmp"),
        (b"n/\x1b.bmp", "n/\\u{1b}.bmp", "n/\\u{1b}.bmp"),
        (b"n/\xfe.bmp", "n/\\xfe.bmp", "n/\\xfe.bmp"),
        (b"n/\xff.bmp", "n/\\xff.bmp", "n/\\xff.bmp"),
        (
            b"n/a\nb\r.bmp",
            "n/a\\u{a}b\\u{d}.bmp",
            "n/a\\u{a}b\\u{d}.bmp",
        ),
        (b"=1+1.bmp", "=1+1.bmp", "'=1+1.bmp"),
        (b"@a.bmp", "@a.bmp", "'@a.bmp"),
        (b"'a.bmp", "'a.bmp", "''a.bmp"),
    ];
    let mut list = Vec::new();
    for (name, ..) in names {
        let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, bmp(3)).unwrap();
        list.extend([name, b"\0"].concat());
    }
    fs::write(folder.path().join("list"), &list).unwrap();
    let all = format!("{SCORE} - n -o");
    for (out, resume) in [
        ("s.csv", ""),
        ("s.csv", "--resume"),
        ("s.jsonl", ""),
        ("s.jsonl", "--resume"),
    ] {
        let mut run = command(folder.path(), &format!("{all} {out} {resume}"));
        let list = File::open(folder.path().join("list")).unwrap();
        let output = run.stdin(list).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let found = fs::read_to_string(folder.path().join(out)).unwrap();
        let rows: Vec<String> = match out {
            "s.csv" => found
                .lines()
                .skip(1)
                .map(|l| l.split(',').next().unwrap().into())
                .collect(),
            _ => found
                .lines()
                .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap())
                .map(|row| row["file"].as_str().unwrap().to_string())
                .collect(),
        };
        let expected = names.map(|(_, json, csv)| if out == "s.csv" { csv } else { json });
        assert_eq!(rows, expected, "{out}");
    }
}
