//! BMPs that Pillow does not write, made here field by field, and what they show.

use odin_data::{ErrorKind, Image};

use super::levels;

const R: [u8; 3] = [255, 0, 0];
const G: [u8; 3] = [0, 255, 0];
const B: [u8; 3] = [0, 0, 255];
const W: [u8; 3] = [255; 3];
const K: [u8; 3] = [0; 3];

/// The colours R, G, B and W as entries of 4 bytes.
const COLOURS: [u8; 16] = [0, 0, 255, 9, 0, 255, 0, 9, 255, 0, 0, 9, 255, 255, 255, 9];

/// The columns and rows of all images here.
const SIZE: (i32, i32) = (3, 2);

/// The header of OS/2 1.x.
fn core(depth: u16) -> Vec<u8> {
    [12, 0, 3, 2, 1, depth].map(u16::to_le_bytes).concat()
}

/// A header of Windows, of so many bytes: zeros behind what the oldest has.
fn info(
    len: u32,
    (width, height): (i32, i32),
    depth: u32,
    compression: u32,
    colours: u32,
) -> Vec<u8> {
    let fields = [
        len,
        width.cast_unsigned(),
        height.cast_unsigned(),
        1 | depth << 16,
        compression,
        0,
        0,
        0,
        colours,
        0,
    ];
    let mut header = fields.map(u32::to_le_bytes).concat();
    header.resize(len as usize, 0);
    header
}

fn file(header: &[u8], tables: &[u8], pixels: &[u8]) -> Vec<u8> {
    let start = 14 + header.len() + tables.len();
    let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend((start as u32).to_le_bytes());
    for part in [header, tables, pixels] {
        bytes.extend(part);
    }
    bytes
}

/// With a palette of `colours` entries, or of all if that is zero.
fn indexed(depth: u32, compression: u32, colours: u32, pixels: &[u8]) -> Vec<u8> {
    let mut tables = COLOURS.to_vec();
    let entries = if colours == 0 { 1 << depth } else { colours };
    tables.resize(4 * entries as usize, 7);
    file(
        &info(40, SIZE, depth, compression, colours),
        &tables,
        pixels,
    )
}

/// With masks for red, green and blue, which the longer headers hold themselves.
fn masked(len: u32, depth: u32, masks: [u32; 3], pixels: &[u8]) -> Vec<u8> {
    let masks = masks.map(u32::to_le_bytes).concat();
    let mut header = info(len, SIZE, depth, 3, 0);
    if len == 40 {
        return file(&header, &masks, pixels);
    }
    header[40..52].copy_from_slice(&masks);
    file(&header, &[], pixels)
}

fn words(pixels: [u16; 8]) -> Vec<u8> {
    pixels.map(u16::to_le_bytes).concat()
}

