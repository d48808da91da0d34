//! Files that versions of odin wrote, in folders under `tests/frozen` that `scripts/freeze.sh`
//! made: this version reads them all, and computes what is in them again.
//!
//! Everything goes through the command line. `commands.txt` in each folder holds what was run.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether scores are the same to the last bit: the engine's with AVX-512 and with AVX2 are, and
/// the others take exponentials from the C library that was there when the files were frozen.
fn to_the_last_bit() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")))]
    false
}

/// How far scores may lie apart elsewhere, as a share of them.
const TOLERANCE: f64 = 1e-6;

/// What leaps when a score moves by its last bit; elsewhere it only has to be there.
const LEAPING: [&str; 3] = ["percentile", "p_value", "is_in_distribution"];

fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen")
}

/// A line of `commands.txt`.
#[derive(Debug, Clone)]
struct Step {
    args: Vec<String>,
    /// The file that standard output goes to.
    stdout: Option<String>,
}

impl Step {
    fn parse(line: &str) -> Self {
        let (command, stdout) = match line.split_once(" > ") {
            Some((command, file)) => (command, Some(file.to_string())),
            None => (line, None),
        };
        let command = command.strip_prefix("odin ").expect(line);
        let args = command.split_whitespace().map(str::to_string).collect();
        Self { args, stdout }
    }

    fn option(&self, name: &str) -> Option<&str> {
        let place = self.args.iter().position(|arg| arg == name)?;
        self.args.get(place + 1).map(String::as_str)
    }

    /// The files that it writes, by their names in `folder`.
    fn writes(&self, folder: &Path) -> Vec<String> {
        let mut files: Vec<String> = self.stdout.iter().cloned().collect();
        files.extend(self.option("-o").map(str::to_string));
        if let Some(scores) = self.option("--scores") {
            for entry in fs::read_dir(folder.join(scores)).unwrap() {
                let name = entry.unwrap().file_name();
                files.push(format!("{scores}/{}", name.to_str().unwrap()));
            }
        }
        files
    }
}

/// A folder of frozen files, and a copy to work in.
struct Version {
    frozen: PathBuf,
    here: tempfile::TempDir,
}

impl Version {
    /// Copies of all of them.
    fn all() -> Vec<Self> {
        let entries = fs::read_dir(frozen()).unwrap().map(|entry| entry.unwrap());
        let folders = entries.map(|entry| entry.path()).filter(|p| p.is_dir());
        let versions: Vec<Self> = folders
            .map(|frozen| {
                let here = tempfile::tempdir().unwrap();
                copy(&frozen, here.path());
                Self { frozen, here }
            })
            .collect();
        assert!(!versions.is_empty());
        versions
    }

    /// Its commands of this name; only those that go on with a job if `resume`, else no such.
    fn steps(&self, name: &str, resume: bool) -> Vec<Step> {
        let text = fs::read_to_string(self.frozen.join("commands.txt")).unwrap();
        let steps = text.lines().map(Step::parse);
        let steps: Vec<Step> = steps
            .filter(|step| step.args[0] == name)
            .filter(|step| step.args.iter().any(|arg| arg == "--resume") == resume)
            .collect();
        assert!(!steps.is_empty(), "{name}");
        steps
    }

