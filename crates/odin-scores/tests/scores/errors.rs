//! What is refused, with what kind of error, and that nothing panics.

use crate::common::Network;
use odin_scores::{
    Error, ErrorKind, Head, Method, NamedTensor, Needs, NetworkFacts, Observation, Parameters,
    Scorer, Shift, Training, TrainingSummary, Values, fit, fit_summary, fit_with, restore, tensors,
    warnings as warnings_of,
};
use proptest::prelude::*;

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| {
        assert!(!error.to_string().is_empty());
        error.kind()
    })
}

#[test]
fn names_are_read_back_and_unknown_ones_listed() {
    for method in Method::ALL {
        assert_eq!(method.name().parse(), Ok(method));
        assert_eq!(method.to_string(), method.name());
        assert!(!method.title().is_empty() && !method.source().is_empty());
    }
    let error = "max_logit".parse::<Method>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownMethod);
    assert!(
        Method::ALL
            .iter()
            .all(|method| error.to_string().contains(method.name()))
    );
}

#[test]
fn what_a_method_says_it_needs_is_what_it_needs() {
    let network = Network::new(7, 3, 8, 60);
    let (head, said) = (network.head(), network.said(&network.training));
    let (full, unlabelled) = (said.training(Some(&network.labels)), said.training(None));
    let featureless = Training::new(&[], &said.logits, Some(&network.labels), 3).unwrap();
    let features = Training::new(&network.training, &said.logits, Some(&network.labels), 3);
    let features = features.unwrap();
    for method in Method::ALL {
        let missing = |needed: bool| needed.then_some(ErrorKind::Missing);
        let fit = |head, training| kind(fit(&[method], head, training));
        assert_eq!(fit(Some(&head), Some(&full)), None, "{method}");
        assert_eq!(
            fit(None, Some(&full)),
            missing(method.needs_head()),
            "{method}"
        );
        assert_eq!(
            fit(Some(&head), None),
            missing(method.needs_training()),
            "{method}"
        );
        assert_eq!(
            fit(Some(&head), Some(&unlabelled)),
            missing(method.needs_labels()),
            "{method}"
        );
        assert_eq!(
            fit(Some(&head), Some(&featureless)),
            missing(
                method.needs_training() && (method.needs_features() || method.needs_feature_map())
            ),
            "{method}"
        );
        let more = method.needs_feature_map() || method.needs_shift();
        assert_eq!(
            fit(Some(&head), Some(&features)),
            missing(method.needs_training() && more),
            "{method}"
        );
    }
}

#[test]
fn heads_are_checked() {
    let cases = [
        (vec![], vec![], ErrorKind::Shape),
        (vec![1.0], vec![0.0], ErrorKind::Shape),
        (vec![1.0; 5], vec![0.0; 2], ErrorKind::Shape),
        (vec![], vec![0.0; 2], ErrorKind::Shape),
        (vec![f32::NAN; 4], vec![0.0; 2], ErrorKind::Invalid),
        (vec![1.0; 4], vec![0.0, f32::INFINITY], ErrorKind::Invalid),
    ];
    for (weight, bias, expected) in cases {
        assert_eq!(kind(Head::new(weight, bias)), Some(expected));
    }
}

#[test]
fn training_images_are_checked() {
    type Case<'a> = (&'a [f32], &'a [f32], Option<&'a [usize]>, usize, ErrorKind);
    let cases: [Case<'_>; 7] = [
        (&[], &[], None, 2, ErrorKind::Shape),
        (&[], &[1.0; 3], None, 2, ErrorKind::Shape),
        (&[], &[1.0; 4], None, 0, ErrorKind::Shape),
        (&[1.0; 3], &[1.0; 4], None, 2, ErrorKind::Shape),
        (&[], &[1.0; 6], Some(&[0, 1]), 2, ErrorKind::Shape),
        (&[], &[1.0, f32::NAN], None, 2, ErrorKind::Invalid),
        (&[], &[1.0; 2], Some(&[2]), 2, ErrorKind::Invalid),
    ];
    for (features, logits, labels, classes, expected) in cases {
        let training = Training::new(features, logits, labels, classes);
        assert_eq!(kind(training), Some(expected));
    }
}

