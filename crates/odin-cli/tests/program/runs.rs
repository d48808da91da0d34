//! Runs of the program, and what is expected of them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

pub(super) fn odin(folder: &Path, args: &str) -> Output {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    let demo = demo.display().to_string();
    let args = args.split_whitespace().map(|a| a.replace("{demo}", &demo));
    let mut odin = Command::new(env!("CARGO_BIN_EXE_odin"));
    odin.args(args).current_dir(folder).output().unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The same lines with one space where columns stand apart.
fn squeezed(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

pub(super) fn json(folder: &Path, args: &str) -> Value {
    let output = odin(folder, &format!("{args} --format json"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Arguments, exit code, what standard output holds, with one space for many, and what standard
/// error.
pub(super) type Run = (
    &'static str,
    i32,
    &'static [&'static str],
    &'static [&'static str],
);

/// Runs a command with the arguments of each run. One that fails prints nothing on standard output.
pub(super) fn check(folder: &Path, command: &str, runs: &[Run]) {
    for (args, code, on_stdout, on_stderr) in runs {
        let output = odin(folder, &format!("{command} {args}"));
        let (stdout, stderr) = (squeezed(&text(&output.stdout)), text(&output.stderr));
        let said = format!("odin {command} {args}\n{stdout}\n{stderr}");
        assert_eq!(output.status.code(), Some(*code), "{said}");
        assert!(!stderr.contains("panicked"), "{said}");
        for wanted in *on_stdout {
            assert!(stdout.contains(wanted), "no {wanted:?} in {said}");
        }
        for wanted in *on_stderr {
            assert!(stderr.contains(wanted), "no {wanted:?} in {said}");
        }
        assert_eq!(stdout.is_empty(), [1, 2].contains(code), "{said}");
    }
}
