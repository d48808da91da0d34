//! What commands print of one thing: tables, JSON, a line.

use odin::{Agreement, Classifier, ClassifierOptions, CompileOptions, Setting, compile};
use odin_data::fetch::{Check, Fetched};
use odin_data::registry::Registry;
use odin_report::{
    AgreementReport, CompileReport, DecidedBy, DecisionReport, FetchReport, FetchRow,
    RegistryReport, ScoreRecord, ScoreValues,
};
use serde_json::{Value, json};
use std::path::Path;

fn parsed(text: &str) -> Value {
    assert!(text.ends_with('\n'), "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn agreements_are_judged_by_the_tolerance() {
    let mut agreement = Agreement::default();
    agreement.images = 40;
    agreement.logits = 0.004;
    agreement.logit_scale = 8.0;
    agreement.temperature = 1000.0;
    for (tolerance, disagreements, agree) in
        [(0.001, 0, true), (0.0001, 0, false), (0.001, 1, false)]
    {
        agreement.disagreements = disagreements;
        let report = AgreementReport {
            detector: "d.onnx".to_string(),
            model: "net".to_string(),
            device: "cpu".to_string(),
            engine: "test".to_string(),
            built_in: None,
            agreement: agreement.clone(),
            tolerance,
        };
        let (table, json) = (report.to_table(), parsed(&report.to_json()));
        assert_eq!(report.holds(), agree, "{table}");
        let verdict = if agree { "they agree" } else { "they differ" };
        for wanted in ["Images:                  40\n", "4.000e-3", verdict] {
            assert!(table.contains(wanted), "no {wanted:?} in\n{table}");
        }
        assert_eq!(json["agree"], agree);
        assert_eq!(json["predictions_that_differ"], disagreements);
        assert_eq!(json["largest_difference"]["logits"], 0.004);
    }
}

#[test]
fn the_registry_is_a_row_for_each_name() {
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such folder");
    let rows = Registry::embedded().unwrap().list(&nowhere);
    let report = RegistryReport { rows };
    let (table, json) = (report.to_table(), parsed(&report.to_json()));
    assert_eq!(table.lines().count(), 1 + report.rows.len());
    assert!(table.starts_with("Name "), "{table}");
    let place = table.find("Kind").unwrap();
    for (row, line) in report.rows.iter().zip(table.lines().skip(1)) {
        assert!(line.starts_with(&row.name), "{line}");
        let kind: String = line.chars().skip(place).collect();
        assert!(kind.starts_with(row.kind), "{line}");
    }
    let of = |name: &str| {
        let mut rows = json.as_array().unwrap().iter();
        rows.find(|row| row["name"] == name).unwrap()
    };
    assert_eq!(of("Uniform")["available"], true);
    assert_eq!(of("cifar10")["available"], false);
    assert_eq!(of("cifar10")["path"], Value::Null);
}

/// A file of which the registry has no full checksum is here, one of which it has, and an archive.
#[test]
fn what_nobody_has_verified_is_marked_in_the_list() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unverified");
    std::fs::create_dir_all(&folder).unwrap();
    let files = [
        ("resnet20-12fca82f.th", "resnet20", false, ""),
        ("resnet32-d509ac18.th", "resnet32", true, " (unverified)"),
        (
            "densenet10.pth.tar.gz",
            "densenet10",
            true,
            " (packed, unverified)",
        ),
        ("densenet100.pth", "densenet100", true, " (unverified)"),
        ("tiny-imagenet-200.zip", "tiny-imagenet", false, " (packed)"),
    ];
    for (file, ..) in files {
        std::fs::write(folder.join(file), "content").unwrap();
    }
    let rows = Registry::embedded().unwrap().list(&folder);
    let report = RegistryReport { rows };
    let (table, json) = (report.to_table(), parsed(&report.to_json()));
    for (file, name, unverified, end) in files {
        let mut rows = json.as_array().unwrap().iter();
        let row = rows.find(|row| row["name"] == name).unwrap();
        assert_eq!(row["unverified"], unverified, "{row}");
        let line = table.lines().find(|line| line.contains(file)).unwrap();
        assert!(line.trim_end().ends_with(&format!("{file}{end}")), "{line}");
    }
}

