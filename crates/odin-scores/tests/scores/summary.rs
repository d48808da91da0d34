//! Summaries of parts, merged, against one fit to all images.

use crate::common::Network;
use odin_scores::{
    ErrorKind, Fitted, Method, Parameters, Training, TrainingSummary, Values, fit_summary, fit_with,
};
use proptest::prelude::*;

const CLASSES: usize = 4;
const FEATURES: usize = 10;

/// What is fitted from counts and from images that are kept, which have an order of their own.
const EXACT: [Method; 10] = [
    Method::TemperatureScaling,
    Method::Knn,
    Method::NnGuide,
    Method::WeiperKld,
    Method::Vim,
    Method::React,
    Method::Vra,
    Method::AdaScaleA,
    Method::AdaScaleL,
    Method::ReactMap,
];

/// By fewer images than there are; of ViM's the sum of products is of all of them.
fn few() -> Parameters {
    let mut parameters = Parameters::default();
    parameters.kept_images = 40;
    (parameters.knn_images, parameters.knn_seed) = (30, 3);
    (parameters.nn_guide_images, parameters.nn_guide_share) = (25, 0.5);
    parameters.weiper_images = 20;
    parameters
}

fn exact(parameters: &Parameters) -> Vec<Method> {
    let all = parameters.kept_images > 1000;
    let exact = EXACT.into_iter();
    exact
        .filter(|method| all || *method != Method::Vim)
        .collect()
}

/// What is fitted from sums, whose last bits depend on the order.
const OF_SUMS: [Method; 10] = [
    Method::KlMatching,
    Method::Mahalanobis,
    Method::RelativeMahalanobis,
    Method::MahalanobisPp,
    Method::RelativeMahalanobisPp,
    Method::Gmm,
    Method::She,
    Method::Dice,
    Method::Fdbd,
    Method::Nci,
];

/// Features that are not in steps, so that sums are rounded, and labels that are not always the
/// class that is predicted.
fn network(seed: u64, images: usize) -> Network {
    let mut network = Network::new(seed, CLASSES, FEATURES, images);
    for (i, h) in network.training.iter_mut().enumerate() {
        *h = *h * 0.37 + (i as f32).sin() / 100.0;
    }
    for label in network.labels.iter_mut().step_by(7) {
        *label = (*label + 1) % CLASSES;
    }
    network
}

/// Summaries of the images of `network`, image i in part `i % parts`.
fn parts(
    network: &Network,
    (methods, parameters): (&[Method], &Parameters),
    parts: usize,
    labelled: bool,
) -> Vec<TrainingSummary> {
    let of_part = |part: usize| {
        let summary = TrainingSummary::new(methods, CLASSES, FEATURES);
        let mut summary = summary.with_parameters(parameters);
        let images = network.training.chunks(FEATURES).zip(&network.labels);
        for (features, label) in images.skip(part).step_by(parts) {
            observe(
                &mut summary,
                network,
                features,
                labelled.then_some(&[*label]),
            );
        }
        summary
    };
    (0..parts).map(of_part).collect()
}

fn observe(
    summary: &mut TrainingSummary,
    network: &Network,
    features: &[f32],
    labels: Option<&[usize]>,
) {
    let said = network.said(features);
    let training = said.training(labels);
    summary.observe(&training, Some(&network.head())).unwrap();
}

fn merged(summaries: &[TrainingSummary], order: &[usize]) -> TrainingSummary {
    let mut merged = summaries[order[0]].clone();
    for &i in &order[1..] {
        let other = TrainingSummary::from_bytes(&summaries[i].to_bytes()).unwrap();
        merged.merge(&other).unwrap();
    }
    merged
}

/// The scores of the test images, one row a method.
fn scores(network: &Network, summary: &TrainingSummary, methods: &[Method]) -> Vec<Vec<f64>> {
    scores_with(network, summary, (methods, &Parameters::default()))
}

