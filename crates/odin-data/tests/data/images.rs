use std::fs;

use odin_data::{ErrorKind, Image};

use super::{fixtures, levels, open, temp_folder};

/// The largest difference from Pillow's decoder, in 8-bit levels. Lossless formats agree exactly;
/// in lossy ones decoders may round differently (libjpeg-turbo and libwebp there).
fn tolerance(file: &str) -> u8 {
    match file.rsplit_once('.') {
        Some((_, "jpg" | "jpeg")) => 3,
        Some(("lossy" | "lossy_alpha", "webp")) => 3,
        _ => 0,
    }
}

#[test]
fn pixels_are_those_of_pillow() {
    let mut seen = 0;
    for entry in fs::read_dir(fixtures().join("images")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let stem = file.replace('.', "_");
        for (channels, kind) in [(3, "rgb"), (1, "l")] {
            let expected = open(format!("images/expected/{stem}.{kind}.npy")).unwrap();
            let expected = expected.get(0).unwrap().image;
            let image = Image::decode(&fs::read(&path).unwrap(), &file, Some(channels)).unwrap();
            assert_eq!(
                (image.channels, image.height, image.width),
                (channels, expected.height, expected.width),
                "{file}"
            );
            let worst = levels(&image)
                .iter()
                .zip(levels(&expected))
                .map(|(a, b)| a.abs_diff(b))
                .max();
            println!("{file} {kind}: {worst:?}");
            assert!(worst <= Some(tolerance(&file)), "{file} {kind}: {worst:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 49);
}

#[test]
fn a_single_file_is_a_set_of_one() {
    let set = open("images/palette.gif").unwrap();
    assert_eq!((set.name(), set.len()), ("palette", 1));
    assert_eq!(set.sample_name(0), "palette.gif");
    let sample = set.get(0).unwrap();
    assert_eq!((sample.label, sample.image.channels), (None, 3));
}

/// A file that is told by its first bytes and goes no further.
#[test]
fn an_image_is_decoded_when_it_is_read() {
    let folder = temp_folder(&[("cut.png", b"\x89PNG\r\n\x1a\nno more")]);
    let set = open(folder.path().join("cut.png")).unwrap();
    assert_eq!((set.len(), set.sample_name(0)), (1, "cut.png".to_owned()));
    let error = set.get(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("cut.png"), "{error}");
}

/// Threads read the members of one archive, or the images of one array, side by side.
#[test]
fn sets_are_read_from_several_threads() {
    for name in [
        "archives/set.zip",
        "archives/gnu.tar.gz",
        "arrays/u8_nchw.npy",
    ] {
        let set = open(name).unwrap();
        let alone: Vec<_> = (0..set.len()).map(|i| set.get(i).unwrap()).collect();
        std::thread::scope(|scope| {
            for first in 0..4 {
                let (set, alone) = (&*set, &alone);
                scope.spawn(move || {
                    for i in (0..set.len()).cycle().skip(first).take(3 * set.len()) {
                        assert_eq!(set.get(i).unwrap(), alone[i]);
                    }
                });
            }
        });
    }
}

#[test]
fn damaged_images_are_errors_that_name_the_file() {
    for file in [
        "rgb.png",
        "420.jpg",
        "progressive.jpeg",
        "rgb.bmp",
        "palette.gif",
        "lossy.webp",
    ] {
        let bytes = fs::read(fixtures().join("images").join(file)).unwrap();
        let len = bytes.len();
        // Up to the end mark, decoders of JPEG would make up what is missing.
        let last = if file.contains("jp") {
            len - 1
        } else {
            len * 7 / 8
        };
        for cut in [len / 3, len / 2, len * 3 / 4, last] {
            let error = Image::decode(&bytes[..cut], file, None).err();
            let error = error.unwrap_or_else(|| panic!("{file} decodes with {cut} of {len} bytes"));
            assert_eq!(error.kind(), ErrorKind::Malformed, "{file} {cut}: {error}");
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}

/// The palette of this one has a length that three does not divide, at which its decoder panics.
#[test]
fn a_decoder_that_panics_is_an_error_of_its_image() {
    let bytes = fs::read(fixtures().join("hostile/palette.png")).unwrap();
    let error = Image::decode(&bytes, "palette.png", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert!(
        error.to_string().contains("palette.png does not decode"),
        "{error}"
    );
}

#[test]
fn other_content_is_refused() {
    for (bytes, kind) in [
        (&b""[..], ErrorKind::Malformed),
        (b"hello", ErrorKind::Unsupported),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0\0\0", ErrorKind::Unsupported),
    ] {
        let error = Image::decode(bytes, "a/b.png", None).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("a/b.png"), "{error}");
    }
}

#[test]
fn a_huge_image_is_refused_before_it_is_decoded() {
    let changed = |file: &str, places: &[usize], sides: &[u8]| {
        let mut bytes = fs::read(fixtures().join("images").join(file)).unwrap();
        for &place in places {
            bytes[place..place + sides.len()].copy_from_slice(sides);
        }
        bytes
    };
    let (large, huge) = (9000_u16.to_le_bytes(), 60_000_u32.to_le_bytes());
    for (bytes, size) in [
        (changed("rgb.bmp", &[18, 22], &huge), "60000x60000"),
        // The canvas, and a frame that makes the canvas grow.
        (changed("partial.gif", &[6, 8], &large), "9000x9000"),
        (changed("partial.gif", &[26, 28], &large), "9003x9004"),
    ] {
        let error = Image::decode(&bytes, "huge", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for words in [size, "67108864"] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    let empty = changed("partial.gif", &[6, 8, 26, 28, 30, 32], &[0, 0]);
    let error = Image::decode(&empty, "empty.gif", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}