/// A name, a file, and its pixels from the top.
type Case = (&'static str, Vec<u8>, [[u8; 3]; 6]);

fn cases() -> Vec<Case> {
    let rainbow = [W, B, G, R, G, B];
    let bgr = [0, 0, 255, 0, 255, 0, 255, 0, 0, 7, 7, 7];
    let rgb24 = [bgr, [255, 255, 255, 255, 0, 0, 0, 255, 0, 7, 7, 7]].concat();
    let rgb32 = [
        [0, 0, 255, 0],
        [0, 255, 0, 9],
        [255, 0, 0, 9],
        [255; 4],
        [255, 0, 0, 0],
        [0, 255, 0, 0],
    ]
    .concat();
    let of_555 = words([0x7c00, 0x03e0, 0x001f, 0, 0x7fff, 3 << 10, 0x8000, 0]);
    let from_555 = [W, [25, 0, 0], K, R, G, B];
    let of_565 = words([0xf800, 0x07e0, 0x001f, 0, 0xffff, 1 << 5, 11 << 5, 0]);
    let from_565 = [W, [0, 4, 0], [0, 45, 0], R, G, B];
    let masks_565 = [0xf800, 0x07e0, 0x001f];
    let os2: Vec<u8> = [0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 255]
        .into_iter()
        .chain([7; 36])
        .collect();
    let of_10: Vec<u8> = [0x3ff << 20, 0x3ff << 10, 0x3ff, u32::MAX, 0x203 << 20, 3]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    vec![
        (
            "1 bit",
            indexed(1, 0, 0, &[0x40, 0, 0, 0, 0xa0, 0, 0, 0]),
            [G, R, G, R, G, R],
        ),
        (
            "2 bits",
            indexed(2, 0, 0, &[0x18, 0, 0, 0, 0xe4, 0, 0, 0]),
            rainbow,
        ),
        (
            "4 bits",
            indexed(4, 0, 0, &[0x01, 0x20, 0, 0, 0x32, 0x10, 0, 0]),
            rainbow,
        ),
        (
            "8 bits",
            indexed(8, 0, 0, &[0, 1, 2, 0, 3, 2, 1, 0]),
            rainbow,
        ),
        (
            "a short palette",
            indexed(8, 0, 2, &[0, 1, 2, 0, 200, 1, 0, 0]),
            [K, G, R, R, G, K],
        ),
        (
            "OS/2, 4 bits",
            file(&core(4), &os2, &[0x01, 0x20, 0, 0, 0x32, 0x10, 0, 0]),
            rainbow,
        ),
        (
            "OS/2, 24 bits",
            file(&core(24), &[], &rgb24),
            [W, B, G, R, G, B],
        ),
        (
            "24 bits",
            file(&info(40, SIZE, 24, 0, 0), &[], &rgb24),
            rainbow,
        ),
        (
            "24 bits behind a gap",
            file(&info(40, SIZE, 24, 0, 0), &[7; 5], &rgb24),
            rainbow,
        ),
        (
            "from the top",
            file(&info(40, (3, -2), 24, 0, 0), &[], &rgb24),
            [R, G, B, W, B, G],
        ),
        (
            "32 bits",
            file(&info(40, SIZE, 32, 0, 0), &[], &rgb32),
            rainbow,
        ),
        (
            "16 bits",
            file(&info(40, SIZE, 16, 0, 0), &[], &of_555),
            from_555,
        ),
        (
            "5, 6 and 5 bits",
            masked(40, 16, masks_565, &of_565),
            from_565,
        ),
        ("version 2", masked(52, 16, masks_565, &of_565), from_565),
        ("version 3", masked(56, 16, masks_565, &of_565), from_565),
        ("version 4", masked(108, 16, masks_565, &of_565), from_565),
        ("version 5", masked(124, 16, masks_565, &of_565), from_565),
        (
            "red in the lowest byte",
            masked(56, 32, [0xff, 0xff00, 0xff_0000], &rgb32),
            [W, R, G, B, G, R],
        ),
        (
            "10 bits each",
            masked(56, 32, [0x3ff << 20, 0x3ff << 10, 0x3ff], &of_10),
            [W, [128, 0, 0], K, R, G, B],
        ),
        (
            "runs of 8 bits",
            // A run; places as they are, and one byte to fill the word.
            indexed(8, 1, 4, &[3, 1, 0, 0, 0, 3, 3, 2, 1, 0, 0, 1]),
            [W, B, G, G, G, G],
        ),
        (
            "skipping runs, and one beyond its row",
            indexed(8, 1, 4, &[1, 1, 0, 2, 1, 1, 9, 3, 0, 1]),
            [K, K, W, G, K, K],
        ),
        (
            "runs of 4 bits",
            indexed(4, 2, 4, &[3, 0x12, 0, 0, 0, 3, 0x32, 0x10, 0, 1]),
            [W, B, G, G, B, G],
        ),
    ]
}

#[test]
fn every_variant_shows_its_pixels() {
    for (name, bytes, pixels) in cases() {
        let image = Image::decode(&bytes, name, None).unwrap();
        assert_eq!(
            (image.channels, image.height, image.width),
            (3, 2, 3),
            "{name}"
        );
        let planes: Vec<u8> = (0..3).flat_map(|c| pixels.map(|pixel| pixel[c])).collect();
        assert_eq!(levels(&image), planes, "{name}");
    }
}

#[test]
fn every_variant_cut_short_is_an_error() {
    for (name, bytes, _) in cases() {
        for len in 2..bytes.len() {
            let error = Image::decode(&bytes[..len], name, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{name} {len}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    let pixels = [0; 64];
    let two_planes = {
        let mut bytes = indexed(8, 0, 4, &pixels);
        bytes[26] = 2;
        bytes
    };
    let plain = |size, depth, compression| {
        file(&info(40, size, depth, compression, 0), &[0; 1024], &pixels)
    };
    for (name, bytes, kind) in [
        ("two planes", two_planes, ErrorKind::Malformed),
        (
            "17 colours of 4 bits",
            indexed(4, 0, 17, &pixels),
            ErrorKind::Malformed,
        ),
        ("3 bits", plain(SIZE, 3, 0), ErrorKind::Malformed),
        ("runs of 24 bits", plain(SIZE, 24, 1), ErrorKind::Malformed),
        (
            "runs from the top",
            plain((3, -2), 8, 1),
            ErrorKind::Malformed,
        ),
        (
            "a negative width",
            plain((-3, 2), 24, 0),
            ErrorKind::Malformed,
        ),
        ("no pixels", plain((0, 2), 24, 0), ErrorKind::Malformed),
        (
            "too many pixels",
            plain((i32::MAX, i32::MIN), 24, 0),
            ErrorKind::Unsupported,
        ),
        ("a PNG inside", plain(SIZE, 32, 5), ErrorKind::Unsupported),
        (
            "OS/2 2.x",
            file(&info(64, SIZE, 24, 0, 0), &[], &pixels),
            ErrorKind::Unsupported,
        ),
        (
            "a mask with a hole",
            masked(40, 16, [0x5000, 0x3e0, 0x1f], &pixels),
            ErrorKind::Malformed,
        ),
        (
            "no mask",
            masked(40, 16, [0xf800, 0x7e0, 0], &pixels),
            ErrorKind::Malformed,
        ),
        (
            "a mask that is too high",
            masked(40, 16, [0x1_0000, 0x3e0, 0x1f], &pixels),
            ErrorKind::Malformed,
        ),
        (
            "places beyond their row",
            indexed(8, 1, 4, &[0, 4, 1, 1, 1, 1, 0, 1]),
            ErrorKind::Malformed,
        ),
        (
            "a skip beyond the image",
            indexed(8, 1, 4, &[0, 2, 0, 2, 0, 1]),
            ErrorKind::Malformed,
        ),
        (
            "a skip beyond its row",
            indexed(8, 1, 4, &[0, 2, 4, 0, 0, 1]),
            ErrorKind::Malformed,
        ),
    ] {
        let error = Image::decode(&bytes, name, None).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}
