//! Signals, vectors and images of any channels: which axes are which, and what values may be.

use std::io::Write;

use odin_data::{
    ArrayLayout, DataSet, Error, ErrorKind, OpenOptions, Transform, Transformed, open_bytes,
};

use super::error_of;

/// Two samples, the values of which are 0, 1, 2, … divided by 4.
fn npy(shape: &[usize]) -> Vec<u8> {
    let count = shape.iter().product::<usize>();
    npy_of(shape, (0..count).map(|i| i as f32 / 4.0))
}

fn npy_of(shape: &[usize], values: impl Iterator<Item = f32>) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.flat_map(f32::to_le_bytes));
    bytes
}

/// For a network that takes samples of this shape.
fn measured(shape: [usize; 3]) -> OpenOptions {
    let mut options = OpenOptions::default();
    options.channels = Some(shape[0]);
    options.shape = Some(shape);
    options.measurements = true;
    options
}

fn open_array(shape: &[usize], options: &OpenOptions) -> Result<Box<dyn DataSet>, Error> {
    open_bytes("x.npy", npy(shape), options)
}

#[test]
fn axes_are_told_by_what_the_network_takes() {
    type Case = (&'static [usize], [usize; 3], [usize; 3], bool, &'static str);
    // The array's shape, the network's, the samples', whether channels are last, and a note.
    let cases: [Case; 11] = [
        (
            &[2, 6],
            [1, 1, 6],
            [1, 1, 6],
            false,
            "[N, F], vectors of 6 values",
        ),
        (
            &[2, 2, 5],
            [2, 1, 5],
            [2, 1, 5],
            false,
            "[N, C, L], signals of 2 channels and 5 positions",
        ),
        (
            &[2, 5, 2],
            [2, 1, 5],
            [2, 1, 5],
            true,
            "[N, L, C], signals of 2 channels",
        ),
        (&[2, 2, 7], [2, 1, 5], [2, 1, 7], false, "[N, C, L]"),
        (&[2, 7, 2], [2, 1, 5], [2, 1, 7], true, "[N, L, C]"),
        (
            &[2, 3, 3],
            [3, 1, 3],
            [3, 1, 3],
            false,
            "fits channels at the end as well",
        ),
        (&[2, 1, 5], [1, 1, 5], [1, 1, 5], false, "vectors of 5"),
        (&[2, 5, 1], [1, 1, 5], [1, 1, 5], true, "vectors of 5"),
        (
            &[2, 4, 3, 5],
            [4, 3, 5],
            [4, 3, 5],
            false,
            "[N, C, H, W], images of 4 channels, 3x5",
        ),
        (
            &[2, 3, 5, 4],
            [4, 3, 5],
            [4, 3, 5],
            true,
            "[N, H, W, C], images of 4 channels, 3x5",
        ),
        (&[2, 4, 6, 4], [4, 6, 4], [4, 6, 4], false, "[N, C, H, W]"),
    ];
    for (shape, network, sample, channels_last, words) in cases {
        let set = open_array(shape, &measured(network)).unwrap();
        assert_eq!(set.len(), 2, "{shape:?}");
        let image = set.get(1).unwrap().image;
        let [c, h, w] = sample;
        assert_eq!(
            [image.channels, image.height, image.width],
            sample,
            "{shape:?}"
        );
        let place = |i: usize| match channels_last {
            true => i % (h * w) * c + i / (h * w),
            false => i,
        };
        let of_second = |i: usize| (c * h * w + place(i)) as f32 / 4.0;
        let expected: Vec<f32> = (0..c * h * w).map(of_second).collect();
        assert_eq!(image.pixels, expected, "{shape:?}");
        let notes = set.notes().join("\n");
        assert!(notes.contains(words), "{shape:?}: {notes}");
        let last = (c * h * w - 1) as f32 / 4.0;
        assert!(notes.contains(&format!("go from 0 to {last}")), "{notes}");
    }
}

