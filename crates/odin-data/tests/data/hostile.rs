//! Whatever the bytes, opening and reading ends in a set or an error.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use odin_data::{
    DataSet, Error, ErrorKind, Image, OpenOptions, Transform, from_npy_bytes, open_bytes,
};
use proptest::prelude::*;

use super::{fixtures, gunzip, unpack};

/// Whole files of every kind, outside their gzip wrapping so that damage reaches the readers.
static SEEDS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let mut seeds = Vec::new();
    collect(&fixtures(), &mut seeds);
    for archive in ["cifar-10-python", "cifar-100-python"] {
        let folder = unpack(&format!("{archive}.tar.gz"));
        collect(folder.path(), &mut seeds);
    }
    seeds.sort();
    assert!(seeds.len() > 100);
    seeds
});

fn collect(folder: &Path, seeds: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, seeds);
        } else if name.ends_with("gz") {
            seeds.push((name.clone(), fs::read(&path).unwrap()));
            seeds.push((name, gunzip(&path)));
        } else {
            seeds.push((name, fs::read(&path).unwrap()));
        }
    }
}

/// Every image that can be had is sound.
fn read_all(name: &str, bytes: Vec<u8>) {
    let options = OpenOptions::default();
    let set: Result<Box<dyn DataSet>, Error> = open_bytes(name, bytes, &options);
    match set {
        Ok(set) => {
            for i in 0..set.len().min(20) {
                if let Ok(sample) = set.get(i) {
                    assert_eq!(sample.name, set.sample_name(i));
                    let image = sample.image;
                    let size = (image.channels, image.height, image.width);
                    Image::new(size.0, size.1, size.2, image.pixels).unwrap();
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A pickled text.
fn text(text: &str) -> Vec<u8> {
    [
        b"X",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

/// One long text as both parts of many importable names.
#[test]
fn importable_names_are_not_copied() {
    const USES: usize = 20_000;
    let name = text(&"a".repeat(1 << 20));
    let start = Instant::now();
    let uses = b"h\0h\0\x930".repeat(USES);
    let pickle = [b"\x80\x04", &name[..], b"q\x000", &uses, b"}."].concat();
    let error = open_bytes("batch", pickle, &OpenOptions::default()).err();
    assert_eq!(error.unwrap().kind(), ErrorKind::Malformed);
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

/// One text as all class names.
#[test]
fn class_names_are_bounded() {
    for (length, count, problem) in [
        (1 << 20, 10, "a string of more than 1024 bytes"),
        (1 << 20, 20_000, "20000 strings, expected 10"),
        (10, 9, "9 strings, expected 10"),
    ] {
        let folder = unpack("cifar-10-python.tar.gz");
        let name = text(&"a".repeat(length));
        let again = b"h\0".repeat(count - 1);
        let meta = [
            b"\x80\x02}",
            &text("label_names")[..],
            b"](",
            &name,
            b"q\0",
            &again,
            b"es.",
        ];
        let path = folder.path().join("cifar-10-batches-py/batches.meta");
        fs::write(path, meta.concat()).unwrap();
        let error = odin_data::open(folder.path(), &OpenOptions::default()).err();
        let error = error.unwrap();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

/// An array of bytes, all zero.
fn npy(shape: &str, count: usize) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    let length = (header.len() as u16).to_le_bytes();
    let parts = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes()];
    [&parts.concat()[..], &vec![0; count]].concat()
}

/// A zip archive whose members, under different names, are all the same packed bytes.
fn overlapping(members: usize, content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = Crc::new();
    crc.update(content);
    let common = [
        &b"\x14\0\0\0\x08\0\0\0\0\0"[..],
        &crc.sum().to_le_bytes(),
        &(packed.len() as u32).to_le_bytes(),
        &(content.len() as u32).to_le_bytes(),
        &5u16.to_le_bytes(),
        &[0; 2],
    ]
    .concat();
    let mut zip = [b"PK\x03\x04", &common[..], b"0.npy", &packed].concat();
    let directory = zip.len() as u32;
    for i in 0..members {
        let name = char::from_digit(i as u32, 36).unwrap().to_string() + ".npy";
        zip.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 14], name.as_bytes()].concat());
    }
    let length = zip.len() as u32 - directory;
    let count = (members as u16).to_le_bytes();
    let sizes = [length.to_le_bytes(), directory.to_le_bytes()].concat();
    zip.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &sizes, &[0; 2]].concat());
    zip
}

#[test]
fn arrays_that_nobody_asked_for_are_not_unpacked() {
    let images = npy("(1, 100, 100)", 10_000);
    let list = npy("(20000000,)", 20_000_000);
    for (members, content, problem) in [
        (1, &images, None),
        (
            30,
            &images,
            Some("found at least 2 in: 0 [1, 100, 100], 1 ["),
        ),
        (1, &list, Some("found none in: 0 [20000000]")),
        (30, &list, Some("found none in: 0 [20000000], 1 [20000000]")),
    ] {
        let bytes = overlapping(members, content);
        let set = open_bytes("x.npz", bytes, &OpenOptions::default());
        match (set, problem) {
            (Ok(set), None) => assert_eq!(set.len(), 1),
            (Err(error), Some(problem)) => {
                assert!(error.to_string().contains(problem), "{error}");
            }
            (result, _) => panic!("{problem:?}, {:?}", result.map(|set| set.len())),
        }
    }
}

/// What is kept of each image adds up: names and labels of many small ones.
#[test]
fn arrays_and_labels_of_too_many_images_are_refused() {
    let few = npy("(2, 1)", 2);
    let many = npy("(20000000, 1)", 20_000_000);
    let list = npy("(20000000,)", 20_000_000);
    for (images, labels) in [(&many, None), (&few, Some(list))] {
        let labels = labels.map(std::borrow::Cow::from);
        let set = from_npy_bytes("x", images.clone(), labels, &OpenOptions::default());
        let error = set.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("16777216"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_files_never_panic(
        seed in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        near_the_start in any::<bool>(),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let (name, mut bytes) = seed.get(&SEEDS).clone();
        let reach = if near_the_start { bytes.len().min(200) } else { bytes.len() };
        for (place, value) in flips {
            bytes[place.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(&name, bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        magic in prop::sample::select(vec![
            &b""[..], b"\x80\x02", b"\x80\x04\x95", b"(dp1\n", b"\x93NUMPY\x01\0v\0", b"\0\0\x08\x03",
            b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM",
            b"RIFF\0\0\0\0WEBPVP8 ",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        read_all("x.bin", [magic, &rest].concat());
    }

    #[test]
    fn pickle_instructions_in_any_order_never_panic(
        instructions in prop::collection::vec(
            prop::sample::select(vec![
                &b"("[..], b"}", b"]", b")", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s",
                b"u", b"R", b"b", b"0", b"1", b"2", b"N", b"\x88", b"K\x05", b"U\x04data", b"U\x06labels",
                b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"q\0", b"h\0", b"\x94",
                b"\x93", b"X\x02\0\0\0u1", b"U\x02u1", b"c_codecs\nencode\n", b"T\xff\xff\xff\xff",
            ]),
            0..40,
        ),
    ) {
        let bytes = [b"\x80\x02", instructions.concat().as_slice(), b"."].concat();
        read_all("batch", bytes);
    }

    #[test]
    fn transforms_of_any_text_and_image_never_panic(
        text in "(resize|centre-crop|random-crop):[0-9x]{1,6}(:[a-z0-9]{0,8})?",
        height in 1_usize..40,
        width in 1_usize..40,
    ) {
        let image = Image::new(1, height, width, vec![0.25; height * width]).unwrap();
        if let Ok(transform) = text.parse::<Transform>()
            && !text.chars().any(|c| c.is_ascii_digit()
                && text.split(|c: char| !c.is_ascii_digit()).any(|n| n.len() > 3))
            && let Ok(image) = transform.apply(&image, 3)
        {
            assert!(image.pixels.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
