use std::borrow::Cow;
use std::fs;
use std::io::{Cursor, Write};

use odin_data::{ArrayLayout, ErrorKind, OpenOptions, Split, from_npy_bytes};

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{error_of, fixtures, labels, levels, names, open, open_with, pattern, temp_folder};

#[test]
fn arrays_of_every_kind_hold_the_same_images() {
    let none = [None; 3];
    let some = [Some(2), Some(0), Some(1)];
    for (file, channels, expected) in [
        ("arrays/u8_nchw.npy", 3, none),
        ("arrays/u8_nhwc.npy", 3, none),
        ("arrays/f32_nchw.npy", 3, none),
        ("arrays/f64_big_endian_nhwc.npy", 3, none),
        ("arrays/u8_grey.npy", 1, none),
        ("arrays/u8_grey_nhwc.npy", 1, none),
        ("arrays/with_sibling.npy", 3, some),
        ("arrays/stored.npz", 3, some),
        ("arrays/deflated.npz", 3, some),
        ("mnist/t10k-images-idx3-ubyte.gz", 1, some),
        ("mnist", 1, some),
    ] {
        let set = open(file).unwrap();
        assert_eq!(names(&*set), ["00000", "00001", "00002"], "{file}");
        assert_eq!(labels(&*set), expected, "{file}");
        for i in 0..3 {
            let image = set.get(i).unwrap().image;
            let size = (image.channels, image.height, image.width);
            assert_eq!(size, (channels, 4, 5), "{file}");
            assert_eq!(levels(&image), pattern(i, size), "{file}");
        }
    }
}

#[test]
fn idx_folders_have_two_splits() {
    let set = open_with("mnist", |o| o.split = Some(Split::Train)).unwrap();
    assert_eq!(labels(&*set), [Some(1), Some(2)]);
    assert_eq!(levels(&set.get(1).unwrap().image), pattern(101, (1, 4, 5)));
    assert_eq!(set.name(), "mnist");
}

#[test]
fn an_ambiguous_shape_needs_the_layout() {
    let error = error_of(open("arrays/ambiguous.npy"));
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for (layout, size) in [
        (ArrayLayout::Nchw, (3, 4, 3)),
        (ArrayLayout::Nhwc, (3, 3, 4)),
    ] {
        let set = open_with("arrays/ambiguous.npy", |o| o.layout = Some(layout)).unwrap();
        let image = set.get(1).unwrap().image;
        assert_eq!((image.channels, image.height, image.width), size);
        if layout == ArrayLayout::Nchw {
            assert_eq!(levels(&image), pattern(1, size));
        }
    }
}