#[test]
fn a_head_of_other_features_is_noticed() {
    let network = Network::new(7, 3, 8, 60);
    let logits = network.logits(&network.training);
    let training = Training::new(&network.training, &logits, None, 3).unwrap();
    let mut transposed = network.weight.clone();
    for (i, value) in transposed.iter_mut().enumerate() {
        *value = network.weight[(i % 3) * 8 + i / 3];
    }
    let heads = [
        Head::new(transposed, network.bias.clone()),
        Head::new(vec![1.0; 3 * 7], vec![0.0; 3]),
        Head::new(vec![1.0; 4 * 8], vec![0.0; 4]),
    ];
    for head in heads {
        let fitted = fit(&[Method::Energy], Some(&head.unwrap()), Some(&training));
        assert_eq!(kind(fitted), Some(ErrorKind::Shape));
    }
}

#[test]
fn what_images_do_not_determine_is_an_error() {
    let one = Network::new(7, 3, 8, 1);
    let learnt = Training::new(&[], &[9.0, 0.0, 0.0, 9.0], Some(&[0, 1]), 2).unwrap();
    let opposite = Training::new(&[], &[9.0, 0.0, 0.0, 9.0], Some(&[1, 0]), 2).unwrap();
    let logits = one.logits(&one.training);
    let single = Training::new(&one.training, &logits, None, 3).unwrap();
    let wrong: Vec<usize> = logits
        .chunks(3)
        .map(|z| usize::from(z[0] >= z[1] && z[0] >= z[2]))
        .collect();
    let mislabelled = Training::new(&one.training, &logits, Some(&wrong), 3).unwrap();
    let cases = [
        (Method::TemperatureScaling, learnt),
        (Method::TemperatureScaling, opposite),
        (Method::Mahalanobis, single),
        (Method::RelativeMahalanobis, single),
        (Method::Vim, single),
        (Method::MahalanobisPp, single),
        (Method::She, mislabelled),
    ];
    for (method, training) in cases {
        let fitted = fit(&[method], Some(&one.head()), Some(&training));
        let expected = match method {
            Method::TemperatureScaling => fit(&[method], None, Some(&training)),
            _ => fitted,
        };
        assert_eq!(kind(expected), Some(ErrorKind::Degenerate), "{method}");
    }
}

#[test]
fn parameters_are_checked() {
    let wrong: [fn(&mut Parameters); 35] = [
        |p| p.kept_images = 0,
        |p| p.knn_images = 0,
        |p| p.nn_guide_images = 0,
        |p| p.gen_gamma = 0.0,
        |p| p.gen_gamma = f64::NAN,
        |p| p.gen_top = 0,
        |p| p.knn_k = Some(0),
        |p| p.nn_guide_k = 0,
        |p| p.nn_guide_share = 0.0,
        |p| p.weiper_distance = 0.0,
        |p| p.weiper_repeats = 1001,
        |p| p.weiper_lambda1 = -1.0,
        |p| p.weiper_lambda2 = f64::NAN,
        |p| p.weiper_images = 0,
        |p| p.lts_pruned = 1.0,
        |p| p.vra_lower = f64::NAN,
        |p| p.vra_lower = 0.95,
        |p| p.vra_upper = 1.5,
        |p| p.dice_pruned = f64::NAN,
        |p| p.vim_dimension = Some(0),
        |p| p.react_quantile = 1.5,
        |p| p.ash_pruned = 1.0,
        |p| p.scale_pruned = -0.1,
        |p| p.nci_alpha = f64::INFINITY,
        |p| p.adascale_o = 0.0,
        |p| p.adascale_epsilon = 0.0,
        |p| p.adascale_k1 = 1.5,
        |p| p.adascale_k2 = f64::NAN,
        |p| p.adascale_lambda = -1.0,
        |p| p.adascale_pmin = 0.9,
        |p| p.adascale_pmax = 1.0,
        |p| p.react_map_quantile = 0.0,
        |p| p.ash_map_pruned = 1.0,
        |p| p.scale_map_pruned = -0.1,
        |p| p.vim_dimension = Some(8),
    ];
    let network = Network::new(7, 3, 8, 60);
    let logits = network.logits(&network.training);
    let training = Training::new(&network.training, &logits, None, 3).unwrap();
    for change in wrong {
        let mut parameters = Parameters::default();
        change(&mut parameters);
        let fitted = fit_with(
            &parameters,
            &[Method::Vim],
            Some(&network.head()),
            Some(&training),
        );
        assert_eq!(kind(fitted), Some(ErrorKind::Invalid), "{parameters:?}");
    }
}

