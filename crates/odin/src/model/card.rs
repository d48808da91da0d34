//! The metadata of a compiled detector, stored as properties of its ONNX file.

use super::{ChannelOrder, Layout, Normalization};
use crate::names::ODIN;
use crate::{Error, ErrorKind, Precision, Setting};
use odin_data::Transform;
use std::fmt;
use std::str::FromStr;

/// The version of the properties that a compiled detector carries. It changes when a reader of the
/// old ones would misread the new ones, and is the lowest that says all: the second has `odin.scale`
/// and `odin.channels`, where these are not what the first took for granted; the third says by which
/// score and which thresholds the file decides, where that is not one threshold for ODIN; the fourth has
/// `odin.precision`, where it is not exact, and says whether the classes are labels which do not exclude
/// each other.
const FORMATS: [&str; 4] = ["1", "2", "3", "4"];

/// The scores of a file that does not name them.
const FORMER_SCORES: &str = "msp,odin";

/// The input of a compiled detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DetectorInput {
    /// The classifier's own input under its own name: ready-made, normalised.
    #[default]
    Normalized,
    /// [`IMAGES`](crate::IMAGES), `uint8 [N, H, W, C]`, 0 to 255.
    PixelsU8,
    /// [`IMAGES`](crate::IMAGES), `float32 [N, C, H, W]`, 0 to 1.
    PixelsF32,
    /// [`IMAGES`](crate::IMAGES), `uint8 [N, height, width, C]`, 0 to 255, of any size: the file
    /// resizes and crops them as [`DetectorCard::transform`] says.
    PhotoU8,
}

impl DetectorInput {
    const ALL: [Self; 4] = [
        Self::Normalized,
        Self::PixelsU8,
        Self::PixelsF32,
        Self::PhotoU8,
    ];

    /// As options and files spell it: `normalized`, `pixels-u8`, `pixels-f32`, `photo-u8`.
    pub fn as_str(self) -> &'static str {
        match self {
            DetectorInput::Normalized => "normalized",
            DetectorInput::PixelsU8 => "pixels-u8",
            DetectorInput::PixelsF32 => "pixels-f32",
            DetectorInput::PhotoU8 => "photo-u8",
        }
    }
}

impl fmt::Display for DetectorInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DetectorInput {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut same = Self::ALL.into_iter().filter(|kind| kind.as_str() == text);
        same.next().ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            invalid(format!(
                "there is no input {text:?}; the inputs are {names}"
            ))
        })
    }
}

/// The metadata of a compiled detector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetectorCard {
    /// The temperature, the magnitude and the precision.
    pub setting: Setting,
    /// The scores in the file, `msp` first; each is an output of its name.
    pub scores: Vec<String>,
    /// The score that decides.
    pub decides_by: String,
    /// An image whose deciding score reaches this is taken for in-distribution.
    pub threshold: Option<f64>,
    /// For each class, the threshold of images that are taken for it; empty where one threshold is
    /// for all.
    pub class_thresholds: Vec<f64>,
    /// The true-positive rate that the threshold was chosen for.
    pub target_tpr: Option<f64>,
    /// The input of the file.
    pub input: DetectorInput,
    /// The order of the axes of the network's own input.
    pub layout: Layout,
    /// How pixels become the network's input.
    pub normalization: Normalization,
    /// What every image goes through before the file gets it, or in a file for
    /// [`DetectorInput::PhotoU8`] within it.
    pub transform: Option<Transform>,
    /// The network's architecture.
    pub architecture: String,
    /// Whether the classes are labels that do not exclude each other.
    pub multi_label: bool,
    /// The names of the classes, in the order of the logits.
    pub class_names: Option<Vec<String>>,
    /// The SHA-256 of the file that the network was read from, in hexadecimal digits.
    pub source_sha256: Option<String>,
    /// The version of this library that wrote the file.
    pub version: String,
}

