use std::borrow::Cow;
use std::fs;

use odin_data::{ArrayLayout, ErrorKind, OpenOptions, Split, from_npy_bytes};

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
