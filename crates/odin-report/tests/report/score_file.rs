//! Score files hold what was written to them, in every format, and damage is an error.

use odin_report::{
    DriftReport, Rejection, ScoreColumn, ScoreFileError, ScoreFormat, ScoreRecord, ScoreSource,
    ScoreValues, ScoreWriter, read_column, read_score_names, read_scores, record_from_json,
    record_to_json,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use std::fs::File;
use std::path::{Path, PathBuf};

const FORMATS: [(ScoreFormat, &str); 3] = [
    (ScoreFormat::Csv, "csv"),
    (ScoreFormat::JsonLines, "jsonl"),
    (ScoreFormat::Parquet, "parquet"),
];

/// A file of this test's own.
fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("score_file-{name}"))
}

fn names() -> Vec<String> {
    ["odin", "msp", "one, \"two\"\nthree"]
        .map(str::to_string)
        .to_vec()
}

fn written(format: ScoreFormat, scores: &[String], records: &[ScoreRecord]) -> Vec<u8> {
    let mut writer = ScoreWriter::new(Vec::new(), format, scores).unwrap();
    for record in records {
        writer.write(record).unwrap();
    }
    writer.finish().unwrap()
}

fn column(
    bytes: &[u8],
    format: ScoreFormat,
    file: &str,
    score: &str,
) -> Result<ScoreColumn, ScoreFileError> {
    let path = path(file);
    std::fs::write(&path, bytes).unwrap();
    read_column(File::open(path).unwrap(), format, score)
}

/// Names and classes that files of text trip over, numbers at the ends of `f64`, and errors.
fn records() -> Vec<ScoreRecord> {
    let texts = [
        "plain.png",
        "a, b.png",
        "she said \"no\".png",
        "two\nlines.png",
        "two\r\nlines.png",
        "ends in CR\r",
        " spaces ",
        "Häuschen/犬🐕/نص.png",
        "back\\slash\tand tab\u{1}",
        "'#=@",
        "\u{feff}bom",
    ];
    let numbers = [
        0.1,
        -0.0,
        0.0,
        1.0 / 3.0,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        1e21,
        -123_456_789.123_456_78,
    ];
    let mut records = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let number = |k: usize| numbers[(i + k) % numbers.len()];
        records.push(ScoreRecord {
            file: text.to_string(),
            outcome: Ok(ScoreValues {
                prediction: [0, 9, 999_999_999_999][i % 3],
                class: (i % 2 == 0).then(|| texts[texts.len() - 1 - i].to_string()),
                scores: vec![number(0), number(1), number(2)],
                percentile: number(3),
                p_value: number(4),
                is_in_distribution: i % 3 == 0,
            }),
        });
        records.push(ScoreRecord {
            file: format!("bad {text}"),
            outcome: Err(format!("cannot decode {text}")),
        });
    }
    records
}

/// The length of a cell with its quotes.
fn csv_length(text: &str) -> usize {
    match text.contains([',', '"', '\n', '\r']) {
        true => text.len() + 2 + text.matches('"').count(),
        false => text.len(),
    }
}

/// What a file holds, by readers that know nothing of the writer.
fn records_in(bytes: &[u8], format: ScoreFormat, scores: &[String]) -> Vec<ScoreRecord> {
    match format {
        ScoreFormat::Csv => {
            let mut reader = csv::Reader::from_reader(bytes);
            let header: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
            assert_eq!(header, header_of(scores));
            let records = reader.records().map(|record| {
                let record = record.unwrap();
                let cells: Vec<Option<String>> = record
                    .iter()
                    .map(|cell| cell.strip_prefix('\'').unwrap_or(cell))
                    .map(|cell| (!cell.is_empty()).then(|| cell.to_string()))
                    .collect();
                from_cells(&cells, scores.len())
            });
            records.collect()
        }
        ScoreFormat::JsonLines => {
            let text = std::str::from_utf8(bytes).unwrap();
            let lines = text.split_terminator('\n');
            lines
                .map(|line| record_from_json(line, scores).unwrap())
                .collect()
        }
        _ => {
            let reader = parquet_reader(bytes, scores.len());
            let rows = reader.get_row_iter(None).unwrap();
            rows.map(|row| from_row(&row.unwrap(), scores)).collect()
        }
    }
}

