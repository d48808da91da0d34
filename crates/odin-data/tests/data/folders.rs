use std::fs;

use odin_data::{ErrorKind, Transformed};

use super::{error_of, fixtures, labels, names, open, temp_folder};

fn png() -> Vec<u8> {
    fs::read(fixtures().join("images/rgb.png")).unwrap()
}

#[test]
fn class_folders_give_labels_and_flat_folders_none() {
    let png = png();
    for (files, expected_labels, notes) in [
        (
            vec!["cat/2.png", "cat/deeper/1.PNG", "dog/1.png", "readme.txt"],
            vec![Some(0), Some(0), Some(1)],
            1,
        ),
        (vec!["1.png", "10.png", "2.png"], vec![None; 3], 0),
        (vec!["0/1.png", "0/10.png", "0/2.png"], vec![None; 3], 0),
        (vec!["a.png", "dog/1.png"], vec![None; 2], 1),
    ] {
        let content: Vec<_> = files.iter().map(|f| (*f, &png[..])).collect();
        let folder = temp_folder(&content);
        let set = open(folder.path()).unwrap();
        let images: Vec<_> = files.iter().filter(|f| !f.ends_with("txt")).collect();
        assert_eq!(names(&*set).iter().collect::<Vec<_>>(), images);
        assert_eq!(labels(&*set), expected_labels);
        assert_eq!(set.notes().len(), notes, "{:?}", set.notes());
    }
}

#[test]
fn what_a_folder_leaves_open_is_noted() {
    let png = png();
    for (files, images, note) in [
        (
            vec!["0/a.png", "2/b.png", "10/c.jpe"],
            3,
            "10 has the label 1 and 2 the label 2",
        ),
        (vec!["00/a.png", "02/b.png", "10/c.jfif"], 3, ""),
        (vec!["0/a.png", "9/b.png"], 2, ""),
        (vec!["cat2/a.png", "cat10/b.png"], 2, ""),
        (
            vec!["a.png", "b.tif", "c.TIFF"],
            1,
            "2 images in formats that are not read",
        ),
        (
            vec!["a.png", "b.txt"],
            1,
            "1 file that is no image was left out",
        ),
    ] {
        let content: Vec<_> = files.iter().map(|f| (*f, &png[..])).collect();
        let folder = temp_folder(&content);
        let set = open(folder.path()).unwrap();
        assert_eq!(set.len(), images, "{files:?}");
        match set.notes() {
            [] => assert_eq!(note, "", "{files:?}"),
            [only] => assert!(!note.is_empty() && only.contains(note), "{only}"),
            notes => panic!("{notes:?}"),
        }
    }
    let only = temp_folder(&[("scan.tiff", &png)]);
    let error = error_of(open(only.path())).to_string();
    assert!(
        error.contains("scan.tiff is an image in a format that is not read"),
        "{error}"
    );
}

#[test]
fn an_empty_folder_and_a_bad_image_are_errors() {
    let png = png();
    let empty = temp_folder(&[("notes.txt", b"x")]);
    assert_eq!(error_of(open(empty.path())).kind(), ErrorKind::Empty);
    let bad = temp_folder(&[
        ("a/1.png", &png),
        ("b/2.png", b"no image"),
        ("b/3.png", b""),
    ]);
    let set = open(bad.path()).unwrap();
    assert!(set.get(0).is_ok());
    for (i, file) in [(1, "2.png"), (2, "3.png")] {
        let error = set.get(i).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_transform_applies_to_every_image() {
    let folder = temp_folder(&[("1.png", &png())]);
    let transform = "resize:9x7:nearest".parse().unwrap();
    let set = Transformed::new(open(folder.path()).unwrap(), transform);
    let image = odin_data::DataSet::get(&set, 0).unwrap().image;
    assert_eq!((image.height, image.width), (9, 7));
    let transform = "centre-crop:100".parse().unwrap();
    let set = Transformed::new(open(folder.path()).unwrap(), transform);
    let error = odin_data::DataSet::get(&set, 0).unwrap_err();
    assert!(
        error.to_string().starts_with("1.png: cannot crop"),
        "{error}"
    );
}

#[test]
fn sets_are_read_from_several_threads() {
    let set = open("archives/set.zip").unwrap();
    let expected: Vec<_> = (0..set.len()).map(|i| set.get(i).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (i, sample) in expected.iter().enumerate() {
                    assert_eq!(set.get(i).unwrap(), *sample);
                }
            });
        }
    });
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let folder = temp_folder(&[("a/1.png", &png()), ("b/2.png", &png())]);
    let inside = |name: &str| folder.path().join(name);
    symlink(folder.path(), inside("a/loop")).unwrap();
    symlink(inside("b"), inside("c")).unwrap();
    let set = open(folder.path()).unwrap();
    assert_eq!(names(&*set), ["a/1.png", "b/2.png", "c/2.png"]);
    symlink(inside("nowhere"), inside("broken.png")).unwrap();
    let error = error_of(open(folder.path()));
    let message = error.to_string();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(message.matches("broken.png").count(), 1, "{message}");
    assert_eq!(message.matches("No such file").count(), 1, "{message}");
    assert!(std::error::Error::source(&error).is_some());
}

#[cfg(unix)]
#[test]
fn names_do_not_command_the_terminal() {
    let owned = "\x1b]0;owned\x07";
    let (bad, class) = (format!("{owned}a/1.png"), format!("b/{owned}.png"));
    let folder = temp_folder(&[(&bad, b"no image"), (&class, &png())]);
    let set = open(folder.path()).unwrap();
    let error = set.get(0).unwrap_err().to_string();
    let missing = error_of(open(folder.path().join(owned))).to_string();
    let image = open(folder.path().join(&class)).unwrap();
    let shown = [
        set.sample_name(0),
        set.get(1).unwrap().name,
        set.class_names().unwrap()[0].clone(),
        error,
        missing,
        image.name().to_owned(),
        image.sample_name(0),
    ];
    for text in shown {
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(text.contains("\\u{1b}]0;owned\\u{7}"), "{text:?}");
    }
}

/// Names that differ only in bytes that are no UTF-8, or only until they are escaped.
#[cfg(target_os = "linux")]
#[test]
fn every_file_has_a_name_of_its_own() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let names: [(&[u8], &str); 6] = [
        (b"\\u{1b}.png", "\\\\u{1b}.png"),
        (b"\\xfe.png", "\\\\xfe.png"),
        (b"\x1b.png", "\\u{1b}.png"),
        (b"\xfe.png", "\\xfe.png"),
        (b"\xff.png", "\\xff.png"),
        ("\u{fffd}.png".as_bytes(), "\u{fffd}.png"),
    ];
    let folder = temp_folder(&[]);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, _) in names {
        let path = std::path::Path::new(OsStr::from_bytes(name));
        std::fs::write(folder.path().join(path), png()).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(png().len() as u64);
        archive.append_data(&mut header, path, &png()[..]).unwrap();
    }
    let packed = folder.path().join("set.tar");
    std::fs::write(&packed, archive.into_inner().unwrap()).unwrap();
    for path in [folder.path(), &packed] {
        let set = open(path).unwrap();
        let found: Vec<String> = (0..set.len()).map(|i| set.sample_name(i)).collect();
        let mut expected = names.map(|(_, spelled)| spelled.to_string());
        expected.sort();
        assert_eq!(found, expected, "{}", path.display());
        assert!((0..set.len()).all(|i| set.get(i).is_ok()));
    }
}
