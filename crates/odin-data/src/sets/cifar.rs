//! CIFAR-10 and CIFAR-100 (A. Krizhevsky, 2009) as distributed, in the python and the binary
//! version.

use super::origin::Origin;
use super::pickle::{Dictionary, PickleError};
use super::{DataSet, Sample, Split};
use crate::archive::{Blob, MAX_FILE, Store};
use crate::error::{Error, ErrorKind};
use crate::image::Image;

const SIDE: usize = 32;
const AREA: usize = SIDE * SIDE;
const PIXELS: usize = 3 * AREA;

/// One of the four ways in which a CIFAR set is distributed.
struct Distribution {
    name: &'static str,
    folder: &'static str,
    classes: usize,
    test: &'static [&'static str],
    train: &'static [&'static str],
    format: Format,
    class_names: &'static str,
}

#[derive(Clone, Copy)]
enum Format {
    /// A pickle of a dictionary; the keys of labels and of class names.
    Python(&'static str, &'static str),
    /// Records of this many label bytes, of which the last counts, and 3072 pixels.
    Binary(usize),
}

const DISTRIBUTIONS: [Distribution; 4] = [
    Distribution {
        name: "CIFAR-10",
        folder: "cifar-10-batches-py",
        classes: 10,
        test: &["test_batch"],
        train: &[
            "data_batch_1",
            "data_batch_2",
            "data_batch_3",
            "data_batch_4",
            "data_batch_5",
        ],
        format: Format::Python("labels", "label_names"),
        class_names: "batches.meta",
    },
    Distribution {
        name: "CIFAR-10",
        folder: "cifar-10-batches-bin",
        classes: 10,
        test: &["test_batch.bin"],
        train: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        format: Format::Binary(1),
        class_names: "batches.meta.txt",
    },
    Distribution {
        name: "CIFAR-100",
        folder: "cifar-100-python",
        classes: 100,
        test: &["test"],
        train: &["train"],
        format: Format::Python("fine_labels", "fine_label_names"),
        class_names: "meta",
    },
    Distribution {
        name: "CIFAR-100",
        folder: "cifar-100-binary",
        classes: 100,
        test: &["test.bin"],
        train: &["train.bin"],
        format: Format::Binary(2),
        class_names: "fine_label_names.txt",
    },
];

impl Distribution {
    fn files(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Test => self.test,
            Split::Train => self.train,
            Split::Validation => &[],
        }
    }

    /// The folder of this distribution: the distributed one, or the store's root if the names there
    /// are beyond doubt.
    fn root(&self, store: &dyn Store) -> Option<String> {
        let below = format!("{}/", self.folder);
        let holds = |root: &str| {
            [self.test[0], self.train[0]]
                .iter()
                .any(|file| store.find(&format!("{root}{file}")).is_some())
        };
        let marker = store.find(self.class_names).is_some();
        if holds(&below) {
            Some(below)
        } else if holds("") && (marker || self.classes == 10) {
            Some(String::new())
        } else {
            None
        }
    }
}

pub(super) fn is_pickle(head: &[u8]) -> bool {
    matches!(head, [0x80, 2..=5, ..]) || head.starts_with(b"(dp") || head.starts_with(b"}q")
}

/// Whether a file could be a binary batch, by its size.
pub(super) fn is_binary_batch(len: u64) -> bool {
    len > 0 && binary_label_bytes(len).is_some()
}

/// Label bytes per record in a batch of that size. Real batches have 10,000 or 50,000 records,
/// whose size tells the two kinds apart.
fn binary_label_bytes(len: u64) -> Option<usize> {
    [1, 2]
        .into_iter()
        .find(|labels| len.is_multiple_of((labels + PIXELS) as u64))
}

