//! Images that a page shows: what was said of them, and what ODIN did to them.

use crate::html::{Markup, Picture, element, gradient_sign, gradient_size, text, void};
use crate::terms::score_label;
use odin::{Image, Row};

/// Images of one kind, such as the most confident mistakes.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageGroup {
    /// What they are.
    pub title: String,
    /// How they were chosen, and how many there are in all.
    pub note: String,
    /// The images.
    pub images: Vec<ShownImage>,
}

/// An image of a set with its scores, as thumbnails: its size does not grow with the image's.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownImage {
    name: String,
    facts: Vec<(String, String)>,
    odin: f64,
    pictures: Option<[Picture; 3]>,
}

/// What is known of an image.
#[derive(Debug, Clone, Copy)]
pub struct ImageFacts<'a> {
    /// Its name, predicted class, and scores.
    pub row: &'a Row,
    /// The names of the classes.
    pub class_names: Option<&'a [String]>,
    /// Its true class, if it is one of the network's.
    pub label: Option<usize>,
    /// ODIN's score of the image as it is, without the perturbation.
    pub unperturbed: f64,
}

impl ShownImage {
    /// From what the network sees, and the gradient that ODIN follows
    /// ([`InputGradient`](odin::InputGradient)).
    pub fn new(facts: ImageFacts<'_>, image: &Image, gradient: &[f32]) -> Self {
        let pictures = || {
            Some([
                Picture::of(image)?,
                gradient_sign(image, gradient)?,
                gradient_size(image, gradient)?,
            ])
        };
        Self {
            name: facts.row.name.clone(),
            facts: facts.lines(),
            odin: facts.row.score.odin().unwrap_or(f64::NAN),
            pictures: pictures(),
        }
    }

    fn to_markup(&self) -> Markup {
        let score = text(&format!("ODIN {:.6} ", self.odin));
        let uris = self.pictures.as_ref();
        let uris = uris.and_then(|p| Some([p[0].data_uri()?, p[1].data_uri()?, p[2].data_uri()?]));
        let (thumbnail, done) = match &uris {
            Some([image, sign, size]) => (picture(image, &self.name), done(sign, size)),
            None => (text(&self.name), Markup::default()),
        };
        let summary = element("summary", &[], score.then(thumbnail));
        let content = summary.then(done).then(crate::html::facts(&self.facts));
        element("li", &[], element("details", &[], content))
    }
}

impl ImageFacts<'_> {
    fn lines(&self) -> Vec<(String, String)> {
        let class = |class: usize| {
            let name = self.class_names.and_then(|names| names.get(class));
            name.map_or(class.to_string(), |name| format!("{class}, {name}"))
        };
        let line = |name: &str, value: String| (name.to_string(), value);
        let mut lines = vec![
            line("image", self.row.name.clone()),
            line("predicted class", class(self.row.score.prediction)),
        ];
        lines.extend(self.label.map(|label| line("true class", class(label))));
        lines.push(line("ODIN without ε", self.unperturbed.to_string()));
        let scores = self.row.score.iter();
        lines.extend(scores.map(|(name, value)| line(score_label(name), value.to_string())));
        lines
    }
}

fn picture(uri: &str, name: &str) -> Markup {
    void("img", &[("src", uri), ("alt", name)])
}

fn done(sign: &str, size: &str) -> Markup {
    let figure = |uri, name, caption| {
        let caption = element("figcaption", &[], text(caption));
        element("figure", &[], picture(uri, name).then(caption))
    };
    let sign = figure(
        sign,
        "sign of the gradient",
        "What ODIN did: ε brighter where orange, ε darker where blue (the sign of the gradient, averaged over the colours)",
    );
    let size = figure(
        size,
        "size of the gradient",
        "Size of the gradient: the brighter, the more the pixel raises the score",
    );
    element("div", &[("class", "done")], sign.then(size))
}

/// Groups of images, each below its title.
pub(super) fn groups(groups: &[ImageGroup]) -> Markup {
    let groups = groups.iter().map(|group| {
        let title = element("h3", &[], text(&group.title));
        let note = element("p", &[("class", "note")], text(&group.note));
        let images = group.images.iter().map(ShownImage::to_markup).collect();
        let images = element("ul", &[("class", "shots")], images);
        title.then(note).then(images)
    });
    groups.collect()
}
