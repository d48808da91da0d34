//! `model.toml`: the settings that a model file leaves open.

use super::{ChannelOrder, Layout, Normalization};
use crate::{Error, ErrorKind};
use odin_data::Transform;
use odin_untrusted::file::read_regular;
use odin_untrusted::impostor;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// The largest `model.toml` or file of class names that is read.
const MAX_FILE: u64 = 16 << 20;
/// A `detector.toml` larger than this is none.
pub(crate) const MAX_DETECTOR_TOML: u64 = 64 << 20;

/// What a model file leaves open: how images become its input, and what its outputs mean. Every
/// field may be left out.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Height and width of the images.
    pub size: Option<[usize; 2]>,
    /// What every image goes through before it is normalised.
    pub transform: Option<Transform>,
    /// Mean and standard deviation of each channel.
    pub normalization: Option<Normalization>,
    /// What a white pixel is before the mean is subtracted: 1, or 255.
    pub scale: Option<f32>,
    /// The order of the network's channels.
    pub channels: Option<ChannelOrder>,
    /// The order of the input's axes.
    pub layout: Option<Layout>,
    /// The names of the classes, in the order of the logits.
    pub class_names: Option<Vec<String>>,
    /// The name of the output that holds the logits.
    pub output: Option<String>,
    /// Which weights of a checkpoint to take, where it holds several: the key that they lie under
    /// (`state_dict_ema`), what their names begin with (`ema_model`), or a word of one (`ema`).
    pub weights: Option<String>,
    /// Whether the network is a multi-label one: each logit is that of a label, which does not
    /// exclude the others, and was trained with a sigmoid. Unless it is said, an ONNX file shows it
    /// by a final Sigmoid of several numbers, and a checkpoint is none.
    pub multi_label: Option<bool>,
}

impl From<Normalization> for ModelConfig {
    /// All that the normalisation says, its scale and its order of channels, too.
    fn from(normalization: Normalization) -> Self {
        Self {
            scale: Some(normalization.scale()),
            channels: Some(normalization.channels()),
            normalization: Some(normalization),
            ..Self::default()
        }
    }
}

impl ModelConfig {
    /// Reads a `model.toml`.
    ///
    /// # Errors
    /// When the file cannot be read, is no TOML, or has an unknown or ill-formed key; the message
    /// names file and key.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let about = |problem: String| {
            Error::new(ErrorKind::Invalid, format!("{}: {problem}", path.display()))
        };
        let text = read_text(path)?;
        let raw: RawConfig =
            toml::from_str(&text).map_err(|e| about(e.to_string().trim_end().to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        raw.check(folder).map_err(about)
    }

    /// The files that [`ModelConfig::open`] reads: this one, and that of the class names where it
    /// names one.
    pub(super) fn files(path: &Path) -> Vec<PathBuf> {
        let raw = read_text(path).ok();
        let raw = raw.and_then(|text| toml::from_str::<RawConfig>(&text).ok());
        let names = match raw.and_then(|raw| raw.class_names) {
            Some(RawNames::File(file)) => Some(path.with_file_name(file)),
            _ => None,
        };
        [path.to_path_buf()].into_iter().chain(names).collect()
    }

    /// The `model.toml` that belongs to a model file: `<stem>.toml` or `model.toml` in the same
    /// folder, the former if both are there. A calibrated detector is none.
    pub fn beside(model: &Path) -> Option<PathBuf> {
        let own = model.with_extension("toml");
        let shared = model.with_file_name("model.toml");
        let mut candidates = [own, shared].into_iter();
        candidates.find(|path| path.is_file() && !is_calibrated_detector(path))
    }
}

/// The key that says that a file is a calibrated detector, a `detector.toml`, and no `model.toml`.
pub(crate) const DETECTOR_MARK: &str = "odin_detector";

fn is_calibrated_detector(path: &Path) -> bool {
    let is_mark = |line: &str| line.starts_with(DETECTOR_MARK);
    read_text_of(path, MAX_DETECTOR_TOML, ErrorKind::Saved)
        .is_ok_and(|text| text.lines().any(is_mark))
}

/// The keys of a `model.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    size: Option<RawSize>,
    transform: Option<String>,
    mean: Option<RawNumbers>,
    std: Option<RawNumbers>,
    scale: Option<f32>,
    channels: Option<String>,
    layout: Option<String>,
    class_names: Option<RawNames>,
    output: Option<String>,
    weights: Option<String>,
    multi_label: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected one number, or one for each channel")]
enum RawNumbers {
    ForAll(f32),
    Each(Vec<f32>),
}