/// The CIFAR set in a folder or archive, if there is one.
pub(super) fn open_store(
    store: &dyn Store,
    origin: &Origin,
) -> Result<Option<Box<dyn DataSet>>, Error> {
    let mut found = DISTRIBUTIONS
        .iter()
        .filter_map(|distribution| Some((distribution, distribution.root(store)?)));
    let Some((distribution, root)) = found.next() else {
        return Ok(None);
    };
    if let Some((other, _)) = found.next() {
        return Err(origin.error(
            ErrorKind::Invalid,
            format!(
                "both {} and {} are in it; name one of these folders",
                distribution.folder, other.folder
            ),
        ));
    }
    let read = |file: &str| {
        let name = format!("{root}{file}");
        match store.find(&name) {
            Some(entry) => Ok((store.read(entry)?, store.title(entry))),
            None => {
                let problem = format!(
                    "{name} is missing, which the {} split of {} needs",
                    origin.split().as_str(),
                    distribution.name
                );
                Err(origin.error(ErrorKind::NotFound, problem))
            }
        }
    };
    let mut batches = Vec::new();
    for file in distribution.files(origin.split()) {
        let (bytes, title) = read(file)?;
        batches.push(Batch::read(bytes, &title, distribution)?);
    }
    let class_names = match store.find(&format!("{root}{}", distribution.class_names)) {
        Some(_) => {
            let (bytes, title) = read(distribution.class_names)?;
            Some(class_names(bytes, &title, distribution)?)
        }
        None => None,
    };
    let set = Cifar {
        name: origin
            .options
            .name
            .clone()
            .unwrap_or(distribution.name.into()),
        prefix: origin.split().as_str().to_owned(),
        batches,
        class_names,
        channels: origin.options.channels,
    };
    set.boxed(origin).map(Some)
}

/// A set of a single batch file; its kind follows from the content.
pub(super) fn open_batch(blob: &Blob, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_splits()?;
    if blob.len() > MAX_FILE {
        return Err(origin.error(ErrorKind::Unsupported, "the batch is larger than 512 MiB"));
    }
    let bytes = blob.read(0, blob.len()).map_err(|e| origin.io_error(e))?;
    let batch = if is_pickle(&bytes) {
        Batch::read_pickle(bytes, &origin.title, None)?
    } else {
        let labels = binary_label_bytes(blob.len()).unwrap_or(1);
        let classes = if labels == 1 { 10 } else { 100 };
        Batch::read_binary(bytes, &origin.title, labels, classes)?
    };
    let set = Cifar {
        name: origin.name.clone(),
        prefix: origin.name.clone(),
        batches: vec![batch],
        class_names: None,
        channels: origin.options.channels,
    };
    set.boxed(origin)
}

/// The images of one file, whose bytes stay as they are.
struct Batch {
    bytes: Vec<u8>,
    /// Where the first pixel lies, and how far apart images and the pixels of an image are.
    first: usize,
    image_stride: usize,
    pixel_stride: usize,
    labels: Vec<u8>,
}

impl Batch {
    fn read(bytes: Vec<u8>, title: &str, distribution: &Distribution) -> Result<Self, Error> {
        match distribution.format {
            Format::Python(key, _) => {
                Self::read_pickle(bytes, title, Some((key, distribution.classes)))
            }
            Format::Binary(labels) => Self::read_binary(bytes, title, labels, distribution.classes),
        }
    }

    fn read_binary(
        bytes: Vec<u8>,
        title: &str,
        label_bytes: usize,
        classes: usize,
    ) -> Result<Self, Error> {
        let record = label_bytes + PIXELS;
        if !bytes.len().is_multiple_of(record) {
            let message = format!(
                "{title}: {} bytes are not a whole number of records of {record} bytes; the file \
                 may be truncated",
                bytes.len()
            );
            return Err(Error::malformed(message));
        }
        let labels = bytes
            .chunks_exact(record)
            .map(|record| i64::from(record[label_bytes - 1]))
            .collect();
        Ok(Self {
            labels: check_labels(labels, classes, title)?,
            bytes,
            first: label_bytes,
            image_stride: record,
            pixel_stride: 1,
        })
    }

