//! What fuzzing starts from, made of the test fixtures of the readers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use crate::pack::SEPARATOR;
use crate::seal::sealed;
use flate2::read::MultiGzDecoder;
use odin::scores::Training;
use odin::{
    CalibrationOptions, Classifier, ClassifierOptions, Detector, DetectorRecord, Method,
    Statistics, TrainingSummary,
};
use odin_data::NoiseKind;
use odin_formats::Checkpoint;
use odin_metrics::HistogramSketch;
use odin_report::{ScoreFormat, ScoreRecord, ScoreValues, ScoreWriter};

/// Larger seeds only slow the fuzzer down.
const MAX_SEED: usize = 64 << 10;

type Members = Vec<(String, Vec<u8>)>;

/// An input to begin with.
pub struct Seed {
    /// The target it is for.
    pub target: &'static str,
    /// The fixture that it was made of.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// The seeds of all targets.
///
/// # Errors
/// When a fixture cannot be read, or is not what it was.
pub fn all() -> Result<Vec<Seed>, Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = root.join("../crates");
    let mut seeds = Seeds::default();

    for (name, bytes) in files(&crates.join("odin-formats/tests/fixtures"))? {
        seeds.add("checkpoint", &name, &bytes);
        if let Some(members) = zip_members(&bytes) {
            seeds.add("packed_checkpoint", &name, &joined(b'z', &members));
        } else if let Some(members) = tar_members(&bytes) {
            seeds.add("packed_checkpoint", &name, &joined(b't', &members));
        } else {
            let members = [(String::new(), bytes.clone())].to_vec();
            seeds.add("packed_checkpoint", &name, &joined(b'c', &members));
        }
        if let Ok(checkpoint) = Checkpoint::from_bytes(&bytes, &name) {
            seeds.add("zoo", &name, shapes(&checkpoint).as_bytes());
        }
    }

    for (name, bytes) in files(&crates.join("odin-formats/tests/fixtures/onnx"))? {
        if name.ends_with(".onnx") {
            seeds.add("onnx", &name, &bytes);
        }
    }

    for (name, bytes) in files(&crates.join("odin-data/tests/fixtures"))? {
        seeds.add("data_set", &name, &[b"\0", &bytes[..]].concat());
        seeds.add(
            "image",
            &name,
            &[b"resize:7x5:bicubic\n", &bytes[..]].concat(),
        );
        let unpacked = gunzip(&bytes).unwrap_or(bytes);
        if let Some(members) = zip_members(&unpacked) {
            seeds.add("packed_data_set", &name, &joined(b'd', &members));
            seeds.add("unpack", &name, &joined(b'z', &below_images(members)));
        } else if let Some(members) = tar_members(&unpacked) {
            seeds.add("packed_data_set", &name, &joined(b't', &members));
            seeds.add(
                "packed_data_set",
                &format!("{name}.folder"),
                &joined(b'f', &members),
            );
            seeds.add("unpack", &name, &joined(b'g', &below_images(members)));
        } else {
            let members = [(name.clone(), unpacked)].to_vec();
            seeds.add("packed_data_set", &name, &joined(b'z', &members));
        }
    }

    let arrays = crates.join("odin-data/tests/fixtures/arrays");
    let splits = ["test_images", "val_images", "test_labels", "val_labels"].map(|name| {
        let fixture = match name.ends_with("images") {
            true => "with_sibling.npy",
            false => "with_sibling_labels.npy",
        };
        fs::read(arrays.join(fixture)).map(|bytes| (format!("{name}.npy"), bytes))
    });
    let splits = splits.into_iter().collect::<Result<Members, _>>()?;
    seeds.add("packed_data_set", "splits", &joined(b'd', &splits));

    let registry = fs::read_to_string(crates.join("odin-data/registry.toml"))?;
    for (i, entry) in registry.split("\n\n[[").enumerate() {
        seeds.add("registry", &i.to_string(), format!("[[{entry}").as_bytes());
    }

    for (i, sketch) in sketches()?.iter().enumerate() {
        seeds.add("histogram_sketch", &i.to_string(), &sketch.to_bytes());
    }

    for (i, request) in requests().iter().enumerate() {
        seeds.add("serve_request", &i.to_string(), request);
    }

    for (i, summary) in summaries()?.iter().enumerate() {
        seeds.add("training_summary", &i.to_string(), &summary.to_bytes());
    }

