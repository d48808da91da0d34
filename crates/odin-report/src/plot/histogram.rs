//! Histograms of several groups over common bins.

use super::axis::{Span, to_step};
use super::colour::LINES;
use super::frame::{Area, Frame};
use super::svg::{Anchor, Canvas, INK, MARGIN, Style, TEXT, shortened, widest};

/// The size of the area between the axes.
const AREA: Area = (600.0, 260.0);

/// Height of an entry of the legend, and size of the sample that it shows.
const ENTRY: f64 = 20.0;
const SAMPLE: (f64, f64) = (28.0, 12.0);

/// How the outlines of groups differ, beside their colours.
const DASHES: [&str; 3] = [
    "",
    r#" stroke-dasharray="6 3""#,
    r#" stroke-dasharray="2 3""#,
];

/// The shares of groups of scores in common bins, one group drawn over the other.
///
/// ```
/// use odin_report::plot::{Group, Histogram, Mark};
///
/// let histogram = Histogram {
///     title: "digits and letters".into(),
///     x_label: "ODIN score".into(),
///     edges: vec![0.1, 0.2, 0.3],
///     groups: vec![
///         Group { label: "in".into(), counts: vec![1, 3] },
///         Group { label: "out".into(), counts: vec![4, 0] },
///     ],
///     marks: vec![Mark { label: "95 % TPR".into(), value: 0.15 }],
/// };
/// assert!(histogram.to_svg().contains(">0.10 to 0.20: in 25.0%, out 100.0%<"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Its title.
    pub title: String,
    /// The quantity along the bottom.
    pub x_label: String,
    /// The edges of the bins, rising: one more than bins.
    pub edges: Vec<f64>,
    /// The groups, in the order of the legend.
    pub groups: Vec<Group>,
    /// Values to be marked by a line.
    pub marks: Vec<Mark>,
}

/// A group of a [`Histogram`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name in the legend.
    pub label: String,
    /// How many of it are in each bin.
    pub counts: Vec<u64>,
}

/// A value that a [`Histogram`] marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// What it is.
    pub label: String,
    /// Where it is.
    pub value: f64,
}

/// Where the values of the horizontal axis are, in the units of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelAxis {
    /// The value at the left end and at the right end.
    pub values: (f64, f64),
    /// Their places.
    pub places: (f64, f64),
    /// Upper and lower end of the area between the axes.
    pub heights: (f64, f64),
}

impl Group {
    /// The share of the group that is in a bin, in per cent.
    fn share(&self, bin: usize) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let count = self.counts.get(bin).copied().unwrap_or(0);
        100.0 * count as f64 / total.max(1) as f64
    }
}

impl Histogram {
    /// The plot as an SVG document of its own.
    pub fn to_svg(&self) -> String {
        let (mut canvas, frame, width) = self.begun();
        frame.draw_axes(&mut canvas, &self.x_label, Y_LABEL);
        for (i, group) in self.groups.iter().enumerate() {
            self.draw_group(&mut canvas, &frame, group, i);
        }
        self.draw_hints(&mut canvas, &frame);
        for mark in &self.marks {
            draw_mark(&mut canvas, &frame, mark);
        }
        self.draw_legend(&mut canvas, (frame.right() + 20.0, frame.top()));
        let height = frame.bottom() + 52.0;
        canvas.finish((width, height), &self.title, &self.description())
    }

    /// Where a value is in the picture, for what moves over it.
    pub fn pixel_axis(&self) -> PixelAxis {
        let (_, frame, _) = self.begun();
        PixelAxis {
            values: frame.x_ends(),
            places: (frame.left(), frame.right()),
            heights: (frame.top(), frame.bottom()),
        }
    }

    /// The picture with its title, the area of the plot, and the width of the whole.
    fn begun(&self) -> (Canvas, Frame, f64) {
        let (low, high) = self.ends().unwrap_or((0.0, 1.0));
        let x = Span::between(low, high);
        let shares = self.groups.iter();
        let shares = shares.flat_map(|group| (0..self.bins()).map(|bin| group.share(bin)));
        let highest = shares.fold(0.0, f64::max);
        let y = Span::between(0.0, if highest > 0.0 { 1.05 * highest } else { 1.0 });
        let left = Frame::left_of(&y);
        let labels = self.groups.iter().map(|group| group.label.as_str());
        let width = left + AREA.0 + 20.0 + SAMPLE.0 + 8.0 + widest(labels, TEXT) + MARGIN;
        let mut canvas = Canvas::default();
        let top = canvas.header(&self.title, &self.about(), width) + 14.0;
        (canvas, Frame::new((left, top), AREA, x, y), width)
    }

