use odin_data::{ErrorKind, OpenOptions, Split};

use super::{
    error_of, fixtures, gunzip, labels, levels, open, open_with, pattern, temp_folder, unpack,
};

const SIZE: (usize, usize, usize) = (3, 32, 32);

struct Case {
    archive: &'static str,
    folder: &'static str,
    name: &'static str,
    split: Split,
    count: usize,
    classes: usize,
    first_class: &'static str,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (archive, folder, name, classes, first_class) in [
        (
            "cifar-10-python",
            "cifar-10-batches-py",
            "CIFAR-10",
            10,
            "airplane",
        ),
        (
            "cifar-10-binary",
            "cifar-10-batches-bin",
            "CIFAR-10",
            10,
            "airplane",
        ),
        (
            "cifar-100-python",
            "cifar-100-python",
            "CIFAR-100",
            100,
            "class00",
        ),
        (
            "cifar-100-binary",
            "cifar-100-binary",
            "CIFAR-100",
            100,
            "class00",
        ),
    ] {
        for split in [Split::Test, Split::Train] {
            let count = match (classes, split) {
                (10, Split::Test) => 2,
                (10, _) => 10,
                _ => 3,
            };
            cases.push(Case {
                archive,
                folder,
                name,
                split,
                count,
                classes,
                first_class,
            });
        }
    }
    cases
}

fn check(case: &Case, path: &std::path::Path) {
    let set = open_with(path, |o| o.split = Some(case.split)).unwrap();
    assert_eq!(set.name(), case.name);
    assert_eq!(set.len(), case.count);
    let classes = set.class_names().unwrap();
    assert_eq!(
        (classes.len(), classes[0].as_str()),
        (case.classes, case.first_class)
    );
    let first = if case.split == Split::Train { 100 } else { 0 };
    for i in 0..set.len() {
        let sample = set.get(i).unwrap();
        assert_eq!(sample.name, format!("{}/{i:05}", case.split.as_str()));
        assert_eq!(sample.name, set.sample_name(i));
        assert_eq!(sample.label, Some(i * 7 % case.classes));
        assert_eq!(levels(&sample.image), pattern(first + i, SIZE));
    }
    assert_eq!(set.get(set.len()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn every_version_is_read_from_its_archive_its_folder_and_the_folder_above() {
    for case in cases() {
        let archive = format!("{}.tar.gz", case.archive);
        check(&case, &fixtures().join(&archive));
        let unpacked = unpack(&archive);
        check(&case, unpacked.path());
        check(&case, &unpacked.path().join(case.folder));
    }
}

#[test]
fn a_single_batch_is_a_set() {
    for (archive, file, classes) in [
        ("cifar-10-python", "cifar-10-batches-py/test_batch", 10),
        ("cifar-10-binary", "cifar-10-batches-bin/test_batch.bin", 10),
        ("cifar-100-python", "cifar-100-python/test", 100),
        ("cifar-100-binary", "cifar-100-binary/test.bin", 100),
    ] {
        let unpacked = unpack(&format!("{archive}.tar.gz"));
        let set = open(unpacked.path().join(file)).unwrap();
        for i in 0..set.len() {
            let sample = set.get(i).unwrap();
            assert_eq!(sample.label, Some(i * 7 % classes));
            assert_eq!(levels(&sample.image), pattern(i, SIZE));
        }
        assert!(set.sample_name(1).ends_with("/00001"));
    }
}

#[test]
fn pickles_of_every_protocol_are_read() {
    let mut seen = 0;
    for entry in std::fs::read_dir(fixtures().join("pickles")).unwrap() {
        let path = entry.unwrap().path();
        let set = odin_data::open_bytes("batch", gunzip(&path), &OpenOptions::default()).unwrap();
        assert_eq!(labels(&*set), [Some(0), Some(7)], "{}", path.display());
        for i in 0..2 {
            assert_eq!(levels(&set.get(i).unwrap().image), pattern(i, SIZE));
        }
        seen += 1;
    }
    assert_eq!(seen, 11);
}

#[test]
fn grey_has_one_channel() {
    let set = open_with("cifar-10-binary.tar.gz", |o| o.channels = Some(1)).unwrap();
    let image = set.get(0).unwrap().image;
    assert_eq!((image.channels, image.pixels.len()), (1, 1024));
}

#[test]
fn what_does_not_fit_is_named() {
    let python = unpack("cifar-10-python.tar.gz");
    let binary = unpack("cifar-10-binary.tar.gz");
    let batch = std::fs::read(binary.path().join("cifar-10-batches-bin/test_batch.bin")).unwrap();
    let mut bad_label = batch.clone();
    bad_label[3073] = 10;

    std::fs::remove_file(python.path().join("cifar-10-batches-py/data_batch_3")).unwrap();
    let train = |path: &std::path::Path| open_with(path, |o| o.split = Some(Split::Train));
    let both = temp_folder(&[
        ("cifar-10-batches-bin/test_batch.bin", &batch),
        ("cifar-100-binary/test.bin", &batch),
    ]);
    for (set, kind, words) in [
        (
            train(python.path()),
            ErrorKind::NotFound,
            "data_batch_3 is missing",
        ),
        (
            open(both.path()),
            ErrorKind::Invalid,
            "name one of these folders",
        ),
        (
            open(temp_folder(&[("test_batch.bin", &batch[..6000])]).path()),
            ErrorKind::Malformed,
            "6000 bytes are not a whole number of records",
        ),
        (
            open(temp_folder(&[("test_batch.bin", &bad_label)]).path()),
            ErrorKind::Malformed,
            "image 1 has the label 10, expected 0 to 9",
        ),
        (
            open(temp_folder(&[("test_batch", b"\x80\x02}q\0.")]).path()),
            ErrorKind::Malformed,
            "it has no \"data\"",
        ),
        (
            open(temp_folder(&[("test_batch", b"\x80\x02cos\nsystem\n(U\x02lstR.")]).path()),
            ErrorKind::Malformed,
            "it has no \"data\"",
        ),
        (
            open(temp_folder(&[("test_batch.bin", b"")]).path()),
            ErrorKind::Empty,
            "no image",
        ),
    ] {
        let error = error_of(set);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
