//! What must hold of the scores whatever the network says.

use crate::common::Network;
use odin_scores::{Fitted, Method, Observation, Parameters, Scorer, fit};
use proptest::prelude::*;

const OF_LOGITS: [Method; 6] = [
    Method::Msp,
    Method::MaxLogit,
    Method::MaxMinusMean,
    Method::Energy,
    Method::Entropy,
    Method::Gen,
];

fn of_logits(method: Method) -> Fitted {
    fit(&[method], None, None).unwrap().remove(0)
}

fn score(scorer: &Fitted, logits: &[f32]) -> f64 {
    scorer.score(&Observation::new(logits).with_features(&[1.0, 2.0]))
}

/// Logits in steps of 1/64, so that sums of two are exact.
fn logits() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-512i16..512).prop_map(|i| f32::from(i) / 64.0), 2..40)
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0)
}

fn all_close(a: &[Vec<f64>], b: &[Vec<f64>], tolerance: f64) -> bool {
    a.iter()
        .flatten()
        .zip(b.iter().flatten())
        .all(|(&a, &b)| close(a, b, tolerance))
}

/// Temperature scaling is left out: few of these labels have a best temperature.
fn all_but_temperature() -> Vec<Method> {
    let all = Method::ALL.into_iter();
    all.filter(|&method| method != Method::TemperatureScaling)
        .collect()
}

