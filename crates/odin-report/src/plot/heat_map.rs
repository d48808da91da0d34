//! Heat maps.

use super::axis::{round_values, short, to_step};
use super::better::Better;
use super::colour::Colour;
use super::drawable::{drawable, range};
use super::svg::{Anchor, Canvas, INK, MARGIN, Style, TEXT, shortened, widest};

/// The least height of a row; the least width of a column, where there are many and few.
const LEAST_ROW: f64 = 30.0;
const LEAST_COLUMN: (f64, f64) = (46.0, 80.0);

/// The least width of the whole, for the sake of the texts above.
const LEAST_WIDTH: f64 = 480.0;

/// Width of the legend's bar, and the least height of it.
const BAR: f64 = 16.0;
const LEAST_BAR: f64 = 150.0;

/// Parts of the legend's bar, each of one colour.
const SHADES: usize = 64;

/// A table of numbers whose cells are coloured: the brighter, the better.
///
/// ```
/// use odin_report::plot::{Better, HeatMap};
///
/// let map = HeatMap {
///     title: "digits and letters".into(),
///     value_label: "FPR at 95 % TPR".into(),
///     unit: "%".into(),
///     better: Better::Lower,
///     x_label: "magnitude ε".into(),
///     x: vec!["0".into(), "0.002".into()],
///     y_label: "temperature T".into(),
///     y: vec!["1".into(), "1000".into()],
///     values: vec![vec![34.8, 20.1], vec![30.2, 4.3]],
///     marked: Some((1, 1)),
/// };
/// assert!(map.to_svg().contains(">4.3<"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Its title.
    pub title: String,
    /// What the values are.
    pub value_label: String,
    /// Their unit, such as `%`; may be empty.
    pub unit: String,
    /// Which values are good.
    pub better: Better,
    /// What differs between columns.
    pub x_label: String,
    /// One name for each column, from the left.
    pub x: Vec<String>,
    /// What differs between rows.
    pub y_label: String,
    /// One name for each row, from the top.
    pub y: Vec<String>,
    /// The rows of values, each as long as `x`. A value that is missing or not finite is a gap.
    pub values: Vec<Vec<f64>>,
    /// The row and the column of the cell to be outlined.
    pub marked: Option<(usize, usize)>,
}

/// The layout of the plot.
struct Layout {
    /// Upper left corner of the cells.
    left: f64,
    top: f64,
    /// Size of a cell.
    cell: (f64, f64),
    /// Lower right corner of the cells.
    right: f64,
    bottom: f64,
}

impl HeatMap {
    /// The plot as an SVG document of its own. Its size follows from the number of cells and the
    /// length of their texts; up to 21 columns of five digits it is about 1,200 pixels wide.
    pub fn to_svg(&self) -> String {
        let scale = ColourScale::of(self);
        let legend = scale.ticks();
        let legend_width = BAR + 8.0 + widest(legend.iter().map(|t| t.1.as_str()), TEXT);
        let cell = self.cell_size(&scale);
        let left = MARGIN + 24.0 + widest(self.y.iter().map(String::as_str), TEXT) + 8.0;
        let right = left + cell.0 * self.x.len() as f64;
        let width = (right + 24.0 + legend_width.max(48.0) + MARGIN).max(LEAST_WIDTH);

        let mut canvas = Canvas::default();
        let top = canvas.header(&self.title, &self.about(&scale), width);
        let layout = Layout {
            left,
            top,
            cell,
            right,
            bottom: top + cell.1 * self.y.len() as f64,
        };
        if self.x.is_empty() || self.y.is_empty() {
            let style = Style::new(Anchor::Start);
            canvas.text((MARGIN, top + 8.0), style, "There are no values.");
            let size = (width, top + 24.0 + MARGIN);
            return canvas.finish(size, &self.title, &self.description(&scale));
        }
        self.draw_cells(&mut canvas, &layout, &scale);
        self.draw_labels(&mut canvas, &layout);
        let legend_bottom = scale.draw(&mut canvas, (right + 24.0, top), &layout, &legend);
        let height = (layout.bottom + 52.0).max(legend_bottom + MARGIN);
        canvas.finish((width, height), &self.title, &self.description(&scale))
    }

    /// The values that are drawn, with their rows and columns.
    fn cells(&self) -> impl Iterator<Item = (usize, usize, Option<f64>)> {
        (0..self.y.len()).flat_map(move |row| {
            (0..self.x.len()).map(move |column| (row, column, self.value(row, column)))
        })
    }

