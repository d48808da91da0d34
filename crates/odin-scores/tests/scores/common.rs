//! A small network with training and test images, made from a seed.

use odin_scores::{Fitted, Head, Method, Observation, Parameters, Scorer, Training, fit_with};

#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) classes: usize,
    pub(crate) features: usize,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) labels: Vec<usize>,
    pub(crate) training: Vec<f32>,
    pub(crate) test: Vec<f32>,
}

/// So many positions have the feature maps.
const POSITIONS: usize = 4;

/// What a network says of images.
pub(crate) struct Said<'a> {
    classes: usize,
    features: &'a [f32],
    pub(crate) logits: Vec<f32>,
    maps: Vec<f32>,
    shifted: Vec<f32>,
}

impl Said<'_> {
    pub(crate) fn training<'a>(&'a self, labels: Option<&'a [usize]>) -> Training<'a> {
        let training = Training::new(self.features, &self.logits, labels, self.classes).unwrap();
        let training = training.with_feature_maps(&self.maps).unwrap();
        training.with_shifted_features(&self.shifted).unwrap()
    }

    fn observations(&self) -> Vec<Observation<'_>> {
        let images = self.logits.len() / self.classes;
        let width = self.features.len() / images;
        let part = |values, width| <[f32]>::chunks(values, width);
        let logits = part(&self.logits, self.classes).zip(part(self.features, width));
        let others = part(&self.maps, POSITIONS * width).zip(part(&self.shifted, width));
        let observation = |((logits, features), (map, shifted))| {
            Observation::new(logits)
                .with_features(features)
                .with_feature_map(map)
                .with_shifted_features(shifted)
        };
        logits.zip(others).map(observation).collect()
    }
}

impl Network {
    /// Features are in steps of 1/64, and differ in mean between classes.
    pub(crate) fn new(seed: u64, classes: usize, features: usize, images: usize) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 56) as f32 / 64.0
        };
        let weight: Vec<f32> = (0..classes * features)
            .map(|_| random() / 4.0 - 0.5)
            .collect();
        let labels: Vec<usize> = (0..images).map(|image| image % classes).collect();
        let training = labels
            .iter()
            .flat_map(|&label| weight[label * features..][..features].to_vec())
            .map(|centre| (2.0 * centre + random() - 1.0).max(0.0))
            .collect();
        Self {
            classes,
            features,
            bias: (0..classes).map(|_| random() / 8.0).collect(),
            test: (0..8 * features).map(|_| random()).collect(),
            weight,
            labels,
            training,
        }
    }

    pub(crate) fn head(&self) -> Head {
        Head::new(self.weight.clone(), self.bias.clone()).unwrap()
    }

    pub(crate) fn logits(&self, images: &[f32]) -> Vec<f32> {
        let logit = |h: &[f32], class: usize| {
            let weight = &self.weight[class * self.features..][..self.features];
            let sum: f64 = weight
                .iter()
                .zip(h)
                .map(|(&w, &h)| f64::from(w) * f64::from(h))
                .sum();
            (sum + f64::from(self.bias[class])) as f32
        };
        images
            .chunks(self.features)
            .flat_map(|h| (0..self.classes).map(move |class| logit(h, class)))
            .collect()
    }

    /// What the network says of images of these features.
    pub(crate) fn said<'a>(&self, features: &'a [f32]) -> Said<'a> {
        let around = |h: &f32| {
            // They depend on the value alone, and their mean is the value.
            let turn = (h.abs() * 64.0) as usize % POSITIONS;
            let mut factors = [0.0, 0.5, 1.5, 2.0];
            factors.rotate_left(turn);
            factors.map(|factor| factor * h)
        };
        let shifted = |h: &f32| 0.9375 * h + ((h.abs() * 64.0) as usize % 3) as f32 / 32.0;
        Said {
            classes: self.classes,
            features,
            logits: self.logits(features),
            maps: features.iter().flat_map(around).collect(),
            shifted: features.iter().map(shifted).collect(),
        }
    }

    /// Whether an image has two largest logits.
    #[allow(dead_code)]
    pub(crate) fn has_ties(&self) -> bool {
        let images = [&self.training[..], &self.test].concat();
        self.logits(&images).chunks(self.classes).any(|logits| {
            let largest = logits.iter().copied().fold(f32::MIN, f32::max);
            logits.iter().filter(|logit| **logit == largest).count() > 1
        })
    }

    pub(crate) fn fit(&self, parameters: &Parameters, methods: &[Method]) -> Vec<Fitted> {
        let said = self.said(&self.training);
        let training = said.training(Some(&self.labels));
        fit_with(parameters, methods, Some(&self.head()), Some(&training)).unwrap()
    }

    /// The scores of the test images, one row a score.
    pub(crate) fn scores(&self, scores: &[Fitted]) -> Vec<Vec<f64>> {
        let said = self.said(&self.test);
        let observations: Vec<Observation<'_>> = said.observations();
        scores
            .iter()
            .map(|score| observations.iter().map(|o| score.score(o)).collect())
            .collect()
    }
}