fn scores_with(
    network: &Network,
    summary: &TrainingSummary,
    (methods, parameters): (&[Method], &Parameters),
) -> Vec<Vec<f64>> {
    let head = network.head();
    let fitted = fit_summary(parameters, methods, Some(&head), Some(summary)).unwrap();
    network.scores(&fitted)
}

fn scores_of_all(
    network: &Network,
    (methods, parameters): (&[Method], &Parameters),
    labelled: bool,
) -> Vec<Vec<f64>> {
    let said = network.said(&network.training);
    let training = said.training(labelled.then_some(&network.labels[..]));
    let head = network.head();
    let fitted = fit_with(parameters, methods, Some(&head), Some(&training));
    network.scores(&fitted.unwrap())
}

fn bits(scores: &[Vec<f64>]) -> Vec<u64> {
    scores
        .iter()
        .flatten()
        .map(|score| score.to_bits())
        .collect()
}

/// Sums differ by a few 2⁻⁵³. The inverse roots of covariances are rounded to f32, of which one
/// more bit may differ: 2⁻²⁴ of each of D products. These covariances are well conditioned.
fn tolerance(method: Method) -> f64 {
    match method {
        Method::Mahalanobis
        | Method::RelativeMahalanobis
        | Method::MahalanobisPp
        | Method::RelativeMahalanobisPp
        | Method::Gmm => 1e-6,
        // Patterns are kept in f32.
        Method::She => 1e-7,
        // Its directions are.
        Method::Vim => 1e-6,
        _ => 1e-12,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn merged_parts_fit_as_all_images(
        seed in 0u64..1000,
        count in prop::sample::select(vec![1usize, 2, 3, 7]),
        labelled: bool,
        order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        bounded: bool,
    ) {
        let network = network(seed, 90);
        let parameters = if bounded { few() } else { Parameters::default() };
        let order: Vec<usize> = order.into_iter().filter(|i| *i < count).collect();
        let exact: Vec<Method> = exact(&parameters)
            .into_iter()
            .filter(|method| labelled || !method.needs_labels())
            .collect();
        let of_sums = if bounded { [&OF_SUMS[..], &[Method::Vim]].concat() } else { OF_SUMS.to_vec() };
        let methods = [&exact[..], &of_sums].concat();
        let merged = merged(&parts(&network, (&methods, &parameters), count, labelled), &order);
        prop_assert_eq!(merged.images(), 90);
        prop_assert_eq!(merged.has_labels(), labelled);
        prop_assert_eq!(
            bits(&scores_with(&network, &merged, (&exact, &parameters))),
            bits(&scores_of_all(&network, (&exact, &parameters), labelled))
        );
        let ours = scores_with(&network, &merged, (&of_sums, &parameters));
        let expected = scores_of_all(&network, (&of_sums, &parameters), labelled);
        for ((method, ours), expected) in of_sums.iter().zip(&ours).zip(&expected) {
            for (ours, expected) in ours.iter().zip(expected) {
                let allowed = tolerance(*method) * expected.abs().max(1.0);
                prop_assert!((ours - expected).abs() <= allowed, "{method}: {ours} {expected}");
            }
        }
    }

    /// One summary is the fit to all images, however they come.
    #[test]
    fn batches_do_not_matter(
        seed in 0u64..1000,
        batch in 1usize..100,
        labelled: bool,
        bounded: bool,
    ) {
        let parameters = if bounded { few() } else { Parameters::default() };
        let network = network(seed, 700);
        let methods: Vec<Method> = Method::ALL
            .into_iter()
            .filter(|method| labelled || !method.needs_labels())
            .collect();
        let summary = TrainingSummary::new(&methods, CLASSES, FEATURES);
        let mut summary = summary.with_parameters(&parameters);
        let labels = network.labels.chunks(batch);
        for (features, labels) in network.training.chunks(batch * FEATURES).zip(labels) {
            observe(&mut summary, &network, features, labelled.then_some(labels));
        }
        prop_assert_eq!(
            bits(&scores_with(&network, &summary, (&methods, &parameters))),
            bits(&scores_of_all(&network, (&methods, &parameters), labelled))
        );
    }

    #[test]
    fn what_is_kept_exactly_has_the_same_bytes_in_any_order(
        seed in 0u64..1000,
        order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(),
        bounded: bool,
    ) {
        let network = network(seed, 60);
        let parameters = if bounded { few() } else { Parameters::default() };
        let all = &exact(&parameters)[..];
        for methods in [all, &[Method::React], &[Method::ReactMap], &[Method::AdaScaleL]] {
            let parts = parts(&network, (methods, &parameters), 5, true);
            let bytes = merged(&parts, &order).to_bytes();
            prop_assert_eq!(&bytes, &merged(&parts, &[0, 1, 2, 3, 4]).to_bytes());
            let mut right = merged(&parts, &[3, 4]);
            right.merge(&merged(&parts, &[1, 2])).unwrap();
            let mut grouped = merged(&parts, &[0]);
            grouped.merge(&right).unwrap();
            prop_assert_eq!(&bytes, &grouped.to_bytes());
        }
    }

    #[test]
    fn bytes_are_read_as_they_were_written(
        seed in 0u64..1000,
        images in 0usize..40,
        labelled: bool,
        picked in prop::collection::vec(prop::sample::select(Method::ALL.to_vec()), 0..6),
        most in prop::sample::select(vec![1usize, 5, 100]),
    ) {
        let network = network(seed, images.max(1));
        let mut parameters = Parameters::default();
        (parameters.kept_images, parameters.knn_images) = (most, 2 * most);
        parameters.weiper_seed = 9;
        let summary = TrainingSummary::new(&picked, CLASSES, FEATURES).of_network([7; 32]);
        let mut summary = summary.with_parameters(&parameters);
        if images > 0 {
            observe(&mut summary, &network, &network.training, labelled.then_some(&network.labels));
        }
        let bytes = summary.to_bytes();
        let read = TrainingSummary::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes(), bytes);
        prop_assert_eq!(read.network(), &[7; 32]);
        prop_assert_eq!(read.images(), images as u64);
        prop_assert_eq!(read.methods(), summary.methods());
        prop_assert!(picked.iter().all(|&method| read.is_for(method)));
    }

    /// Damaged bytes are an error, or a summary that can be fitted or not, without a panic.
    #[test]
    fn damaged_bytes_never_panic(
        images in 0usize..12,
        places in prop::collection::vec((0usize..4000, any::<u8>()), 1..5),
        cut in prop::option::of(0usize..4000),
        react: bool,
        most in prop::sample::select(vec![5usize, 100]),
    ) {
        let network = network(3, images.max(1));
        let methods = if react { vec![Method::React, Method::Nci] } else { Method::ALL.to_vec() };
        let mut parameters = Parameters::default();
        parameters.kept_images = most;
        let summary = TrainingSummary::new(&methods, CLASSES, FEATURES);
        let mut summary = summary.with_parameters(&parameters);
        if images > 0 {
            observe(&mut summary, &network, &network.training, Some(&network.labels));
        }
        let mut bytes = summary.to_bytes();
        for (place, value) in places {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut % bytes.len()));
        check(&network, &bytes)?;
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let network = network(3, 1);
        check(&network, &bytes)?;
        for version in 1..=3 {
            check(&network, &[b"ODIN-TS", &[version][..], &bytes].concat())?;
        }
    }
}