#[test]
fn what_was_fetched_is_a_line_or_an_object() {
    let path = || Path::new("data").join("a");
    let cases = [
        (
            Ok(Fetched::Generated),
            "x: generated when needed, nothing to fetch\n",
            json!({"status": "generated", "path": null, "checksum": null}),
        ),
        (
            Ok(Fetched::Present {
                path: path(),
                check: Check::Unchecked,
            }),
            "x: data/a (was here; unverified: not checked)\n",
            json!({"status": "present", "path": "data/a", "checksum": null, "verified": false, "url": null}),
        ),
        (
            Ok(Fetched::Downloaded {
                path: path(),
                check: Check::FirstSeen,
                url: "https://example.org/a".to_string(),
            }),
            "x: data/a (from https://example.org/a; unverified: no checksum is known; the one seen is recorded)\n",
            json!({"status": "downloaded", "url": "https://example.org/a", "checksum": "first-seen", "verified": false}),
        ),
        (
            Ok(Fetched::Present {
                path: path(),
                check: Check::Recorded,
            }),
            "x: data/a (was here; unverified: no checksum is known; the same file as when first seen)\n",
            json!({"status": "present", "checksum": "recorded", "verified": false}),
        ),
        (
            Ok(Fetched::Present {
                path: path(),
                check: Check::Registry,
            }),
            "x: data/a (was here; checksum as in the registry)\n",
            json!({"status": "present", "checksum": "registry", "verified": true}),
        ),
        (
            Err("no address worked".to_string()),
            "x: no address worked\n",
            json!({"status": "failed", "path": null, "error": "no address worked"}),
        ),
    ];
    for (outcome, line, wanted) in cases {
        let name = "x".to_string();
        let rows = vec![FetchRow { name, outcome }];
        let report = FetchReport { rows };
        assert_eq!(report.to_table(), line);
        let found = &parsed(&report.to_json())[0];
        assert_eq!(found["name"], "x");
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(&found[key], value, "{key} of {line}");
        }
    }
}

#[test]
fn a_compiled_detector_says_what_it_takes_and_does() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/model.safetensors");
    let classifier = Classifier::open(&model, ClassifierOptions::default()).unwrap();
    for (threshold, said) in [(None, "no threshold"), (Some(0.17), "threshold 0.17")] {
        let mut options = CompileOptions::default().setting(Setting::new(1000.0, 0.005).unwrap());
        if let Some(threshold) = threshold {
            options = options.threshold(threshold);
        }
        let bytes = compile(&classifier, &options).unwrap();
        let read = Classifier::from_bytes(&bytes, "d.onnx", ClassifierOptions::default()).unwrap();
        let end = |name: &str, value: &str| vec![(name.to_string(), value.to_string())];
        let report = CompileReport {
            file: "d.onnx".to_string(),
            format: "ONNX".to_string(),
            bytes: bytes.len(),
            inputs: end("images", "[N, 1, 8, 8]"),
            outputs: end("odin", "float[N]"),
            card: read.detector_card().unwrap().clone(),
        };
        let (table, json) = (report.to_table(), parsed(&report.to_json()));
        for wanted in [
            "d.onnx: ONNX, ",
            "  input    images [N, 1, 8, 8]: ",
            "  output   odin float[N]\n",
            "  ODIN     T = 1000, ε = 0.005\n",
            &format!("  decides  by odin, {said}\n"),
            "  made of  a file with the SHA-256 ",
        ] {
            assert!(table.contains(wanted), "no {wanted:?} in\n{table}");
        }
        assert_eq!(json["bytes"], bytes.len());
        assert_eq!(json["inputs"][0]["name"], "images");
        assert_eq!(json["outputs"][0]["type"], "float[N]");
        assert_eq!(json["detector"]["magnitude"], 0.005);
        assert_eq!(json["detector"]["scores"], json!(["msp", "odin"]));
        assert_eq!(json["detector"]["threshold"], json!(threshold));
    }
}

/// Rounded numbers never look equal where they are not.
#[test]
fn a_decision_begins_its_line() {
    let values = |class: Option<&str>, is_in_distribution| {
        Ok(ScoreValues {
            prediction: 3,
            class: class.map(str::to_string),
            scores: Vec::new(),
            percentile: 1.25,
            p_value: 0.012,
            is_in_distribution,
        })
    };
    for (outcome, numbers, wanted) in [
        (
            values(Some("cat"), false),
            Some([0.10021, 0.10038]),
            "OUT-OF-DISTRIBUTION: photo.jpg, odin 0.1002 < 0.1004 (the threshold), higher than 1.2 % of in-distribution images, p = 0.0120; predicted class: cat\n",
        ),
        (
            values(None, true),
            Some([0.5, 0.1004]),
            "in-distribution: photo.jpg, odin 0.5000 >= 0.1004 (the threshold), higher than 1.2 % of in-distribution images, p = 0.0120; predicted class: 3\n",
        ),
        (
            values(None, false),
            Some([0.001_000_2, 0.001_000_4]),
            "OUT-OF-DISTRIBUTION: photo.jpg, odin 0.0010002 < 0.0010004 (the threshold), higher than 1.2 % of in-distribution images, p = 0.0120; predicted class: 3\n",
        ),
        (
            values(None, true),
            Some([0.25, 0.25]),
            "in-distribution: photo.jpg, odin 0.2500 >= 0.2500 (the threshold), higher than 1.2 % of in-distribution images, p = 0.0120; predicted class: 3\n",
        ),
        (
            Err("it is no image".to_string()),
            None,
            "no decision: photo.jpg: it is no image\n",
        ),
        (
            Err("a/photo.jpg does not decode".to_string()),
            None,
            "no decision: a/photo.jpg does not decode\n",
        ),
    ] {
        let file = "photo.jpg".to_string();
        let report = DecisionReport {
            record: &ScoreRecord { file, outcome },
            decided_by: numbers.map(|[value, threshold]| DecidedBy {
                score: "odin",
                value,
                threshold,
            }),
        };
        assert_eq!(report.to_line(), wanted);
    }
}
