//! Lists of images with labels, as OpenOOD has them.

use std::fs;
use std::path::Path;

use odin_data::{DataSet, Error, ErrorKind, OpenOptions, listed_images, open_bytes};

use proptest::prelude::*;

use super::{error_of, fixtures, names, open, open_with, temp_folder};

fn png() -> Vec<u8> {
    fs::read(fixtures().join("images/rgb.png")).unwrap()
}

fn opened(list: &str, images: &[&str], text: &[u8]) -> (tempfile::TempDir, Set) {
    let png = png();
    let mut files: Vec<(&str, &[u8])> = images.iter().map(|name| (*name, &png[..])).collect();
    files.push((list, text));
    let folder = temp_folder(&files);
    let set = open(folder.path().join(list));
    (folder, set)
}

type Set = Result<Box<dyn DataSet>, Error>;

fn labels(set: &dyn DataSet) -> Vec<Option<usize>> {
    (0..set.len()).map(|i| set.label(i)).collect()
}

#[test]
fn images_come_in_the_order_of_the_list_with_its_labels() {
    type Row = (&'static str, Option<usize>);
    let cases: [(&str, &[Row]); 6] = [
        (
            "b.png 1\na.png 0\n",
            &[("b.png", Some(1)), ("a.png", Some(0))],
        ),
        (
            "\u{feff}a.png 7\r\n\r\n  \nb.png -1",
            &[("a.png", Some(7)), ("b.png", None)],
        ),
        (
            "a.png 0\na.png 1\n",
            &[("a.png", Some(0)), ("a.png", Some(1))],
        ),
        (
            "c d 3.png 4\n./a.png\t5 \n",
            &[("c d 3.png", Some(4)), ("./a.png", Some(5))],
        ),
        ("BM/e.png 2\n", &[("BM/e.png", Some(2))]),
        ("BM/../b.png 2\n", &[("BM/../b.png", Some(2))]),
    ];
    let images = ["a.png", "b.png", "c d 3.png", "BM/e.png"];
    for (text, rows) in cases {
        let (_folder, set) = opened("test_x.txt", &images, text.as_bytes());
        let set = set.unwrap();
        assert_eq!(set.name(), "test_x");
        assert_eq!(
            names(&*set),
            rows.iter().map(|row| row.0).collect::<Vec<_>>()
        );
        assert_eq!(
            labels(&*set),
            rows.iter().map(|row| row.1).collect::<Vec<_>>()
        );
        for (i, &(name, label)) in rows.iter().enumerate() {
            let sample = set.get(i).unwrap();
            assert_eq!((sample.name.as_str(), sample.label), (name, label));
            assert_eq!(sample.image.channels, 3);
        }
        let repeated = text.contains("a.png 0\na.png");
        assert_eq!(
            set.notes().len(),
            usize::from(repeated),
            "{:?}",
            set.notes()
        );
        assert_eq!(set.get(rows.len()).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(
            (set.label(rows.len()), set.sample_name(rows.len())),
            (None, String::new())
        );
    }
}

/// The list, where its one image `cifar10/0.png` lies, and what it is below.
#[test]
fn paths_are_below_the_nearest_folder_that_has_the_first() {
    for (list, images, root) in [
        (
            "l.txt",
            &["cifar10/0.png", "images_classic/cifar10/0.png"][..],
            "",
        ),
        ("lists/l.txt", &["cifar10/0.png"], "."),
        ("lists/l.txt", &["cifar10/0.png", "lists/cifar10/0.png"], ""),
        (
            "l.list",
            &["images_largescale/cifar10/0.png"],
            "images_largescale",
        ),
        (
            "data/benchmark_imglist/cifar10/l.txt",
            &["data/images_classic/cifar10/0.png"],
            "data/images_classic",
        ),
        (
            "data/benchmark_imglist/cifar10/l.txt",
            &["data/images_classic/cifar10/0.png", "data/cifar10/0.png"],
            "data",
        ),
    ] {
        let (folder, set) = opened(list, images, b"cifar10/0.png 3\n");
        let set = set.unwrap();
        assert_eq!(names(&*set), ["cifar10/0.png"]);
        set.get(0).unwrap();
        let folder = folder.path().canonicalize().unwrap();
        match (root, set.notes()) {
            ("", notes) => assert!(notes.is_empty(), "{notes:?}"),
            (root, [note]) => {
                let expected = folder.join(root).canonicalize().unwrap();
                assert!(note.ends_with(&expected.display().to_string()), "{note}");
            }
            (_, notes) => panic!("{notes:?}"),
        }
        let paths = listed_images(&folder.join(list), &OpenOptions::default()).unwrap();
        assert!(paths[0].is_file(), "{paths:?}");
    }
}

#[test]
fn a_given_root_and_absolute_paths_are_not_looked_for() {
    let folder = temp_folder(&[("a/x.png", &png()), ("l/l.txt", b"x.png 0\ny.png 1\n")]);
    let list = folder.path().join("l/l.txt");
    let root = folder.path().join("a");
    let set = open_with(&list, |options| options.list_root = Some(root.clone())).unwrap();
    set.get(0).unwrap();
    let error = set.get(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("a/y.png"), "{error}");

    let absolute = folder.path().join("a/x.png");
    fs::write(&list, format!("{} 1\n/no/such.png 2\n", absolute.display())).unwrap();
    let set = open(&list).unwrap();
    assert_eq!(set.get(0).unwrap().label, Some(1));
    assert_eq!(set.get(1).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_image_that_cannot_be_read_is_an_error_of_its_own() {
    let text = b"a.png 0\nmissing.png 1\nfolder 2\ntext.png 3\nl.txt 4\na.png 5\n";
    let (folder, set) = opened("l.txt", &["a.png", "folder/b.png"], text);
    fs::write(folder.path().join("text.png"), "no image").unwrap();
    let set = set.unwrap();
    for (i, part) in [
        (1, "missing.png"),
        (2, "folder"),
        (3, "text.png"),
        (4, "l.txt"),
    ] {
        let error = set.get(i).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(set.get(5).unwrap().label, Some(5));
}

#[test]
fn what_is_no_list_is_refused_by_file_and_line() {
    let long = [&b"a.png 0\n"[..], &[b'x'; 1 << 17], b".png 1\n"].concat();
    let cases: [(&[u8], ErrorKind, &[&str]); 9] = [
        (b"", ErrorKind::Empty, &["l.txt", "names no image"]),
        (b" \n\r\n", ErrorKind::Empty, &["names no image"]),
        (
            b"a.png\n",
            ErrorKind::Malformed,
            &["l.txt: line 1: ", "\"a.png\""],
        ),
        (
            b"a.png 0\n\nb.png\n",
            ErrorKind::Malformed,
            &["line 3: expected the path", "-1"],
        ),
        (
            b"a.png 0\nb.png -3",
            ErrorKind::Malformed,
            &["line 2: ", "\"b.png -3\""],
        ),
        (
            b"a.png 0\n \x1b[31m",
            ErrorKind::Malformed,
            &["line 2: ", "\\u{1b}"],
        ),
        (&long, ErrorKind::Malformed, &["line 2: ", "65536"]),
        (
            b"none.png 0\n",
            ErrorKind::NotFound,
            &["none.png", "images_classic", "each folder above"],
        ),
        (
            b"a.png 0\n\0",
            ErrorKind::Unsupported,
            &["not recognised", "lists of images"],
        ),
    ];
    for (text, kind, parts) in cases {
        let (_folder, set) = opened("l.txt", &["a.png"], text);
        let error = error_of(set);
        assert_eq!(error.kind(), kind, "{error}");
        let shown = error.to_string();
        assert!(shown.len() < 1000, "{}", shown.len());
        for part in parts {
            assert!(shown.contains(part), "{shown} lacks {part}");
        }
    }
    let train = |options: &mut OpenOptions| options.split = Some(odin_data::Split::Train);
    let folder = temp_folder(&[("l.txt", b"a.png 0"), ("a.png", &png())]);
    let error = error_of(open_with(folder.path().join("l.txt"), train));
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// Bytes in memory must not name files.
#[test]
fn a_list_in_memory_is_refused() {
    let error = open_bytes("l.txt", &b"/etc/passwd 0\n"[..], &OpenOptions::default());
    assert_eq!(error_of(error).kind(), ErrorKind::Unsupported);
}

#[cfg(unix)]
#[test]
fn names_of_any_bytes_are_found_and_spelled() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let mut text = Vec::new();
    let named: [&[u8]; 4] = [
        b"\xff\xfe.png",
        b"back\\slash.png",
        "犬 1.png".as_bytes(),
        b"esc\x1b.png ",
    ];
    for name in named {
        fs::write(folder.path().join(OsStr::from_bytes(name)), png()).unwrap();
        text.extend([name, b" 0\n"].concat());
    }
    let list = folder.path().join("l.txt");
    fs::write(&list, &text).unwrap();
    let set = open(&list).unwrap();
    assert_eq!(
        names(&*set),
        [
            "\\xff\\xfe.png",
            "back\\\\slash.png",
            "犬 1.png",
            "esc\\u{1b}.png "
        ]
    );
    for i in 0..set.len() {
        set.get(i).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_list_through_a_link_has_the_links_folder() {
    let folder = temp_folder(&[("a/x.png", &png()), ("b/l.txt", b"x.png 0\n")]);
    let link = folder.path().join("a/link.txt");
    std::os::unix::fs::symlink(Path::new("../b/l.txt"), &link).unwrap();
    let set = open(&link).unwrap();
    assert!(set.notes().is_empty(), "{:?}", set.notes());
    set.get(0).unwrap();
}

proptest! {
    /// Whatever a list holds, there is a set of as many images as lines, or an error.
    #[test]
    fn arbitrary_lists_never_panic(
        lines in prop::collection::vec(
            prop_oneof![
                "[a-c/. \\x00-\\x20é-]{0,9} -?[0-9]{0,12}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..20),
            ],
            0..6,
        ),
        given in any::<bool>(),
    ) {
        let folder = temp_folder(&[("l.txt", &lines.join(&b'\n')), ("a", &png())]);
        let root = given.then(|| folder.path().to_path_buf());
        match open_with(folder.path().join("l.txt"), |options| options.list_root = root.clone()) {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(set) => for i in 0..set.len() {
                if let Ok(sample) = set.get(i) {
                    prop_assert_eq!(sample.name, set.sample_name(i));
                }
            }
        }
    }
}
