//! SVHN's cropped digits as distributed: a MATLAB 5 file ("MAT-File Format", The MathWorks) with
//! the images `X` `[32, 32, 3, N]` (row, column, channel, image) and the labels `y` `[N, 1]`, both
//! of unsigned bytes. Other MATLAB files are refused.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use odin_untrusted::inflate::zlib;

use super::origin::Origin;
use super::{DataSet, Sample};
use crate::archive::{Blob, BlobReader};
use crate::error::{Error, ErrorKind};
use crate::image::Image;

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const IMAGE_BYTES: usize = CHANNELS * SIDE * SIDE;

/// The header: text, then version and byte order.
const HEADER: u64 = 128;

/// Enough of a variable to hold its dimensions and its name.
const HEAD: u64 = 256;

/// The most variables that are looked at.
const MAX_VARIABLES: usize = 100;

pub(super) fn is_matlab(head: &[u8]) -> bool {
    head.starts_with(b"MATLAB 5.0 MAT-file")
}

pub(super) fn open(file: &Arc<Blob>, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_splits()?;
    let variables = variables(file, origin)?;
    let find = |name: &str| variables.iter().rfind(|v| v.name == name.as_bytes());
    let shape = |name: &str| find(name).map(|variable| &variable.shape[..]);
    let (count, x, y) = match (shape("X"), shape("y"), find("X"), find("y")) {
        (Some(&[32, 32, 3, count]), Some(&[rows, 1]), Some(x), Some(y)) if rows == count => {
            (u64::from(count), x, y)
        }
        (x, y, ..) => {
            let text = |shape: Option<&[u32]>| shape.map_or("none".into(), |s| format!("{s:?}"));
            let problem = format!(
                "of MATLAB files only SVHN's are read, with images X [32, 32, 3, N] and labels y \
                 [N, 1]; in this one X is {} and y is {}",
                text(x),
                text(y)
            );
            return Err(origin.error(ErrorKind::Unsupported, problem));
        }
    };
    if count == 0 {
        return Err(origin.error(ErrorKind::Empty, "it holds no image"));
    }
    let images = Bytes::unpack(file, x, count * IMAGE_BYTES as u64, origin)?;
    let labels = Bytes::unpack(file, y, count, origin)?.read(0, count);
    let labels = labels.map_err(|e| origin.io_error(e))?;
    let labels: Option<Vec<usize>> = labels.into_iter().map(digit).collect();
    Ok(Box::new(Svhn {
        name: origin.name.clone(),
        title: origin.title.clone(),
        images,
        labels: labels
            .ok_or_else(|| origin.error(ErrorKind::Malformed, "a label in y is none of 1 to 10"))?,
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        channels: origin.options.channels,
    }))
}

/// The class that a label stands for: its digit, where 10 is the digit 0.
fn digit(label: u8) -> Option<usize> {
    matches!(label, 1..=10).then(|| usize::from(label % 10))
}

/// A data element: its type, and where its content lies.
struct Element {
    kind: u32,
    start: u64,
    len: u64,
    /// Where the next element begins.
    next: u64,
}

impl Element {
    const INT8: u32 = 1;
    const UINT8: u32 = 2;
    const INT32: u32 = 5;
    const MATRIX: u32 = 14;
    const COMPRESSED: u32 = 15;

    fn at(place: u64, bytes: &Blob) -> io::Result<Self> {
        let tag = bytes.read(place, 8)?;
        let word = |at: usize| u32::from_le_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
        let (kind, len) = (word(0) & 0xffff, word(0) >> 16);
        // Up to four bytes may lie in the tag itself.
        if len != 0 {
            return Ok(Self {
                kind,
                start: place + 4,
                len: u64::from(len.min(4)),
                next: place + 8,
            });
        }
        let len = u64::from(word(4));
        let padded = match kind {
            Self::COMPRESSED => len,
            _ => len.next_multiple_of(8),
        };
        Ok(Self {
            kind,
            start: place + 8,
            len,
            next: place + 8 + padded,
        })
    }

    /// An array from its own tag on, unpacked where it is compressed; `None` for other elements.
    fn array(&self, file: &Arc<Blob>) -> io::Result<Option<Box<dyn Read>>> {
        let from = |place| {
            let mut reader = BlobReader::new(Arc::clone(file));
            reader.seek(SeekFrom::Start(place)).map(|_| reader)
        };
        Ok(match self.kind {
            Self::COMPRESSED => {
                let packed = from(self.start)?.take(self.len);
                Some(Box::new(zlib(BufReader::new(packed))))
            }
            Self::MATRIX => Some(Box::new(from(self.start - 8)?.take(self.len + 8))),
            _ => None,
        })
    }
}

