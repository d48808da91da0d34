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
        let logits = self.logits(&self.training);
        let training =
            Training::new(&self.training, &logits, Some(&self.labels), self.classes).unwrap();
        fit_with(parameters, methods, Some(&self.head()), Some(&training)).unwrap()
    }

    /// The scores of the test images, one row a score.
    pub(crate) fn scores(&self, scores: &[Fitted]) -> Vec<Vec<f64>> {
        let logits = self.logits(&self.test);
        let images = logits
            .chunks(self.classes)
            .zip(self.test.chunks(self.features));
        let observations: Vec<Observation<'_>> = images
            .map(|(logits, features)| Observation { logits, features })
            .collect();
        scores
            .iter()
            .map(|score| observations.iter().map(|o| score.score(o)).collect())
            .collect()
    }
}
