//! Any bytes as a histogram sketch: what is accepted is written again as the same bytes, and has
//! metrics within their bounds.

use odin_metrics::HistogramSketch;

/// Runs the target on one input.
pub fn run(bytes: &[u8]) {
    let Ok(sketch) = HistogramSketch::from_bytes(bytes) else {
        return;
    };
    assert_eq!(sketch.to_bytes(), bytes);
    let (Ok(metrics), Ok(bounds)) = (sketch.metrics(), sketch.bounds()) else {
        assert!(sketch.n_in() == 0 || sketch.n_out() == 0);
        return;
    };
    for ((name, value), (_, bounds)) in metrics.named().into_iter().zip(bounds.named()) {
        assert!(
            bounds.lower <= value && value <= bounds.upper,
            "{name}: {value} is not in {bounds:?}"
        );
    }
}