    for (i, text) in detectors(&root.join("../demo/model.safetensors"))?
        .iter()
        .enumerate()
    {
        // The target's checksum is the reader's, or else the fuzzer gets nowhere.
        DetectorRecord::from_toml(&sealed(&text.replace("checksum = ", "checksum = 0#")))?;
        seeds.add("saved_detector", &i.to_string(), text.as_bytes());
    }
    for (byte, format) in [
        (b'c', ScoreFormat::Csv),
        (b'j', ScoreFormat::JsonLines),
        (b'p', ScoreFormat::Parquet),
    ] {
        for count in [0, 1, 9] {
            let mut file = score_file(format, count)?;
            file.insert(0, byte);
            seeds.add("score_file", &format!("{format:?}-{count}"), &file);
        }
    }
    for (name, bytes) in files(&crates.join("odin-data/tests/fixtures/scores"))? {
        seeds.add("score_file", &name, &[b"n", &bytes[..]].concat());
    }
    Ok(seeds.0)
}

/// With thresholds for each class and out-of-distribution images, and without.
fn detectors(model: &Path) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let classifier = Classifier::open(model, ClassifierOptions::default())?;
    let detector = || Detector::builder(&classifier).build();
    let scored = |kind| -> Result<_, Box<dyn std::error::Error>> {
        Ok(detector()?.score_set(&classifier.noise(kind, 12, 0)?, |_| {})?)
    };
    let (inside, outside) = (scored(NoiseKind::Uniform)?, scored(NoiseKind::Gaussian)?);
    let mut texts = Vec::new();
    for per_class in [false, true] {
        let options = CalibrationOptions::default().per_class(per_class);
        let outside = per_class.then_some(&outside);
        let calibrated = options.calibrate(detector()?, &inside, outside)?;
        let mut saved = calibrated.record().clone();
        saved.model.path = PathBuf::from("model.safetensors");
        saved.statistics = per_class.then(|| Statistics::of("fitted.safetensors", b""));
        texts.push(saved.to_toml());
    }
    Ok(texts)
}

fn score_file(format: ScoreFormat, count: usize) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut writer = ScoreWriter::new(Vec::new(), format, &["odin".to_string()])?;
    for i in 0..count {
        let values = ScoreValues {
            prediction: i,
            class: (i % 2 == 0).then(|| "a, \"b\"".to_string()),
            scores: vec![1.0 / (i + 1) as f64],
            percentile: i as f64,
            p_value: 0.5,
            is_in_distribution: i % 3 == 0,
        };
        let outcome = match i % 4 {
            3 => Err("bad".to_string()),
            _ => Ok(values),
        };
        let file = format!("{i}.png");
        writer.write(&ScoreRecord { file, outcome })?;
    }
    Ok(writer.finish()?)
}

#[derive(Default)]
struct Seeds(Vec<Seed>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, seed: &[u8]) {
        if seed.len() <= MAX_SEED {
            self.0.push(Seed {
                target,
                name: name.to_string(),
                bytes: seed.to_vec(),
            });
        }
    }
}

/// The files below a folder, by their names.
fn files(folder: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if let Some(name) = path.file_name() {
            found.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(found)
}

/// As [`odin_fuzz::pack`] takes it apart.
fn joined(container: u8, members: &Members) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = members
        .iter()
        .map(|(name, content)| [name.as_bytes(), b"\n", content].concat())
        .collect();
    [vec![container], parts.join(SEPARATOR)].concat()
}

fn below_images(members: Members) -> Members {
    let below = |(name, content)| (format!("images/{name}"), content);
    members.into_iter().map(below).collect()
}

fn zip_members(bytes: &[u8]) -> Option<Members> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut members = Members::new();
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).ok()?;
        let mut content = Vec::new();
        member.read_to_end(&mut content).ok()?;
        members.push((member.name().ok()?.into_owned(), content));
    }
    Some(members)
}

fn tar_members(bytes: &[u8]) -> Option<Members> {
    let mut members = Members::new();
    for entry in tar::Archive::new(bytes).entries().ok()? {
        let mut entry = entry.ok()?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).ok()?;
        if entry.header().entry_type().is_file() {
            members.push((name, content));
        }
    }
    (!members.is_empty()).then_some(members)
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// As the target `zoo` reads it.
fn shapes(checkpoint: &Checkpoint) -> String {
    let mut text = String::from("\n");
    for (name, tensor) in checkpoint.tensors() {
        let shape: Vec<String> = tensor.shape().iter().map(usize::to_string).collect();
        text += &format!("{name} {}\n", shape.join("x"));
    }
    text
}

