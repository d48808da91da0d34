//! Names and values, one below the other.

use super::markup::{Markup, element, text};

/// A table of two columns.
pub(crate) fn facts(rows: &[(String, String)]) -> Markup {
    let rows = rows.iter().map(|(name, value)| {
        let name = element("th", &[("scope", "row")], text(name));
        let value = element("td", &[], text(value));
        element("tr", &[], name.then(value))
    });
    let body = element("tbody", &[], rows.collect());
    element("table", &[("class", "facts")], body)
}