/// What a variable is, without its values.
struct Variable {
    element: Element,
    name: Vec<u8>,
    shape: Vec<u32>,
    /// Where in the array the values come.
    values: u64,
}

impl Variable {
    fn parse(file: &Arc<Blob>, element: Element) -> io::Result<Option<Self>> {
        let Some(array) = element.array(file)? else {
            return Ok(None);
        };
        let mut head = Vec::new();
        array.take(HEAD).read_to_end(&mut head)?;
        let head = Blob::Memory(head.into());
        let flags = Element::at(8, &head)?;
        let shape = Element::at(flags.next, &head)?;
        let name = Element::at(shape.next, &head)?;
        if (shape.kind, name.kind) != (Element::INT32, Element::INT8) {
            return Ok(None);
        }
        let sides = head.read(shape.start, shape.len)?;
        let (sides, _) = sides.as_chunks();
        Ok(Some(Self {
            name: head.read(name.start, name.len)?,
            shape: sides.iter().map(|&side| u32::from_le_bytes(side)).collect(),
            values: name.next,
            element,
        }))
    }
}

fn variables(file: &Arc<Blob>, origin: &Origin) -> Result<Vec<Variable>, Error> {
    let cut = |e: io::Error| truncated(origin).because(e);
    if file.read(HEADER - 2, 2).map_err(cut)? != *b"IM" {
        let problem = "a MATLAB file of big-endian numbers, which is not read";
        return Err(origin.error(ErrorKind::Unsupported, problem));
    }
    let mut variables = Vec::new();
    let mut place = HEADER;
    while place < file.len() && variables.len() < MAX_VARIABLES {
        let element = Element::at(place, file).map_err(cut)?;
        if element.start + element.len > file.len() {
            return Err(truncated(origin));
        }
        place = element.next;
        variables.extend(Variable::parse(file, element).map_err(cut)?);
    }
    Ok(variables)
}

fn truncated(origin: &Origin) -> Error {
    let problem = "it is no whole MATLAB file; it may be truncated or damaged";
    origin.error(ErrorKind::Malformed, problem)
}

/// The values of a variable of unsigned bytes.
struct Bytes {
    array: Blob,
    start: u64,
}

impl Bytes {
    fn unpack(
        file: &Arc<Blob>,
        variable: &Variable,
        count: u64,
        origin: &Origin,
    ) -> Result<Self, Error> {
        let cut = |e: io::Error| truncated(origin).because(e);
        let element = &variable.element;
        let array = element.array(file).map_err(cut)?;
        let array = array.ok_or_else(|| truncated(origin))?;
        let array = origin.unpack().run(array, element.len, &origin.title)?;
        let values = Element::at(variable.values, &array).map_err(cut)?;
        if values.kind != Element::UINT8 {
            let problem = "X or y is not of the type uint8";
            return Err(origin.error(ErrorKind::Unsupported, problem));
        }
        if values.len != count || array.len() < values.start + count {
            return Err(truncated(origin));
        }
        Ok(Self {
            array,
            start: values.start,
        })
    }

    fn read(&self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        self.array.read(self.start + offset, count)
    }
}

struct Svhn {
    name: String,
    title: String,
    images: Bytes,
    labels: Vec<usize>,
    class_names: Vec<String>,
    channels: Option<usize>,
}

impl DataSet for Svhn {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        Some(&self.class_names)
    }

    fn sample_name(&self, i: usize) -> String {
        match i < self.len() {
            true => format!("{i:05}"),
            false => String::new(),
        }
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.labels.get(i).copied()
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let offset = i as u64 * IMAGE_BYTES as u64;
        let levels = self.images.read(offset, IMAGE_BYTES as u64).map_err(|e| {
            let message = format!("{}: cannot read image {i}", self.title);
            Error::new(ErrorKind::Io, message).because(e)
        })?;
        // In MATLAB the first axis, the row, runs fastest.
        let level = |c, y, x| levels[(c * SIDE + x) * SIDE + y];
        let image = Image::from_levels((CHANNELS, SIDE, SIDE), level);
        Ok(Sample {
            name: self.sample_name(i),
            label: Some(self.labels[i]),
            image: image.to_channels(self.channels.unwrap_or(CHANNELS))?,
        })
    }
}
