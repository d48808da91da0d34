//! Vectors of numbers as numpy saves them (`scripts/data_fixtures.py`).

use std::fs::File;
use std::io::Write;
use std::path::Path;

use odin_data::ArrayChoice::{Named, Usually};
use odin_data::{ArrayChoice, Error, ErrorKind, Vector, read_vector};
use proptest::prelude::*;

use super::fixtures;

const CONF: [f64; 5] = [0.5, -1.25, 3.0, 0.0625, 2.0];
const WHOLE: [f64; 5] = [3.0, -1.0, 0.0, 2.0, 7.0];

fn read(path: &Path, choice: ArrayChoice<'_>) -> Result<Vector, Error> {
    read_vector(File::open(path).unwrap(), "the file", choice)
}

fn fixture(name: &str, choice: ArrayChoice<'_>) -> Result<Vector, Error> {
    read(&fixtures().join("scores").join(name), choice)
}

#[test]
fn the_chosen_array_is_read() {
    let less = CONF.map(|value| value - 2.0);
    for (file, choice, name, values) in [
        ("in.npz", Usually("conf"), Some("conf"), CONF),
        (
            "in.npz",
            Named("label"),
            Some("label"),
            [1.0, 0.0, 2.0, 0.0, 1.0],
        ),
        ("out.npz", Named("conf"), Some("conf"), less),
        ("out.npz", Named("label"), Some("label"), [-1.0; 5]),
        ("one_float.npz", Usually("conf"), Some("scores"), CONF),
        ("two_floats.npz", Named("b"), Some("b"), CONF),
        ("whole.npz", Usually("conf"), Some("conf"), WHOLE),
        ("vector.npy", Usually("conf"), None, CONF),
        ("column.npy", Named("odin"), None, CONF),
    ] {
        let vector = fixture(file, choice).unwrap();
        assert_eq!(vector.name.as_deref(), name, "{file}");
        assert_eq!(vector.values, values, "{file}");
    }
}

#[test]
fn every_type_of_numbers_is_read() {
    for (kind, expected) in [('f', CONF), ('i', WHOLE), ('u', WHOLE.map(f64::abs))] {
        for width in [1, 2, 4, 8] {
            for order in ["little", "big"] {
                let name = format!("{kind}{width}_{order}");
                if name.starts_with("f1") {
                    continue;
                }
                let vector = fixture("types.npz", Named(&name)).unwrap();
                assert_eq!(vector.values, expected, "{name}");
            }
        }
    }
    let values = fixture("nan.npz", Usually("conf")).unwrap().values;
    assert!(values[0] == 0.5 && values[1].is_nan());
}

#[test]
fn what_is_no_such_array_is_refused() {
    for (file, choice, kind, parts) in [
        (
            "scores/two_floats.npz",
            Usually("conf"),
            ErrorKind::NotFound,
            ["no array \"conf\"", "a [5], b [5]"],
        ),
        (
            "scores/in.npz",
            Named("msp"),
            ErrorKind::NotFound,
            ["no array \"msp\"", "conf [5]"],
        ),
        (
            "scores/unread.npz",
            Usually("conf"),
            ErrorKind::NotFound,
            ["matrix [2, 2]", "text [1]"],
        ),
        (
            "scores/unread.npz",
            Named("text"),
            ErrorKind::Unsupported,
            ["text.npy in the file", "<U1"],
        ),
        (
            "scores/unread.npz",
            Named("flags"),
            ErrorKind::Unsupported,
            ["flags.npy in the file", "|b1"],
        ),
        (
            "scores/unread.npz",
            Named("matrix"),
            ErrorKind::Unsupported,
            ["[2, 2]", "expected [N]"],
        ),
        (
            "scores/matrix.npy",
            Usually("conf"),
            ErrorKind::Unsupported,
            ["[2, 2]", "expected [N]"],
        ),
        (
            "archives/set.zip",
            Usually("conf"),
            ErrorKind::Unsupported,
            ["no .npz file", ""],
        ),
        (
            "images/rgb.png",
            Usually("conf"),
            ErrorKind::Malformed,
            ["the file", "zip"],
        ),
    ] {
        let error = read(&fixtures().join(file), choice).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{error} lacks {part}");
        }
    }
}

/// 300 MiB of zeros, of 2 GiB that the header promises.
#[test]
fn a_bomb_is_refused() {
    let mut file = tempfile::tempfile().unwrap();
    let mut zip = zip::ZipWriter::new(&mut file);
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("conf.npy", options).unwrap();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (268435456,), }\n";
    let start = [
        &b"\x93NUMPY\x01\x00"[..],
        &(header.len() as u16).to_le_bytes(),
    ]
    .concat();
    zip.write_all(&start).unwrap();
    zip.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..300 {
        zip.write_all(&zeros).unwrap();
    }
    zip.finish().unwrap();
    let error = read_vector(file, "the file", Usually("conf")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error
            .to_string()
            .contains("limit against decompression bombs"),
        "{error}"
    );
}

proptest! {
    /// Whatever is damaged, there are numbers or an error.
    #[test]
    fn damaged_files_are_numbers_or_errors(
        which in 0..4usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let name = ["in.npz", "out.npz", "column.npy", "unread.npz"][which];
        let mut bytes = std::fs::read(fixtures().join("scores").join(name)).unwrap();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(4 * bytes.len()) + 1);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        for choice in [Usually("conf"), Named("label")] {
            if let Err(error) = read(file.path(), choice) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