/// Bytes that are read have that one encoding, and are fitted to or refused.
fn check(network: &Network, bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut summary = match TrainingSummary::from_bytes(bytes) {
        Ok(summary) => summary,
        Err(error) => {
            prop_assert_eq!(error.kind(), ErrorKind::Summary);
            return Ok(());
        }
    };
    // Those of earlier versions are written anew.
    let written = summary.to_bytes();
    prop_assert!(bytes[7] < 3 || written == bytes);
    prop_assert_eq!(
        TrainingSummary::from_bytes(&written).unwrap().to_bytes(),
        written
    );
    for method in Method::ALL {
        let fitted = fit_summary(
            &Parameters::default(),
            &[method],
            Some(&network.head()),
            Some(&summary),
        );
        let fitted: Vec<Fitted> = fitted.unwrap_or_default();
        network.scores(&fitted);
    }
    let same = summary.clone();
    let _ = summary.merge(&same);
    Ok(())
}

/// Versions 1 and 2 had no bound on what is kept, and the first does not count negative features: they
/// are read, fitted to, merged with others, and written as version 3.
#[test]
fn earlier_versions_are_read() {
    let mut network = network(3, 40);
    network.training.iter_mut().for_each(|h| *h = h.abs());
    network.training[0] = -5.0;
    let methods = [Method::React, Method::Nci];
    let mut summary = TrainingSummary::new(&methods, CLASSES, FEATURES);
    observe(&mut summary, &network, &network.training, None);
    let warned = |summary: &TrainingSummary| {
        let head = network.head();
        let fitted = fit_summary(&Parameters::default(), &methods, Some(&head), Some(summary));
        !fitted.unwrap()[0].warnings().is_empty()
    };
    assert!(warned(&summary));
    let new = summary.to_bytes();
    // Magic and version, two names, network, labels, and three sizes and the counts of a byte each.
    let place = 8 + 1 + 6 + 4 + 32 + 1 + 3 + CLASSES;
    // One feature is negative, and up to 2^16 images are kept.
    assert_eq!(
        (new[7], &new[place..place + 4]),
        (3, &[2, 0x80, 0x80, 4][..])
    );
    let rounded = place + 4 + 8 * FEATURES;
    let mut second = [
        &new[..place],
        &[1],
        &new[place + 4..rounded],
        &new[rounded + 1..],
    ]
    .concat();
    second[7] = 2;
    let mut first = second.clone();
    first.remove(place);
    first[7] = 1;
    let read = TrainingSummary::from_bytes(&second).unwrap();
    assert_eq!(read.to_bytes(), new);
    let mut read = TrainingSummary::from_bytes(&first).unwrap();
    let mut unknown = new.clone();
    unknown[place] = 0;
    assert_eq!(read.to_bytes(), unknown);
    assert!(!warned(&read));
    assert_eq!(
        scores(&network, &read, &methods),
        scores(&network, &summary, &methods)
    );
    read.merge(&summary).unwrap();
    assert!(!warned(&read));
    summary.merge(&summary.clone()).unwrap();
    assert!(warned(&summary));
}