proptest! {
    #[test]
    fn adding_to_all_logits(logits in logits(), shift in -512i16..512) {
        let shift = f32::from(shift) / 64.0;
        let shifted: Vec<f32> = logits.iter().map(|z| z + shift).collect();
        for method in OF_LOGITS.into_iter().chain([Method::GradNorm]) {
            let expected = match method {
                Method::MaxLogit | Method::Energy => f64::from(shift),
                _ => 0.0,
            };
            let scorer = of_logits(method);
            let change = score(&scorer, &shifted) - score(&scorer, &logits);
            prop_assert!((change - expected).abs() < 1e-12, "{method}: {change}");
        }
    }

    #[test]
    fn order_of_classes(logits in logits(), turn in 0usize..40) {
        let mut turned = logits.clone();
        turned.rotate_left(turn % logits.len());
        for method in OF_LOGITS.into_iter().chain([Method::GradNorm]) {
            let scorer = of_logits(method);
            prop_assert!(close(score(&scorer, &turned), score(&scorer, &logits), 1e-13), "{method}");
        }
    }

    #[test]
    fn a_larger_largest_logit(logits in logits(), more in 1u8..255) {
        let mut larger = logits.clone();
        let largest = (0..logits.len()).max_by(|&i, &j| logits[i].total_cmp(&logits[j])).unwrap();
        larger[largest] += f32::from(more) / 64.0;
        for method in OF_LOGITS {
            let scorer = of_logits(method);
            prop_assert!(score(&scorer, &larger) > score(&scorer, &logits), "{method}");
        }
    }

    #[test]
    fn msp_is_the_largest_softmax(logits in logits()) {
        let sum: f64 = logits.iter().map(|&z| f64::from(z).exp()).sum();
        let largest = logits.iter().map(|&z| f64::from(z).exp() / sum).fold(0.0, f64::max);
        prop_assert!(close(score(&of_logits(Method::Msp), &logits), largest, 1e-14));
    }

    /// `T (C max softmax(z / T) - 1) → max z - mean z`, with an error of the order of z² / T.
    #[test]
    fn max_minus_mean_is_odin_at_high_temperature(logits in logits()) {
        const T: f64 = 1e6;
        let sum: f64 = logits.iter().map(|&z| (f64::from(z) / T).exp()).sum();
        let max = logits.iter().map(|&z| (f64::from(z) / T).exp()).fold(0.0, f64::max);
        let odin = T * (logits.len() as f64 * max / sum - 1.0);
        let limit = score(&of_logits(Method::MaxMinusMean), &logits);
        prop_assert!((odin - limit).abs() < 1e-3, "{odin} {limit}");
    }

    #[test]
    fn order_of_classes_and_features_of_a_network(seed in 0u64..1000) {
        let network = Network::new(seed, 4, 10, 60);
        // Of classes with equal logits, the first is predicted.
        prop_assume!(!network.has_ties());
        let reversed = {
            let mut network = network.clone();
            let classes = network.classes;
            network.weight.reverse(); // reverses classes and features
            network.bias.reverse();
            network.labels.iter_mut().for_each(|label| *label = classes - 1 - *label);
            for images in [&mut network.training, &mut network.test] {
                images.chunks_mut(network.features).for_each(<[f32]>::reverse);
            }
            network
        };
        let methods = all_but_temperature();
        let parameters = Parameters::default();
        let before = network.scores(&network.fit(&parameters, &methods));
        let after = reversed.scores(&reversed.fit(&parameters, &methods));
        for (method, (before, after)) in methods.iter().zip(before.iter().zip(&after)) {
            // Of equal values, ASH keeps those of low index; WeiPer perturbs each weight in turn.
            if ![Method::Ash, Method::AshMap, Method::WeiperKld].contains(method) {
                let same = all_close(std::slice::from_ref(before), std::slice::from_ref(after), 2e-5);
                prop_assert!(same, "{method}: {before:?} {after:?}");
            }
        }
    }

    /// Mahalanobis distances do not depend on the units of the features.
    #[test]
    fn mahalanobis_of_scaled_features(seed in 0u64..1000) {
        let network = Network::new(seed, 3, 8, 60);
        let scaled = {
            let mut network = network.clone();
            let factor = |i: usize| [0.25, 1.0, 8.0][i % 3];
            for images in [&mut network.training, &mut network.test] {
                for image in images.chunks_mut(network.features) {
                    image.iter_mut().enumerate().for_each(|(i, h)| *h *= factor(i));
                }
            }
            for row in network.weight.chunks_mut(network.features) {
                row.iter_mut().enumerate().for_each(|(i, w)| *w /= factor(i));
            }
            network
        };
        let methods = [Method::Mahalanobis, Method::RelativeMahalanobis];
        let parameters = Parameters::default();
        let before = network.scores(&network.fit(&parameters, &methods));
        let after = scaled.scores(&scaled.fit(&parameters, &methods));
        prop_assert!(all_close(&before, &after, 2e-5), "{before:?} {after:?}");
    }

    #[test]
    fn one_nearest_neighbour_of_a_training_image_is_itself(seed in 0u64..1000, scale in 1u8..9) {
        let mut network = Network::new(seed, 3, 8, 30);
        network.test = network.training.iter().map(|h| h * f32::from(scale)).collect();
        let mut parameters = Parameters::default();
        parameters.knn_k = Some(1);
        let scores = network.scores(&network.fit(&parameters, &[Method::Knn]));
        prop_assert!(scores[0].iter().all(|score| (-1e-6..=0.0).contains(score)), "{scores:?}");
    }

    /// Distances of normalised features do not depend on the lengths of images.
    #[test]
    fn normalised_features_have_no_length(seed in 0u64..1000) {
        let network = Network::new(seed, 3, 8, 60);
        let mut stretched = network.clone();
        for images in [&mut stretched.training, &mut stretched.test] {
            for (i, image) in images.chunks_mut(8).enumerate() {
                image.iter_mut().for_each(|h| *h *= [0.25, 1.0, 32.0][i % 3]);
            }
        }
        // The classes of the images are given, so that the last layer plays no part.
        let methods = [Method::MahalanobisPp, Method::RelativeMahalanobisPp];
        let scores = [&network, &stretched].map(|n| n.scores(&n.fit(&Parameters::default(), &methods)));
        prop_assert!(all_close(&scores[0], &scores[1], 1e-12));
    }

    /// Without a bias, inner products grow with the length, and so do logits that LTS scales alike.
    #[test]
    fn scores_of_longer_features(seed in 0u64..1000) {
        let mut network = Network::new(seed, 3, 8, 60);
        network.bias.fill(0.0);
        let methods = [Method::She, Method::Lts];
        let fitted = network.fit(&Parameters::default(), &methods);
        let mut longer = network.clone();
        longer.test.iter_mut().for_each(|h| *h *= 4.0);
        let (before, after) = (network.scores(&fitted), longer.scores(&fitted));
        let fourfold: Vec<f64> = before[0].iter().map(|score| 4.0 * score).collect();
        prop_assert!(all_close(&[fourfold], &after[..1], 1e-12));
        // log Σ exp 4 z is within 3 log 3 of 4 log Σ exp z.
        for (before, after) in before[1].iter().zip(&after[1]) {
            prop_assert!((4.0 * before - after).abs() <= 3.0 * 3f64.ln() + 1e-6);
        }
    }

    /// Where nothing is clipped, pruned or left out, only the energy is left; for SCALE and ASH
    /// that of features times e.
    #[test]
    fn shaping_nothing(seed in 0u64..1000) {
        let network = Network::new(seed, 4, 10, 40);
        let mut parameters = Parameters::default();
        parameters.react_quantile = 1.0;
        parameters.ash_pruned = 0.0;
        parameters.scale_pruned = 0.0;
        parameters.lts_pruned = 0.0;
        (parameters.vra_lower, parameters.vra_upper) = (0.0, 1.0);
        parameters.react_map_quantile = 1.0;
        parameters.ash_map_pruned = 0.0;
        parameters.scale_map_pruned = 0.0;
        (parameters.adascale_pmin, parameters.adascale_pmax) = (0.0, 0.0);
        let mut inside = network.clone();
        inside.test = network.training.clone(); // nothing above the largest activation
        let methods = [
            Method::Energy,
            Method::React,
            Method::Lts,
            Method::Vra,
            Method::Ash,
            Method::Scale,
        ];
        let scores = inside.scores(&network.fit(&parameters, &methods));
        for same in 1..4 {
            prop_assert!(all_close(&scores[..1], &scores[same..=same], 1e-12), "{}", methods[same]);
        }
        prop_assert!(all_close(&scores[4..5], &scores[5..], 1e-5));
        let methods = [Method::AdaScaleL, Method::ReactMap, Method::AdaScaleA, Method::AshMap, Method::ScaleMap];
        let others = inside.scores(&network.fit(&parameters, &methods));
        for other in &others[..2] {
            // What is clipped is rounded to 12 binary digits.
            prop_assert!(all_close(&scores[..1], std::slice::from_ref(other), 1e-3), "{other:?}");
        }
        for other in &others[2..] {
            prop_assert!(all_close(&scores[5..6], std::slice::from_ref(other), 1e-5), "{other:?}");
        }
    }
}

