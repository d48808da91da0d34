//! Line plots.

use super::axis::{Axis, Scale, Span, short};
use super::better::Better;
use super::colour::LINES;
use super::frame::{Area, Frame};
use super::svg::{Anchor, Canvas, MARGIN, Style, TEXT, widest};

/// The size of the area between the axes.
const AREA: Area = (600.0, 340.0);

/// Height of an entry of the legend, and length of the line it shows.
const ENTRY: f64 = 20.0;
const SAMPLE: f64 = 28.0;

/// A metric against a quantity, with a line for each of several values of another.
///
/// ```
/// use odin_report::plot::{Axis, Better, Line, LinePlot, Markers, Scale};
///
/// let plot = LinePlot {
///     title: "digits and letters".into(),
///     x_axis: Axis { label: "temperature T".into(), scale: Scale::Logarithmic },
///     y_axis: Axis { label: "FPR at 95 % TPR in %".into(), scale: Scale::Linear },
///     better: Better::Lower,
///     lines: vec![Line {
///         label: "ε = 0.0014".into(),
///         points: vec![(1.0, 34.8), (10.0, 12.0), (1000.0, 4.3)],
///         markers: Markers::Every,
///     }],
///     marked: Some((1000.0, 4.3)),
/// };
/// assert!(plot.to_svg().starts_with("<svg "));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinePlot {
    /// Its title.
    pub title: String,
    /// The quantity along the bottom.
    pub x_axis: Axis,
    /// The metric.
    pub y_axis: Axis,
    /// Which values of the metric are good.
    pub better: Better,
    /// The lines, in the order of the legend.
    pub lines: Vec<Line>,
    /// The place to be circled.
    pub marked: Option<(f64, f64)>,
}

/// A line of a [`LinePlot`].
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the legend.
    pub label: String,
    /// Its points in the order in which they are joined. One that an axis cannot show is a gap.
    pub points: Vec<(f64, f64)>,
    /// Which points have a marker, and a text that viewers show for it.
    pub markers: Markers,
}

/// Which points of a line have a marker.
#[derive(Debug, Clone, PartialEq)]
pub enum Markers {
    /// Every one of them: the line stands for few values.
    Every,
    /// These on the line: it is a curve of many.
    These(Vec<(f64, f64)>),
}

impl LinePlot {
    /// The plot as an SVG document of its own, about 600 pixels wide and the legend beside it.
    pub fn to_svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let shown = || points().chain(&self.marked).filter(|p| self.shows(**p));
        let x = Span::around(self.x_axis.scale, shown().map(|point| point.0));
        let y = Span::around(self.y_axis.scale, shown().map(|point| point.1));
        let left = Frame::left_of(&y);
        let labels = self.lines.iter().map(|line| line.label.as_str());
        let legend = SAMPLE + 8.0 + widest(labels, TEXT);
        let width = left + AREA.0 + 20.0 + legend + MARGIN;