/// The bytes that version 2 wrote of labelled images with all rows and shifts, for the scores below.
fn second_version(network: &Network, methods: &[Method]) -> Vec<u8> {
    let mut bytes = b"ODIN-TS\x02".to_vec();
    bytes.push(methods.len() as u8);
    for name in methods.iter().map(|method| method.name()) {
        bytes.push(name.len() as u8);
        bytes.extend(name.as_bytes());
    }
    bytes.extend([0; 32]);
    let images = network.labels.len();
    bytes.extend([2, CLASSES as u8, FEATURES as u8, images as u8]);
    let logits = network.logits(&network.training);
    let largest = |row: &[f32]| row.iter().copied().fold(f32::MIN, f32::max);
    let predicted = logits.chunks(CLASSES).map(|row| {
        let class = row.iter().position(|z| *z == largest(row));
        class.unwrap()
    });
    for classes in [predicted.collect(), network.labels.clone()] {
        let count = |class| classes.iter().filter(|other| **other == class).count() as u8;
        bytes.extend((0..CLASSES).map(count));
    }
    bytes.push(network.training.iter().filter(|h| **h < 0.0).count() as u8);
    let of_labels = logits.chunks(CLASSES).zip(&network.labels);
    let of_labels = of_labels.map(|(row, label)| [&[row[*label]], row].concat());
    let features = logits
        .chunks(CLASSES)
        .zip(network.training.chunks(FEATURES));
    let features = features.map(|(row, features)| [&[largest(row)], features].concat());
    for mut rows in [of_labels.collect::<Vec<_>>(), features.collect()] {
        rows.sort_by_key(|row| row.iter().map(|v| v.to_bits()).collect::<Vec<u32>>());
        bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    }
    // What follows is the end of the new version, but for hashes.
    let mut summary = TrainingSummary::new(&[Method::AdaScaleA], CLASSES, FEATURES);
    observe(&mut summary, network, &network.training, None);
    let new = summary.to_bytes();
    let (start, shifts) = new.split_at(new.len() - 16 * images);
    let mut shifts: Vec<f64> = shifts
        .chunks(16)
        .map(|pair| f64::from_le_bytes(pair[8..].try_into().unwrap()))
        .collect();
    shifts.sort_by(f64::total_cmp);
    bytes.extend(&start[start.len() - 2 - 40..start.len() - 1]);
    bytes.extend(shifts.iter().flat_map(|shift| shift.to_le_bytes()));
    bytes
}

