//! A page: its head with the policy, its style and script, and its sections.

use super::markup::{Markup, element, text, void};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A page in the making.
pub(crate) struct Page {
    title: String,
    lead: String,
    sections: Vec<(String, Markup)>,
    /// What the script reads.
    data: Value,
}

impl Page {
    pub(crate) fn new(title: &str, lead: &str) -> Self {
        Self {
            title: title.to_string(),
            lead: lead.to_string(),
            sections: Vec::new(),
            data: Value::Null,
        }
    }

    /// Adds a section, unless it is empty.
    pub(crate) fn section(&mut self, heading: &str, content: Markup) {
        if !content.is_empty() {
            self.sections.push((heading.to_string(), content));
        }
    }

    /// What the script reads.
    pub(crate) fn data(&mut self, data: Value) {
        self.data = data;
    }

    pub(crate) fn to_html(&self) -> String {
        let html = element("html", &[("lang", "en")], self.head().then(self.body()));
        format!("<!DOCTYPE html>\n{}\n", html.into_string())
    }

    fn head(&self) -> Markup {
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        let head = [
            void("meta", &[("charset", "utf-8")]),
            void(
                "meta",
                &[
                    ("http-equiv", "Content-Security-Policy"),
                    ("content", &policy),
                ],
            ),
            void(
                "meta",
                &[
                    ("name", "viewport"),
                    ("content", "width=device-width, initial-scale=1"),
                ],
            ),
            void(
                "meta",
                &[("name", "color-scheme"), ("content", "light dark")],
            ),
            element("title", &[], text(&self.title)),
            element("style", &[], Markup::trusted(STYLE)),
        ];
        element("head", &[], head.into_iter().collect())
    }

    fn body(&self) -> Markup {
        let sections = self.sections.iter().enumerate();
        let links = sections.clone().map(|(i, (heading, _))| {
            let link = element("a", &[("href", &format!("#s{i}"))], text(heading));
            element("li", &[], link)
        });
        let links = element("ul", &[], links.collect());
        let navigation = element("nav", &[("aria-label", "contents")], links);
        let title = element("h1", &[], text(&self.title));
        let lead = element("p", &[("class", "lead")], text(&self.lead));
        let header = element("header", &[], title.then(lead).then(navigation));
        let sections = sections.map(|(i, (heading, content))| {
            let heading = element("h2", &[], text(heading));
            element(
                "section",
                &[("id", &format!("s{i}"))],
                heading.then(content.clone()),
            )
        });
        let main = element("main", &[], sections.collect());
        let data = [("type", "application/json"), ("id", "data")];
        let data = element("script", &data, Markup::trusted(&in_script(&self.data)));
        let script = element("script", &[], Markup::trusted(SCRIPT));
        element("body", &[], header.then(main).then(data).then(script))
    }
}

/// A plot in a box that scrolls sideways where it is wider than the page.
pub(super) fn plot(svg: &str) -> Markup {
    let attributes = [
        ("class", "plot"),
        ("role", "group"),
        ("aria-label", "plot"),
        ("tabindex", "0"),
    ];
    element("div", &attributes, Markup::trusted(svg))
}

/// A plot with a caption.
pub(crate) fn figure(svg: &str, caption: &str) -> Markup {
    let caption = element("figcaption", &[], text(caption));
    element("figure", &[], plot(svg).then(caption))
}

/// A text as the command printed it.
pub(crate) fn printed(lines: &str) -> Markup {
    let lines = lines
        .lines()
        .map(|line| text(line).then(Markup::trusted("\n")));
    element("pre", &[("tabindex", "0")], lines.collect())
}

/// The command that gives what a page shows.
pub(crate) fn again(command: &str) -> Markup {
    let told = element(
        "p",
        &[],
        text("The command that gives these results again:"),
    );
    let attributes = [("class", "command"), ("tabindex", "0")];
    told.then(element("pre", &attributes, text(command)))
}

/// As a policy names a style or a script.
fn hash(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

/// JSON in which nothing can end the script element, or be taken for markup.
fn in_script(data: &Value) -> String {
    let mut json = String::new();
    for c in data.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            other => json.push(other),
        }
    }
    json
}
