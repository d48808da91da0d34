//! Every score against independent implementations (`scripts/score_fixtures.py`,
//! `scripts/activation_fixtures.py`), as fitted and as restored from what was saved.

use std::collections::BTreeMap;

use odin_scores::{
    Fitted, Head, Method, Observation, Parameters, Scorer, Training, fit, fit_with, restore,
    tensors,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    /// Scores with parameters, where they are not the defaults.
    #[serde(default)]
    parameters: Vec<String>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    labels: Option<Vec<usize>>,
    training_features: Vec<f32>,
    training_logits: Vec<f32>,
    #[serde(default)]
    training_feature_maps: Vec<f32>,
    #[serde(default)]
    training_shifted_features: Vec<f32>,
    features: Vec<f32>,
    #[serde(default)]
    feature_maps: Vec<f32>,
    #[serde(default)]
    shifted_features: Vec<f32>,
    logits: Vec<f32>,
    scores: BTreeMap<String, Vec<f64>>,
}

impl Case {
    fn head(&self) -> Head {
        Head::new(self.weight.clone(), self.bias.clone()).unwrap()
    }

    fn training(&self) -> Training<'_> {
        let training = Training::new(
            &self.training_features,
            &self.training_logits,
            self.labels.as_deref(),
            self.bias.len(),
        );
        let mut training = training.unwrap();
        if !self.training_feature_maps.is_empty() {
            training = training
                .with_feature_maps(&self.training_feature_maps)
                .unwrap();
        }
        if !self.training_shifted_features.is_empty() {
            training = training
                .with_shifted_features(&self.training_shifted_features)
                .unwrap();
        }
        training
    }

    /// Those with default parameters.
    fn methods(&self) -> Vec<Method> {
        self.scores
            .keys()
            .filter(|name| !name.contains(':'))
            .map(|name| name.parse().unwrap())
            .collect()
    }

    /// Those with others, by their names with parameters.
    fn fit_with_parameters(&self) -> Vec<(&str, Fitted)> {
        let names = self.scores.keys().filter(|name| name.contains(':'));
        let fit = |name: &str| {
            let mut parameters = Parameters::default();
            let method = parameters.read(name).unwrap();
            let (head, training) = (self.head(), self.training());
            fit_with(&parameters, &[method], Some(&head), Some(&training)).unwrap()
        };
        names
            .map(|name| (name.as_str(), fit(name).remove(0)))
            .collect()
    }

    fn fit(&self) -> Vec<Fitted> {
        let mut parameters = Parameters::default();
        for text in &self.parameters {
            parameters.read(text).unwrap();
        }
        let (methods, head) = (self.methods(), self.head());
        fit_with(&parameters, &methods, Some(&head), Some(&self.training())).unwrap()
    }

    fn observations(&self) -> Vec<Observation<'_>> {
        let images = self.logits.len() / self.bias.len();
        let observation = |image: usize| {
            let of_image = |values: &'_ Vec<f32>| {
                let width = values.len() / images;
                image * width..(image + 1) * width
            };
            Observation::new(&self.logits[of_image(&self.logits)])
                .with_features(&self.features[of_image(&self.features)])
                .with_feature_map(&self.feature_maps[of_image(&self.feature_maps)])
                .with_shifted_features(&self.shifted_features[of_image(&self.shifted_features)])
        };
        (0..images).map(observation).collect()
    }
}

fn cases() -> Vec<Case> {
    let read = |text: &str| -> Vec<Case> { serde_json::from_str(text).unwrap() };
    let mut cases = read(include_str!("../fixtures.json"));
    cases.extend(read(include_str!("../activation_fixtures.json")));
    cases
}

/// How far a score may be off, relative to the larger of itself and 1; a relative distance, which
/// is the difference of two, relative to those. Scores of logits are computed in f64.
/// Scores of features multiply in f32 (6e-8 a product). SciPy finds the temperature to about the
/// root of 2e-16.
fn tolerance(method: Method) -> f64 {
    match method {
        Method::TemperatureScaling => 1e-7,
        method if method.needs_features() || method.needs_feature_map() => 1e-6,
        _ => 1e-13,
    }
}