/// Tests run side by side: `scores` tells their files apart.
fn parquet_reader(bytes: &[u8], scores: usize) -> SerializedFileReader<File> {
    let path = path(&format!("reader-{scores}.parquet"));
    std::fs::write(&path, bytes).unwrap();
    SerializedFileReader::new(File::open(path).unwrap()).unwrap()
}

fn header_of(scores: &[String]) -> Vec<String> {
    let before = ["file", "prediction", "class"].map(String::from);
    let after = ["percentile", "p_value", "is_in_distribution", "error"].map(String::from);
    [&before[..], scores, &after].concat()
}

fn from_cells(cells: &[Option<String>], scores: usize) -> ScoreRecord {
    let text = |place: usize| cells[place].clone().unwrap();
    let number = |place: usize| text(place).parse::<f64>().unwrap();
    let after = 3 + scores;
    let file = text(0);
    assert_eq!(cells.len(), after + 4);
    if let Some(error) = cells[after + 3].clone() {
        assert!(cells[1..after + 3].iter().all(Option::is_none));
        let outcome = Err(error);
        return ScoreRecord { file, outcome };
    }
    let values = ScoreValues {
        prediction: text(1).parse().unwrap(),
        class: cells[2].clone(),
        scores: (3..after).map(number).collect(),
        percentile: number(after),
        p_value: number(after + 1),
        is_in_distribution: text(after + 2).parse().unwrap(),
    };
    let outcome = Ok(values);
    ScoreRecord { file, outcome }
}

fn from_row(row: &Row, scores: &[String]) -> ScoreRecord {
    let fields: Vec<(&String, &Field)> = row.get_column_iter().collect();
    let columns: Vec<String> = fields.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(columns, header_of(scores));
    let cells: Vec<Option<String>> = fields
        .iter()
        .map(|(_, field)| match field {
            Field::Null => None,
            Field::Str(text) => Some(text.clone()),
            Field::Long(number) => Some(number.to_string()),
            Field::Double(number) => Some(number.to_string()),
            Field::Bool(value) => Some(value.to_string()),
            other => panic!("{other}"),
        })
        .collect();
    from_cells(&cells, scores.len())
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[track_caller]
fn assert_same(found: &[ScoreRecord], expected: &[ScoreRecord]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
        // `==` does not tell the zeros apart.
        if let (Ok(a), Ok(b)) = (&found.outcome, &expected.outcome) {
            assert_eq!(bits(&a.scores), bits(&b.scores), "{}", found.file);
            assert_eq!(
                bits(&[a.percentile, a.p_value]),
                bits(&[b.percentile, b.p_value])
            );
        }
    }
}

#[test]
fn every_format_holds_the_records_bit_for_bit() {
    let (names, records) = (names(), records());
    for (format, extension) in FORMATS {
        let bytes = written(format, &names, &records);
        assert_same(&records_in(&bytes, format, &names), &records);
        for (place, name) in names.iter().enumerate() {
            let file = format!("whole-{place}.{extension}");
            let found = column(&bytes, format, &file, name).unwrap();
            let sound = || records.iter().filter_map(|r| r.outcome.as_ref().ok());
            let expected: Vec<f64> = sound().map(|v| v.scores[place]).collect();
            assert_eq!(bits(&found.scores), bits(&expected), "{extension} {name}");
            let expected: Vec<bool> = sound().map(|v| v.is_in_distribution).collect();
            assert_eq!(found.decisions, expected, "{extension} {name}");
            assert_eq!(found.errors, records.len() / 2, "{extension} {name}");
        }
    }
}

