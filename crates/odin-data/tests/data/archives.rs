use std::fs;
use std::io::Write;

use odin_data::{DataSet, ErrorKind};

use super::{error_of, fixtures, gunzip, levels, names, open, open_with, pattern, temp_folder};

fn sorted_names() -> Vec<String> {
    let text = fs::read_to_string(fixtures().join("archives/names.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn check(set: &dyn DataSet, expected: &[(usize, String)]) {
    assert_eq!(
        names(set),
        expected
            .iter()
            .map(|(_, name)| name.clone())
            .collect::<Vec<_>>()
    );
    for (i, (index, _)) in expected.iter().enumerate() {
        assert_eq!(
            levels(&set.get(i).unwrap().image),
            pattern(*index, (3, 4, 4))
        );
    }
}

#[test]
fn every_archive_holds_the_images_in_pythons_order() {
    let all: Vec<(usize, String)> = sorted_names().into_iter().enumerate().collect();
    let ascii: Vec<_> = all.iter().filter(|(_, n)| n.is_ascii()).cloned().collect();
    for (file, name, expected) in [
        ("gnu.tar.gz", "gnu", &all),
        ("pax.tgz", "pax", &all),
        ("set.zip", "set", &all),
        ("ustar.tar.gz", "ustar", &ascii),
    ] {
        let set = open(format!("archives/{file}")).unwrap();
        assert_eq!(set.name(), name);
        check(&*set, expected);
        let ignored = set
            .notes()
            .iter()
            .any(|note| note.contains("no images were left out"));
        assert!(ignored, "{file}: {:?}", set.notes());
    }
}

#[test]
fn a_plain_tar_is_read_like_a_packed_one() {
    let bytes = gunzip(&fixtures().join("archives/gnu.tar.gz"));
    let folder = temp_folder(&[("Set.tar", &bytes), ("anything", &bytes)]);
    for file in ["Set.tar", "anything"] {
        let set = open(folder.path().join(file)).unwrap();
        assert_eq!(names(&*set), sorted_names());
    }
}

#[test]
fn classes_of_an_archive_are_those_of_its_folder() {
    let set = open("archives/gnu.tar.gz").unwrap();
    let classes = set.class_names().unwrap();
    let mut expected: Vec<_> = sorted_names()
        .iter()
        .filter_map(|name| name.split_once('/').map(|(folder, _)| folder.to_owned()))
        .collect();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(classes, expected);
    for i in 0..set.len() {
        let sample = set.get(i).unwrap();
        let class = &classes[sample.label.unwrap()];
        assert!(sample.name.starts_with(&format!("{class}/")));
    }
}

#[test]
fn names_that_point_elsewhere_are_only_names() {
    let set = open("archives/outside.tar.gz").unwrap();
    assert_eq!(names(&*set), ["../../outside.png", "etc/absolute.png"]);
    assert!(set.get(0).is_ok() && set.get(1).is_ok());
}

#[test]
fn unpacking_is_limited() {
    let error = error_of(open_with("archives/gnu.tar.gz", |o| o.max_unpacked = 1000));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("1000 bytes"), "{error}");
}

#[test]
fn a_scratch_folder_that_does_not_exist_is_an_error() {
    // Incompressible, and larger than what stays in memory.
    let mut random: u32 = 1;
    let large: Vec<u8> = (0..33 << 20)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 24) as u8
        })
        .collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(&large).unwrap();
    let folder = temp_folder(&[("x.tar.gz", &packed.finish().unwrap())]);
    let error = error_of(open_with(folder.path().join("x.tar.gz"), |o| {
        o.scratch = Some(folder.path().join("nowhere"));
    }));
    assert!(error.to_string().contains("temporary file"), "{error}");
}

/// What Git leaves in the place of a large file that was not fetched.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";

