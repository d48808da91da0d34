//! Small files that ask for much memory or time, and names that command a terminal.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use odin_formats::{Checkpoint, ErrorKind};

use super::{dict, gzip, legacy, refused, saved, tar, tensor, text};

/// A dict that contains itself, and dicts that contain the next one twice: 2^60 paths.
fn entangled() -> Vec<Vec<u8>> {
    let itself = b"\x80\x02}q\x00U\x05modelh\x00s.".to_vec();
    let mut doubling = b"\x80\x02}q\x00".to_vec();
    for level in 1..60u8 {
        doubling.extend(b"0}q");
        doubling.push(level);
        for key in [b'a', b'b'] {
            doubling.extend([b'U', 1, key, b'h', level - 1, b's']);
        }
    }
    doubling.push(b'.');
    vec![itself, doubling]
}

#[test]
fn hostile_content_is_refused_in_bounded_time_and_memory() {
    let bomb = gzip(&vec![0; 160 << 20]);
    assert_eq!(refused(&bomb).kind(), ErrorKind::Unsupported);

    let mut deep = b"\x80\x02".to_vec();
    deep.extend([b']'; 300_000]);
    deep.extend([b'a'; 299_999]);
    deep.push(b'.');
    assert_eq!(refused(&legacy(&deep)).kind(), ErrorKind::NoWeights);

    let mut wide = b"\x80\x02".to_vec();
    wide.extend(b"N0".repeat(4_100_000));
    wide.extend(b"N.");
    assert_eq!(refused(&legacy(&wide)).kind(), ErrorKind::Unsupported);

    for object in entangled() {
        refused(&legacy(&object));
    }
    // A list of storage keys that claims four billion bytes.
    let claims = b"\x80\x02T\xff\xff\xff\xffabc.";
    assert_eq!(refused(&legacy(claims)).kind(), ErrorKind::Corrupt);
}

/// What `torch.save` wrote of this object, cut off in front of the storages.
fn without_storages(object: &[u8]) -> Vec<u8> {
    legacy(&[b"\x80\x02", object, b"."].concat())
}