#[test]
fn a_record_as_json_and_back() {
    for record in records() {
        let text = record_to_json(&record, &names());
        assert!(!text.contains('\n'), "{text}");
        assert_same(&[record_from_json(&text, &names()).unwrap()], &[record]);
    }
    let cases = [
        ("", "EOF"),
        ("[1]", "expected a map"),
        ("{\"prediction\": 1}", "lacks \"file\""),
        ("{\"file\": \"a\"}", "lacks \"prediction\""),
        (
            "{\"file\": \"a\", \"prediction\": -1}",
            "lacks \"prediction\"",
        ),
        (
            "{\"file\": \"a\", \"prediction\": 1, \"is_in_distribution\": true}",
            "lacks \"odin\"",
        ),
    ];
    for (text, part) in cases {
        let error = record_from_json(text, &names()).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// A Parquet file has as many row groups as it takes; no record is lost where one ends.
#[test]
fn many_records() {
    const GROUP: usize = 65_536;
    let names = ["odin".to_string()];
    for (count, groups) in [(0, 0), (1, 1), (GROUP, 1), (GROUP + 3, 2)] {
        let records: Vec<ScoreRecord> = (0..count)
            .map(|i| ScoreRecord {
                file: i.to_string(),
                outcome: match i % 1000 {
                    999 => Err("bad".to_string()),
                    _ => Ok(ScoreValues {
                        prediction: i,
                        class: None,
                        scores: vec![1.0 / (i as f64 + 3.0)],
                        percentile: 0.0,
                        p_value: 1.0,
                        is_in_distribution: i % 7 == 0,
                    }),
                },
            })
            .collect();
        for (format, extension) in FORMATS {
            let bytes = written(format, &names, &records);
            if format == ScoreFormat::Parquet {
                let reader = parquet_reader(&bytes, 1);
                assert_eq!(reader.num_row_groups(), groups);
            }
            let file = format!("many-{count}.{extension}");
            if format == ScoreFormat::Csv || count <= 1 {
                assert_same(&records_in(&bytes, format, &names), &records);
            }
            let found = column(&bytes, format, &file, "odin").unwrap();
            let sound = || records.iter().filter_map(|r| r.outcome.as_ref().ok());
            let expected: Vec<f64> = sound().map(|v| v.scores[0]).collect();
            assert_eq!(bits(&found.scores), bits(&expected), "{extension} {count}");
            let expected: Vec<bool> = sound().map(|v| v.is_in_distribution).collect();
            assert_eq!(found.decisions, expected, "{extension} {count}");
            assert_eq!(found.errors, count / 1000, "{extension} {count}");
            std::fs::remove_file(path(&file)).unwrap();
        }
    }
}

#[test]
fn formats_are_told_by_the_extension() {
    let cases = [
        ("a.csv", Some(ScoreFormat::Csv)),
        ("a.b/c.jsonl", Some(ScoreFormat::JsonLines)),
        ("a.json", Some(ScoreFormat::JsonLines)),
        ("a.ndjson", Some(ScoreFormat::JsonLines)),
        ("a.csv.parquet", Some(ScoreFormat::Parquet)),
        ("a.txt", None),
        ("csv", None),
        (".csv", None),
    ];
    for (path, format) in cases {
        assert_eq!(ScoreFormat::of(Path::new(path)), format, "{path}");
        let source = format.map(ScoreSource::Records);
        assert_eq!(ScoreSource::of(Path::new(path)), source, "{path}");
    }
    for path in ["a.npz", "a.csv.npy"] {
        assert_eq!(ScoreFormat::of(Path::new(path)), None, "{path}");
        assert_eq!(ScoreSource::of(Path::new(path)), Some(ScoreSource::Arrays));
    }
}

/// Every column but those of other things, each once, whatever the format.
#[test]
fn scores_are_found_by_their_columns() {
    let checksum = "0123456789abcdef".repeat(4);
    let ours = |format| {
        let mut writer =
            ScoreWriter::of_detector(Vec::new(), format, &names(), &checksum, "msp").unwrap();
        for record in records() {
            writer.write(&record).unwrap();
        }
        writer.finish().unwrap()
    };
    let ours = FORMATS.map(|(format, extension)| (format, extension, ours(format), names()));
    let others = [
        (ScoreFormat::Csv, "file, x ,x,,y\n", &["x", "y"][..]),
        (ScoreFormat::Csv, "", &[]),
        (ScoreFormat::Csv, "file,error\n", &[]),
        (
            ScoreFormat::JsonLines,
            "\n{\"y\":1,\"class\":2}\n{}\n",
            &["y"],
        ),
        (ScoreFormat::JsonLines, "", &[]),
    ];
    let others = others.map(|(format, text, names)| {
        let names = names.iter().map(ToString::to_string).collect();
        (format, "other", text.as_bytes().to_vec(), names)
    });
    for (format, name, bytes, expected) in ours.into_iter().chain(others) {
        let path = path(&format!("names.{name}"));
        std::fs::write(&path, bytes).unwrap();
        let found = read_score_names(File::open(path).unwrap(), format).unwrap();
        assert_eq!(found, expected, "{format:?} {name}");
    }
    for (format, name) in FORMATS.into_iter().skip(1) {
        let path = path(&format!("no-names.{name}"));
        std::fs::write(&path, "PAR1 [").unwrap();
        assert!(read_score_names(File::open(path).unwrap(), format).is_err());
    }
}

/// What `odin eval --scores` and other programs write.
#[test]
fn other_columns_are_of_no_concern() {
    let csv = "file,prediction,msp,odin\na,1,0.5,0.25\n\"b\nc\",0,1,1e-3\n";
    let spaced = "odin , is_in_distribution\n 0.25 , True\n0.001,0\n";
    let lines = "{\"odin\": 0.25}\n\n{\"odin\": 1e-3, \"x\": [1]}\n";
    let decided = "{\"odin\":0.25,\"is_in_distribution\":true}\n{\"odin\":0.001,\"is_in_distribution\":false}";
    let cases = [
        (ScoreFormat::Csv, csv, vec![]),
        (ScoreFormat::Csv, spaced, vec![true, false]),
        (ScoreFormat::JsonLines, lines, vec![]),
        (ScoreFormat::JsonLines, decided, vec![true, false]),
    ];
    for (place, (format, text, decisions)) in cases.into_iter().enumerate() {
        let found = column(text.as_bytes(), format, &format!("other-{place}"), "odin").unwrap();
        assert_eq!(found.scores, [0.25, 0.001], "{text}");
        assert_eq!(found.decisions, decisions, "{text}");
        assert_eq!(found.errors, 0, "{text}");
    }
}

#[test]
fn what_is_no_score_file_is_refused() {
    use ScoreFormat::{Csv, JsonLines, Parquet};
    let cases: [(ScoreFormat, &[u8], &str); 15] = [
        (Csv, b"", "there is no column \"odin\""),
        (Csv, b"file,msp\na,1\n", "the columns are file, msp"),
        (Csv, b"odin\n0.5\nx\n", "line 3: odin is no number: \"x\""),
        (Csv, b"file,odin\na,0.5\nb\n", "line: 3"),
        (
            Csv,
            b"odin,is_in_distribution\n1,maybe\n",
            "line 2: is_in_distribution is neither true nor false: \"maybe\"",
        ),
        (
            Csv,
            b"odin,is_in_distribution\n1,true\n2,\n",
            "2 images have a score and 1 a decision",
        ),
        (Csv, b"odin\n\xff\xfe\n", "UTF-8"),
        (JsonLines, b"odin\n", "line 1 is no JSON object"),
        (
            JsonLines,
            b"{\"odin\": 1}\n[]\n",
            "line 2 is no JSON object",
        ),
        (
            JsonLines,
            b"{\"msp\": 1}\n",
            "line 1 has no \"odin\"; it has msp",
        ),
        (
            JsonLines,
            b"{\"odin\": \"1\"}\n",
            "line 1: odin is no number: \"1\"",
        ),
        (JsonLines, b"{\"odin\": 1}\n\xff\n", "line 2: "),
        (
            JsonLines,
            b"{\"odin\":1,\"is_in_distribution\":true}\n{\"odin\":2}",
            "2 images have a score and 1 a decision",
        ),
        (Parquet, b"", "Parquet"),
        (Parquet, b"file,odin\na,0.5\n", "Parquet"),
    ];
    for (place, (format, bytes, part)) in cases.into_iter().enumerate() {
        let found = column(bytes, format, &format!("refused-{place}"), "odin");
        let error = found.expect_err(part).to_string();
        assert!(error.contains(part), "{error}\nlacks {part:?}");
    }
    for (format, extension) in FORMATS {
        let bytes = written(format, &names(), &records());
        for (score, part) in [
            ("vim", "\"vim\""),
            ("class", "no number"),
            ("file", "no number"),
        ] {
            let found = column(&bytes, format, &format!("lacks.{extension}"), score);
            let error = found.expect_err(score).to_string();
            assert!(error.contains(part), "{extension} {score}: {error}");
        }
    }
}

/// Whether what was read is what the whole file begins with.
fn is_start(part: &ScoreColumn, whole: &ScoreColumn) -> bool {
    whole.scores.starts_with(&part.scores)
        && whole.decisions.starts_with(&part.decisions)
        && part.errors <= whole.errors
}

/// Text may end after any line. Nothing else that is cut off passes.
#[test]
fn truncated_files_are_errors_or_end_after_a_record() {
    let (names, records) = (names(), records()[..8].to_vec());
    for (format, extension) in FORMATS {
        let bytes = written(format, &names, &records);
        let file = format!("truncated.{extension}");
        let whole = column(&bytes, format, &file, "odin").unwrap();
        let mut passed = 0;
        for length in 0..bytes.len() {
            if let Ok(found) = column(&bytes[..length], format, &file, "odin") {
                passed += 1;
                assert!(is_start(&found, &whole), "{extension}, {length} bytes");
            }
        }
        let mut most = match format {
            ScoreFormat::Parquet => 0,
            // Before and after the end of each line, of the header, and of no line.
            _ => 2 * records.len() + 3,
        };
        if format == ScoreFormat::Csv {
            // The header may end early, behind which there is nothing. So may the last cell of a
            // line: it tells why there is no score.
            most += written(format, &names, &[]).len();
            let errors = records.iter().filter_map(|r| r.outcome.as_ref().err());
            most += errors.map(|error| csv_length(error)).sum::<usize>();
        }
        assert!(passed <= most, "{extension}: {passed} of {}", bytes.len());
    }
}

/// Damage is an error or other numbers, never a panic.
#[test]
fn damaged_files_do_not_panic() {
    let (names, records) = (names(), records()[..8].to_vec());
    for (format, extension) in &FORMATS {
        let bytes = written(*format, &names, &records);
        let file = format!("damaged.{extension}");
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= [0x01, 0x10, 0xff][place % 3];
            if let Err(error) = column(&damaged, *format, &file, "odin") {
                assert!(!error.to_string().is_empty(), "{extension} {place}");
            }
        }
    }
}

/// What cannot be written is an error at the latest when the file ends.
#[test]
fn full_disks_are_reported() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => self.0 = left,
                None => return Err(std::io::Error::other("the disk is full")),
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (names, records) = (names(), records());
    for (format, extension) in FORMATS {
        let size = written(format, &names, &records).len();
        for room in [0, 3, 100, size / 2, size - 1] {
            let write = || {
                let mut writer = ScoreWriter::new(Full(room), format, &names)?;
                for record in &records {
                    writer.write(record)?;
                }
                writer.finish().map(|_| ())
            };
            let error = write().expect_err(extension).to_string();
            assert!(error.contains("the disk is full"), "{extension}: {error}");
        }
    }
}

