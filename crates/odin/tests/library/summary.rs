//! Summaries of training images of a real network, merged, against one fit to all of them.

use crate::{demo, open, refused};
use odin::data::MemoryImages;
use odin::{
    Classifier, Detector, DetectorBuilder, ErrorKind, Fitted, Images, Method, Normalization,
    ScoredSet, TrainingSummary,
};

/// Fitted from what is kept of each image, or from counts: the same bits in any order.
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

fn builder(classifier: &Classifier) -> DetectorBuilder {
    Detector::builder(classifier).threads(2)
}

fn scored(classifier: &Classifier, fitted: Vec<Fitted>) -> ScoredSet {
    let detector = builder(classifier).fitted(fitted).build().unwrap();
    let images = detector.open_images(demo("near.npy")).unwrap().range(0..60);
    detector.score_set(&images, |_| {}).unwrap()
}

/// The validation images, some with another label than the network predicts: without them there is
/// no best temperature.
fn mislabelled(classifier: &Classifier) -> Images {
    let images = classifier.open_images(demo("validation.npy")).unwrap();
    let sample = |i: usize| {
        let sample = images.get(i).unwrap();
        let label = sample.label.unwrap() + usize::from(i.is_multiple_of(11));
        (sample.image, Some(label % classifier.classes()))
    };
    let samples = (0..images.len()).map(sample).collect();
    classifier.prepared_images(MemoryImages::new("mislabelled", samples).unwrap())
}

/// Every `parts`-th image.
fn part(images: &Images, part: usize, parts: usize) -> Images {
    images.these((part..images.len()).step_by(parts))
}

#[test]
fn merged_parts_fit_as_all_images() {
    let classifier = open(demo("model.safetensors"));
    let images = mislabelled(&classifier);
    let methods = [&EXACT[..], &OF_SUMS].concat();
    let alone = builder(&classifier).fit(&methods, Some(&images), |_| {});
    let alone = scored(&classifier, alone.unwrap());
    for (parts, order) in [
        (1, vec![0]),
        (2, vec![1, 0]),
        (3, vec![1, 2, 0]),
        (7, vec![3, 6, 0, 2, 5, 1, 4]),
    ] {
        let summary = |i: &usize| {
            let part = part(&images, *i, parts);
            builder(&classifier)
                .summarize(&methods, &part, |_| {})
                .unwrap()
        };
        let mut merged = summary(&order[0]);
        for summary in order[1..].iter().map(summary) {
            let sent = TrainingSummary::from_bytes(&summary.to_bytes()).unwrap();
            merged.merge(&sent).unwrap();
        }
        assert_eq!(merged.images(), images.len() as u64);
        assert!(merged.has_labels());
        let fitted = builder(&classifier).fit_summary(&methods, &merged).unwrap();
        let scored = scored(&classifier, fitted);
        let of = |method: Method| {
            let name = method.name();
            let [ours, alone] = [&scored, &alone].map(|set| set.scores(name).unwrap());
            ours.into_iter().zip(alone).collect::<Vec<(f64, f64)>>()
        };
        for method in EXACT {
            assert!(
                of(method).iter().all(|(a, b)| a == b),
                "{method} of {parts}"
            );
        }
        let distances = |method: Method| -> Vec<f64> {
            let distances = of(method).into_iter();
            distances.map(|(distance, _)| distance.abs()).collect()
        };
        let plain = distances(Method::Mahalanobis);
        let unit = distances(Method::MahalanobisPp);
        for method in OF_SUMS {
            let distances = plain.iter().zip(&unit);
            for ((ours, alone), (plain, unit)) in of(method).into_iter().zip(distances) {
                let allowed = match method {
                    // Their roots are kept in f32.
                    Method::Mahalanobis | Method::RelativeMahalanobis => 2e-6 * plain,
                    Method::MahalanobisPp | Method::RelativeMahalanobisPp => 2e-6 * unit,
                    Method::Gmm => 2e-6 * alone.abs().max(1.0),
                    // Patterns are kept in f32.
                    Method::She => 1e-7 * alone.abs().max(1.0),
                    _ => 1e-12 * alone.abs().max(1.0),
                };
                assert!(
                    (ours - alone).abs() <= allowed,
                    "{method} of {parts}: {ours} {alone}"
                );
            }
        }
    }
}

#[test]
fn a_batch_size_does_not_matter() {
    let classifier = open(demo("model.safetensors"));
    let images = classifier
        .open_images(demo("validation.npy"))
        .unwrap()
        .range(0..70);
    let bytes = |batch: usize| {
        let builder = builder(&classifier).batch_size(batch);
        let summary = builder.summarize(&Method::ALL, &images, |_| {}).unwrap();
        summary.to_bytes()
    };
    assert_eq!(bytes(7), bytes(32));
}

#[test]
fn a_summary_of_another_network_is_refused() {
    let classifier = open(demo("model.safetensors"));
    let images = classifier.open_images(demo("in.npy")).unwrap().range(0..30);
    let methods = [Method::Nci];
    let summary = builder(&classifier)
        .summarize(&methods, &images, |_| {})
        .unwrap();
    let identity = Normalization::identity();
    let other = Classifier::open(demo("model.safetensors"), identity).unwrap();
    refused(
        builder(&other).fit_summary(&methods, &summary),
        ErrorKind::OtherModel,
        &["of another network", "make one with this detector"],
    );
    refused(
        builder(&classifier).fit_summary(&[Method::Knn], &summary),
        ErrorKind::Scores,
        &["was not made for the score knn"],
    );
}