    fn value(&self, row: usize, column: usize) -> Option<f64> {
        let value = self.values.get(row)?.get(column).copied()?;
        drawable(value).then_some(value)
    }

    /// The outlined cell, if it exists.
    fn marked(&self) -> Option<(usize, usize)> {
        self.marked
            .filter(|(row, column)| *row < self.y.len() && *column < self.x.len())
    }

    /// Large enough for all texts in cells and beside them, and for the name of the rows.
    fn cell_size(&self, scale: &ColourScale) -> (f64, f64) {
        let values = self.cells().filter_map(|cell| cell.2);
        let values: Vec<String> = values.map(|value| scale.text(value)).collect();
        let texts = values.iter().chain(&self.x).map(String::as_str);
        let (many, few) = LEAST_COLUMN;
        let least = (6.0 * few / self.x.len().max(1) as f64).clamp(many, few);
        let name = widest([self.y_label.as_str()], TEXT) + 12.0;
        let height = LEAST_ROW.max(name / self.y.len().max(1) as f64);
        ((widest(texts, TEXT) + 14.0).max(least), height)
    }

    /// `value` with its unit.
    fn with_unit(&self, value: &str) -> String {
        match self.unit.as_str() {
            "" => value.into(),
            unit => format!("{value} {unit}"),
        }
    }

    fn place(&self, row: usize, column: usize) -> String {
        let value = self.value(row, column).map(short);
        let value = value.map_or("no value".into(), |value| self.with_unit(&value));
        let (x, y) = (&self.x[column], &self.y[row]);
        format!("{} = {y}, {} = {x}: {value}", self.y_label, self.x_label)
    }

    /// The line below the title.
    fn about(&self, scale: &ColourScale) -> String {
        let unit = match self.unit.as_str() {
            "" => String::new(),
            unit => format!(" in {unit}"),
        };
        let mut about = format!("{}{unit} ({})", self.value_label, self.better.words());
        if let Some((row, column)) = self.marked() {
            let value = match self.value(row, column) {
                Some(value) => self.with_unit(&scale.text(value)),
                None => "no value".into(),
            };
            let (x, y) = (&self.x[column], &self.y[row]);
            let (x_label, y_label) = (&self.x_label, &self.y_label);
            about += &format!("; outlined: {y_label} = {y}, {x_label} = {x}, {value}");
        }
        if self.cells().any(|cell| cell.2.is_none()) {
            about += "; – means no value";
        }
        about
    }

    fn description(&self, scale: &ColourScale) -> String {
        let (rows, columns) = (self.y.len(), self.x.len());
        let values = match scale.range {
            None => "without any value".into(),
            Some((low, high)) => {
                let (low, high) = (scale.text(low), scale.text(high));
                format!("with values from {low} to {}", self.with_unit(&high))
            }
        };
        format!(
            "Heat map of {rows} rows ({}) and {columns} columns ({}), {values}. {}.",
            self.y_label,
            self.x_label,
            self.about(scale)
        )
    }