#[test]
fn grey_and_colour_are_converted_when_asked() {
    for (file, channels) in [("arrays/u8_grey.npy", 3), ("arrays/u8_nchw.npy", 1)] {
        let set = open_with(file, |o| o.channels = Some(channels)).unwrap();
        assert_eq!(set.get(0).unwrap().image.channels, channels);
    }
    let error = error_of(open_with("arrays/u8_grey.npy", |o| o.channels = Some(2)));
    assert!(error.to_string().contains("[N, 2, H, W]"), "{error}");
    let error = error_of(open_with("arrays/u8_grey.npy", |o| o.channels = Some(0)));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn arrays_in_memory_may_bring_their_labels() {
    let file = |name: &str| Cow::from(fs::read(fixtures().join("arrays").join(name)).unwrap());
    let options = OpenOptions::default();
    let sibling = Some(file("with_sibling_labels.npy"));
    for images in ["u8_nchw.npy", "deflated.npz"] {
        let set = from_npy_bytes("digits", file(images), sibling.clone(), &options).unwrap();
        assert_eq!(set.name(), "digits");
        assert_eq!(labels(&*set), [Some(2), Some(0), Some(1)]);
        assert_eq!(levels(&set.get(2).unwrap().image), pattern(2, (3, 4, 5)));
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let images = fs::read(fixtures().join("arrays/u8_nchw.npy")).unwrap();
    let labels = fs::read(fixtures().join("arrays/with_sibling_labels.npy")).unwrap();
    let mut negative = labels.clone();
    let last = negative.len() - 2;
    negative[last] = 0xff;
    let cut = temp_folder(&[("x.npy", &images[..images.len() - 1])]);
    let bad_labels = temp_folder(&[("x.npy", &images), ("x_labels.npy", &negative)]);
    let float_labels = temp_folder(&[("x.npy", &images), ("x_labels.npy", &images)]);
    let object = b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }";
    let object = [&object[..], &[b' '; 128]].concat();
    let objects = temp_folder(&[("x.npy", &object)]);
    let train_only = temp_folder(&[("train-images-idx3-ubyte", b"")]);
    let long_idx = temp_folder(&[("x.idx", b"\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01ab")]);
    for (set, kind, words) in [
        (
            open("arrays/fortran.npy"),
            ErrorKind::Unsupported,
            "ascontiguousarray",
        ),
        (
            open("arrays/int64.npy"),
            ErrorKind::Unsupported,
            "save them as uint8",
        ),
        (
            open("arrays/two_channels.npy"),
            ErrorKind::Unsupported,
            "[3, 2, 4, 5]",
        ),
        (
            open("arrays/two_arrays.npz"),
            ErrorKind::Unsupported,
            "found at least 2 in: ",
        ),
        (open("arrays/empty.npy"), ErrorKind::Empty, "no image"),
        (
            open("arrays/out_of_range.npy"),
            ErrorKind::Malformed,
            "must lie in [0, 1]",
        ),
        (
            open(cut.path().join("x.npy")),
            ErrorKind::Malformed,
            "180 bytes should follow",
        ),
        (
            open(objects.path().join("x.npy")),
            ErrorKind::Unsupported,
            "holds Python objects (dtype object)",
        ),
        (
            open(bad_labels.path().join("x.npy")),
            ErrorKind::Malformed,
            "label 2 is negative",
        ),
        (
            open(float_labels.path().join("x.npy")),
            ErrorKind::Unsupported,
            "expected [N]",
        ),
        (
            open(train_only.path()),
            ErrorKind::NotFound,
            "the images of the test split",
        ),
        (
            open(long_idx.path().join("x.idx")),
            ErrorKind::Malformed,
            "2 bytes follow",
        ),
        (
            open_with("arrays/u8_nchw.npy", |o| o.split = Some(Split::Train)),
            ErrorKind::Invalid,
            "no training split",
        ),
    ] {
        let error = error_of(set);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// CIFAR-10-C: an array of images for each corruption, and one of labels for all of them.
#[test]
fn arrays_may_share_their_labels() {
    let images = fs::read(fixtures().join("arrays/u8_nchw.npy")).unwrap();
    let labels_of = fs::read(fixtures().join("arrays/with_sibling_labels.npy")).unwrap();
    let fitting = temp_folder(&[("fog.npy", &images), ("labels.npy", &labels_of)]);
    let unfit = temp_folder(&[("fog.npy", &images), ("labels.npy", &images)]);
    for (folder, expected, note) in [
        (&fitting, [Some(2), Some(0), Some(1)], "those of labels.npy"),
        (&unfit, [None; 3], "no labels"),
    ] {
        let set = open(folder.path().join("fog.npy")).unwrap();
        assert_eq!(labels(&*set), expected);
        assert!(set.notes()[0].contains(note), "{:?}", set.notes());
        assert_eq!(set.size(0), Some([3, 4, 5]));
    }
}

/// A `.npy` file of bytes; the first value of the samples is their place plus `first`, and all
/// others are 0.
fn npy(shape: &[usize], first: usize) -> Vec<u8> {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    let sides = sides.join(", ");
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sides},), }}");
    let sample: usize = shape[1..].iter().product();
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    for place in 0..shape[0] {
        let mut values = vec![0; sample];
        values[0] = (first + place) as u8;
        file.extend(values);
    }
    file
}

