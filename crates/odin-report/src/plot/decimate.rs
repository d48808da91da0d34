//! Curves of millions of points become a few hundred that look the same.

/// The share of a side of the plot that a point may be off.
const STEP: f64 = 1.0 / 250.0;

/// The first and the last point of a curve, and those between that are further than 1/250 of the
/// whole range, in one direction or the other, from the point kept before: a curve that only rises
/// or only falls keeps at most 500 points, and none of the others is further than that from what is
/// drawn.
///
/// ```
/// use odin_report::plot::decimated;
///
/// let many = (0..=100_000).map(|i| (f64::from(i), f64::from(i).sqrt()));
/// let few = decimated(many);
/// assert!((250..=500).contains(&few.len()));
/// assert_eq!((few[0], few[few.len() - 1].0), ((0.0, 0.0), 100_000.0));
/// ```
pub fn decimated(points: impl IntoIterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = points.into_iter().collect();
    let extent = |of: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(of);
        super::drawable::range(values).map_or(0.0, |(low, high)| high - low)
    };
    let step = (
        STEP * extent(|point| point.0),
        STEP * extent(|point| point.1),
    );
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let near = kept.last().is_some_and(|last| {
            (point.0 - last.0).abs() <= step.0 && (point.1 - last.1).abs() <= step.1
        });
        if !near || i + 1 == points.len() {
            kept.push(*point);
        }
    }
    kept
}