impl RawNumbers {
    fn values(&self) -> &[f32] {
        match self {
            Self::ForAll(number) => std::slice::from_ref(number),
            Self::Each(numbers) => numbers,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected one number, or [height, width]")]
enum RawSize {
    Square(usize),
    Sides([usize; 2]),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a list of names, or the name of a file"
)]
enum RawNames {
    List(Vec<String>),
    File(String),
}

/// What is wrong with a file, without its name.
type Problem = String;

impl RawConfig {
    /// `folder` is where the file lies.
    fn check(self, folder: &Path) -> Result<ModelConfig, Problem> {
        let key = |name: &'static str| move |e: Error| format!("`{name}`: {e}");
        let normalization = match (&self.mean, &self.std) {
            (Some(mean), Some(std)) => Some(
                Normalization::new(mean.values(), std.values()).map_err(key("mean` and `std"))?,
            ),
            (None, None) => None,
            (Some(_), None) => return Err("`mean` is there, `std` is missing".to_string()),
            (None, Some(_)) => return Err("`std` is there, `mean` is missing".to_string()),
        };
        let transform = self.transform.map(|text| {
            text.parse::<Transform>()
                .map_err(|e| format!("`transform`: {e}"))
        });
        if let Some(scale) = self.scale {
            Normalization::identity()
                .with_scale(scale)
                .map_err(key("scale"))?;
        }
        let channels = self.channels.map(|text| text.parse());
        Ok(ModelConfig {
            scale: self.scale,
            channels: channels.transpose().map_err(key("channels"))?,
            size: self.size.map(RawSize::check).transpose()?,
            transform: transform.transpose()?,
            normalization,
            layout: self
                .layout
                .map(|text| text.parse().map_err(key("layout")))
                .transpose()?,
            class_names: self
                .class_names
                .map(|names| names.read(folder))
                .transpose()?,
            output: self.output,
            weights: self.weights,
            multi_label: self.multi_label,
        })
    }
}

impl RawSize {
    fn check(self) -> Result<[usize; 2], Problem> {
        let size = match self {
            RawSize::Square(side) => [side, side],
            RawSize::Sides(sides) => sides,
        };
        match size.iter().all(|side| (1..=8192).contains(side)) {
            true => Ok(size),
            false => Err("`size`: height and width go from 1 to 8192".to_string()),
        }
    }
}

impl RawNames {
    fn read(self, folder: &Path) -> Result<Vec<String>, Problem> {
        let names = match self {
            RawNames::List(names) => names,
            RawNames::File(file) => class_names_file(folder, &file)?,
        };
        match names.is_empty() {
            false => Ok(names),
            true => Err("`class_names` is empty".to_string()),
        }
    }
}

/// One name a line. A model may come from a stranger: its `model.toml` names no file outside of
/// its own folder.
fn class_names_file(folder: &Path, file: &str) -> Result<Vec<String>, Problem> {
    let inside = Path::new(file)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return Err(format!(
            "`class_names`: {file:?} must lie in the folder of this file, without `..`"
        ));
    }
    let path = folder.join(file);
    let text = read_text(&path).map_err(|e| format!("`class_names`: {e}"))?;
    Ok(text.lines().map(|line| line.trim().to_string()).collect())
}

fn read_text(path: &Path) -> Result<String, Error> {
    read_text_of(path, MAX_FILE, ErrorKind::Invalid)
}

/// The text of a regular file of at most so many bytes; `kind` is that of a file that is none.
///
/// # Errors
/// The message names the file.
pub(crate) fn read_text_of(path: &Path, max_bytes: u64, kind: ErrorKind) -> Result<String, Error> {
    let about = |kind, problem: String| {
        let error = Error::new(kind, problem);
        error.about(path.display())
    };
    let bytes = read_regular(path, max_bytes);
    let bytes = bytes.map_err(|e| about(unreadable(&e).unwrap_or(kind), problem(&e, max_bytes)))?;
    if let Some(found) = impostor::recognise(&bytes) {
        return Err(about(kind, format!("this is {found}")));
    }
    String::from_utf8(bytes).map_err(|_| about(kind, "this is no text in UTF-8".to_string()))
}

/// The kind of an error of the operating system.
fn unreadable(error: &odin_untrusted::Error) -> Option<ErrorKind> {
    let cause = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    Some(match cause.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Io,
    })
}

/// What is wrong with a file that its reader names.
fn problem(error: &odin_untrusted::Error, max_bytes: u64) -> Problem {
    match (error.kind(), std::error::Error::source(error)) {
        (odin_untrusted::ErrorKind::NotRegular, _) => "not a regular file".to_string(),
        (odin_untrusted::ErrorKind::TooLarge, _) => format!("more than {} MiB", max_bytes >> 20),
        (_, Some(cause)) => cause.to_string(),
        (_, None) => error.to_string(),
    }
}