    fn run(&self, args: &[String]) -> Output {
        let mut odin = Command::new(env!("CARGO_BIN_EXE_odin"));
        let output = odin.args(args).current_dir(self.here.path());
        let output = output.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "odin {}\n{said}", args.join(" "));
        output
    }

    /// Runs a command whose files are not there yet; the frozen ones come back when `compare` has
    /// seen the new ones.
    fn again(&self, step: &Step, compare: impl Fn(&str)) {
        let files = step.writes(&self.frozen);
        assert!(!files.is_empty(), "{step:?}");
        for file in &files {
            fs::remove_file(self.here.path().join(file)).unwrap();
        }
        let output = self.run(&step.args);
        if let Some(file) = &step.stdout {
            fs::write(self.here.path().join(file), &output.stdout).unwrap();
        }
        for file in &files {
            compare(file);
            fs::copy(self.frozen.join(file), self.here.path().join(file)).unwrap();
        }
    }

    /// The records of a score file, frozen or new.
    fn table(&self, folder: &Path, file: &str) -> Table {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        match file.ends_with(".jsonl") {
            true => of_json_lines(&text),
            false => of_csv(&text),
        }
    }

    /// Whether the new score file says what the frozen one does.
    fn compare_scores(&self, file: &str) {
        if file.ends_with(".parquet") {
            // Nothing else of the program reads it.
            let csv = file.replace(".parquet", ".csv");
            let frozen = self.frozen.join(file).display().to_string();
            return self.compare_by_drift(&frozen, file, &csv, to_the_last_bit());
        }
        let frozen = self.table(&self.frozen, file);
        let found = self.table(self.here.path(), file);
        compare_tables(file, &frozen, &found);
    }

    /// Whether two score files hold the same numbers, at least in another order, as far as `odin
    /// drift` can tell. The columns are those of `csv`.
    fn compare_by_drift(&self, one: &str, other: &str, csv: &str, same_numbers: bool) {
        let table = self.table(&self.frozen, csv);
        let scores = table.head.iter().skip_while(|name| *name != "msp");
        let scores = scores.take_while(|name| !LEAPING.contains(&name.as_str()));
        for score in scores {
            let args = format!("drift {one} {other} --score {score} --format json");
            let args: Vec<String> = args.split_whitespace().map(str::to_string).collect();
            let report: Value = serde_json::from_slice(&self.run(&args).stdout).unwrap();
            let said = format!("{one} and {other}, {score}: {report:#}");
            let mut keys = vec!["images", "scored", "errors"];
            if same_numbers {
                keys.extend(["rejected", "median_score"]);
                assert_eq!(report["scores"]["statistic"], 0.0, "{said}");
            }
            for key in keys {
                assert!(!report["new"][key].is_null(), "{said}");
                assert_eq!(report["reference"][key], report["new"][key], "{said}");
            }
            assert_eq!(report["new"]["images"], table.rows.len(), "{said}");
        }
    }

    /// Whether what is at these places of the frozen report is in the new one.
    fn compare_reports(&self, file: &str, places: &[&str], numbers: bool) {
        let read = |folder: &Path| -> Value {
            serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap()
        };
        let (frozen, found) = (read(&self.frozen), read(self.here.path()));
        for place in places {
            let at = |report: &Value| report.pointer(place).cloned();
            let frozen = at(&frozen).unwrap_or_else(|| panic!("{file} has no {place}"));
            let found = at(&found).unwrap_or_else(|| panic!("the new {file} has no {place}"));
            compare_json(&format!("{file}: {place}"), &frozen, &found, numbers);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).unwrap()),
        }
    }
}

/// Cells as text; JSON lines have their columns in the same order.
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn of_csv(text: &str) -> Table {
    let mut lines = text.lines().map(|line| {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    });
    let head = lines.next().unwrap();
    let rows = lines.collect();
    Table { head, rows }
}

fn of_json_lines(text: &str) -> Table {
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let records: Vec<serde_json::Map<String, Value>> = records.collect();
    let head: Vec<String> = records[0].keys().cloned().collect();
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let row = |record: &serde_json::Map<String, Value>| {
        assert!(record.keys().eq(&head), "{record:?}");
        record.values().map(cell).collect()
    };
    let rows = records.iter().map(row).collect();
    Table { head, rows }
}

