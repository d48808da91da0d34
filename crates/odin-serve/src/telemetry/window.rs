//! The scores of the last images, compared with those of the calibration.

use odin_metrics::kolmogorov_smirnov;
use std::collections::VecDeque;

/// The deciding scores of the last images and whether they were rejected.
#[derive(Debug)]
pub(crate) struct Window {
    last: VecDeque<(f64, bool)>,
    most: usize,
}

/// What a [`Window`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drifted {
    pub(crate) images: usize,
    /// The share of the images that were rejected.
    pub(crate) rejected: f64,
    /// The two-sample Kolmogorov-Smirnov statistic: the largest distance of the distribution of
    /// these scores from that of the calibration.
    pub(crate) statistic: f64,
    pub(crate) p_value: f64,
}

impl Window {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            last: VecDeque::new(),
            most,
        }
    }

    pub(crate) fn add(&mut self, score: f64, is_in_distribution: bool) {
        if self.last.len() == self.most {
            self.last.pop_front();
        }
        self.last.push_back((score, !is_in_distribution));
    }

    /// Compared with a sample of the calibration's scores; `None` of no image.
    pub(crate) fn drifted(&self, calibration: &[f64]) -> Option<Drifted> {
        let scores: Vec<f64> = self.last.iter().map(|(score, _)| *score).collect();
        let test = kolmogorov_smirnov(calibration, &scores).ok()?;
        let rejected = self.last.iter().filter(|(_, rejected)| *rejected).count();
        Some(Drifted {
            images: scores.len(),
            rejected: rejected as f64 / scores.len() as f64,
            statistic: test.statistic,
            p_value: test.p_value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_sees_drift() {
        let calibration: Vec<f64> = (0..200).map(f64::from).collect();
        let mut window = Window::new(100);
        assert_eq!(window.drifted(&calibration), None);
        for score in 0..100 {
            window.add(f64::from(2 * score), score >= 5);
        }
        let same = window.drifted(&calibration).unwrap();
        assert_eq!((same.images, same.rejected), (100, 0.05));
        assert!(same.statistic < 0.02 && same.p_value > 0.9, "{same:?}");
        for score in 0..50 {
            window.add(f64::from(score), false);
        }
        let moved = window.drifted(&calibration).unwrap();
        assert_eq!((moved.images, moved.rejected), (100, 0.5));
        assert!(moved.p_value < 1e-3, "{moved:?}");
    }
}
