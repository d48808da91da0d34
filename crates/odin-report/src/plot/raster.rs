//! Plots as PNG, drawn from their SVG with the fonts of the machine.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Family, Query};
use resvg::usvg::{Options, Tree};
use std::fmt;
use std::sync::Arc;

/// Pixels of PNG for each unit of SVG: about 300 an inch where a plot is as wide as a page.
const SCALE: f32 = 3.0;

/// The fonts of plots, the first of which that is there is taken.
const FAMILIES: [&str; 5] = [
    "Helvetica Neue",
    "Helvetica",
    "Arial",
    "Liberation Sans",
    "DejaVu Sans",
];

/// Draws plots with the fonts that the machine has.
#[derive(Debug)]
pub struct Rasterizer {
    fonts: Arc<Database>,
}

/// Why a plot is not drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotDrawn {
    /// The machine has no font: its texts would be missing.
    NoFont,
    /// A document that is no plot of this crate, or too large.
    Unreadable(String),
}

impl fmt::Display for NotDrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFont => f.write_str(
                "no font is installed, without which plots as PNG have no texts; install one, such as DejaVu Sans",
            ),
            Self::Unreadable(cause) => write!(f, "the plot cannot be drawn as PNG: {cause}"),
        }
    }
}

impl std::error::Error for NotDrawn {}

impl Rasterizer {
    /// Reads the fonts of the machine.
    ///
    /// # Errors
    /// [`NotDrawn::NoFont`].
    pub fn new() -> Result<Self, NotDrawn> {
        let mut fonts = Database::new();
        fonts.load_system_fonts();
        Self::with(fonts)
    }

    fn with(mut fonts: Database) -> Result<Self, NotDrawn> {
        let is_there = |family: &&str| {
            let families = [Family::Name(family)];
            let query = Query {
                families: &families,
                ..Query::default()
            };
            fonts.query(&query).is_some()
        };
        let any = || Some(fonts.faces().next()?.families.first()?.0.clone());
        let known = FAMILIES.iter().find(|family| is_there(family));
        let family = known.map(|family| (*family).to_string()).or_else(any);
        fonts.set_sans_serif_family(family.ok_or(NotDrawn::NoFont)?);
        Ok(Self {
            fonts: Arc::new(fonts),
        })
    }

    /// A plot of this crate as PNG.
    ///
    /// # Errors
    /// [`NotDrawn::Unreadable`].
    pub fn draw(&self, svg: &str) -> Result<Vec<u8>, NotDrawn> {
        let unreadable = |cause: String| NotDrawn::Unreadable(cause);
        let options = Options {
            fontdb: Arc::clone(&self.fonts),
            ..Options::default()
        };
        let tree = Tree::from_str(svg, &options).map_err(|e| unreadable(e.to_string()))?;
        let size = tree.size().to_int_size().scale_by(SCALE);
        let pixels = size.and_then(|size| Pixmap::new(size.width(), size.height()));
        let mut pixels = pixels.ok_or_else(|| unreadable("its size".to_string()))?;
        resvg::render(
            &tree,
            Transform::from_scale(SCALE, SCALE),
            &mut pixels.as_mut(),
        );
        pixels.encode_png().map_err(|e| unreadable(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_font_nothing_is_drawn() {
        assert_eq!(
            Rasterizer::with(Database::new()).unwrap_err(),
            NotDrawn::NoFont
        );
    }

    #[test]
    fn plots_are_drawn_with_their_colours() {
        // A machine without fonts has nothing to test.
        let Ok(rasterizer) = Rasterizer::new() else {
            return;
        };
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10" viewBox="0 0 20 10"><rect width="20" height="10" fill="#ffffff"/><rect x="10" width="10" height="10" fill="#0072b2"/></svg>"##;
        let drawn = rasterizer.draw(svg).unwrap();
        let image = odin_data::Image::decode(&drawn, "plot.png", None).unwrap();
        assert_eq!((image.height, image.width), (30, 60));
        let pixel =
            |x: usize| [0, 1, 2].map(|c| (255.0 * image.pixels[(c * 30 + 15) * 60 + x]).round());
        assert_eq!((pixel(10), pixel(50)), ([255.0; 3], [0.0, 114.0, 178.0]));
        let text = svg.replace(
            "</svg>",
            r#"<text x="1" y="9" font-family="sans-serif">H</text></svg>"#,
        );
        assert_ne!(rasterizer.draw(&text).unwrap(), drawn);
        assert!(matches!(
            rasterizer.draw("<svg"),
            Err(NotDrawn::Unreadable(_))
        ));
    }
}