#[test]
fn arrays_that_fit_no_network_are_refused() {
    let pictures = |shape: [usize; 3]| {
        let mut options = OpenOptions::default();
        options.channels = Some(shape[0]);
        options.shape = Some(shape);
        options
    };
    let layout = |layout| {
        let mut options = OpenOptions::default();
        options.layout = Some(layout);
        options
    };
    use ErrorKind::*;
    let cases: [(&[usize], OpenOptions, ErrorKind, &str); 9] = [
        (
            &[2, 4, 5],
            measured([2, 1, 5]),
            Unsupported,
            "[N, 2, L] or [N, L, 2]",
        ),
        (
            &[2, 5],
            measured([2, 1, 5]),
            Unsupported,
            "[N, 2, L] or [N, L, 2]",
        ),
        (&[2, 1, 5], measured([3, 1, 5]), Unsupported, "[N, 3, L]"),
        (
            &[2, 3, 5, 5],
            measured([4, 5, 5]),
            Unsupported,
            "[N, 4, H, W] or [N, H, W, 4]",
        ),
        (
            &[2, 4, 5, 4],
            measured([4, 3, 3]),
            Invalid,
            "fits channels in front and at the end",
        ),
        (
            &[2, 4, 5, 6],
            OpenOptions::default(),
            Unsupported,
            "1 or 3 channels, or vectors [N, F]",
        ),
        (&[2], OpenOptions::default(), Unsupported, "[2]"),
        (
            &[2, 1, 1, 1, 1],
            measured([1, 1, 1]),
            Unsupported,
            "[2, 1, 1, 1, 1]",
        ),
        (&[0, 7], OpenOptions::default(), Empty, "no image"),
    ];
    for (shape, options, kind, words) in cases {
        let error = error_of(open_array(shape, &options));
        assert_eq!(error.kind(), kind, "{shape:?}: {error}");
        assert!(error.to_string().contains(words), "{shape:?}: {error}");
    }
    // Floats of pictures stay protected; a picture of any channels may be asked for.
    let error = open_array(&[2, 3, 4, 4], &pictures([3, 4, 4]))
        .unwrap()
        .get(0)
        .unwrap_err();
    assert!(error.to_string().contains("must lie in [0, 1]"), "{error}");
    let set = open_bytes(
        "x.npy",
        npy_of(&[1, 6, 2, 5], (0..60).map(|_| 0.5)),
        &layout(ArrayLayout::Nhwc),
    );
    assert_eq!(set.unwrap().get(0).unwrap().image.channels, 5);
}

#[test]
fn measurements_are_finite_and_vectors_need_no_option() {
    let vectors = |values: [f32; 2]| {
        let bytes = npy_of(&[1, 2], values.into_iter());
        open_bytes("x.npy", bytes, &OpenOptions::default()).unwrap()
    };
    assert_eq!(
        vectors([-1e6, 3.5]).get(0).unwrap().image.pixels,
        [-1e6, 3.5]
    );
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = vectors([0.0, value]).get(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains("must be finite"), "{error}");
    }
}

#[test]
fn resizing_keeps_the_range_of_measurements() {
    let bytes = npy_of(
        &[1, 2, 2, 2],
        [-4.0, -4.0, 9.0, 9.0, 0.0, 0.25, 0.5, 1.0].into_iter(),
    );
    let set = open_bytes("x.npy", bytes, &measured([2, 2, 2])).unwrap();
    let transform: Transform = "resize:4x4:nearest".parse().unwrap();
    let image = Transformed::new(set, transform).get(0).unwrap().image;
    assert_eq!((image.channels, image.height, image.width), (2, 4, 4));
    assert_eq!(image.pixels[..4], [-4.0; 4]);
    assert_eq!(image.pixels[8..16], [9.0; 8]);
    assert_eq!(image.pixels[31], 1.0);
}

#[test]
fn of_arrays_that_nobody_asked_for_only_the_header_is_read() {
    let whole = npy_of(&[2, 3], (0..6).map(|i| i as f32));
    // What the headers promise is not there.
    let promise = |shape: &[usize]| npy_of(shape, std::iter::empty());
    type Files<'a> = &'a [(&'a str, Vec<u8>)];
    let cases: [(Files, Result<usize, &str>); 5] = [
        (
            &[("x.npy", whole.clone()), ("a.npy", promise(&[1 << 40]))],
            Ok(2),
        ),
        (
            &[
                ("x.npy", whole.clone()),
                ("a.npy", promise(&[])),
                ("b.npy", promise(&[7; 5])),
            ],
            Ok(2),
        ),
        (
            &[("x.npy", promise(&[2, 3])), ("a.npy", promise(&[7]))],
            Err("24 bytes should follow"),
        ),
        (
            &[("x.npy", whole.clone()), ("z.npy", whole.clone())],
            Err("at least 2 in: x [2, 3], z"),
        ),
        (
            &[("x.npy", whole.clone()), ("z.npy", b"nothing".to_vec())],
            Err("z.npy in set.npz"),
        ),
    ];
    for (files, expected) in cases {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let options = zip::write::SimpleFileOptions::default();
            archive.start_file(*name, options).unwrap();
            archive.write_all(bytes).unwrap();
        }
        let bytes = archive.finish().unwrap().into_inner();
        let found = open_bytes("set.npz", bytes, &OpenOptions::default());
        match (found, expected) {
            (Ok(set), Ok(count)) => assert_eq!(set.len(), count),
            (Err(error), Err(words)) => {
                assert!(error.to_string().contains(words), "{error}");
            }
            (found, _) => panic!("{expected:?}: {:?}", found.map(|set| set.len())),
        }
    }
}
