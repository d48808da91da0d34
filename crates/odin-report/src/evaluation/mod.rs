//! The report of `odin eval`, as a table, JSON, CSV or page.

mod csv;
mod footnotes;
mod heat_maps;
mod json;
mod page;
mod report;
mod shown_image;
mod table;

pub use page::EvaluationPage;
pub use report::{Comparison, Report, SetInfo};
pub use shown_image::{ImageFacts, ImageGroup, ShownImage};

impl Report {
    /// The results as a table: in the layout of the authors' program for one
    /// out-of-distribution set, one line each for several.
    pub fn to_table(&self) -> String {
        table::render(self)
    }

    /// The results as a JSON object; rates are fractions.
    pub fn to_json(&self) -> String {
        json::render(self)
    }

    /// The results as CSV with a header, two lines for each out-of-distribution set; rates are
    /// fractions.
    pub fn to_csv(&self) -> String {
        csv::render(self)
    }
}