/// An `.npz` file of these arrays: name, shape, and what the first of its samples begins with.
fn npz(arrays: &[(&str, &[usize], usize)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, shape, first) in arrays {
        let options = SimpleFileOptions::default();
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(&npy(shape, *first)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

type Arrays = &'static [(&'static str, &'static [usize], usize)];

const MEDMNIST: Arrays = &[
    ("train_images", &[4, 28, 28, 3], 10),
    ("train_labels", &[4, 1], 0),
    ("val_images", &[2, 28, 28, 3], 20),
    ("val_labels", &[2, 1], 5),
    ("test_images", &[3, 28, 28, 3], 30),
    ("test_labels", &[3, 1], 7),
];

const SEVERAL_LABELS: Arrays = &[
    ("train_images", &[4, 28, 28], 10),
    ("train_labels", &[4, 14], 0),
    ("test_images", &[3, 28, 28], 30),
    ("test_labels", &[3, 14], 0),
];

const KERAS: Arrays = &[
    ("x_test", &[3, 28, 28], 30),
    ("x_train", &[4, 28, 28], 10),
    ("y_test", &[3], 1),
    ("y_train", &[4], 2),
];

const ONE_SPLIT: Arrays = &[
    ("train_images", &[4, 28, 28], 10),
    ("train_labels", &[4], 3),
];

const NO_TEST: Arrays = &[
    ("train_images", &[4, 28, 28], 10),
    ("val_images", &[2, 28, 28], 20),
];

/// A file of splits, the one asked for, what its first image begins with, its labels, and a word
/// of its only note.
#[test]
fn an_npz_of_splits_is_read_by_split() {
    type Case = (Arrays, Option<Split>, usize, &'static [usize], &'static str);
    let cases: [Case; 8] = [
        (MEDMNIST, None, 30, &[7, 8, 9], "test_images is read"),
        (
            MEDMNIST,
            Some(Split::Test),
            30,
            &[7, 8, 9],
            "train, val, test",
        ),
        (
            MEDMNIST,
            Some(Split::Validation),
            20,
            &[5, 6],
            "val_images is read",
        ),
        (
            MEDMNIST,
            Some(Split::Train),
            10,
            &[0, 1, 2, 3],
            "train_images is read",
        ),
        (KERAS, None, 30, &[1, 2, 3], "x_test is read"),
        (
            KERAS,
            Some(Split::Train),
            10,
            &[2, 3, 4, 5],
            "x_train is read",
        ),
        (ONE_SPLIT, None, 10, &[3, 4, 5, 6], ""),
        (ONE_SPLIT, Some(Split::Train), 10, &[3, 4, 5, 6], ""),
    ];
    for (arrays, split, first, expected, note) in cases {
        let folder = temp_folder(&[("pathmnist.npz", &npz(arrays))]);
        let set = open_with(folder.path().join("pathmnist.npz"), |o| o.split = split).unwrap();
        assert_eq!(set.name(), "pathmnist");
        let expected: Vec<_> = expected.iter().map(|&label| Some(label)).collect();
        assert_eq!(labels(&*set), expected, "{split:?}");
        let image = set.get(0).unwrap().image;
        let channels = if arrays[0].1.len() == 4 { 3 } else { 1 };
        assert_eq!(
            (image.channels, image.height, image.width),
            (channels, 28, 28)
        );
        assert_eq!(levels(&image)[0], first as u8, "{split:?}");
        match set.notes() {
            [] => assert_eq!(note, ""),
            [only] => assert!(!note.is_empty() && only.contains(note), "{only}"),
            notes => panic!("{notes:?}"),
        }
    }
}

/// The images can still be out-of-distribution ones.
#[test]
fn several_labels_of_an_image_are_none_for_a_reason() {
    let folder = temp_folder(&[("chestmnist.npz", &npz(SEVERAL_LABELS))]);
    let set = open(folder.path().join("chestmnist.npz")).unwrap();
    assert_eq!(labels(&*set), [None; 3]);
    let notes = set.notes();
    let why = "no labels: test_labels [3, 14] gives each image 14 of them";
    assert!(notes.iter().any(|note| note.starts_with(why)), "{notes:?}");
}

#[test]
fn splits_that_are_not_there_are_named() {
    type Case = (Arrays, Option<Split>, ErrorKind, &'static str);
    let cases: [Case; 6] = [
        (
            KERAS,
            Some(Split::Validation),
            ErrorKind::Invalid,
            "no images of a validation split; its splits are train, test",
        ),
        (
            ONE_SPLIT,
            Some(Split::Test),
            ErrorKind::Invalid,
            "its splits are train",
        ),
        (
            NO_TEST,
            None,
            ErrorKind::NotFound,
            "no images of a test split; its splits are train, val",
        ),
        (
            &[("images", &[2, 28, 28], 0)],
            Some(Split::Validation),
            ErrorKind::Invalid,
            "no validation split",
        ),
        (
            &[("test_images", &[2, 28, 28], 0), ("x", &[2, 28, 28], 0)],
            None,
            ErrorKind::Unsupported,
            "at least 2",
        ),
        (
            &[
                ("test_images", &[2, 28, 28], 0),
                ("test_labels", &[3, 1], 0),
            ],
            None,
            ErrorKind::Malformed,
            "3 labels for 2 images",
        ),
    ];
    for (arrays, split, kind, words) in cases {
        let folder = temp_folder(&[("x.npz", &npz(arrays))]);
        let error = error_of(open_with(folder.path().join("x.npz"), |o| o.split = split));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("x.npz"), "{error}");
    }
    // No other source has one, and none is unpacked to find out.
    for source in [
        "mnist",
        "cifar-10-binary.tar.gz",
        "arrays/u8_nchw.npy",
        "archives/set.zip",
    ] {
        let error = error_of(open_with(source, |o| o.split = Some(Split::Validation)));
        assert_eq!(error.kind(), ErrorKind::Invalid, "{source}: {error}");
        assert!(error.to_string().contains("no validation split"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Whatever arrays a file has, a set is one of its splits with as many labels as images, or an
    /// error.
    #[test]
    fn arrays_of_any_names_and_shapes_are_a_split_or_an_error(
        arrays in prop::collection::btree_map(
            "(train|val|test|dev)_(images|labels|x)|[xy]_(train|val|test)|labels|images",
            prop::collection::vec(0_usize..5, 1..5),
            0..7,
        ),
        split in prop::sample::select(vec![
            None, Some(Split::Test), Some(Split::Train), Some(Split::Validation),
        ]),
    ) {
        let listed: Vec<(&str, &[usize], usize)> =
            arrays.iter().map(|(name, shape)| (name.as_str(), &shape[..], 0)).collect();
        let listed: Vec<_> = listed.into_iter().filter(|(_, shape, _)| !shape.contains(&0)).collect();
        let mut options = OpenOptions::default();
        options.split = split;
        match odin_data::open_bytes("x.npz", npz(&listed), &options) {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(set) => {
                let known = (0..set.len()).filter(|&i| set.label(i).is_some()).count();
                prop_assert!(known == 0 || known == set.len());
                let wanted = match split {
                    Some(Split::Train) => "train",
                    Some(Split::Validation) => "val",
                    _ => "",
                };
                prop_assert!(listed.iter().any(|(name, shape, _)| name.contains(wanted)
                    && shape.len() > 1 && shape[0] == set.len()));
            }
        }
    }
}
