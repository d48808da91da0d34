//! Any bytes as a summary of training images: what is accepted is written again as the same bytes,
//! can be merged, and is fitted to or refused.

use odin::scores::{Head, Method, Observation, Parameters, Scorer, TrainingSummary, fit_summary};

/// More classes or features make the fit slow, and no other.
const LARGEST: usize = 24;

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    let Ok(mut summary) = TrainingSummary::from_bytes(bytes) else {
        return;
    };
    let written = summary.to_bytes();
    assert!(bytes[7] < 3 || written == bytes);
    let again = TrainingSummary::from_bytes(&written).map(|read| read.to_bytes());
    assert_eq!(again.as_ref(), Ok(&written));
    let (classes, features) = (summary.classes(), summary.features().max(1));
    if classes <= LARGEST && features <= LARGEST {
        fit(&summary, classes, features);
    }
    let images = summary.images();
    let same = summary.clone();
    if summary.merge(&same).is_ok() {
        assert_eq!(summary.images(), 2 * images);
        let read = TrainingSummary::from_bytes(&summary.to_bytes()).map(|read| read.images());
        assert_eq!(read, Ok(2 * images));
    }
}

fn fit(summary: &TrainingSummary, classes: usize, features: usize) {
    let weight = (0..classes * features).map(|i| (i as f32).sin()).collect();
    let head = Head::new(weight, vec![0.5; classes]).ok();
    for method in Method::ALL {
        let parameters = Parameters::default();
        let fitted = fit_summary(&parameters, &[method], head.as_ref(), Some(summary));
        for score in fitted.unwrap_or_default() {
            let (logits, values) = (vec![1.0; classes], vec![1.0; features]);
            let observation = Observation::new(&logits).with_features(&values);
            let observation = observation.with_feature_map(&values);
            score.score(&observation.with_shifted_features(&values));
        }
    }
}