#[test]
fn what_is_no_archive_of_images_is_named() {
    let gz = fs::read(fixtures().join("archives/gnu.tar.gz")).unwrap();
    let tar = gunzip(&fixtures().join("archives/gnu.tar.gz"));
    let zip = fs::read(fixtures().join("archives/set.zip")).unwrap();
    let folder = temp_folder(&[
        ("cut.tar.gz", &gz[..gz.len() / 2]),
        ("cut.tar", &tar[..1500]),
        ("cut.zip", &zip[..zip.len() / 2]),
        ("x.tar.xz", b"\xfd7zXZ\0rest"),
        ("text.png", b"hello, this is text"),
        ("pointer.npz", POINTER),
        ("photos/1.png", POINTER),
        ("sub/set.zip", &zip),
    ]);
    for (file, kind, words) in [
        ("cut.tar.gz", ErrorKind::Malformed, "does not unpack"),
        ("cut.tar", ErrorKind::Malformed, "not a whole tar archive"),
        ("cut.zip", ErrorKind::Malformed, "not a whole zip archive"),
        ("x.tar.xz", ErrorKind::Unsupported, "an xz file"),
        ("text.png", ErrorKind::Unsupported, "tried PNG"),
        ("pointer.npz", ErrorKind::Unsupported, "git lfs pull"),
        ("photos", ErrorKind::Unsupported, "git lfs pull"),
        ("photos/1.png", ErrorKind::Unsupported, "git lfs pull"),
        ("sub", ErrorKind::Empty, "name that file"),
        ("nowhere", ErrorKind::NotFound, "nowhere"),
    ] {
        let error = error_of(open(folder.path().join(file)));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// A tar of one image, and of what `add` adds to it.
fn tar_with(add: impl Fn(&mut tar::Builder<Vec<u8>>, &[u8])) -> Vec<u8> {
    let png = fs::read(fixtures().join("images/rgb.png")).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(png.len() as u64);
    builder
        .append_data(&mut header, "set/cat/1.png", &png[..])
        .unwrap();
    add(&mut builder, &png);
    builder.into_inner().unwrap()
}

fn link(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, target: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    builder.append_link(&mut header, name, target).unwrap();
}

/// Tar stores a file once that has several names, and the other names as links.
#[test]
fn hard_links_are_images_and_other_links_are_counted() {
    let bytes = tar_with(|builder, _| {
        link(
            builder,
            tar::EntryType::Link,
            "set/dog/2.png",
            "set/cat/1.png",
        );
        link(
            builder,
            tar::EntryType::Link,
            "set/dog/3.png",
            "elsewhere.png",
        );
        link(
            builder,
            tar::EntryType::Symlink,
            "set/dog/4.png",
            "../cat/1.png",
        );
    });
    let folder = temp_folder(&[("set.tar", &bytes)]);
    let set = open(folder.path().join("set.tar")).unwrap();
    assert_eq!(names(&*set), ["cat/1.png", "dog/2.png"]);
    assert_eq!(set.get(0).unwrap().image, set.get(1).unwrap().image);
    assert_eq!(set.label(1), Some(1));
    let [note] = set.notes() else {
        panic!("{:?}", set.notes());
    };
    assert!(
        note.starts_with("2 links and devices were left out, such as set/dog/"),
        "{note}"
    );
}

#[test]
fn a_sparse_file_is_refused_by_name() {
    let bytes = tar_with(|builder, png| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_size(png.len() as u64);
        builder
            .append_data(&mut header, "set/dog/holes.png", png)
            .unwrap();
    });
    let folder = temp_folder(&[("set.tar", &bytes)]);
    let error = error_of(open(folder.path().join("set.tar")));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    for part in ["set.tar", "`set/dog/holes.png`", "sparse"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn backslashes_in_a_zip_part_names() {
    let png = fs::read(fixtures().join("images/rgb.png")).unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for name in [r"set\cat\", r"set\cat\1.png", r"set\dog\2.png"] {
        zip.start_file(name, options).unwrap();
        let is_folder = name.ends_with('\\');
        zip.write_all(if is_folder { b"" } else { &png }).unwrap();
    }
    let folder = temp_folder(&[("set.zip", &zip.finish().unwrap().into_inner())]);
    let set = open(folder.path().join("set.zip")).unwrap();
    assert_eq!(names(&*set), ["cat/1.png", "dog/2.png"]);
    assert_eq!(set.class_names().unwrap(), ["cat", "dog"]);
    assert_eq!(set.notes(), [""; 0]);
}