    fn draw_cells(&self, canvas: &mut Canvas, layout: &Layout, scale: &ColourScale) {
        let corner = |row: usize, column: usize| {
            (
                layout.left + layout.cell.0 * column as f64,
                layout.top + layout.cell.1 * row as f64,
            )
        };
        let size = layout.cell;
        for (row, column, value) in self.cells() {
            let (x, y) = corner(row, column);
            let colour = value.map(|value| scale.colour(value));
            let fill = colour.map_or("#eef0f2".into(), Colour::hex);
            let text = value.map_or("–".into(), |value| scale.text(value));
            let style = Style {
                colour: colour.map_or(INK, Colour::ink),
                bold: self.marked == Some((row, column)),
                ..Style::new(Anchor::Middle)
            };
            canvas.explained(&self.place(row, column), |canvas| {
                // The stroke is the white line between cells.
                canvas.rectangle(
                    (x, y),
                    size,
                    &format!(r##"fill="{fill}" stroke="#ffffff""##),
                );
                canvas.text((x + 0.5 * size.0, y + 0.5 * size.1), style, &text);
            });
        }
        if let Some((row, column)) = self.marked() {
            let (x, y) = corner(row, column);
            // Black on white can be seen on any colour.
            for stroke in [
                r##"stroke="#ffffff" stroke-width="6""##,
                r##"stroke="#000000" stroke-width="3""##,
            ] {
                let attributes = format!(r#"fill="none" rx="2" {stroke}"#);
                canvas.rectangle((x, y), size, &attributes);
            }
        }
    }

    fn draw_labels(&self, canvas: &mut Canvas, layout: &Layout) {
        for (row, label) in self.y.iter().enumerate() {
            let middle = layout.top + layout.cell.1 * (row as f64 + 0.5);
            canvas.text((layout.left - 8.0, middle), Style::new(Anchor::End), label);
        }
        for (column, label) in self.x.iter().enumerate() {
            let middle = layout.left + layout.cell.0 * (column as f64 + 0.5);
            let place = (middle, layout.bottom + 14.0);
            canvas.text(place, Style::new(Anchor::Middle), label);
        }
        let name = Style::new(Anchor::Middle).faint();
        let middle = 0.5 * (layout.left + layout.right);
        let label = shortened(&self.x_label, layout.right - layout.left + 40.0);
        canvas.text((middle, layout.bottom + 36.0), name, &label);
        let upwards = Style {
            upwards: true,
            ..name
        };
        let middle = 0.5 * (layout.top + layout.bottom);
        canvas.text((MARGIN + 6.0, middle), upwards, &self.y_label);
    }
}

/// Which colour a value has, and how many digits.
struct ColourScale {
    range: Option<(f64, f64)>,
    step: f64,
    better: Better,
}

impl ColourScale {
    fn of(map: &HeatMap) -> Self {
        let range = range(map.cells().filter_map(|cell| cell.2));
        // About a thousand steps from the least to the largest.
        let step = match range {
            Some((low, high)) if high - low > 1e-9 * low.abs().max(high.abs()) => {
                10_f64.powf(((high - low) / 1000.0).log10().ceil())
            }
            Some((low, _)) if low != 0.0 => 10_f64.powf((low.abs() / 1000.0).log10().ceil()),
            _ => 0.1,
        };
        Self {
            range,
            step,
            better: map.better,
        }
    }

    fn text(&self, value: f64) -> String {
        to_step(value, self.step)
    }

    /// 0 for the worst value, 1 for the best; the middle if there is but one.
    fn goodness(&self, value: f64) -> f64 {
        let (low, high) = self.range.unwrap_or((value, value));
        let place = (value - low) / (high - low);
        match self.better {
            _ if !place.is_finite() => 0.5,
            Better::Higher => place,
            Better::Lower => 1.0 - place,
        }
    }

    fn colour(&self, value: f64) -> Colour {
        Colour::at(self.goodness(value))
    }

    /// Values for the legend, with labels.
    fn ticks(&self) -> Vec<(f64, String)> {
        let Some((low, high)) = self.range else {
            return Vec::new();
        };
        if low == high {
            return vec![(low, self.text(low))];
        }
        let (values, step) = round_values(low, high, 5);
        let label = |value: f64| (value, to_step(value, step));
        values.into_iter().map(label).collect()
    }

    /// Draws the bar of all colours, the best at the top, and says so; the y of its lower end.
    fn draw(
        &self,
        canvas: &mut Canvas,
        (x, top): (f64, f64),
        layout: &Layout,
        ticks: &[(f64, String)],
    ) -> f64 {
        if self.range.is_none() {
            return top;
        }
        let note = Style::new(Anchor::Start).faint();
        canvas.text((x, top + 6.0), note, "better");
        let top = top + 20.0;
        let height = (layout.bottom - top - 20.0).max(LEAST_BAR);
        for shade in 0..SHADES {
            let from = height * shade as f64 / SHADES as f64;
            let colour = Colour::at(1.0 - (shade as f64 + 0.5) / SHADES as f64);
            // To the end, so that no seam shows between two shades.
            let size = (BAR, height - from);
            let fill = format!(r#"fill="{}""#, colour.hex());
            canvas.rectangle((x, top + from), size, &fill);
        }
        for (value, label) in ticks {
            let y = top + height * (1.0 - self.goodness(*value));
            canvas.line((x + BAR, y), (x + BAR + 4.0, y), INK);
            canvas.text((x + BAR + 8.0, y), Style::new(Anchor::Start), label);
        }
        canvas.text((x, top + height + 14.0), note, "worse");
        top + height + 20.0
    }
}
