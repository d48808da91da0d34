//! Parses and validates registry files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::{Table, Value};

use super::entry::{Checksums, DatasetEntry, Entry, EntryKind, NetworkEntry, Rebuild, RemoteFile};
use crate::error::Error;
use crate::noise::NoiseKind;
use crate::transform::Transform;

/// Reads the entries of a registry file. `origin` names the file in errors.
pub(super) fn parse(text: &str, origin: &str) -> Result<Vec<Entry>, Error> {
    let root: Table = text
        .parse()
        .map_err(|error| malformed(format!("registry {origin} is not a TOML file: {error}")))?;
    let mut entries = Vec::new();
    for (key, value) in root {
        let read: fn(Value) -> Result<Entry, String> = match key.as_str() {
            "dataset" => |value| deserialise::<RawDataset>(value)?.check(),
            "network" => |value| deserialise::<RawNetwork>(value)?.check(),
            _ => {
                return Err(malformed(format!(
                    "registry {origin}: unknown field `{key}`; expected [[dataset]] and [[network]]"
                )));
            }
        };
        let Value::Array(tables) = value else {
            return Err(malformed(format!(
                "registry {origin}: `{key}` must be written as [[{key}]], once per entry"
            )));
        };
        for (index, table) in tables.into_iter().enumerate() {
            let label = match table.get("name").and_then(Value::as_str) {
                Some(name) => format!("{key} `{name}`"),
                None => format!("{key} number {} (without a name)", index + 1),
            };
            let mut entry = read(table)
                .map_err(|error| malformed(format!("registry {origin}, {label}: {error}")))?;
            entry.origin = origin.to_owned();
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn malformed(message: String) -> Error {
    Error::malformed(message)
}

fn deserialise<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    value
        .try_into()
        .map_err(|error: toml::de::Error| error.to_string().trim().replace('\n', " "))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDataset {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    title: String,
    licence: String,
    citation: String,
    #[serde(default)]
    paper_out_dataset: bool,
    generator: Option<String>,
    images: Option<u64>,
    #[serde(default)]
    validation: usize,
    #[serde(default)]
    shortens_in_set: bool,
    classes: Option<usize>,
    shape: Option<[usize; 3]>,
    transform: Option<String>,
    rebuild: Option<RawRebuild>,
    hint: Option<String>,
    #[serde(default)]
    places: Vec<PathBuf>,
    #[serde(default)]
    file: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRebuild {
    from: String,
    transform: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNetwork {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    title: String,
    licence: String,
    citation: String,
    in_dataset: Option<String>,
    classes: usize,
    shape: [usize; 3],
    mean: Vec<f64>,
    std: Vec<f64>,
    test_error_percent: Option<f64>,
    #[serde(default)]
    magnitudes: BTreeMap<String, f64>,
    hint: Option<String>,
    #[serde(default)]
    places: Vec<PathBuf>,
    #[serde(default)]
    file: Vec<RawFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    name: String,
    urls: Vec<String>,
    size: Option<u64>,
    sha256: Option<String>,
    sha256_prefix: Option<String>,
    md5: Option<String>,
    git_blob_sha1: Option<String>,
    #[serde(default)]
    unpack: bool,
    member: Option<String>,
}

impl RawDataset {
    fn check(self) -> Result<Entry, String> {
        let generator = self.generator.as_deref().map(noise_kind).transpose()?;
        if generator.is_some() && !(self.file.is_empty() && self.places.is_empty()) {
            return Err("`generator` and `file` or `places` exclude each other".to_owned());
        }
        let images = self.images.filter(|_| self.validation > 0);
        if generator.is_some() && self.validation > 0 {
            return Err("`generator` and `validation` exclude each other".to_owned());
        }
        if let Some(images) = images.filter(|&images| images <= self.validation as u64) {
            return Err(format!(
                "`validation` is {}, which leaves none of {images} `images` to evaluate",
                self.validation
            ));
        }
        let dataset = DatasetEntry {
            paper_out_dataset: self.paper_out_dataset,
            generator,
            images: self.images,
            validation: self.validation,
            shortens_in_set: self.shortens_in_set,
            classes: self.classes,
            shape: self.shape,
            transform: self
                .transform
                .map(|text| transform("transform", &text))
                .transpose()?,
            rebuild: self.rebuild.map(RawRebuild::check).transpose()?,
        };
        Ok(Entry {
            aliases: checked_names(&self.name, self.aliases)?,
            name: self.name,
            title: self.title,
            licence: self.licence,
            citation: self.citation,
            files: checked_files(self.file)?,
            places: self.places,
            hint: self.hint,
            kind: EntryKind::Dataset(dataset),
            origin: String::new(),
        })
    }
}

impl RawRebuild {
    fn check(self) -> Result<Rebuild, String> {
        Ok(Rebuild {
            transform: transform("rebuild.transform", &self.transform)?,
            transform_text: self.transform,
            from: self.from,
        })
    }
}

impl RawNetwork {
    fn check(self) -> Result<Entry, String> {
        let network = NetworkEntry {
            classes: self.classes,
            in_dataset: self.in_dataset,
            shape: self.shape,
            mean: self.mean,
            std: self.std,
            test_error_percent: self.test_error_percent,
            magnitudes: self.magnitudes,
        };
        check_network(&network)?;
        Ok(Entry {
            aliases: checked_names(&self.name, self.aliases)?,
            name: self.name,
            title: self.title,
            licence: self.licence,
            citation: self.citation,
            files: checked_files(self.file)?,
            places: self.places,
            hint: self.hint,
            kind: EntryKind::Network(network),
            origin: String::new(),
        })
    }
}

fn noise_kind(text: &str) -> Result<NoiseKind, String> {
    match text {
        "uniform" => Ok(NoiseKind::Uniform),
        "gaussian" => Ok(NoiseKind::Gaussian),
        other => Err(format!(
            "`generator` is \"{other}\"; expected \"uniform\" or \"gaussian\""
        )),
    }
}

fn transform(field: &str, text: &str) -> Result<Transform, String> {
    text.parse()
        .map_err(|error| format!("`{field}` is \"{text}\": {error}"))
}

fn check_network(network: &NetworkEntry) -> Result<(), String> {
    if network.classes < 2 {
        return Err(format!(
            "`classes` is {}; a classifier has at least 2",
            network.classes
        ));
    }
    let channels = network.shape[0];
    for (field, values) in [("mean", &network.mean), ("std", &network.std)] {
        if values.len() != channels {
            return Err(format!(
                "`{field}` has {} values; `shape` says {channels} channels",
                values.len()
            ));
        }
    }
    if !network.mean.iter().all(|value| value.is_finite()) {
        return Err("`mean` must be finite numbers".to_owned());
    }
    if !network
        .std
        .iter()
        .all(|&value| value.is_finite() && value > 0.0)
    {
        return Err("`std` must be finite numbers greater than 0".to_owned());
    }
    for (name, magnitude) in &network.magnitudes {
        if !magnitude.is_finite() || *magnitude < 0.0 {
            return Err(format!(
                "`magnitudes.{name}` is {magnitude}; expected a number of at least 0"
            ));
        }
    }
    match network.test_error_percent {
        Some(error) if !(0.0..=100.0).contains(&error) => Err(format!(
            "`test_error_percent` is {error}; expected 0 to 100"
        )),
        _ => Ok(()),
    }
}

/// Checks the name and the aliases and gives the aliases back. The name becomes the name of a
/// folder.
fn checked_names(name: &str, aliases: Vec<String>) -> Result<Vec<String>, String> {
    check_component("name", name)?;
    for alias in &aliases {
        check_component("aliases", alias)?;
    }
    Ok(aliases)
}

fn checked_files(files: Vec<RawFile>) -> Result<Vec<RemoteFile>, String> {
    files.into_iter().map(RawFile::check).collect()
}

impl RawFile {
    fn check(self) -> Result<RemoteFile, String> {
        check_component("file.name", &self.name)?;
        check_not_ours(&self.name)?;
        if self.urls.is_empty() {
            return Err(format!("`file.urls` of {} is empty", self.name));
        }
        for url in &self.urls {
            let known_scheme = url.starts_with("https://") || url.starts_with("http://");
            if !known_scheme || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(format!(
                    "`file.urls` has {url:?}; expected an address that starts with https:// or http://"
                ));
            }
        }
        if self.unpack && self.member.is_none() {
            return Err(format!(
                "`file` {} has `unpack = true`; it needs `member`, the path inside the archive",
                self.name
            ));
        }
        if let Some(member) = &self.member {
            for component in member.split('/') {
                check_component("file.member", component)?;
            }
        }
        Ok(RemoteFile {
            checksums: Checksums {
                sha256: hex("file.sha256", self.sha256, 64..=64)?,
                sha256_prefix: hex("file.sha256_prefix", self.sha256_prefix, 8..=63)?,
                md5: hex("file.md5", self.md5, 32..=32)?,
                git_blob_sha1: hex("file.git_blob_sha1", self.git_blob_sha1, 40..=40)?,
            },
            name: self.name,
            urls: self.urls,
            size: self.size,
            unpack: self.unpack,
            member: self.member,
            member_is_shared: false,
        })
    }
}

/// Whether `text` can be one component of a path on every platform, and is not hidden.
fn check_component(field: &str, text: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+- ".contains(c);
    if !text.is_empty()
        && text.len() <= 120
        && text.chars().all(plain)
        && !text.starts_with(['.', ' '])
        && !text.ends_with(['.', ' '])
    {
        return Ok(());
    }
    Err(format!(
        "`{field}` has {text:?}; expected 1 to 120 of the characters A-Z a-z 0-9 . _ + - and \
         space, the first and last not a dot or space"
    ))
}

/// The data folder has files of the program's own beside those of the registry.
fn check_not_ours(file: &str) -> Result<(), String> {
    let name = file.to_ascii_lowercase();
    if name == "checksums.toml" || name.ends_with(".part") || name.ends_with(".part.toml") {
        return Err(format!(
            "`file.name` is {file:?}; checksums.toml and names that end in .part or .part.toml \
             are kept for the program's own files"
        ));
    }
    Ok(())
}

fn hex(
    field: &str,
    digits: Option<String>,
    length: std::ops::RangeInclusive<usize>,
) -> Result<Option<String>, String> {
    let Some(digits) = digits else {
        return Ok(None);
    };
    if length.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Some(digits.to_ascii_lowercase()));
    }
    Err(format!(
        "`{field}` is {digits:?}; expected {} hexadecimal digits",
        if length.start() == length.end() {
            length.start().to_string()
        } else {
            format!("{} to {}", length.start(), length.end())
        }
    ))
}
