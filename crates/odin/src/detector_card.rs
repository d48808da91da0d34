use crate::{DetectorInput, Error, ErrorKind, Layout, Normalization};
use std::str::FromStr;

/// The version of the properties that a detector file carries. It changes when a reader of the
/// old ones would misread the new ones.
const FORMAT: &str = "1";

/// What a detector file says of itself, in its metadata properties.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DetectorCard {
    /// The temperature T.
    pub temperature: f64,
    /// The magnitude ε, on the [0, 1] pixel scale.
    pub magnitude: f64,
    /// An image whose score reaches this is taken for in-distribution.
    pub threshold: Option<f64>,
    /// The true-positive rate that the threshold was chosen for.
    pub target_tpr: Option<f64>,
    /// What the file takes.
    pub input: DetectorInput,
    /// The order of the axes of the network's own input.
    pub layout: Layout,
    /// How pixels become the network's input.
    pub normalization: Normalization,
    /// The network's architecture.
    pub architecture: String,
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
        let properties = [
            ("odin.format", Some(FORMAT.to_string())),
            ("odin.method", Some("odin".to_string())),
            ("odin.temperature", Some(number(self.temperature))),
            ("odin.magnitude", Some(number(self.magnitude))),
            ("odin.threshold", self.threshold.map(number)),
            ("odin.target_tpr", self.target_tpr.map(number)),
            ("odin.input", Some(self.input.to_string())),
            ("odin.layout", Some(self.layout.to_string())),
            ("odin.mean", Some(list(normalization.mean()))),
            ("odin.std", Some(list(normalization.std()))),
            ("odin.architecture", Some(self.architecture.clone())),
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
            Some(FORMAT) => {}
            Some(other) => {
                return Err(invalid(format!(
                    "the detector has format {other:?}, this version reads {FORMAT:?}; use a newer version or compile the detector again"
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
        Ok(Some(Self {
            temperature: parse("odin.temperature", required("odin.temperature")?)?,
            magnitude: parse("odin.magnitude", required("odin.magnitude")?)?,
            threshold: optional_number("odin.threshold")?,
            target_tpr: optional_number("odin.target_tpr")?,
            input: required("odin.input")?.parse()?,
            layout: required("odin.layout")?.parse()?,
            normalization,
            architecture: required("odin.architecture")?.to_string(),
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

fn parse_list(key: &str, text: &str) -> Result<Vec<f32>, Error> {
    text.split(',').map(|number| parse(key, number)).collect()
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn card() -> DetectorCard {
        DetectorCard {
            temperature: 1000.0,
            magnitude: 0.0014,
            threshold: Some(0.100_123_456_789),
            target_tpr: Some(0.95),
            input: DetectorInput::PixelsU8,
            layout: Layout::Nhwc,
            normalization: Normalization::cifar(),
            architecture: "ResNet-20".to_string(),
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
            class_names: None,
            source_sha256: None,
            ..card()
        };
        for card in [card(), bare] {
            let properties = card.to_properties().into_iter().collect();
            assert_eq!(read(&properties).unwrap(), Some(card));
        }
        assert_eq!(read(&HashMap::new()).unwrap(), None);
    }

    #[test]
    fn ill_formed_properties_are_named() {
        let cases = [
            ("odin.format", Some("2"), "newer version"),
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