    /// A value to the digits that tell apart what is this share of the axis from each other.
    fn text(&self, value: f64, share: f64) -> String {
        let (low, high) = self.ends().unwrap_or((0.0, 1.0));
        match high > low {
            true => to_step(value, share * (high - low)),
            false => value.to_string(),
        }
    }

    fn ends(&self) -> Option<(f64, f64)> {
        Some((*self.edges.first()?, *self.edges.last()?))
    }

    fn bins(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// The line below the title.
    fn about(&self) -> String {
        let marks = self.marks.iter();
        let marks: Vec<String> = marks
            .map(|mark| format!("{}: {}", mark.label, self.text(mark.value, 0.001)))
            .collect();
        match marks.is_empty() {
            true => Y_LABEL.to_string(),
            false => format!("{Y_LABEL}; marked: {}", marks.join(", ")),
        }
    }

    fn description(&self) -> String {
        let names: Vec<&str> = self
            .groups
            .iter()
            .map(|group| group.label.as_str())
            .collect();
        let ends = self.ends().map_or(String::new(), |(low, high)| {
            let [low, high] = [low, high].map(|end| self.text(end, 0.001));
            format!(" from {low} to {high}")
        });
        format!(
            "Histogram of {} in {} bins{ends}, for each of: {}. {}.",
            self.x_label,
            self.bins(),
            names.join(", "),
            self.about()
        )
    }

    /// A filled outline like stairs.
    fn draw_group(&self, canvas: &mut Canvas, frame: &Frame, group: &Group, place: usize) {
        let mut stairs = Vec::with_capacity(2 * self.bins() + 2);
        for (bin, ends) in self.edges.windows(2).enumerate() {
            let share = group.share(bin);
            stairs.extend(ends.iter().map(|&edge| frame.point((edge, share))));
        }
        if let Some((first, last)) = self.ends().filter(|_| self.bins() > 0) {
            stairs.insert(0, frame.point((first, 0.0)));
            stairs.push(frame.point((last, 0.0)));
            canvas.path(&stairs, true, &look(place));
        }
    }

    /// The numbers of each bin, for viewers that show them.
    fn draw_hints(&self, canvas: &mut Canvas, frame: &Frame) {
        let bins = self.bins() as f64;
        for (bin, ends) in self.edges.windows(2).enumerate() {
            let shares = self.groups.iter();
            let shares: Vec<String> = shares
                .map(|group| format!("{} {:.1}%", group.label, group.share(bin)))
                .collect();
            let [from, to] = [ends[0], ends[1]].map(|edge| self.text(edge, 0.1 / bins));
            let hint = format!("{from} to {to}: {}", shares.join(", "));
            let (left, right) = (frame.x(ends[0]), frame.x(ends[1]));
            canvas.explained(&hint, |canvas| {
                let size = (right - left, frame.bottom() - frame.top());
                canvas.rectangle((left, frame.top()), size, r#"fill-opacity="0""#);
            });
        }
    }

    fn draw_legend(&self, canvas: &mut Canvas, (x, top): (f64, f64)) {
        for (i, group) in self.groups.iter().enumerate() {
            let y = top + ENTRY * (i as f64 + 0.5);
            let corner = (x, y - 0.5 * SAMPLE.1);
            canvas.rectangle(corner, SAMPLE, &look(i));
            let place = (x + SAMPLE.0 + 8.0, y);
            canvas.text(place, Style::new(Anchor::Start), &group.label);
        }
    }
}

const Y_LABEL: &str = "share of the images in %";

fn look(group: usize) -> String {
    let colour = LINES[group % LINES.len()];
    let dashes = DASHES[group % DASHES.len()];
    format!(
        r#"fill="{colour}" fill-opacity="0.3" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"{dashes}"#
    )
}

/// A line over the whole height with its name above, so far as the axis reaches.
fn draw_mark(canvas: &mut Canvas, frame: &Frame, mark: &Mark) {
    let (low, high) = frame.x_ends();
    if !(low..=high).contains(&mark.value) {
        return;
    }
    let x = frame.x(mark.value);
    let ends = [(x, frame.top()), (x, frame.bottom())];
    let stroke = format!(r#"fill="none" stroke="{INK}" stroke-width="1.5" stroke-dasharray="4 3""#);
    canvas.path(&ends, false, &stroke);
    let anchor = match frame.right() - x > 0.5 * AREA.0 {
        true => Anchor::Start,
        false => Anchor::End,
    };
    let label = shortened(&mark.label, 0.5 * AREA.0);
    canvas.text((x, frame.top() - 9.0), Style::new(anchor), &label);
}