#[test]
fn rows_and_shifts_of_the_second_version_are_read() {
    let network = network(3, 90);
    let methods = [
        Method::TemperatureScaling,
        Method::Knn,
        Method::NnGuide,
        Method::WeiperKld,
        Method::Vim,
        Method::React,
        Method::Vra,
        Method::AdaScaleA,
    ];
    let old = second_version(&network, &methods);
    let mut read = TrainingSummary::from_bytes(&old).unwrap();
    let mut summary = TrainingSummary::new(&methods, CLASSES, FEATURES);
    observe(
        &mut summary,
        &network,
        &network.training,
        Some(&network.labels),
    );
    let same = |a: &TrainingSummary, b: &TrainingSummary| {
        assert_eq!(
            bits(&scores(&network, a, &methods)),
            bits(&scores(&network, b, &methods))
        );
    };
    same(&read, &summary);
    let half = parts(&network, (&methods, &Parameters::default()), 2, true);
    read.merge(&half[0]).unwrap();
    summary.merge(&half[0]).unwrap();
    same(&read, &summary);
    let damaged = &old[..old.len() - 1];
    assert!(TrainingSummary::from_bytes(damaged).is_err());
}

/// What is kept does not grow with the images beyond those that are drawn.
#[test]
fn what_is_kept_is_bounded() {
    let parameters = few();
    let methods: Vec<Method> = Method::ALL
        .into_iter()
        .filter(|method| ![Method::React, Method::ReactMap].contains(method))
        .collect();
    let bytes = |images: usize| {
        let network = network(3, images);
        let summary = TrainingSummary::new(&methods, CLASSES, FEATURES);
        let mut summary = summary.with_parameters(&parameters);
        for part in network.training.chunks(100 * FEATURES) {
            observe(&mut summary, &network, part, None);
        }
        summary.to_bytes().len()
    };
    let (few, many) = (bytes(200), bytes(20_000));
    assert!(many < few + 100, "{few} {many}");
}

