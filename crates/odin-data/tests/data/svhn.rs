use std::fs;

use odin_data::{ErrorKind, OpenOptions, Split, open_bytes};
use proptest::prelude::*;

use super::{error_of, fixtures, labels, levels, names, open, open_with, pattern};

#[test]
fn images_and_digits_are_read() {
    let digits = [Some(0), Some(1), Some(9), Some(5), Some(0)];
    for (file, name, count) in [
        ("test_32x32.mat", "test_32x32", 5),
        ("plain.mat", "plain", 2),
    ] {
        let set = open(format!("svhn/{file}")).unwrap();
        assert_eq!(set.name(), name);
        assert_eq!(
            names(&*set),
            ["00000", "00001", "00002", "00003", "00004"][..count]
        );
        assert_eq!(labels(&*set), digits[..count]);
        assert_eq!(set.class_names().unwrap().join(""), "0123456789");
        for i in 0..count {
            let size = (3, 32, 32);
            assert_eq!(
                levels(&set.get(i).unwrap().image),
                pattern(i, size),
                "{file}"
            );
        }
        assert_eq!(set.get(count).unwrap_err().kind(), ErrorKind::Invalid);
    }
    let grey = open_with("svhn/plain.mat", |o| o.channels = Some(1)).unwrap();
    assert_eq!(grey.get(1).unwrap().image.channels, 1);
}

#[test]
fn other_matlab_files_are_refused() {
    let plain = fs::read(fixtures().join("svhn/plain.mat")).unwrap();
    let bytes = |bytes: Vec<u8>| open_bytes("x.mat", bytes, &OpenOptions::default());
    let mut big_endian = plain.clone();
    big_endian[126..128].copy_from_slice(b"MI");
    let hdf5 = [b"MATLAB 7.3 MAT-file".to_vec(), plain[19..].to_vec()].concat();
    for (set, kind, words) in [
        (
            open("svhn/bad_label.mat"),
            ErrorKind::Malformed,
            "none of 1 to 10",
        ),
        (
            open("svhn/fewer_labels.mat"),
            ErrorKind::Unsupported,
            "y is [1, 1]",
        ),
        (
            open("svhn/other.mat"),
            ErrorKind::Unsupported,
            "X is [2, 2]",
        ),
        (
            open("svhn/doubles.mat"),
            ErrorKind::Unsupported,
            "not of the type uint8",
        ),
        (
            bytes(plain[..128].to_vec()),
            ErrorKind::Unsupported,
            "X is none",
        ),
        (
            bytes(plain[..6200].to_vec()),
            ErrorKind::Malformed,
            "truncated",
        ),
        (bytes(big_endian), ErrorKind::Unsupported, "big-endian"),
        (bytes(hdf5), ErrorKind::Unsupported, "not recognised"),
        (
            open_with("svhn/plain.mat", |o| o.split = Some(Split::Train)),
            ErrorKind::Invalid,
            "no training split",
        ),
    ] {
        let error = error_of(set);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains(".mat: "), "{error}");
    }
}

#[test]
fn unpacking_is_bounded() {
    let error = error_of(open_with("svhn/test_32x32.mat", |o| {
        o.max_unpacked = 10_000
    }));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("decompression bombs"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_never_panic(
        compressed in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let file = if compressed { "svhn/test_32x32.mat" } else { "svhn/plain.mat" };
        let mut bytes = fs::read(fixtures().join(file)).unwrap();
        // The tags, shapes and names lie around the first image and after the last.
        let tags: Vec<usize> = (120..400).chain(bytes.len() - 100..bytes.len()).collect();
        for (place, value) in flips {
            bytes[tags[place.index(tags.len())]] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(set) = open_bytes("x.mat", bytes, &OpenOptions::default()) {
            for i in 0..set.len().min(10) {
                let image = set.get(i).unwrap().image;
                prop_assert_eq!((image.channels, image.height, image.width), (3, 32, 32));
            }
        }
    }
}