        let mut canvas = Canvas::default();
        let top = canvas.header(&self.title, &self.about(), width);
        let frame = Frame::new((left, top), AREA, x, y);
        frame.draw_axes(&mut canvas, &self.x_axis.label, &self.y_axis.label);
        for (i, line) in self.lines.iter().enumerate() {
            self.draw_line(&mut canvas, &frame, line, Look::of(i));
        }
        self.draw_mark(&mut canvas, &frame);
        let legend_bottom = self.draw_legend(&mut canvas, (frame.right() + 20.0, top));
        let height = (frame.bottom() + 52.0).max(legend_bottom + MARGIN);
        canvas.finish((width, height), &self.title, &self.description())
    }

    fn shows(&self, (x, y): (f64, f64)) -> bool {
        self.x_axis.scale.shows(x) && self.y_axis.scale.shows(y)
    }

    /// The line below the title.
    fn about(&self) -> String {
        let mut about = format!("{} ({})", self.y_axis.label, self.better.words());
        if let Some((x, y)) = self.marked.filter(|point| self.shows(*point)) {
            let (x_label, y_label) = (&self.x_axis.label, &self.y_axis.label);
            let (x, y) = (short(x), short(y));
            about += &format!("; circled: {x_label} = {x}, {y_label} = {y}");
        }
        about
    }

    fn description(&self) -> String {
        let names: Vec<&str> = self.lines.iter().map(|line| line.label.as_str()).collect();
        format!(
            "Line plot of {} against {}{}, with a line for each of: {}.",
            self.about(),
            self.x_axis.label,
            match self.x_axis.scale {
                Scale::Linear => "",
                Scale::Logarithmic => " (logarithmic)",
            },
            names.join(", ")
        )
    }

    fn draw_line(&self, canvas: &mut Canvas, frame: &Frame, line: &Line, look: Look) {
        for run in line.points.split(|point| !self.shows(*point)) {
            let places: Vec<(f64, f64)> = run.iter().map(|point| frame.point(*point)).collect();
            if places.len() > 1 {
                canvas.path(&places, false, &look.stroke());
            }
        }
        let markers = match &line.markers {
            Markers::Every => &line.points,
            Markers::These(points) => points,
        };
        for point in markers.iter().filter(|point| self.shows(**point)) {
            let text = format!("{}: {}, {}", line.label, short(point.0), short(point.1));
            let place = frame.point(*point);
            canvas.explained(&text, |canvas| look.draw_marker(canvas, place));
        }
    }

    fn draw_mark(&self, canvas: &mut Canvas, frame: &Frame) {
        if let Some(point) = self.marked.filter(|point| self.shows(*point)) {
            for stroke in [
                r##"stroke="#ffffff" stroke-width="5""##,
                r##"stroke="#000000" stroke-width="2""##,
            ] {
                let attributes = format!(r#"fill="none" {stroke}"#);
                canvas.circle(frame.point(point), 9.0, &attributes);
            }
        }
    }

    /// The y below the legend.
    fn draw_legend(&self, canvas: &mut Canvas, (x, top): (f64, f64)) -> f64 {
        for (i, line) in self.lines.iter().enumerate() {
            let look = Look::of(i);
            let y = top + ENTRY * (i as f64 + 0.5);
            canvas.path(&[(x, y), (x + SAMPLE, y)], false, &look.stroke());
            look.draw_marker(canvas, (x + 0.5 * SAMPLE, y));
            let place = (x + SAMPLE + 8.0, y);
            canvas.text(place, Style::new(Anchor::Start), &line.label);
        }
        top + ENTRY * self.lines.len() as f64
    }
}

/// What tells a line from the others: colour, marker and dashes. Of 35 lines no two look the same.
#[derive(Debug, Clone, Copy)]
struct Look {
    colour: &'static str,
    marker: usize,
    dashes: &'static str,
}

impl Look {
    fn of(line: usize) -> Self {
        const DASHES: [&str; 3] = [
            "",
            r#" stroke-dasharray="6 3""#,
            r#" stroke-dasharray="2 3""#,
        ];
        Self {
            colour: LINES[line % LINES.len()],
            marker: line % 5,
            dashes: DASHES[line / LINES.len() % DASHES.len()],
        }
    }

    fn stroke(self) -> String {
        format!(
            r#"fill="none" stroke="{}" stroke-width="1.8" stroke-linejoin="round"{}"#,
            self.colour, self.dashes
        )
    }

    /// A circle, square, triangle, diamond or triangle upside down.
    fn draw_marker(self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        let fill = format!(
            r##"fill="{}" stroke="#ffffff" stroke-width="0.7""##,
            self.colour
        );
        let corners: &[(f64, f64)] = match self.marker {
            0 => return canvas.circle((x, y), 3.6, &fill),
            1 => &[(-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)],
            2 => &[(0.0, -4.6), (4.4, 3.2), (-4.4, 3.2)],
            3 => &[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)],
            _ => &[(0.0, 4.6), (4.4, -3.2), (-4.4, -3.2)],
        };
        let places: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        canvas.path(&places, true, &fill);
    }
}