#[test]
fn observations_that_do_not_fit_have_no_score() {
    let network = Network::new(7, 3, 8, 60);
    let good = Observation::new(&[1.0, 2.0, 3.0])
        .with_features(&[0.5; 8])
        .with_feature_map(&[0.5; 24])
        .with_shifted_features(&[0.25; 8]);
    for score in network.fit(&Parameters::default(), &Method::ALL) {
        assert!(score.score(&good).is_finite(), "{}", score.name());
        assert_eq!(kind(score.check(&good)), None);
        let logits = [
            (&[][..], ErrorKind::Missing),
            (&[1.0, f32::NAN, 0.0][..], ErrorKind::Invalid),
        ];
        for (logits, expected) in logits {
            let mut observation = good;
            observation.logits = logits;
            assert!(score.score(&observation).is_nan());
            assert_eq!(kind(score.check(&observation)), Some(expected));
        }
        let needs = score.needs();
        let values = [
            (&[][..], ErrorKind::Missing),
            (&[f32::INFINITY; 8][..], ErrorKind::Invalid),
        ];
        for (values, expected) in values {
            for (needed, observation) in [
                (needs.features, good.with_features(values)),
                (needs.feature_map, good.with_feature_map(values)),
                (needs.shift.is_some(), good.with_shifted_features(values)),
            ] {
                assert_eq!(score.score(&observation).is_nan(), needed);
                let expected = needed.then_some(expected);
                assert_eq!(kind(score.check(&observation)), expected);
            }
        }
        let longer = Observation::new(&[1.0; 4])
            .with_features(&[0.5; 9])
            .with_feature_map(&[0.5; 25])
            .with_shifted_features(&[0.5; 9]);
        let checked = kind(score.check(&longer));
        assert_eq!(
            score.score(&longer).is_nan(),
            checked == Some(ErrorKind::Shape)
        );
    }
}

#[test]
fn feature_maps_and_shifted_features_are_checked() {
    let training = Training::new(&[1.0; 4], &[1.0; 4], None, 2).unwrap();
    let maps: [(&[f32], _); 4] = [
        (&[], None),
        (&[1.0; 12], None),
        (&[1.0; 6], Some(ErrorKind::Shape)),
        (&[f32::NAN; 4], Some(ErrorKind::Invalid)),
    ];
    for (maps, expected) in maps {
        assert_eq!(kind(training.with_feature_maps(maps)), expected);
    }
    let shifted: [(&[f32], _); 3] = [
        (&[1.0; 4], None),
        (&[1.0; 8], Some(ErrorKind::Shape)),
        (&[f32::NAN; 4], Some(ErrorKind::Invalid)),
    ];
    for (shifted, expected) in shifted {
        assert_eq!(kind(training.with_shifted_features(shifted)), expected);
    }
}