impl DetectorCard {
    /// The properties, in the order in which they are written.
    pub(crate) fn to_properties(&self) -> Vec<(String, String)> {
        let number = |value: f64| value.to_string();
        let normalization = &self.normalization;
        let (scale, channels) = (normalization.scale(), normalization.channels());
        let plain_pixels = scale == 1.0 && channels == ChannelOrder::Rgb;
        let by_odin = self.decides_by == ODIN && self.class_thresholds.is_empty();
        let former_scores = self.scores.join(",") == FORMER_SCORES;
        let precision = self.setting.precision;
        let format = match (precision, plain_pixels, by_odin && former_scores) {
            _ if self.multi_label => FORMATS[3],
            (Precision::Exact, true, true) => FORMATS[0],
            (Precision::Exact, false, true) => FORMATS[1],
            (Precision::Exact, _, false) => FORMATS[2],
            _ => FORMATS[3],
        };
        let thresholds: Vec<String> = self.class_thresholds.iter().map(f64::to_string).collect();
        let properties = [
            ("odin.format", Some(format.to_string())),
            ("odin.method", Some("odin".to_string())),
            (
                "odin.scores",
                (!former_scores).then(|| self.scores.join(",")),
            ),
            (
                "odin.decides_by",
                (self.decides_by != ODIN).then(|| self.decides_by.clone()),
            ),
            ("odin.temperature", Some(number(self.setting.temperature))),
            ("odin.magnitude", Some(number(self.setting.magnitude))),
            (
                "odin.precision",
                (precision != Precision::Exact).then(|| precision.to_string()),
            ),
            ("odin.threshold", self.threshold.map(number)),
            (
                "odin.class_thresholds",
                (!thresholds.is_empty()).then(|| thresholds.join(",")),
            ),
            ("odin.target_tpr", self.target_tpr.map(number)),
            ("odin.input", Some(self.input.to_string())),
            ("odin.layout", Some(self.layout.to_string())),
            ("odin.mean", Some(list(normalization.mean()))),
            ("odin.std", Some(list(normalization.std()))),
            ("odin.scale", (!plain_pixels).then(|| scale.to_string())),
            (
                "odin.channels",
                (!plain_pixels).then(|| channels.to_string()),
            ),
            (
                "odin.transform",
                self.transform.as_ref().map(Transform::notation),
            ),
            ("odin.architecture", Some(self.architecture.clone())),
            (
                "odin.multi_label",
                self.multi_label.then(|| "true".to_string()),
            ),
            ("odin.class_names", self.class_names.as_deref().map(lines)),
            ("odin.source_sha256", self.source_sha256.clone()),
            ("odin.version", Some(self.version.clone())),
        ];
        let given = properties.into_iter();
        given
            .filter_map(|(key, value)| Some((key.to_string(), value?)))
            .collect()
    }

    /// Reads the metadata properties of an ONNX file; `None` when it is no detector. `get` gives
    /// the property of a name.
    ///
    /// # Errors
    /// When the file is a detector of a newer format, or a property is missing or ill-formed;
    /// the message names it.
    pub fn from_properties<'a>(
        get: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<Self>, Error> {
        match get("odin.format") {
            None => return Ok(None),
            Some(format) if FORMATS.contains(&format) => {}
            Some(other) => {
                return Err(invalid(format!(
                    "the detector has format {other:?}, this version reads those up to {:?}; use a newer version or compile the detector again",
                    FORMATS[3]
                )));
            }
        }
        let required = |key: &str| {
            get(key).ok_or_else(|| invalid(format!("the detector lacks the property {key}")))
        };
        let optional_number = |key: &str| get(key).map(|text| parse(key, text)).transpose();
        let normalization = Normalization::new(
            &parse_list("odin.mean", required("odin.mean")?)?,
            &parse_list("odin.std", required("odin.std")?)?,
        )?;
        let scale = get("odin.scale").map(|text| parse("odin.scale", text));
        let channels = get("odin.channels").map(str::parse::<ChannelOrder>);
        let normalization = normalization
            .with_scale(scale.transpose()?.unwrap_or(1.0))?
            .with_channels(channels.transpose()?.unwrap_or_default());
        let transform = get("odin.transform").map(str::parse::<Transform>);
        let precision = get("odin.precision").map(str::parse::<Precision>);
        Ok(Some(Self {
            setting: Setting::new(
                parse("odin.temperature", required("odin.temperature")?)?,
                parse("odin.magnitude", required("odin.magnitude")?)?,
            )?
            .with_precision(precision.transpose()?.unwrap_or_default()),
            scores: get("odin.scores")
                .unwrap_or(FORMER_SCORES)
                .split(',')
                .map(str::to_string)
                .collect(),
            decides_by: get("odin.decides_by").unwrap_or(ODIN).to_string(),
            threshold: optional_number("odin.threshold")?,
            class_thresholds: match get("odin.class_thresholds") {
                Some(list) => parse_list("odin.class_thresholds", list)?,
                None => Vec::new(),
            },
            target_tpr: optional_number("odin.target_tpr")?,
            input: required("odin.input")?.parse()?,
            layout: required("odin.layout")?.parse()?,
            normalization,
            transform: transform.transpose()?,
            architecture: required("odin.architecture")?.to_string(),
            multi_label: match get("odin.multi_label") {
                None => false,
                Some(text) => parse("odin.multi_label", text)?,
            },
            class_names: get("odin.class_names")
                .map(|text| text.split('\n').map(str::to_string).collect()),
            source_sha256: get("odin.source_sha256").map(str::to_string),
            version: required("odin.version")?.to_string(),
        }))
    }
}