/// The covariance of ViM is of all images, from their products or from their rows; only its α is of
/// fewer.
#[test]
fn products_stand_in_for_the_rows_of_vim() {
    let network = network(5, 2000);
    let with = |kept: usize| {
        let mut parameters = Parameters::default();
        parameters.kept_images = kept;
        let vim = (&[Method::Vim][..], &parameters);
        let fitted = {
            let said = network.said(&network.training);
            let training = said.training(None);
            fit_with(vim.1, vim.0, Some(&network.head()), Some(&training)).unwrap()
        };
        let saved = fitted[0].tensors();
        let alpha = saved.iter().find(|tensor| tensor.name == "vim.alpha");
        let Some(Values::F64(alpha)) = alpha.map(|tensor| tensor.values.clone()) else {
            panic!("alpha is there");
        };
        (
            network.scores(&fitted).remove(0),
            alpha[0],
            fitted[0].notes().to_vec(),
        )
    };
    let (of_rows, alpha, notes) = with(2000);
    assert!(notes.is_empty(), "{notes:?}");
    let (of_products, near, notes) = with(1999);
    assert_eq!(
        notes,
        ["Alpha is of 1999 of 2000 training images, drawn by hashes."]
    );
    for (a, b) in of_rows.iter().zip(&of_products) {
        assert!((a - b).abs() <= 2e-3 * a.abs().max(1.0), "{a} {b}");
    }
    assert!((alpha / near - 1.0).abs() < 2e-3);
    let (_, quarter, _) = with(500);
    assert!(alpha != quarter && (alpha / quarter - 1.0).abs() < 0.05);
}

#[test]
fn what_is_not_kept_cannot_be_drawn() {
    let network = network(5, 90);
    let summary = parts(
        &network,
        (&[Method::Knn, Method::NnGuide], &few()),
        1,
        false,
    )
    .remove(0);
    let head = network.head();
    let fit = |text: &str| {
        let mut parameters = few();
        let method = parameters.read(text).unwrap();
        fit_summary(&parameters, &[method], Some(&head), Some(&summary))
    };
    for (text, note) in [
        (
            "knn:k=2",
            "30 of 90 training images are kept, drawn by hashes and the seed 3",
        ),
        ("knn:k=2:images=20", "20 of 90 training images"),
        ("knn:k=2:share=0.1", ""),
        ("nn-guide:k=2:images=10", "10 of 90 training images"),
        ("nn-guide:k=2:images=25:share=1", "25 of 90 training images"),
    ] {
        let fitted = fit(text).unwrap().remove(0);
        assert!(
            fitted.notes().concat().contains(note),
            "{text}: {:?}",
            fitted.notes()
        );
        assert_eq!(fitted.notes().is_empty(), note.is_empty(), "{text}");
    }
    for text in [
        "knn:images=31",
        "knn:seed=1",
        "nn-guide:seed=2",
        "nn-guide:images=26",
    ] {
        let error = fit(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Summary, "{text}");
        assert!(
            error.to_string().contains("by which the score is fitted"),
            "{error}"
        );
    }
    let mut other = TrainingSummary::new(&[Method::Knn, Method::NnGuide], CLASSES, FEATURES);
    let error = other.merge(&summary).unwrap_err();
    assert!(
        error.to_string().contains("with the same parameters"),
        "{error}"
    );
    assert!(!summary.is_for(Method::Vra) && other.is_for(Method::Vra));
}

#[test]
fn the_methods_cover_all_that_are_fitted() {
    for method in Method::ALL {
        let listed = EXACT.contains(&method) || OF_SUMS.contains(&method);
        assert_eq!(listed, method.needs_training(), "{method}");
    }
}

