//! The entries of the registry: names, licences, files, checksums, and facts about sets and
//! networks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::noise::NoiseKind;
use crate::transform::Transform;

/// A name of the registry: what it is, under which terms, and where its files come from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The name that commands take. Compared without regard to ASCII case.
    pub name: String,
    /// Other names for the same entry.
    pub aliases: Vec<String>,
    /// The name for people, as tables print it ("Tiny-ImageNet (crop)", "DenseNet-BC-100").
    pub title: String,
    /// The licence that the publisher states, "not stated" where there is none.
    pub licence: String,
    /// A short citation.
    pub citation: String,
    /// The files that hold the content. Several files are alternatives, the first is preferred.
    pub files: Vec<RemoteFile>,
    /// Further paths where the content may lie, relative to the data folder or absolute.
    pub places: Vec<PathBuf>,
    /// Another way to get the content, for the message of a download that failed.
    pub hint: Option<String>,
    /// What is special to data sets and to networks.
    pub kind: EntryKind,
    /// The registry file that the entry was read from.
    pub origin: String,
}

impl Entry {
    /// The data-set half, if this is a data set.
    pub fn dataset(&self) -> Option<&DatasetEntry> {
        match &self.kind {
            EntryKind::Dataset(dataset) => Some(dataset),
            EntryKind::Network(_) => None,
        }
    }

    /// The network half, if this is a network.
    pub fn network(&self) -> Option<&NetworkEntry> {
        match &self.kind {
            EntryKind::Dataset(_) => None,
            EntryKind::Network(network) => Some(network),
        }
    }

    /// Whether `name` is the name or an alias of this entry, without regard to ASCII case.
    pub fn answers_to(&self, name: &str) -> bool {
        self.names().any(|own| own.eq_ignore_ascii_case(name))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name)
            .chain(&self.aliases)
            .map(String::as_str)
    }
}

/// Data set or network.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryKind {
    /// A set of images.
    Dataset(DatasetEntry),
    /// The weights of a classifier.
    Network(NetworkEntry),
}

impl EntryKind {
    /// "data set" or "network".
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Dataset(_) => "data set",
            Self::Network(_) => "network",
        }
    }
}

/// What the registry knows about a set of images.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DatasetEntry {
    /// Whether the paper evaluates on it as an out-of-distribution set.
    pub paper_out_dataset: bool,
    /// Set for noise, which is generated instead of read.
    pub generator: Option<NoiseKind>,
    /// Number of images (of the test part, where there are parts).
    pub images: Option<u64>,
    /// How many of the first images are set aside for tuning, as in the paper's split. The rest
    /// is what is evaluated; 0 if all are.
    pub validation: usize,
    /// Whether the in-distribution set is cut to the length of this one when they are compared,
    /// as the paper does where a set is short.
    pub shortens_in_set: bool,
    /// Number of classes; [`Entry::open`] checks it.
    pub classes: Option<usize>,
    /// Shape of every image before the transform: channels, height, width; [`Entry::open`]
    /// checks it.
    pub shape: Option<[usize; 3]>,
    /// Applied to every image when the set is used by name.
    pub transform: Option<Transform>,
    /// How to make the set from another one when its own link is dead.
    pub rebuild: Option<Rebuild>,
}

/// A data set that stands in for another one after a transform.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rebuild {
    /// The name of the data set to start from.
    pub from: String,
    /// What to apply to each of its images.
    pub transform: Transform,
    /// The transform as the registry file writes it.
    pub transform_text: String,
}

/// What the registry knows about a classifier.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NetworkEntry {
    /// Number of classes.
    pub classes: usize,
    /// The data set that it was trained on.
    pub in_dataset: Option<String>,
    /// Shape of its input: channels, height, width.
    pub shape: [usize; 3],
    /// Mean of each channel, on the [0, 1] pixel scale.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel, on the [0, 1] pixel scale.
    pub std: Vec<f64>,
    /// Test error in per cent as its publisher reports it.
    pub test_error_percent: Option<f64>,
    /// Recommended magnitude ε per out-set, at temperature 1000.
    pub magnitudes: BTreeMap<String, f64>,
}

impl NetworkEntry {
    /// The recommended magnitude ε against the out-set of this name, where one is published.
    pub fn recommended_magnitude(&self, out_dataset: &str) -> Option<f64> {
        self.magnitudes
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(out_dataset))
            .map(|(_, &magnitude)| magnitude)
    }
}

/// A file on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteFile {
    /// The name that it gets in the data folder: one path component.
    pub name: String,
    /// Where to get it, tried in this order.
    pub urls: Vec<String>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// What is known of its content.
    pub checksums: Checksums,
    /// Whether it is an archive (zip, tar, tar.gz) that has to be unpacked before use.
    /// The readers of this crate read CIFAR's archives and archives of images as they are.
    pub unpack: bool,
    /// The path inside the archive of the file or folder to use.
    pub member: Option<String>,
    /// Whether another entry's content may lie at the path `member` of the data folder.
    pub(super) member_is_shared: bool,
}

impl RemoteFile {
    /// Whether both are the same file of the network, whatever is used of it.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let of = |file: &Self| (file.urls.clone(), file.size, file.checksums.clone());
        self.name == other.name && of(self) == of(other)
    }
}

/// Checksums of a file, in lower-case hexadecimal digits. All that are given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checksums {
    /// SHA-256.
    pub sha256: Option<String>,
    /// The first digits of the SHA-256, where the publisher gives only these.
    pub sha256_prefix: Option<String>,
    /// MD5.
    pub md5: Option<String>,
    /// SHA-1 of the file as a git blob, which is how git hosts identify it.
    pub git_blob_sha1: Option<String>,
}

impl Checksums {
    /// Whether a full checksum is known. A prefix alone is not one.
    pub fn is_complete(&self) -> bool {
        self.sha256.is_some() || self.md5.is_some() || self.git_blob_sha1.is_some()
    }
}

impl std::fmt::Display for Checksums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = [
            ("sha256", &self.sha256),
            ("sha256 starting with", &self.sha256_prefix),
            ("md5", &self.md5),
            ("git blob sha1", &self.git_blob_sha1),
        ];
        let mut separator = "";
        for (label, digits) in known {
            if let Some(digits) = digits {
                write!(f, "{separator}{label} {digits}")?;
                separator = ", ";
            }
        }
        if separator.is_empty() {
            f.write_str("no checksum known")?;
        }
        Ok(())
    }
}