#[test]
fn records_have_a_value_for_each_score() {
    let record = records().remove(0);
    for (format, _) in FORMATS {
        let mut writer = ScoreWriter::new(Vec::new(), format, &["odin".to_string()]).unwrap();
        let error = writer.write(&record).unwrap_err().to_string();
        assert!(error.contains("3 scores, the file 1 columns"), "{error}");
    }
}

/// A record of a score and an error, in a file that names its detector.
fn of_detector(format: ScoreFormat, checksum: &str) -> Result<Vec<u8>, ScoreFileError> {
    let (names, records) = (names(), records());
    let mut writer = ScoreWriter::of_detector(Vec::new(), format, &names, checksum, "msp")?;
    for record in &records[..2] {
        writer.write(record)?;
    }
    writer.finish()
}

#[test]
fn the_detector_is_the_last_column_of_every_record() {
    let id = "0123456789abcdef";
    let checksum = id.repeat(4);
    let bytes = of_detector(ScoreFormat::Csv, &checksum).unwrap();
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.iter().next_back(), Some("detector"));
    assert_eq!(header.len(), header_of(&names()).len() + 2);
    let records: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 2);
    assert!(
        records
            .iter()
            .all(|record| record.iter().next_back() == Some(id))
    );

    let bytes = of_detector(ScoreFormat::JsonLines, &checksum).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let end = format!(",\"detector\":\"{id}\"}}");
    assert_eq!(text.lines().filter(|line| line.ends_with(&end)).count(), 2);
    // The other columns are read as without it.
    let read = |line: &str| record_from_json(line, &names()).unwrap();
    assert_same(
        &text.lines().map(read).collect::<Vec<_>>(),
        &self::records()[..2],
    );

    let path = path("of-detector.parquet");
    std::fs::write(&path, of_detector(ScoreFormat::Parquet, &checksum).unwrap()).unwrap();
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let last = row.get_column_iter().last().unwrap();
        assert_eq!(last, (&"detector".to_string(), &Field::Str(id.to_string())));
    }
    for (format, _) in FORMATS {
        for no_checksum in ["", "0123456789abcde", "0123456789abcdeX", "0123456789abcdé"] {
            let error = of_detector(format, no_checksum).unwrap_err().to_string();
            assert!(error.contains("no checksum"), "{error}");
        }
    }
}

