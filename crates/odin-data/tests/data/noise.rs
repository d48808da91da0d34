use odin_data::{DataSet, ErrorKind, NoiseKind, noise};

const KINDS: [NoiseKind; 2] = [NoiseKind::Uniform, NoiseKind::Gaussian];

#[test]
fn an_image_depends_on_seed_kind_and_index_only() {
    for kind in KINDS {
        let set = noise(kind, 3, 8, 8, 10, 7).unwrap();
        let longer = noise(kind, 3, 8, 8, 1000, 7).unwrap();
        assert_eq!(set.get(9).unwrap(), longer.get(9).unwrap());
        assert_ne!(set.get(9).unwrap().image, set.get(8).unwrap().image);
        let other = noise(kind, 3, 8, 8, 10, 8).unwrap();
        assert_ne!(set.get(9).unwrap().image, other.get(9).unwrap().image);
        assert_eq!(set.sample_name(9), format!("{}/000009", kind.as_str()));
    }
    let [a, b] = KINDS.map(|kind| noise(kind, 1, 4, 4, 1, 0).unwrap().get(0).unwrap());
    assert_ne!(a.image, b.image);
}

/// Mean and standard deviation, shares at 0 and at 1, against theory; 4 standard errors of a
/// mean over 300,000 values are 0.003.
#[test]
fn distributions_are_those_of_the_paper() {
    // Of a normal variable with mean 0.5 and deviation 1 clipped to [0, 1].
    let clipped = (0.5, 0.430_27, 0.308_54);
    for (kind, (mean, deviation, edge)) in [
        (NoiseKind::Uniform, (0.5, 0.288_68, 0.0)),
        (NoiseKind::Gaussian, clipped),
    ] {
        let set = noise(kind, 3, 100, 100, 10, 1).unwrap();
        let values: Vec<f64> = (0..10)
            .flat_map(|i| set.get(i).unwrap().image.pixels)
            .map(f64::from)
            .collect();
        let n = values.len() as f64;
        let share = |edge: f64| values.iter().filter(|&&v| v == edge).count() as f64 / n;
        let found = values.iter().sum::<f64>() / n;
        let spread = (values.iter().map(|v| (v - found).powi(2)).sum::<f64>() / n).sqrt();
        for (found, expected) in [
            (found, mean),
            (spread, deviation),
            (share(0.0), edge),
            (share(1.0), edge),
        ] {
            assert!(
                (found - expected).abs() < 0.003,
                "{kind}: {found} {expected}"
            );
        }
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}

/// Published results name a seed, so the streams must never change. The numbers come from an
/// independent ChaCha12 in Python.
#[test]
fn streams_are_pinned() {
    for (kind, expected) in [
        (
            NoiseKind::Uniform,
            [0.143_202_72, 0.855_058_97, 0.554_462_7, 0.120_414_615],
        ),
        (NoiseKind::Gaussian, [0.0, 0.0, 0.317_175_42, 0.753_495_63]),
    ] {
        let image = noise(kind, 1, 2, 2, 5, 2018).unwrap().get(4).unwrap().image;
        assert_eq!(image.pixels, expected, "{kind}");
    }
}

#[test]
fn impossible_sets_are_refused() {
    for (channels, side, count, kind) in [
        (3, 32, 0, ErrorKind::Empty),
        (0, 32, 1, ErrorKind::Invalid),
        (3, 0, 1, ErrorKind::Invalid),
        (3, usize::MAX, 1, ErrorKind::Invalid),
    ] {
        let error = noise(NoiseKind::Uniform, channels, side, side, count, 0).unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}
