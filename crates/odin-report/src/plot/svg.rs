//! Writes SVG documents: texts, rectangles, lines, and estimated text widths.

use std::fmt::Write;

/// Ink for text and axes, for less important marks, and for lines of a grid.
pub(super) const INK: &str = "#1f2328";
pub(super) const FAINT_INK: &str = "#57606a";
pub(super) const GRID: &str = "#e4e7eb";

/// Font size of a title, and of everything else.
pub(super) const TITLE: f64 = 16.0;
pub(super) const TEXT: f64 = 12.0;

/// Space around everything.
pub(super) const MARGIN: f64 = 16.0;

/// Texts stay texts. Programs that turn SVG into PDF for LaTeX take the first of these that they
/// have, and all have one; each of these fonts has Greek letters.
const FONTS: &str = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', \
                     sans-serif";

/// Where a text stands relative to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    pub(super) colour: &'static str,
    pub(super) bold: bool,
    /// Whether it runs upwards.
    pub(super) upwards: bool,
}

impl Style {
    pub(super) const fn new(anchor: Anchor) -> Self {
        Self {
            size: TEXT,
            anchor,
            colour: INK,
            bold: false,
            upwards: false,
        }
    }

    pub(super) const fn faint(self) -> Self {
        Self {
            colour: FAINT_INK,
            ..self
        }
    }
}

/// An SVG document in the making; y grows downwards.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    /// A text whose line's middle is at `y`.
    pub(super) fn text(&mut self, (x, y): (f64, f64), style: Style, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let bold = if style.bold {
            r#" font-weight="600""#
        } else {
            ""
        };
        // Capitals and digits are about 0.7 of the font size high. Not every program that draws
        // SVG knows `dominant-baseline`.
        let down = 0.35 * style.size;
        let place = if style.upwards {
            let (x, y) = (number(x + down), number(y));
            format!(r#"transform="translate({x} {y}) rotate(-90)""#)
        } else {
            format!(r#"x="{}" y="{}""#, number(x), number(y + down))
        };
        let _ = writeln!(
            self.body,
            r#"<text {place} font-size="{}" fill="{}"{anchor}{bold}>{}</text>"#,
            number(style.size),
            style.colour,
            escape(text)
        );
    }

    /// A rectangle with attributes such as `fill`.
    pub(super) fn rectangle(&mut self, corner: (f64, f64), size: (f64, f64), attributes: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{}" y="{}" width="{}" height="{}" {attributes}/>"#,
            number(corner.0),
            number(corner.1),
            number(size.0),
            number(size.1)
        );
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{colour}"/>"#,
            number(from.0),
            number(from.1),
            number(to.0),
            number(to.1)
        );
    }

    /// A path of straight lines with attributes such as `stroke`.
    pub(super) fn path(&mut self, points: &[(f64, f64)], closed: bool, attributes: &str) {
        let mut data = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let letter = if i == 0 { 'M' } else { 'L' };
            let _ = write!(data, "{letter}{} {}", number(*x), number(*y));
        }
        if closed {
            data.push('Z');
        }
        let _ = writeln!(self.body, r#"<path d="{data}" {attributes}/>"#);
    }

    pub(super) fn circle(&mut self, (x, y): (f64, f64), radius: f64, attributes: &str) {
        let _ = writeln!(
            self.body,
            r#"<circle cx="{}" cy="{}" r="{}" {attributes}/>"#,
            number(x),
            number(y),
            number(radius)
        );
    }

    /// Everything that `draw` draws, with a text that viewers show for it.
    pub(super) fn explained(&mut self, text: &str, draw: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, "<g><title>{}</title>", escape(text));
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// A title in bold and what it is about below, both in lines of `width`; the y below them.
    pub(super) fn header(&mut self, title: &str, about: &str, width: f64) -> f64 {
        let bold = Style {
            size: TITLE,
            bold: true,
            ..Style::new(Anchor::Start)
        };
        let plain = Style::new(Anchor::Start).faint();
        let mut y = MARGIN;
        for (text, style) in [(title, bold), (about, plain)] {
            for line in wrap(text, style.size, width - 2.0 * MARGIN) {
                let height = 1.4 * style.size;
                self.text((MARGIN, y + 0.5 * height), style, &line);
                y += height;
            }
        }
        y + 12.0
    }

    /// The document, with a name and a description for those who do not see it.
    pub(super) fn finish(self, (width, height): (f64, f64), name: &str, about: &str) -> String {
        let (width, height) = (number(width.ceil()), number(height.ceil()));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"{FONTS}\" \
             font-variant-numeric=\"tabular-nums\">\n\
             <title>{}</title>\n<desc>{}</desc>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escape(name),
            escape(about),
            self.body
        )
    }
}

/// The width of a text, estimated for wide fonts: the viewer chooses the font.
fn text_width(text: &str, size: f64) -> f64 {
    let units = |c: char| if c < '\u{1100}' { 0.6 } else { 1.0 };
    size * text.chars().map(units).sum::<f64>()
}

/// The widest of several texts.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, size: f64) -> f64 {
    texts
        .into_iter()
        .map(|text| text_width(text, size))
        .fold(0.0, f64::max)
}

/// The text, or as much of its beginning as fits, and an ellipsis.
pub(super) fn shortened(text: &str, width: f64) -> String {
    if text_width(text, TEXT) <= width {
        return text.into();
    }
    let mut short = pieces(text, TEXT, width).swap_remove(0);
    short.push('…');
    short
}

/// Lines no wider than `width`, broken between words, and within a word that fills a line.
fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(line, size) + text_width(word, size) + size < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.extend(pieces(word, size, width)),
        }
    }
    lines
}

fn pieces(word: &str, size: f64, width: f64) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for c in word.chars() {
        match pieces.last_mut() {
            Some(piece) if piece.is_empty() || text_width(piece, size) + size < width => {
                piece.push(c);
            }
            _ => pieces.push(c.to_string()),
        }
    }
    pieces
}

/// Text for XML: markup escaped, and what XML 1.0 does not allow, or what turns the direction of the
/// text after it, replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                escaped.push('\u{fffd}');
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// A coordinate to a hundredth of a pixel.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}