#[test]
fn what_two_scores_need_is_computed_once() {
    let shifted = |share, step| Needs::shifted(Shift { share, step });
    let both = shifted(0.05, 0.5).and(Needs::FEATURE_MAP).unwrap();
    assert!(both.features && both.feature_map && both.shift.is_some());
    assert_eq!(both.and(shifted(0.05, 0.5)), Ok(both));
    assert_eq!(both.and(Needs::LOGITS), Ok(both));
    for other in [shifted(0.1, 0.5), shifted(0.05, 0.25)] {
        let error = both.and(other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("epsilon = 0.5"), "{error}");
    }
}

/// Where half of the activations are the least, their lower quantiles leave nothing.
#[test]
fn clipping_all_activations_is_an_error() {
    let network = Network::new(7, 3, 8, 60);
    let said = network.said(&network.training);
    let mut parameters = Parameters::default();
    parameters.react_map_quantile = 0.2;
    let training = said.training(None);
    let methods = [Method::ReactMap];
    let fitted = fit_with(
        &parameters,
        &methods,
        Some(&network.head()),
        Some(&training),
    );
    assert_eq!(kind(fitted), Some(ErrorKind::Degenerate));
}

/// One way to damage a saved tensor.
#[derive(Debug, Clone)]
enum Damage {
    Drop,
    Shape(Vec<usize>),
    OtherType,
    Value(f64),
    Truncate(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let side = prop_oneof![0usize..20, Just(usize::MAX), Just(1 << 40)];
    prop_oneof![
        Just(Damage::Drop),
        prop::collection::vec(side, 0..4).prop_map(Damage::Shape),
        Just(Damage::OtherType),
        prop_oneof![
            Just(f64::NAN),
            Just(-1.0),
            Just(0.5),
            Just(1e300),
            Just(f64::INFINITY)
        ]
        .prop_map(Damage::Value),
        (0usize..100).prop_map(Damage::Truncate),
    ]
}

fn apply(damage: Damage, index: usize, tensors: &mut Vec<NamedTensor>) {
    let tensor = &mut tensors[index];
    match (damage, &mut tensor.values) {
        (Damage::Drop, _) => drop(tensors.remove(index)),
        (Damage::Shape(shape), _) => tensor.shape = shape,
        (Damage::OtherType, Values::F32(values)) => {
            tensor.values = Values::F64(values.iter().map(|&v| f64::from(v)).collect());
        }
        (Damage::OtherType, Values::F64(values)) => {
            tensor.values = Values::F32(values.iter().map(|&v| v as f32).collect());
        }
        (Damage::Value(value), Values::F32(values)) => values[0] = value as f32,
        (Damage::Value(value), Values::F64(values)) => values[0] = value,
        (Damage::Truncate(length), Values::F32(values)) => {
            values.truncate(length);
            tensor.shape[0] = length;
        }
        (Damage::Truncate(length), Values::F64(values)) => {
            values.truncate(length);
            tensor.shape = vec![length; tensor.shape.len()];
        }
    }
}

proptest! {
    #[test]
    fn damaged_tensors_never_panic(index in 0usize..64, damage in damage()) {
        let network = Network::new(7, 3, 8, 60);
        let fitted = network.fit(&Parameters::default(), &Method::ALL);
        let mut saved = tensors(&fitted);
        let index = index % saved.len();
        apply(damage, index, &mut saved);
        for method in Method::ALL {
            match restore(&[method], Some(&network.head()), &saved) {
                Ok(restored) => drop(network.scores(&restored)),
                Err(error) => prop_assert!(
                    matches!(error.kind(), ErrorKind::Restore | ErrorKind::Invalid),
                    "{error}"
                ),
            }
        }
    }
}

#[test]
fn restoring_says_what_is_missing() {
    let network = Network::new(7, 3, 8, 60);
    for score in network.fit(&Parameters::default(), &Method::ALL) {
        let (method, saved) = (score.method(), score.tensors());
        let without = kind(restore(&[method], Some(&network.head()), &[]));
        assert_eq!(
            without,
            (!saved.is_empty()).then_some(ErrorKind::Restore),
            "{method}"
        );
        // These need the last layer to be fitted, and no longer afterwards.
        let headless = kind(restore(&[method], None, &saved));
        let needed = method.needs_head() && ![Method::Vim, Method::NnGuide].contains(&method);
        assert_eq!(headless, needed.then_some(ErrorKind::Missing), "{method}");
    }
}

/// A k-th neighbour of another class tells nothing of the class.
#[test]
fn knn_warns_of_classes_smaller_than_k() {
    for (images, k, warning) in [
        (30, 10, ""),
        (30, 11, "k is 11, and 3 of 3 classes have fewer"),
        (
            31,
            11,
            "2 of 3 classes have fewer training images (the fewest 10)",
        ),
        (30, 50, "k is 30, and 3 of 3"),
    ] {
        let network = Network::new(5, 3, 4, images);
        let mut parameters = Parameters::default();
        parameters.knn_k = Some(k);
        let fitted = network.fit(&parameters, &[Method::Knn, Method::Fdbd]);
        let warnings = fitted[0].warnings().join(" ");
        assert!(warnings.contains(warning), "{warnings}");
        assert_eq!(warnings.is_empty(), warning.is_empty(), "{warnings}");
        assert!(fitted[1].warnings().is_empty());
    }
}

/// A default k has neighbours of the image's own class, however few images there are.
#[test]
fn the_default_k_of_knn_follows_the_smallest_class() {
    for (images, k) in [
        (6, 1),
        (30, 1),
        (59, 1),
        (60, 2),
        (700, 23),
        (1500, 50),
        (3000, 50),
    ] {
        let network = Network::new(5, 3, 4, images);
        let fitted = network.fit(&Parameters::default(), &[Method::Knn]);
        let [_, saved] = &fitted[0].tensors()[..] else {
            panic!("a bank and k")
        };
        assert_eq!(saved.values, Values::F64(vec![f64::from(k)]), "{images}");
        assert!(fitted[0].notes()[0].starts_with(&format!("k is {k}: 50")));
        assert!(fitted[0].warnings().is_empty());
    }
}

fn warnings(network: &Network, method: Method) -> String {
    let methods = [method, Method::Nci]; // features are read for one of them at least
    network.fit(&Parameters::default(), &methods)[0]
        .warnings()
        .join(" ")
}

/// What is made for features behind a ReLU says so of others, fitted or not.
#[test]
fn negative_features_are_warned_of() {
    const RECTIFIED: [Method; 10] = [
        Method::React,
        Method::Ash,
        Method::Scale,
        Method::Lts,
        Method::Vra,
        Method::Dice,
        Method::GradNorm,
        Method::ReactMap,
        Method::AshMap,
        Method::ScaleMap,
    ];
    let network = Network::new(7, 3, 8, 60);
    assert!(network.training.iter().all(|h| *h >= 0.0));
    let with = |negative: usize| {
        let mut network = network.clone();
        let features = network.training.iter_mut().take(negative);
        features.for_each(|h| *h = -*h - 1.0);
        network
    };
    for (negative, share) in [
        (1, "0.21 % of the features"),
        (240, "50 % of"),
        (480, "100 % of"),
    ] {
        let all = Method::ALL.into_iter();
        for method in all.filter(|method| *method != Method::TemperatureScaling) {
            let found = warnings(&with(negative), method);
            let expected = RECTIFIED.contains(&method);
            assert_eq!(found.contains(share), expected, "{method}: {found}");
            assert_eq!(found.contains("behind a ReLU"), expected, "{method}");
            assert!(!warnings(&network, method).contains("negative"), "{method}");
        }
    }
}

/// What the graph leaves open is said where no training image shows it; equal warnings are one.
#[test]
fn what_is_known_of_the_network_is_warned_of() {
    let network = Network::new(7, 3, 8, 60);
    let facts = |from: Option<&str>, attends| NetworkFacts {
        negative_features_from: from.map(str::to_string),
        attends,
    };
    let methods = [Method::Ash, Method::Scale, Method::Energy, Method::Gen];
    let seen = [&methods[..], &[Method::Nci]].concat();
    for (facts, seen_by_images, expected) in [
        (facts(None, false), false, &[][..]),
        (
            facts(Some("act: Mul"), false),
            false,
            &["ash, scale: The features come from act: Mul"],
        ),
        (facts(Some("act: Mul"), false), true, &[]),
        (facts(None, true), false, &["energy: The network attends"]),
        (
            facts(Some("norm: Add"), true),
            false,
            &[
                "ash, scale: The features come from norm: Add",
                "energy: The network attends",
            ],
        ),
    ] {
        let fitted = match seen_by_images {
            true => network.fit(&Parameters::default(), &seen),
            false => fit(&methods, Some(&network.head()), None).unwrap(),
        };
        let fitted: Vec<_> = fitted.into_iter().map(|f| f.for_network(&facts)).collect();
        let found = warnings_of(&fitted);
        assert_eq!(found.len(), expected.len(), "{facts:?}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}

/// Covariances of fewer images than features.
#[test]
fn few_images_are_warned_of() {
    let relatives = [
        Method::Mahalanobis,
        Method::RelativeMahalanobis,
        Method::MahalanobisPp,
        Method::RelativeMahalanobisPp,
    ];
    for (images, of_classes, of_vim) in [(6, true, true), (10, true, false), (11, false, false)] {
        let network = Network::new(9, 3, 8, images);
        for method in Method::ALL
            .into_iter()
            .filter(|m| *m != Method::TemperatureScaling)
        {
            let expected = match method {
                Method::Vim => of_vim,
                _ => relatives.contains(&method) && of_classes,
            };
            let found = warnings(&network, method);
            assert_eq!(
                found.contains("determine at most"),
                expected,
                "{method} {images}: {found}"
            );
        }
    }
}

/// A covariance of each class, of as many images or fewer than features, and of a single one.
#[test]
fn few_images_of_a_class_are_warned_of() {
    let found = |images: usize| warnings(&Network::new(9, 3, 8, images), Method::Gmm);
    for (images, classes) in [(27, None), (25, Some("2 of 3")), (6, Some("3 of 3"))] {
        let (found, expected) = (found(images), classes.unwrap_or_default());
        assert_eq!(
            found.contains("no more training images than"),
            classes.is_some(),
            "{images}: {found}"
        );
        assert!(found.contains(expected), "{images}: {found}");
    }
}

#[test]
fn covariances_of_all_classes_are_bounded() {
    let network = Network::new(9, 2, 4, 12);
    let fitted = network.fit(&Parameters::default(), &[Method::Gmm]);
    assert!(fitted[0].notes().is_empty(), "{:?}", fitted[0].notes());
    let few = Network::new(9, 2, 4, 6);
    let fitted = few.fit(&Parameters::default(), &[Method::Gmm]);
    let notes = fitted[0].notes().join(" ");
    assert!(notes.contains("is added to all variances"), "{notes}");

    let (classes, features) = (1000, 512);
    let summary = TrainingSummary::new(&[Method::Gmm], classes, features);
    let mut summary = summary.with_parameters(&Parameters::default());
    let (image, logits) = (vec![1.0; features], vec![0.0; classes]);
    let training = Training::new(&image, &logits, None, classes).unwrap();
    summary.observe(&training, None).unwrap();
    let error = fit_summary(&Parameters::default(), &[Method::Gmm], None, Some(&summary));
    let error = error.unwrap_err().to_string();
    for part in ["gmm", "134217728", "1000 classes of 512 features"] {
        assert!(error.contains(part), "{error}");
    }
}