/// Summaries for all scores, for some and for none, with labels, without, and of no image.
fn summaries() -> Result<Vec<TrainingSummary>, odin::scores::Error> {
    let cases: [(&[Method], usize, bool); 6] = [
        (&Method::ALL, 9, true),
        (&Method::ALL, 9, false),
        (&[Method::Mahalanobis, Method::KlMatching], 9, true),
        (&[Method::React, Method::Nci], 5, false),
        (&[Method::Energy], 2, false),
        (&Method::ALL, 0, false),
    ];
    let summary = |&(methods, images, labelled): &(&[Method], usize, bool)| {
        let mut summary = TrainingSummary::new(methods, 3, 4);
        for image in 0..images {
            let features: Vec<f32> = (0..4).map(|i| (image * 4 + i) as f32 % 5.0).collect();
            let label = [image % 3];
            let labels = labelled.then_some(&label[..]);
            summary.observe(&Training::new(&features, &features[1..], labels, 3)?, None)?;
        }
        Ok(summary)
    };
    cases.iter().map(summary).collect()
}

/// Sketches of several precisions, with scores of both sides, of one, and of none.
fn sketches() -> Result<Vec<HistogramSketch>, odin_metrics::Error> {
    let scores: Vec<f64> = (0..50).map(|i| 0.1 + f64::from(i * i % 97) / 1e5).collect();
    let cases = [
        (23, 30, 50),
        (52, 20, 20),
        (0, 50, 40),
        (10, 0, 50),
        (23, 0, 0),
    ];
    let sketch = |&(precision, split, end): &(u32, usize, usize)| {
        let mut sketch = HistogramSketch::new(precision)?;
        sketch.add_in(&scores[..split])?;
        sketch.add_out(&scores[split..end.max(split)])?;
        Ok(sketch)
    };
    cases.iter().map(sketch).collect()
}

/// A request for each route of the target `serve_request`, led by its number.
fn requests() -> Vec<Vec<u8>> {
    let image = bitmap();
    let form = [
        b"--b\r\nContent-Disposition: form-data; name=\"x\"; filename=\"a.bmp\"\r\n\r\n",
        &image[..],
        b"\r\n--b--\r\n",
    ];
    let pixels = vec!["7"; 64].join(",");
    let json = format!(
        r#"{{"id":"1","parameters":{{"binary_data_output":true}},"inputs":[{{"name":"pixels_uint8","datatype":"UINT8","shape":[1,8,8,1],"data":[{pixels}]}}],"outputs":[{{"name":"odin","parameters":{{"binary_data":false}}}}]}}"#
    );
    let tensor = [&(image.len() as u32).to_le_bytes()[..], &image].concat();
    let head = format!(
        r#"{{"inputs":[{{"name":"images","datatype":"BYTES","shape":[1],"parameters":{{"binary_data_size":{}}}}}]}}"#,
        tensor.len()
    );
    let length = (head.len() as u16).to_le_bytes();
    let binary = [&length[..], head.as_bytes(), &tensor].concat();
    let images = r#"{"images":["R0lGODlh",{"name":"a.gif","data":"R0lGODlhCAAIAIAAAAAAAP///ywAAAAACAAIAAACB4SPqcvtXQA7"}]}"#;
    // Model, input (name, datatype, shape), raw contents, with the frame's head.
    let mut message =
        b"\x0a\x08detector\x2a\x12\x0a\x06images\x12\x05BYTES\x1a\x01\x01\x3a".to_vec();
    message.extend([tensor.len() as u8 | 0x80, (tensor.len() >> 7) as u8]);
    message.extend(&tensor);
    let frame = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let bodies = [
        image.clone(),
        images.as_bytes().to_vec(),
        form.concat(),
        Vec::new(),
        image,
        json.into_bytes(),
        binary.clone(),
        binary,
        frame,
    ];
    let numbered = bodies.iter().zip(0u8..);
    numbered
        .map(|(body, number)| [&[number][..], body].concat())
        .collect()
}

/// An 8x8 image of 24 bits a pixel.
fn bitmap() -> Vec<u8> {
    let mut file =
        b"BM\xf6\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\x18\0".to_vec();
    file.resize(54, 0);
    file.extend((0..192u8).map(|i| i.wrapping_mul(37)));
    file
}
