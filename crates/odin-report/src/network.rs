//! The description of a network in reports: file, format, classes, preprocessing.

use odin::{ChannelOrder, Classifier, Layout, Preprocessing};
use serde_json::{Value, json};

/// What a report says of the network: the file it was read from, and how images become its
/// input, with who says so.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Network {
    /// The model file.
    pub file: String,
    /// Its format.
    pub format: String,
    /// The SHA-256 of the file, where it is one.
    pub sha256: Option<String>,
    /// Such as `DenseNet-BC-100-12`.
    pub architecture: String,
    /// The number of classes.
    pub classes: usize,
    /// The names of the classes, where known.
    pub class_names: Option<Vec<String>>,
    /// How images become the network's input.
    pub preprocessing: Preprocessing,
    /// What was done on reading that the user should know of.
    pub notices: Vec<String>,
}

impl From<&Classifier> for Network {
    fn from(classifier: &Classifier) -> Self {
        let file = classifier.file();
        Self {
            file: file.name.clone(),
            format: file.format.clone(),
            sha256: file.sha256.clone(),
            architecture: classifier.architecture().to_string(),
            classes: classifier.classes(),
            class_names: classifier.class_names().map(<[String]>::to_vec),
            preprocessing: classifier.preprocessing().clone(),
            notices: file.notices.clone(),
        }
    }
}

impl Network {
    /// A few lines for a log.
    pub fn to_lines(&self) -> Vec<String> {
        let format = match self.architecture == self.format {
            true => String::new(),
            false => format!(" ({})", self.format),
        };
        let mut lines = vec![
            format!(
                "{}: {}{format}, {} classes, {}",
                self.file,
                self.architecture,
                self.classes,
                self.input_text()
            ),
            format!("  normalisation: {}", self.normalization_text()),
        ];
        if let Some(transform) = &self.preprocessing.transform {
            lines.push(format!(
                "  every image: {} ({})",
                transform.value, transform.from
            ));
        }
        lines.extend(self.notices.iter().map(|notice| format!("  {notice}")));
        lines
    }

    /// Names and values for a page.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: String| (name.to_string(), value);
        let mut lines = vec![
            line(
                "network",
                format!("{} ({})", self.architecture, self.format),
            ),
            line("file", self.file.clone()),
        ];
        lines.extend(self.sha256.clone().map(|hash| line("SHA-256", hash)));
        lines.push(line("classes", self.classes.to_string()));
        lines.push(line("input", self.input_text()));
        lines.push(line("normalisation", self.normalization_text()));
        let transform = self.preprocessing.transform.as_ref();
        let transform = transform.map(|t| format!("{} ({})", t.value, t.from));
        lines.extend(transform.map(|transform| line("every image", transform)));
        lines.extend(
            self.notices
                .iter()
                .map(|notice| line("note", notice.clone())),
        );
        lines
    }

    /// What the network takes: its kind, its extents, its layout.
    pub(crate) fn input_text(&self) -> String {
        let (shape, layout) = (&self.preprocessing.image_shape, &self.preprocessing.layout);
        let extents = match (layout.value, shape.value) {
            (Layout::Ncl | Layout::Nlc, [c, _, l]) => format!("signals {c}x{l}"),
            (Layout::Nf, [1, 1, f]) => format!("vectors of {f}"),
            (_, [c, h, w]) => format!("images {c}x{h}x{w}"),
        };
        format!(
            "{extents} ({}), {} ({})",
            shape.from, layout.value, layout.from
        )
    }

    /// Mean, standard deviation, and who says so.
    pub(crate) fn normalization_text(&self) -> String {
        let normalization = &self.preprocessing.normalization;
        let (mean, std) = (normalization.value.mean(), normalization.value.std());
        let (mean, std) = (in_short(mean), in_short(std));
        let scale = match normalization.value.scale() {
            1.0 => String::new(),
            scale => format!(", pixels from 0 to {scale}"),
        };
        let channels = match normalization.value.channels() {
            ChannelOrder::Rgb => String::new(),
            channels => format!(", {channels}"),
        };
        format!(
            "mean {mean}, std {std}{scale}{channels} ({})",
            normalization.from
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        let p = &self.preprocessing;
        json!({
            "file": self.file,
            "format": self.format,
            "sha256": self.sha256,
            "architecture": self.architecture,
            "classes": self.classes,
            "class_names": self.class_names,
            "image_shape": p.image_shape.value,
            "image_shape_from": p.image_shape.from.to_string(),
            "layout": p.layout.value.as_str(),
            "layout_from": p.layout.from.to_string(),
            "mean": p.normalization.value.mean(),
            "std": p.normalization.value.std(),
            "scale": p.normalization.value.scale(),
            "channels": p.normalization.value.channels().as_str(),
            "normalization_from": p.normalization.from.to_string(),
            "transform": p.transform.as_ref().map(|t| t.value.to_string()),
            "transform_from": p.transform.as_ref().map(|t| t.from.to_string()),
            "notices": self.notices,
        })
    }
}

/// Values of channels; one for all where they are equal, the first where they are many.
fn in_short(values: &[f32]) -> String {
    const SHOWN: usize = 4;
    match values {
        [first, rest @ ..] if rest.iter().all(|v| v == first) => first.to_string(),
        _ => {
            let shown: Vec<String> = values.iter().take(SHOWN).map(f32::to_string).collect();
            let left = values.len().saturating_sub(SHOWN);
            let more = match left {
                0 => String::new(),
                n => format!(",… ({n} more)"),
            };
            format!("{}{more}", shown.join(","))
        }
    }
}