/// Distances from means do not depend on where the origin is: nothing cancels in the sums.
#[test]
fn large_means_cost_no_precision() {
    let methods = [Method::Mahalanobis, Method::RelativeMahalanobis];
    // In steps of 1/64, so that moving them is exact.
    let near = Network::new(11, CLASSES, FEATURES, 400);
    let mut far = near.clone();
    let moved = far.training.iter_mut().chain(&mut far.test);
    moved.for_each(|h| *h += 16_384.0);
    let unmatched = |network: &Network, part: usize| {
        let mut summary = TrainingSummary::new(&methods, CLASSES, FEATURES);
        let logits = near.logits(&near.training);
        let images = network
            .training
            .chunks(FEATURES)
            .zip(logits.chunks(CLASSES));
        for (i, (features, logits)) in images.enumerate().filter(|(i, _)| i % 3 == part) {
            let training = Training::new(features, logits, Some(&near.labels[i..=i]), CLASSES);
            summary.observe(&training.unwrap(), None).unwrap();
        }
        summary
    };
    let of = |network: &Network| {
        let summary = merged(&[0, 1, 2].map(|part| unmatched(network, part)), &[2, 0, 1]);
        let fitted = fit_summary(&Parameters::default(), &methods, None, Some(&summary)).unwrap();
        network.scores(&fitted)
    };
    for (near, far) in of(&near).iter().flatten().zip(of(&far).iter().flatten()) {
        // The roots are rounded to f32.
        assert!(
            (near - far).abs() <= 1e-6 * near.abs().max(1.0),
            "{near} {far}"
        );
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let network = network(5, 30);
    let methods = [Method::Mahalanobis, Method::TemperatureScaling];
    let one =
        |methods: &[Method], features: usize| TrainingSummary::new(methods, CLASSES, features);
    let mut labelled = one(&methods, FEATURES);
    observe(
        &mut labelled,
        &network,
        &network.training,
        Some(&network.labels),
    );
    let mut unlabelled = one(&methods, FEATURES);
    observe(&mut unlabelled, &network, &network.training, None);
    let before = labelled.to_bytes();
    let cases = [
        (
            one(&methods, FEATURES).of_network([1; 32]),
            "different networks",
        ),
        (
            one(&methods, FEATURES + 1),
            "numbers of classes or features",
        ),
        (
            TrainingSummary::new(&methods, CLASSES + 1, FEATURES),
            "numbers of classes",
        ),
        (one(&methods[..1], FEATURES), "different scores"),
        (unlabelled, "labels in one and none in the other"),
    ];
    let shifts = one(&[Method::AdaScaleA], FEATURES);
    let mut parameters = Parameters::default();
    parameters.adascale_epsilon = 0.25;
    let mut others = shifts.clone().with_parameters(&parameters);
    let error = others.merge(&shifts).unwrap_err();
    assert!(error.to_string().contains("of AdaSCALE"), "{error}");
    for (other, part) in &cases {
        let error = labelled.merge(other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Summary);
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(labelled.to_bytes(), before);
    labelled.merge(&one(&methods, FEATURES)).unwrap();
    assert_eq!(labelled.to_bytes(), before);

    let head = network.head();
    let fit = |methods: &[Method], summary: &TrainingSummary| {
        fit_summary(&Parameters::default(), methods, Some(&head), Some(summary)).unwrap_err()
    };
    let mut shifts = shifts.with_parameters(&parameters);
    observe(&mut shifts, &network, &network.training, None);
    let error = fit(&[Method::AdaScaleA], &shifts);
    assert_eq!(error.kind(), ErrorKind::Summary);
    assert!(error.to_string().contains("epsilon = 0.25"), "{error}");
    let error = fit(&[Method::Knn], &labelled);
    assert_eq!(error.kind(), ErrorKind::Summary);
    assert!(
        error.to_string().contains("was not made for the score knn"),
        "{error}"
    );
    assert_eq!(
        fit(&[Method::Mahalanobis], &one(&methods, FEATURES)).kind(),
        ErrorKind::Missing
    );

    let logits = network.logits(&network.training);
    let narrow = Training::new(&network.training[..30], &logits, None, CLASSES).unwrap();
    let error = one(&methods, FEATURES).observe(&narrow, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let turned: Vec<f32> = network.training.iter().rev().copied().collect();
    let turned = Training::new(&turned, &logits, None, CLASSES).unwrap();
    let mut summary = one(&methods, FEATURES);
    let error = summary.observe(&turned, Some(&head)).unwrap_err();
    assert!(error.to_string().contains("training image 0"), "{error}");
    assert_eq!(summary.images(), 0);
}