/// Every column that was there is there and holds the same; others may have come.
fn compare_tables(file: &str, frozen: &Table, found: &Table) {
    assert_eq!(frozen.rows.len(), found.rows.len(), "{file}");
    for (i, name) in frozen.head.iter().enumerate() {
        let place = found.head.iter().position(|other| other == name);
        let place = place.unwrap_or_else(|| panic!("the new {file} has no column {name}"));
        for (row, (frozen, found)) in frozen.rows.iter().zip(&found.rows).enumerate() {
            let (frozen, found) = (&frozen[i], &found[place]);
            let what = format!("{file}, row {}, {name}: {frozen} was, {found} is", row + 1);
            let loose = !to_the_last_bit() && LEAPING.contains(&name.as_str());
            match (frozen.parse(), found.parse()) {
                // The words of a message may change.
                _ if name == "error" || loose => {
                    assert_eq!(frozen.is_empty(), found.is_empty(), "{what}")
                }
                (Ok(frozen), Ok(found)) => assert!(close(frozen, found), "{what}"),
                _ => assert_eq!(frozen, found, "{what}"),
            }
        }
    }
}

fn close(frozen: f64, found: f64) -> bool {
    match to_the_last_bit() {
        true => frozen.to_bits() == found.to_bits(),
        false => (frozen - found).abs() <= TOLERANCE * frozen.abs(),
    }
}

/// Everything in `frozen` is in `found`, but for rules in words.
fn compare_json(what: &str, frozen: &Value, found: &Value, numbers: bool) {
    let said = || format!("{what}: {frozen} was, {found} is");
    match (frozen, found) {
        (Value::Object(frozen), Value::Object(found)) => {
            for (key, frozen) in frozen {
                let what = format!("{what}/{key}");
                let found = found.get(key).unwrap_or_else(|| panic!("no {what}"));
                if key != "rule" {
                    compare_json(&what, frozen, found, numbers);
                }
            }
        }
        (Value::Array(frozen), Value::Array(found)) => {
            assert_eq!(frozen.len(), found.len(), "{}", said());
            for (i, (frozen, found)) in frozen.iter().zip(found).enumerate() {
                compare_json(&format!("{what}/{i}"), frozen, found, numbers);
            }
        }
        (Value::Number(frozen), Value::Number(found)) => {
            let close = close(frozen.as_f64().unwrap(), found.as_f64().unwrap());
            assert!(close || !numbers, "{}", said());
        }
        _ => assert!(frozen == found || !numbers, "{}", said()),
    }
}

#[test]
fn detectors_give_the_scores_that_they_gave() {
    for version in Version::all() {
        for step in version.steps("score", false) {
            version.again(&step, |file| version.compare_scores(file));
        }
    }
}

/// Version 0.1 took the first images of a set where fewer were asked for, and fitted to others; later
/// ones take them evenly over the classes. What is not fitted is the same for each image.
const FITTED: [&str; 8] = [
    "kl-matching",
    "mahalanobis",
    "relative-mahalanobis",
    "knn",
    "vim",
    "react",
    "fdbd",
    "nci",
];

impl Step {
    /// The same for all images.
    fn without_limit(mut self) -> Self {
        if let Some(place) = self.args.iter().position(|arg| arg == "--limit") {
            self.args.drain(place..place + 2);
        }
        self
    }
}

impl Table {
    /// The columns that are not fitted, of the images of these names.
    fn of_images(&self, names: &[&String]) -> Self {
        let kept: Vec<usize> = (0..self.head.len())
            .filter(|&i| !FITTED.contains(&self.head[i].as_str()))
            .collect();
        let pick =
            |row: &Vec<String>| -> Vec<String> { kept.iter().map(|&i| row[i].clone()).collect() };
        let row = |name: &&String| self.rows.iter().find(|row| row[0] == **name);
        let rows = names.iter().map(|name| pick(row(name).expect(name)));
        Self {
            head: pick(&self.head),
            rows: rows.collect(),
        }
    }
}

#[test]
fn evaluations_give_the_scores_that_they_gave() {
    const PLACES: [&str; 3] = ["/temperature", "/positive_class", "/results"];
    for version in Version::all() {
        for step in version.steps("eval", false) {
            version.again(&step.without_limit(), |file| {
                if file.ends_with(".json") {
                    return version.compare_reports(file, &PLACES, false);
                }
                let frozen = version.table(&version.frozen, file);
                let found = version.table(version.here.path(), file);
                let names: Vec<&String> = frozen.rows.iter().map(|row| &row[0]).collect();
                compare_tables(file, &frozen.of_images(&names), &found.of_images(&names));
            });
        }
    }
}

