//! Plots as self-contained SVG: no script, no link, no font of their own, no `id`, so that several
//! of them can stand inside one HTML page. They bring a light background, and colours that people
//! with any colour vision can tell apart; what colour says, a number or a shape says too.
//!
//! Numbers that are not finite, or beyond ±10^300, are gaps, never points.

mod axis;
mod colour;
mod heat_map;
mod line_plot;
mod svg;

pub use axis::{Axis, Scale};
pub use heat_map::HeatMap;
pub use line_plot::{Line, LinePlot};

/// Which values of a metric are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Better {
    /// Small ones, as of FPR at 95 % TPR.
    Lower,
    /// Large ones, as of AUROC.
    Higher,
}

impl Better {
    fn words(self) -> &'static str {
        match self {
            Self::Lower => "lower is better",
            Self::Higher => "higher is better",
        }
    }
}

/// The least and the largest of the values that can be drawn; `None` without any.
fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| drawable(*value))
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}

fn drawable(value: f64) -> bool {
    value.abs() <= 1e300
}