    /// `kind` is the key of the labels and the number of classes, if they are known.
    fn read_pickle(
        bytes: Vec<u8>,
        title: &str,
        kind: Option<(&str, usize)>,
    ) -> Result<Self, Error> {
        let refused = |e| refused(e, title);
        let pickle = Dictionary::parse(&bytes).map_err(refused)?;
        let (key, classes) = kind.unwrap_or(match pickle.contains("fine_labels") {
            true => ("fine_labels", 100),
            false => ("labels", 10),
        });
        let images = pickle.byte_array("data").map_err(refused)?;
        let labels = pickle.integers(key).map_err(refused)?;
        if images.columns != PIXELS || images.rows != labels.len() {
            let problem = format!(
                "\"data\" has the shape ({}, {}) beside {} labels, expected ({}, {PIXELS})",
                images.rows,
                images.columns,
                labels.len(),
                labels.len()
            );
            return Err(refused(PickleError(problem)));
        }
        let (image_stride, pixel_stride) = match images.column_major {
            true => (1, images.rows),
            false => (PIXELS, 1),
        };
        Ok(Self {
            labels: check_labels(labels, classes, title)?,
            bytes: images.data.into_owned(),
            first: 0,
            image_stride,
            pixel_stride,
        })
    }

    fn image(&self, i: usize) -> Image {
        let first = self.first + i * self.image_stride;
        Image::from_levels((3, SIDE, SIDE), |c, y, x| {
            self.bytes[first + (c * AREA + y * SIDE + x) * self.pixel_stride]
        })
    }
}

fn refused(error: PickleError, title: &str) -> Error {
    let message = format!("{title} is no batch of CIFAR images: {}", error.0);
    Error::malformed(message)
}

fn check_labels(labels: Vec<i64>, classes: usize, title: &str) -> Result<Vec<u8>, Error> {
    let check = |(i, label)| match u8::try_from(label) {
        Ok(small) if usize::from(small) < classes => Ok(small),
        _ => Err(Error::malformed(format!(
            "{title}: image {i} has the label {label}, expected 0 to {}",
            classes - 1
        ))),
    };
    labels.into_iter().enumerate().map(check).collect()
}

fn class_names(
    bytes: Vec<u8>,
    title: &str,
    distribution: &Distribution,
) -> Result<Vec<String>, Error> {
    let names: Vec<String> = match distribution.format {
        Format::Python(_, key) => Dictionary::parse(&bytes)
            .and_then(|pickle| pickle.strings(key, distribution.classes))
            .map_err(|e| {
                let message = format!("{title} does not hold the class names: {}", e.0);
                Error::malformed(message)
            })?,
        Format::Binary(_) => String::from_utf8_lossy(&bytes)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
    };
    if names.len() != distribution.classes {
        let message = format!(
            "{title} holds {} class names, expected {}",
            names.len(),
            distribution.classes
        );
        return Err(Error::malformed(message));
    }
    Ok(names)
}

struct Cifar {
    name: String,
    /// First part of the sample names.
    prefix: String,
    batches: Vec<Batch>,
    class_names: Option<Vec<String>>,
    channels: Option<usize>,
}

impl Cifar {
    fn boxed(self, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
        match self.len() {
            0 => Err(origin.error(ErrorKind::Empty, "there is no image in it")),
            _ => Ok(Box::new(self)),
        }
    }

    /// The batch that holds image `i`, and the image's index in it.
    fn locate(&self, mut i: usize) -> Option<(&Batch, usize)> {
        for batch in &self.batches {
            match i.checked_sub(batch.labels.len()) {
                None => return Some((batch, i)),
                Some(rest) => i = rest,
            }
        }
        None
    }
}

impl DataSet for Cifar {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.labels.len()).sum()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    fn sample_name(&self, i: usize) -> String {
        match self.locate(i) {
            Some(_) => format!("{}/{i:05}", self.prefix),
            None => String::new(),
        }
    }

    fn label(&self, i: usize) -> Option<usize> {
        let (batch, at) = self.locate(i)?;
        batch.labels.get(at).copied().map(usize::from)
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let Some((batch, at)) = self.locate(i) else {
            return Err(Error::invalid("no such image"));
        };
        let image = batch.image(at);
        Ok(Sample {
            name: self.sample_name(i),
            label: Some(usize::from(batch.labels[at])),
            image: image.to_channels(self.channels.unwrap_or(3))?,
        })
    }
}