/// More rows than a block holds, more images than a pass: the k-th smallest of all distances in f64.
#[test]
fn neighbours_of_a_large_bank_are_the_nearest() {
    let (features, images) = (640, 300);
    let network = Network::new(5, 3, features, images);
    let unit = |h: &[f32]| {
        let norm = h.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        h.iter().map(|&x| f64::from(x) / norm).collect::<Vec<_>>()
    };
    let bank: Vec<_> = network.training.chunks(features).map(unit).collect();
    let asked: Vec<f32> = (0..70)
        .flat_map(|_| network.test.clone())
        .take(70 * features)
        .collect();
    let said = network.said(&asked);
    let observations: Vec<_> = asked
        .chunks(features)
        .zip(said.logits.chunks(3))
        .map(|(h, logits)| Observation::new(logits).with_features(h))
        .collect();
    for k in [1, 7, 299, 300] {
        let mut parameters = Parameters::default();
        parameters.knn_k = Some(k);
        let fitted = network.fit(&parameters, &[Method::Knn]).remove(0);
        let scores = fitted.score_batch(&observations);
        assert_eq!(scores.len(), observations.len());
        for (h, &score) in asked.chunks(features).zip(&scores) {
            let h = unit(h);
            let distance = |row: &Vec<f64>| {
                let squares = row.iter().zip(&h).map(|(a, b)| (a - b).powi(2));
                squares.sum::<f64>().sqrt()
            };
            let mut distances: Vec<f64> = bank.iter().map(distance).collect();
            distances.sort_by(f64::total_cmp);
            assert!(close(-score, distances[k - 1], 1e-6), "{k}: {score}");
        }
    }
}