/// A pickled text of any length.
fn long_text(text: &str) -> Vec<u8> {
    [
        b"X",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

/// A pickled dict with `entries` and `count` more, whose values are `value` and whose keys are
/// one and the same text of `length` bytes.
fn one_key(length: usize, count: usize, value: &[u8]) -> Vec<u8> {
    let key = [&long_text(&"a".repeat(length)), &b"q\x00"[..], value, b"s"].concat();
    let again = [b"h\x00", value, b"s"].concat();
    [b"}", &key[..], &again.repeat(count - 1)].concat()
}

/// A pickled tensor of two floats in the storage of this key.
fn tensor_in(key: &str) -> Vec<u8> {
    let tensor = tensor(0, &[2], &[1]);
    let (own, key) = (text("0"), long_text(key));
    let at = tensor.windows(own.len()).position(|w| w == own).unwrap();
    [&tensor[..at], &key[..], &tensor[at + own.len()..]].concat()
}

#[test]
fn texts_that_are_used_many_times_take_bounded_memory() {
    let weight = || tensor(0, &[2], &[1]);
    let global = |length: usize| {
        let name = long_text(&"a".repeat(length));
        [&name[..], b"q\x000", &b"h\x00h\x00\x930".repeat(3000), b"}"].concat()
    };
    let nested = dict(&[
        ("w", weight()),
        ("x", one_key(4000, 1, &one_key(4000, 1, b"N"))),
    ]);
    let many_names = [
        dict(&[("w", weight())]),
        one_key(4000, 20_000, b"N")[1..].to_vec(),
    ];
    let memoized = [tensor(0, &[1; 64], &[0; 64]), b"q\x01".to_vec()].concat();
    let many_axes = dict(&[("w", memoized), ("x", one_key(9, 20_000, b"h\x01"))]);
    let cases: [(Vec<u8>, ErrorKind, &str); 8] = [
        (global(1 << 10), ErrorKind::NoWeights, "a dict"),
        (global(1 << 20), ErrorKind::Corrupt, "more than 1024 bytes"),
        (
            one_key(1 << 20, 6000, b"N"),
            ErrorKind::NoWeights,
            "… (1048576 bytes)",
        ),
        (
            [
                dict(&[("w", weight())]),
                one_key(1 << 20, 6000, b"N")[1..].to_vec(),
            ]
            .concat(),
            ErrorKind::Unsupported,
            "more than 4096 bytes",
        ),
        (nested, ErrorKind::Unsupported, "more than 4096 bytes"),
        (
            many_names.concat(),
            ErrorKind::Unsupported,
            "names of the weights",
        ),
        (
            dict(&[("w", tensor_in(&"k".repeat(257)))]),
            ErrorKind::Corrupt,
            "persistent id",
        ),
        (many_axes, ErrorKind::Unsupported, "entries and axes"),
    ];
    for (object, kind, message) in cases {
        let error = refused(&without_storages(&object));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{message:?}: {error}");
        assert!(error.to_string().len() < 3000, "{error}");
    }
}

#[test]
fn metadata_is_bounded() {
    let long = |length| long_text(&"t".repeat(length));
    let shared: Vec<u8> = (0..200u8)
        .flat_map(|i| [&long_text(&format!("text {i}"))[..], b"h\x01s"].concat())
        .collect();
    let object = [
        dict(&[
            ("w", tensor(0, &[2], &[1])),
            ("epoch", b"K\x07".to_vec()),
            ("too_long", long((64 << 10) + 1)),
            ("log", [long(60 << 10), b"q\x01".to_vec()].concat()),
        ]),
        shared,
    ];
    let checkpoint = Checkpoint::from_bytes(&saved(&object.concat()), "log.pth").unwrap();
    assert_eq!(checkpoint.get("w").unwrap().data(), [0.5, -2.0]);
    let metadata: Vec<_> = checkpoint.metadata().collect();
    assert_eq!(metadata[0], ("epoch", "7"));
    assert_eq!((metadata[1].0, metadata[1].1.len()), ("log", 60 << 10));
    let size: usize = metadata
        .iter()
        .map(|(key, text)| key.len() + text.len())
        .sum();
    assert!((900 << 10..=1 << 20).contains(&size), "{size}");
}

#[test]
fn layers_of_compression_share_one_limit() {
    let mut stored = GzEncoder::new(Vec::new(), Compression::none());
    stored.write_all(&vec![0; 80 << 20]).unwrap();
    let error = refused(&gzip(&stored.finish().unwrap()));
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(
        error.to_string().contains("unfolds to more than"),
        "{error}"
    );
}

#[test]
fn buffers_are_looked_up_among_many_in_little_time() {
    const COUNT: usize = 150_000;
    let names = |prefix: char, then: &[u8]| -> Vec<u8> {
        (0..COUNT)
            .flat_map(|i| [&text(&format!("{prefix}{i:06}"))[..], then].concat())
            .collect()
    };
    let buffers = [b"}(".to_vec(), names('b', b"N"), b"u".to_vec()].concat();
    let transient = [b"](".to_vec(), names('t', b""), b"e".to_vec()].concat();
    let attributes = dict(&[
        ("_parameters", b"}".to_vec()),
        ("_buffers", buffers),
        ("_modules", b"}".to_vec()),
        ("_non_persistent_buffers_set", transient),
    ]);
    let module = [b"cm\nM\n)\x81", &attributes[..], b"b"].concat();
    let start = Instant::now();
    assert_eq!(refused(&saved(&module)).kind(), ErrorKind::NoWeights);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn messages_do_not_act_on_a_terminal() {
    let hostile = "\x1b]0;owned\x07\u{202e}\n";
    let past_the_end = || tensor(0, &[3], &[1]);
    let model = || dict(&[("w", tensor(0, &[2], &[1]))]);
    let other = format!("{hostile}2");
    let class = [b"c", hostile.as_bytes(), b"M\n)\x81"].concat();
    let objects = [
        dict(&[(hostile, past_the_end())]),
        dict(&[(hostile, model()), (&other, model())]),
        dict(&[(hostile, b"N".to_vec())]),
        dict(&[("w", tensor_in(hostile))]),
        class,
    ];
    let files = objects.iter().map(|object| without_storages(object));
    for file in files.chain([
        tar(&[("\x1b[2J", b"a"), ("b", b"b")]),
        tar(&[("\x1b[2J", b"a")]),
    ]) {
        let error = Checkpoint::from_bytes(&file, hostile).expect_err("refused");
        let message = error.to_string();
        let acts = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!message.contains(acts), "{message:?}");
        assert!(message.starts_with("\\u{1b}]0;owned"), "{message:?}");
    }
}
