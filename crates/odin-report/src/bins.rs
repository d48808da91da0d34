//! Scores of several groups counted in common bins of equal width.

use crate::plot::Group;

/// Bins of a histogram.
const BINS: usize = 60;

/// The edges of the bins, from the least score of all to the largest, and how many scores of each
/// group lie in each bin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    pub(crate) edges: Vec<f64>,
    pub(crate) counts: Vec<Vec<u64>>,
}

impl Bins {
    /// Of finite scores.
    pub(crate) fn of(groups: &[&[f64]]) -> Self {
        let all = || groups.iter().flat_map(|group| group.iter().copied());
        let low = all().fold(f64::INFINITY, f64::min);
        let width = (all().fold(f64::NEG_INFINITY, f64::max) - low) / BINS as f64;
        let edges = match width > 0.0 && width.is_finite() && low + width > low {
            true => (0..=BINS).map(|i| low + width * i as f64).collect(),
            false => single(low),
        };
        let counts = groups.iter().map(|group| counted(&edges, group));
        Self {
            counts: counts.collect(),
            edges,
        }
    }

    /// The counts with a name for each group.
    pub(crate) fn groups(&self, labels: &[&str]) -> Vec<Group> {
        let labelled = labels.iter().zip(&self.counts);
        let group = |(label, counts): (&&str, &Vec<u64>)| Group {
            label: (*label).to_string(),
            counts: counts.clone(),
        };
        labelled.map(group).collect()
    }
}

/// The edges of one bin around a value that all scores have, or almost.
fn single(value: f64) -> Vec<f64> {
    let (value, half) = match value.is_finite() {
        true => (value, (0.05 * value.abs()).max(1e-6)),
        false => (0.0, 1.0),
    };
    vec![value - half, value + half]
}

fn counted(edges: &[f64], scores: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() - 1];
    let last = counts.len() - 1;
    for score in scores {
        let reached = edges.partition_point(|edge| edge <= score);
        counts[reached.saturating_sub(1).min(last)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_is_in_the_bin_between_its_edges() {
        let cases: [(&[f64], &[f64]); 6] = [
            (&[0.0, 0.5, 1.0, 0.99], &[0.2]),
            (&[0.1, 0.1], &[0.1]),
            (&[-1e300, 1e300], &[0.0]),
            (&[1.0, 1.0 + f64::EPSILON], &[1.0]),
            (&[-5.0, -4.0], &[]),
            (&[], &[]),
        ];
        for (a, b) in cases {
            let bins = Bins::of(&[a, b]);
            assert!(bins.edges.is_sorted_by(|x, y| x < y), "{bins:?}");
            for (scores, counts) in [a, b].into_iter().zip(&bins.counts) {
                assert_eq!(counts.iter().sum::<u64>(), scores.len() as u64);
                assert_eq!(counts.len() + 1, bins.edges.len());
            }
        }
        let bins = Bins::of(&[&[0.0, 0.5, 60.0], &[0.99, 1.0]]);
        assert_eq!(bins.counts[0][0], 2);
        assert_eq!(bins.counts[0][59], 1);
        assert_eq!(bins.counts[1][..2], [1, 1]);
    }
}
