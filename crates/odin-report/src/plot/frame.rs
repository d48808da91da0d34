//! The area of a plot between its axes: from values to pixels, axes, grid and their labels.

use super::axis::Span;
use super::svg::{Anchor, Canvas, FAINT_INK, GRID, MARGIN, Style, TEXT, shortened, widest};

/// Width and height.
pub(super) type Area = (f64, f64);

/// From values to pixels.
pub(super) struct Frame {
    left: f64,
    top: f64,
    area: Area,
    x: Span,
    y: Span,
}

impl Frame {
    /// `corner` is the upper left one.
    pub(super) fn new(corner: (f64, f64), area: Area, x: Span, y: Span) -> Self {
        Self {
            left: corner.0,
            top: corner.1,
            area,
            x,
            y,
        }
    }

    /// Where it begins, so that the name and the numbers of the vertical axis stand beside it.
    pub(super) fn left_of(y: &Span) -> f64 {
        let ticks = y.ticks().into_iter();
        let numbers: Vec<String> = ticks.filter_map(|tick| tick.label).collect();
        MARGIN + 24.0 + widest(numbers.iter().map(String::as_str), TEXT) + 8.0
    }

    pub(super) fn left(&self) -> f64 {
        self.left
    }

    pub(super) fn top(&self) -> f64 {
        self.top
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.area.0
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.area.1
    }

    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + self.area.0 * self.x.place(value)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - self.area.1 * self.y.place(value)
    }

    pub(super) fn point(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x(x), self.y(y))
    }

    /// The values at the left and at the right end.
    pub(super) fn x_ends(&self) -> (f64, f64) {
        self.x.ends()
    }

    /// Axes with ticks, numbers, names, and a grid.
    pub(super) fn draw_axes(&self, canvas: &mut Canvas, x_label: &str, y_label: &str) {
        self.draw_x_ticks(canvas);
        self.draw_y_ticks(canvas);
        let (left, right, top, bottom) = (self.left, self.right(), self.top, self.bottom());
        canvas.line((left, bottom), (right, bottom), FAINT_INK);
        canvas.line((left, top), (left, bottom), FAINT_INK);
        let name = Style::new(Anchor::Middle).faint();
        let middle = (0.5 * (left + right), bottom + 36.0);
        canvas.text(middle, name, &shortened(x_label, self.area.0));
        let upwards = Style {
            upwards: true,
            ..name
        };
        let middle = (MARGIN + 6.0, 0.5 * (top + bottom));
        canvas.text(middle, upwards, &shortened(y_label, self.area.1));
    }

    fn draw_x_ticks(&self, canvas: &mut Canvas) {
        let (top, bottom) = (self.top, self.bottom());
        for tick in self.x.ticks() {
            let x = self.x(tick.value);
            canvas.line((x, top), (x, bottom), GRID);
            if let Some(label) = tick.label {
                canvas.line((x, bottom), (x, bottom + 4.0), FAINT_INK);
                canvas.text((x, bottom + 14.0), Style::new(Anchor::Middle), &label);
            }
        }
    }

    fn draw_y_ticks(&self, canvas: &mut Canvas) {
        let (left, right) = (self.left, self.right());
        for tick in self.y.ticks() {
            let y = self.y(tick.value);
            canvas.line((left, y), (right, y), GRID);
            if let Some(label) = tick.label {
                canvas.line((left - 4.0, y), (left, y), FAINT_INK);
                canvas.text((left - 8.0, y), Style::new(Anchor::End), &label);
            }
        }
    }
}
