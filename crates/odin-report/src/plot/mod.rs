//! Plots as self-contained SVG: no script, no link, no font of their own, no `id`, so that several
//! of them can stand inside one HTML page. They bring a light background, and colours that people
//! with any colour vision can tell apart; what colour says, a number or a shape says too.
//!
//! Numbers that are not finite, or beyond ±10^300, are gaps, never points.

mod axis;
mod better;
mod colour;
mod decimate;
mod drawable;
mod frame;
mod heat_map;
mod histogram;
mod line_plot;
#[cfg(feature = "png-plots")]
mod raster;
mod svg;

pub(crate) use colour::Colour;
pub(crate) use svg::escape;

pub use axis::{Axis, Scale};
pub use better::Better;
pub use decimate::decimated;
pub use heat_map::HeatMap;
pub use histogram::{Group, Histogram, Mark, PixelAxis};
pub use line_plot::{Line, LinePlot, Markers};
#[cfg(feature = "png-plots")]
pub use raster::{NotDrawn, Rasterizer};
