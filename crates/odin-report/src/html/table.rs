//! Tables with a caption, a head, and names of rows.

use super::markup::{Markup, element, text};

/// A table in the making; the first cells of a row name it.
pub(crate) struct Table {
    caption: String,
    head: Vec<String>,
    /// How many cells of a row name it.
    names: usize,
    rows: Vec<Markup>,
}

impl Table {
    /// With `names` columns that name the row.
    pub(crate) fn new(caption: &str, head: &[&str], names: usize) -> Self {
        Self {
            caption: caption.to_string(),
            head: head.iter().map(|cell| (*cell).to_string()).collect(),
            names,
            rows: Vec::new(),
        }
    }

    /// Adds a row, of a class of the style sheet or none.
    pub(crate) fn row(&mut self, class: &str, cells: &[String]) {
        let cells = cells
            .iter()
            .enumerate()
            .map(|(i, cell)| match i < self.names {
                true => element("th", &[("scope", "row")], text(cell)),
                false => element("td", &[], text(cell)),
            });
        let attributes: &[(&str, &str)] = match class {
            "" => &[],
            class => &[("class", class)],
        };
        self.rows.push(element("tr", attributes, cells.collect()));
    }

    /// In a box that scrolls sideways where it is wider than the page.
    pub(crate) fn to_markup(&self) -> Markup {
        let caption = element("caption", &[], text(&self.caption));
        let head = self.head.iter().enumerate().map(|(i, cell)| {
            let class = if i < self.names { "name" } else { "value" };
            element("th", &[("scope", "col"), ("class", class)], text(cell))
        });
        let head = element("thead", &[], element("tr", &[], head.collect()));
        let body = element("tbody", &[], self.rows.iter().cloned().collect());
        let table = element("table", &[], caption.then(head).then(body));
        let attributes = [
            ("class", "wide"),
            ("role", "region"),
            ("tabindex", "0"),
            ("aria-label", self.caption.as_str()),
        ];
        element("div", &attributes, table)
    }
}