/// The column names the score of every record, and is the one that is read where none is named.
#[test]
fn the_score_that_decides_is_read_unless_another_is_named() {
    let checksum = "0123456789abcdef".repeat(4);
    for (format, extension) in FORMATS {
        for decided_by in ["msp", "one, \"two\"\nthree", "odin"] {
            let (names, records) = (names(), records());
            let writer =
                ScoreWriter::of_detector(Vec::new(), format, &names, &checksum, decided_by);
            let mut writer = writer.unwrap();
            for record in &records[..2] {
                writer.write(record).unwrap();
            }
            let path = path(&format!("decided-by.{extension}"));
            std::fs::write(&path, writer.finish().unwrap()).unwrap();
            for (wanted, expected) in [(None, decided_by), (Some("odin"), "odin")] {
                let file = File::open(&path).unwrap();
                let source = ScoreSource::Records(format);
                let (name, column) = read_scores(file, source, wanted).unwrap();
                assert_eq!(name.as_deref(), Some(expected), "{extension}");
                let file = File::open(&path).unwrap();
                assert_eq!(column, read_column(file, format, expected).unwrap());
            }
        }
    }
}

#[test]
fn drift_warns_of_files_of_different_detectors() {
    let (one, other) = ("1".repeat(64), "2".repeat(64));
    let column = |name: &str, bytes: &[u8], format| column(bytes, format, name, "odin").unwrap();
    for (format, extension) in FORMATS {
        let read = |name: &str, checksum: &str| {
            let bytes = of_detector(format, checksum).unwrap();
            column(&format!("drift-{name}.{extension}"), &bytes, format)
        };
        let (one, other) = (read("one", &one), read("other", &other));
        let none = written(format, &names(), &records()[..2]);
        let none = column(&format!("drift-none.{extension}"), &none, format);
        // Anybody may have a column of this name.
        let foreign = b"odin,is_in_distribution,detector\n0.5,true,sensor 7\n0.5,true,1\n";
        let foreign = column("drift-foreign.csv", foreign, ScoreFormat::Csv);
        let warned = |reference: &ScoreColumn, new: &ScoreColumn| {
            let report = DriftReport::new(
                "odin",
                Rejection::Decisions,
                0.01,
                (Path::new("a"), reference),
                (Path::new("b"), new),
            );
            let report = report.unwrap();
            let warning = "the files are of different detectors (1111111111111111, 2222222222222222): what differs may be the detector";
            let warned = report.warnings().iter().any(|found| found == warning);
            assert_eq!(report.to_json().contains(warning), warned);
            assert_eq!(report.warnings().join("").contains("detector"), warned);
            warned
        };
        assert!(warned(&one, &other), "{extension}");
        for (reference, new) in [(&one, &one), (&one, &none), (&none, &one), (&none, &none)] {
            assert!(!warned(reference, new), "{extension}");
        }
        assert!(
            !warned(&one, &foreign) && !warned(&foreign, &none),
            "{extension}"
        );
    }
}
