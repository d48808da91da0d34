//! Plots of a grid search: a heat map, and the metric against T and against ε.

use crate::plot::{Axis, Better, HeatMap, Line, LinePlot, Markers, Scale};
use crate::tune::TuneReport;
use odin::{Grid, Rule, Search};

/// The pictures of every search of a report, each with a name: `heat-map`, `against-temperature`
/// and `against-magnitude`, with the number of the search where there are several.
pub fn tune_plots(report: &TuneReport) -> Vec<(String, String)> {
    let searches = report.searches.iter().enumerate();
    let plots = searches.flat_map(|(i, search)| {
        let number = match report.searches.len() {
            1 => String::new(),
            _ => format!("-{}", i + 1),
        };
        let pictures = Pictures::new(report, search);
        [
            (format!("heat-map{number}"), pictures.heat_map()),
            (
                format!("against-temperature{number}"),
                pictures.against_temperature(),
            ),
            (
                format!("against-magnitude{number}"),
                pictures.against_magnitude(),
            ),
        ]
    });
    plots.collect()
}

/// More lines than this cannot be told apart.
const LINES: usize = 6;

struct Pictures<'a> {
    grid: &'a Grid,
    /// The temperature and the magnitude chosen, by their places in the grid.
    chosen: (usize, usize),
    /// For each temperature, the value at each magnitude.
    rows: Vec<Vec<f64>>,
    label: String,
    unit: &'static str,
    better: Better,
    title: String,
}

impl<'a> Pictures<'a> {
    fn new(report: &'a TuneReport, search: &'a Search) -> Self {
        let grid = &report.grid;
        let width = grid.magnitudes().len();
        let (values, label, unit, better) = match (search.rule, &search.metrics) {
            (Rule::Metric(objective), Some(metrics)) => {
                let values = metrics.iter().map(|m| 100.0 * objective.of(m)).collect();
                let better = match objective.is_larger_better() {
                    true => Better::Higher,
                    false => Better::Lower,
                };
                (values, objective.to_string(), "%", better)
            }
            _ => {
                let label = "mean ODIN score".to_string();
                (search.mean_scores.clone(), label, "", Better::Higher)
            }
        };
        let values: Vec<f64> = values;
        Self {
            grid,
            chosen: (search.choice.index / width, search.choice.index % width),
            rows: values.chunks(width).map(<[f64]>::to_vec).collect(),
            label,
            unit,
            better,
            title: format!(
                "{}: {} against {}",
                report.network.architecture, report.in_dataset, search.tuned_on
            ),
        }
    }

    fn heat_map(&self) -> String {
        let texts = |values: &[f64]| values.iter().map(f64::to_string).collect();
        let map = HeatMap {
            title: self.title.clone(),
            value_label: self.label.clone(),
            unit: self.unit.to_string(),
            better: self.better,
            x_label: "magnitude ε".to_string(),
            x: texts(self.grid.magnitudes()),
            y_label: "temperature T".to_string(),
            y: texts(self.grid.temperatures()),
            values: self.rows.clone(),
            marked: Some(self.chosen),
        };
        map.to_svg()
    }

    /// A line for each of some magnitudes.
    fn against_temperature(&self) -> String {
        let (magnitudes, temperatures) = (self.grid.magnitudes(), self.grid.temperatures());
        let lines = spread(magnitudes.len(), self.chosen.1)
            .into_iter()
            .map(|e| {
                let values = self.rows.iter().map(|row| row[e]);
                Line {
                    label: format!("ε = {}", magnitudes[e]),
                    points: temperatures.iter().copied().zip(values).collect(),
                    markers: Markers::Every,
                }
            });
        let x_axis = Axis {
            label: "temperature T".to_string(),
            scale: Scale::Logarithmic,
        };
        let chosen = temperatures[self.chosen.0];
        self.line_plot(x_axis, lines.collect(), chosen)
    }

    /// A line for each of some temperatures.
    fn against_magnitude(&self) -> String {
        let (magnitudes, temperatures) = (self.grid.magnitudes(), self.grid.temperatures());
        let lines = spread(temperatures.len(), self.chosen.0)
            .into_iter()
            .map(|t| {
                let values = self.rows[t].iter().copied();
                Line {
                    label: format!("T = {}", temperatures[t]),
                    points: magnitudes.iter().copied().zip(values).collect(),
                    markers: Markers::Every,
                }
            });
        let x_axis = Axis {
            label: "magnitude ε".to_string(),
            scale: Scale::Linear,
        };
        let chosen = magnitudes[self.chosen.1];
        self.line_plot(x_axis, lines.collect(), chosen)
    }

    fn line_plot(&self, x_axis: Axis, lines: Vec<Line>, chosen: f64) -> String {
        let label = match self.unit {
            "" => self.label.clone(),
            unit => format!("{} ({unit})", self.label),
        };
        let plot = LinePlot {
            title: self.title.clone(),
            x_axis,
            y_axis: Axis {
                label,
                scale: Scale::Linear,
            },
            better: self.better,
            lines,
            marked: Some((chosen, self.rows[self.chosen.0][self.chosen.1])),
        };
        plot.to_svg()
    }
}

/// Some of `count` places, evenly spread, the one `kept` among them.
fn spread(count: usize, kept: usize) -> Vec<usize> {
    let lines = count.min(LINES);
    let mut places: Vec<usize> = match lines {
        0 | 1 => vec![kept],
        _ => (0..lines).map(|i| i * (count - 1) / (lines - 1)).collect(),
    };
    if !places.contains(&kept) {
        let near = places.iter_mut().min_by_key(|place| place.abs_diff(kept));
        if let Some(near) = near {
            *near = kept;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_spread_and_hold_the_chosen_one() {
        for (count, kept, expected) in [
            (1, 0, vec![0]),
            (3, 1, vec![0, 1, 2]),
            (6, 5, vec![0, 1, 2, 3, 4, 5]),
            (10, 9, vec![0, 1, 3, 5, 7, 9]),
            (21, 7, vec![0, 4, 7, 12, 16, 20]),
        ] {
            assert_eq!(spread(count, kept), expected, "{count} {kept}");
        }
    }
}