/// Which images tuned has changed since version 0.1, and so have the numbers.
#[test]
fn grids_have_the_form_that_they_had() {
    const PLACES: [&str; 2] = ["/temperatures", "/magnitudes"];
    for version in Version::all() {
        for step in version.steps("tune", false) {
            version.again(&step, |file| {
                if file.ends_with(".json") {
                    return version.compare_reports(file, &PLACES, true);
                }
                let frozen = version.table(&version.frozen, file);
                let found = version.table(version.here.path(), file);
                // Tables tell the precision since there are two.
                let mut head = found.head.clone();
                head.retain(|name| name != "precision");
                assert_eq!(frozen.head, head, "{file}");
                assert_eq!(frozen.rows.len(), found.rows.len(), "{file}");
                let setting = |table: &Table| -> Vec<Vec<String>> {
                    let place = |name| table.head.iter().position(|n| n == name).unwrap();
                    let places = [place("temperature"), place("magnitude")];
                    let row = |row: &Vec<String>| places.map(|i| row[i].clone()).to_vec();
                    table.rows.iter().map(row).collect()
                };
                assert_eq!(setting(&frozen), setting(&found), "{file}");
            });
        }
    }
}

#[test]
fn score_files_of_all_kinds_are_read() {
    const PLACES: [&str; 11] = [
        "/reference",
        "/new",
        "/score",
        "/rejected_by",
        "/threshold",
        "/detector",
        "/level",
        "/moved",
        "/verdict",
        "/rejection_rate",
        "/scores",
    ];
    for version in Version::all() {
        for step in version.steps("drift", false) {
            version.again(&step, |file| version.compare_reports(file, &PLACES, true));
        }
        for name in ["scores", "reference", "new"] {
            for other in ["jsonl", "parquet"] {
                let (csv, other) = (format!("{name}.csv"), format!("{name}.{other}"));
                version.compare_by_drift(&csv, &other, &csv, true);
            }
        }
    }
}

#[test]
fn compiled_detectors_are_read_and_equal_their_model() {
    for version in Version::all() {
        for step in version.steps("inspect", false) {
            let places = [
                "/sha256",
                "/classes",
                "/class_names",
                "/image_shape",
                "/layout",
                "/mean",
                "/std",
                "/inputs",
                "/outputs",
                "/detector",
                "/metadata",
            ];
            version.again(&step, |file| version.compare_reports(file, &places, true));
        }
        for step in version.steps("verify", false) {
            let places = ["/images", "/temperature", "/tolerance", "/agree"];
            version.again(&step, |file| version.compare_reports(file, &places, true));
        }
    }
}

/// A journal whose first image has another score.
fn marked(journal: &str) -> String {
    let (before, after) = journal.split_once("\"msp\":").unwrap();
    let (_, after) = after.split_once(',').unwrap();
    format!("{before}\"msp\":0.125,{after}")
}

#[test]
fn a_killed_job_goes_on() {
    for version in Version::all() {
        for step in version.steps("score", true) {
            version.again(&step, |file| version.compare_scores(file));
            let out = step.option("-o").unwrap();
            let part = format!("{out}.part");
            let left = version.here.path().join(&part);
            assert!(!left.exists(), "the job is done, and its journal is there");

            // It goes on, and does not begin anew.
            let journal = fs::read_to_string(version.frozen.join(&part)).unwrap();
            fs::write(&left, marked(&journal)).unwrap();
            version.again(&step, |file| {
                let frozen = version.table(&version.frozen, file);
                let mut found = version.table(version.here.path(), file);
                let msp = found.head.iter().position(|name| name == "msp").unwrap();
                assert_eq!(found.rows[0][msp], "0.125");
                found.rows[0][msp] = frozen.rows[0][msp].clone();
                compare_tables(file, &frozen, &found);
            });
        }
    }
}
