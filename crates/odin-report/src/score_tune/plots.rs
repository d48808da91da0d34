//! Plots of a search for the parameters of a score: the metric against each of them.

use super::ScoreTuneReport;
use crate::plot::{Axis, Better, Line, LinePlot, Markers, Scale};

impl ScoreTuneReport {
    /// A picture for each parameter of which several values were tried, named `against-` and the
    /// parameter.
    pub fn plots(&self) -> Vec<(String, String)> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.candidates.iter().flat_map(|spec| parameters(spec)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let plot = |name: &str| Some((format!("against-{name}"), self.plot(name)?));
        names.into_iter().filter_map(plot).collect()
    }

    /// `None` where fewer than two values were tried.
    fn plot(&self, name: &str) -> Option<String> {
        let points = self.best_of(name);
        if points.len() < 2 {
            return None;
        }
        let objective = self.search.objective;
        let chosen = value_of(self.chosen(), name);
        let plot = LinePlot {
            title: format!(
                "{}: {} against {}",
                self.score, self.in_dataset, self.search.tuned_on
            ),
            x_axis: Axis {
                label: name.to_string(),
                scale: Scale::Linear,
            },
            y_axis: Axis {
                label: format!("{objective} (%)"),
                scale: Scale::Linear,
            },
            better: match objective.is_larger_better() {
                true => Better::Higher,
                false => Better::Lower,
            },
            lines: vec![Line {
                label: "best of the others".to_string(),
                points,
                markers: Markers::Every,
            }],
            marked: chosen.map(|value| (value, 100.0 * self.search.value)),
        };
        Some(plot.to_svg())
    }

    /// Each value of a parameter, rising, and the best that candidates with it reach.
    fn best_of(&self, name: &str) -> Vec<(f64, f64)> {
        let objective = self.search.objective;
        let better = |a: f64, b: f64| match objective.is_larger_better() {
            true => a.max(b),
            false => a.min(b),
        };
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (spec, metrics) in self.candidates.iter().zip(&self.search.metrics) {
            let reached = 100.0 * objective.of(metrics);
            if let Some(value) = value_of(spec, name) {
                match points.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, best)) => *best = better(*best, reached),
                    None => points.push((value, reached)),
                }
            }
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }
}

/// The parameters of such as `ash:pruned=0.9`, with their values.
fn parameters(spec: &str) -> impl Iterator<Item = (&str, &str)> {
    spec.split(':').filter_map(|part| part.split_once('='))
}

fn value_of(spec: &str, name: &str) -> Option<f64> {
    let mut found = parameters(spec).filter(|(own, _)| *own == name);
    found.next()?.1.parse().ok()
}