#[test]
fn scores_match_independent_implementations() {
    for case in cases() {
        let fitted = case.fit();
        let fitted = fitted.iter().map(|scorer| (scorer.name(), scorer));
        let others = case.fit_with_parameters();
        let others = others.iter().map(|(name, scorer)| (*name, scorer));
        for (name, scorer) in fitted.chain(others) {
            let expected = &case.scores[name];
            let magnitude = |i: usize| match scorer.method() {
                Method::RelativeMahalanobis => expected[i].abs() - case.scores["mahalanobis"][i],
                Method::RelativeMahalanobisPp => {
                    expected[i].abs() - case.scores["mahalanobis-pp"][i]
                }
                _ => expected[i].abs(),
            };
            for (i, observation) in case.observations().iter().enumerate() {
                let (score, expected) = (scorer.score(observation), expected[i]);
                let tolerance = tolerance(scorer.method()) * magnitude(i).max(1.0);
                assert!(
                    (score - expected).abs() <= tolerance,
                    "{}: {name} of image {i} is {score}, expected {expected}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn the_fixtures_cover_every_method() {
    let cases = cases();
    for method in Method::ALL {
        let covered = cases
            .iter()
            .any(|case| case.scores.contains_key(method.name()));
        assert!(covered, "{method}");
    }
}

/// Also where observations between them have no score.
#[test]
fn batches_have_the_bits_of_single_images() {
    for case in cases() {
        let mut observations = case.observations();
        observations.insert(1, Observation::new(&[f32::NAN]));
        observations.push(Observation::new(&[]));
        for scorer in case.fit() {
            let single = observations.iter().map(|o| scorer.score(o).to_bits());
            let batch = scorer.score_batch(&observations);
            let batch = batch.into_iter().map(f64::to_bits);
            assert!(single.eq(batch), "{}: {}", case.name, scorer.name());
        }
    }
}

#[test]
fn restored_scores_have_the_same_bits() {
    for case in cases() {
        let fitted = case.fit();
        let restored = restore(&case.methods(), Some(&case.head()), &tensors(&fitted)).unwrap();
        for (before, after) in fitted.iter().zip(&restored) {
            let alone = restore(&[before.method()], Some(&case.head()), &before.tensors()).unwrap();
            for observation in case.observations() {
                let bits = before.score(&observation).to_bits();
                assert_eq!(
                    bits,
                    after.score(&observation).to_bits(),
                    "{}",
                    before.name()
                );
                assert_eq!(
                    bits,
                    alone[0].score(&observation).to_bits(),
                    "{}",
                    before.name()
                );
            }
        }
    }
}

#[test]
fn shared_tensors_are_saved_once() {
    let case = &cases()[0];
    let mut names: Vec<String> = tensors(&case.fit()).into_iter().map(|t| t.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn notes_say_what_stood_in() {
    let notes = |case: &Case, method: Method| -> Vec<String> {
        let fitted = fit(&[method], Some(&case.head()), Some(&case.training())).unwrap();
        fitted[0].notes().to_vec()
    };
    let cases = cases();
    assert!(notes(&cases[0], Method::Mahalanobis).is_empty());
    assert_eq!(
        notes(&cases[0], Method::Knn),
        ["k is 1: 50, but at most a tenth of the images of the smallest class, and at least 1."]
    );
    assert_eq!(
        notes(&cases[0], Method::She),
        [
            "1 of 4 classes have no training image that is classified correctly: images that are \
          taken for them score 0."
        ]
    );
    assert_eq!(
        notes(&cases[1], Method::Mahalanobis),
        ["1 of 4 classes have no training image and are left out."]
    );
    assert_eq!(
        notes(&cases[1], Method::MahalanobisPp),
        ["1 of 4 classes have no training image and are left out."]
    );
    let mut parameters = Parameters::default();
    for (name, note) in [
        (
            "knn:50",
            "k is 40, the number of training images, instead of 50.",
        ),
        (
            "nn-guide:k=5:share=0.1",
            "k is 4, the number of training images that are kept, instead of 5.",
        ),
    ] {
        let method = parameters.read(name).unwrap();
        let (head, training) = (cases[1].head(), cases[1].training());
        let fitted = fit_with(&parameters, &[method], Some(&head), Some(&training)).unwrap();
        assert_eq!(fitted[0].notes(), [note]);
    }
    assert_eq!(
        notes(&cases[3], Method::RelativeMahalanobis)[0],
        "Predicted classes stood in for the missing labels."
    );
}