fn list(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(f32::to_string).collect();
    values.join(",")
}

/// One name a line; a line break inside a name becomes a space.
fn lines(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| name.replace(['\n', '\r'], " "))
        .collect();
    names.join("\n")
}

fn parse<T: FromStr>(key: &str, text: &str) -> Result<T, Error> {
    let problem = |_| invalid(format!("{key} of the detector is no number: {text:?}"));
    text.parse().map_err(problem)
}

fn parse_list<T: FromStr>(key: &str, text: &str) -> Result<Vec<T>, Error> {
    text.split(',').map(|number| parse(key, number)).collect()
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn card() -> DetectorCard {
        DetectorCard {
            setting: Setting::PAPER,
            scores: vec!["msp".to_string(), "odin".to_string()],
            decides_by: "odin".to_string(),
            class_thresholds: Vec::new(),
            threshold: Some(0.100_123_456_789),
            target_tpr: Some(0.95),
            input: DetectorInput::PixelsU8,
            layout: Layout::Nhwc,
            normalization: Normalization::cifar(),
            transform: Some("resize:40:bicubic,centre-crop:32".parse().unwrap()),
            architecture: "ResNet-20".to_string(),
            multi_label: false,
            class_names: Some(vec!["a cat".to_string(), "Käfer, \"rot\"".to_string()]),
            source_sha256: Some("00ff".to_string()),
            version: "0.1.0".to_string(),
        }
    }

    fn read(properties: &HashMap<String, String>) -> Result<Option<DetectorCard>, Error> {
        DetectorCard::from_properties(|key| properties.get(key).map(String::as_str))
    }

    #[test]
    fn cards_are_read_as_they_are_written() {
        let bare = DetectorCard {
            threshold: None,
            target_tpr: None,
            transform: None,
            class_names: None,
            source_sha256: None,
            ..card()
        };
        let caffe = DetectorCard {
            normalization: Normalization::new(&[104.0], &[1.0])
                .and_then(|n| n.with_scale(255.0))
                .unwrap()
                .with_channels(ChannelOrder::Bgr),
            ..card()
        };
        let by_energy = DetectorCard {
            scores: ["msp", "energy", "knn"].map(str::to_string).to_vec(),
            decides_by: "energy".to_string(),
            ..card()
        };
        let by_class = DetectorCard {
            class_thresholds: vec![0.1, 0.25],
            ..caffe.clone()
        };
        let fast = DetectorCard {
            setting: Setting::PAPER.with_precision(Precision::Fast),
            ..card()
        };
        let of_labels = DetectorCard {
            multi_label: true,
            ..card()
        };
        let cards = [
            (card(), "1"),
            (of_labels, "4"),
            (bare, "1"),
            (caffe, "2"),
            (by_energy, "3"),
            (by_class, "3"),
            (fast, "4"),
        ];
        for (card, format) in cards {
            assert_eq!(card.to_properties()[0].1, format);
            let properties = card.to_properties().into_iter().collect();
            assert_eq!(read(&properties).unwrap(), Some(card));
        }
        assert_eq!(read(&HashMap::new()).unwrap(), None);
    }

    #[test]
    fn ill_formed_properties_are_named() {
        let cases = [
            ("odin.format", Some("5"), "newer version"),
            ("odin.precision", Some("half"), "exact or fast"),
            ("odin.temperature", None, "odin.temperature"),
            ("odin.magnitude", Some("small"), "odin.magnitude"),
            ("odin.std", Some("1,,2"), "odin.std"),
            ("odin.input", Some("pixels"), "pixels-f32"),
        ];
        for (key, value, part) in cases {
            let mut properties: HashMap<_, _> = card().to_properties().into_iter().collect();
            match value {
                Some(value) => properties.insert(key.to_string(), value.to_string()),
                None => properties.remove(key),
            };
            let error = read(&properties).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
