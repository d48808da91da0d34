//! Markup in the making: what is not markup already is escaped on its way in.

use crate::plot::escape;
use odin_error::printable;

/// A piece of markup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Markup(String);

/// A text, whoever wrote it.
pub(crate) fn text(text: &str) -> Markup {
    Markup(escape(&printable(text)))
}

/// An element around its content.
pub(crate) fn element(name: &str, attributes: &[(&str, &str)], content: Markup) -> Markup {
    let (attributes, content) = (spelled(attributes), content.0);
    Markup(format!("<{name}{attributes}>{content}</{name}>"))
}

/// An element without content.
pub(crate) fn void(name: &str, attributes: &[(&str, &str)]) -> Markup {
    Markup(format!("<{name}{}/>", spelled(attributes)))
}

fn spelled(attributes: &[(&str, &str)]) -> String {
    let attributes = attributes.iter();
    let spelled = attributes.map(|(name, value)| format!(" {name}=\"{}\"", text(value).0));
    spelled.collect()
}

impl Markup {
    /// What is markup already: a plot, or a constant of this crate.
    pub(crate) fn trusted(markup: &str) -> Self {
        Self(markup.to_string())
    }

    /// This and then that.
    #[must_use]
    pub(crate) fn then(mut self, next: Self) -> Self {
        self.0.push_str(&next.0);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl FromIterator<Markup> for Markup {
    fn from_iter<I: IntoIterator<Item = Markup>>(pieces: I) -> Self {
        pieces.into_iter().fold(Self::default(), Self::then)
    }
}
