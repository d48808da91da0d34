//! The `.npy` format, versions 1 to 3 (NEP 1 and `numpy.lib.format`).

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::DataSet;
use super::array::{self, Array, CHUNK, Element, Endian, MAX_IMAGES};
use super::origin::{Origin, sibling};
use crate::archive::{Blob, BlobReader};
use crate::error::{Error, ErrorKind};
use odin_error::counted;

/// The longest header that is read; numpy's own limit is 10,000 bytes.
const MAX_HEADER: u32 = 1 << 16;

/// What a file begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// What a file says of its values.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// Bytes up to the values.
    len: u64,
    descr: String,
    column_major: bool,
    pub(super) shape: Vec<usize>,
}

/// A header and its values, which are known to be all there.
#[derive(Debug, Clone)]
pub(super) struct Npy {
    blob: Arc<Blob>,
    header: Header,
}

/// `.npy` images, with labels from the caller or from a file beside: `<stem>_labels.npy`, or
/// `labels.npy` where it fits.
pub(super) fn open(blob: Arc<Blob>, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_splits()?;
    let images = Npy::parse(blob, &origin.title)?.into_array(&origin.title)?;
    let (mut labels, mut notes) = (None, Vec::new());
    if let Some(blob) = &origin.labels {
        let title = format!("the labels of {}", origin.title);
        labels = Some(Npy::parse(Arc::clone(blob), &title)?.labels(&title)?);
    } else if let Some(path) = origin.path {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if let Some(own) = sibling(path, &format!("{stem}_labels.npy")) {
            labels = Some(labels_in(&own)?);
        } else if let Some(shared) = sibling(path, SHARED_LABELS).filter(|shared| shared != path) {
            let count = images.shape.first().copied().unwrap_or(0);
            let found = labels_in(&shared).map(|found| (found.len(), for_images(found, count)));
            notes.push(match found {
                Ok((_, Some(fitting))) => {
                    labels = Some(fitting);
                    format!("the labels are those of {SHARED_LABELS} beside it")
                }
                Ok((found, None)) => format!(
                    "no labels: {SHARED_LABELS} beside it holds {found}, which do not fit {}",
                    counted(count, "image")
                ),
                Err(error) => format!("no labels: {error}"),
            });
        }
    }
    array::open(images, labels, notes, origin)
}

/// The labels of all arrays in a folder, as of CIFAR-10-C, which has one for each corruption.
const SHARED_LABELS: &str = "labels.npy";

/// How often an array of CIFAR-10-C holds the same images, one strength behind the other.
const STRENGTHS: usize = 5;

fn labels_in(path: &Path) -> Result<Vec<usize>, Error> {
    let title = path.display().to_string();
    Npy::parse(Arc::new(Blob::open(path)?), &title)?.labels(&title)
}

/// The labels of so many images: as many, or those of one strength for images of all, or those of
/// all for images of one.
fn for_images(labels: Vec<usize>, count: usize) -> Option<Vec<usize>> {
    match labels.len() {
        found if found == count => Some(labels),
        found if found * STRENGTHS == count => Some(labels.repeat(STRENGTHS)),
        found if found == count * STRENGTHS => {
            let first = &labels[..count];
            let alike = labels
                .chunks_exact(count.max(1))
                .all(|other| other == first);
            alike.then(|| first.to_vec())
        }
        _ => None,
    }
}

impl Header {
    /// Reads the first bytes of a file, and no more.
    pub(super) fn read(mut source: impl Read, title: &str) -> Result<Self, Error> {
        let cut = |e: io::Error| damaged(title, "it ends within its header").because(e);
        let mut magic = [0; 8];
        source.read_exact(&mut magic).map_err(cut)?;
        let length_bytes = match magic {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => 2,
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => 4,
            _ => {
                return Err(damaged(title, "it does not start as one of version 1 to 3"));
            }
        };
        let mut length = [0; 4];
        source
            .read_exact(&mut length[..length_bytes])
            .map_err(cut)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_HEADER {
            return Err(damaged(title, "its header is longer than 65536 bytes"));
        }
        let mut header = vec![0; length as usize];
        source.read_exact(&mut header).map_err(cut)?;
        let header = String::from_utf8_lossy(&header);
        let (descr, column_major, shape) =
            parse_header(&header).ok_or_else(|| damaged(title, "its header is not understood"))?;
        Ok(Self {
            len: (magic.len() + length_bytes) as u64 + u64::from(length),
            descr,
            column_major,
            shape,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The length of a one-dimensional array or a column.
    pub(super) fn vector(&self) -> Option<usize> {
        match self.shape[..] {
            [count] | [count, 1] => Some(count),
            _ => None,
        }
    }

    pub(super) fn is_float(&self) -> bool {
        Number::of(&self.descr).is_some_and(Number::is_float)
    }

    /// Bytes of one value; none where a value is something else than a number.
    fn value_size(&self) -> Option<u64> {
        let digits = self.descr.trim_start_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok()
    }

    fn unreadable(&self, title: &str) -> Error {
        let what = match self.descr.as_str() {
            "|O" | "O" => "Python objects (dtype object)".to_owned(),
            other => format!("values of type {other:?}"),
        };
        let message = format!("{title} holds {what}, which are not read; save numbers instead");
        Error::unsupported(message)
    }
}

fn damaged(title: &str, problem: &str) -> Error {
    let message = format!("{title} is no whole .npy file: {problem}");
    Error::malformed(message)
}

impl Npy {
    pub(super) fn parse(blob: Arc<Blob>, title: &str) -> Result<Self, Error> {
        let header = Header::read(BlobReader::new(Arc::clone(&blob)), title)?;
        let size = header
            .value_size()
            .ok_or_else(|| header.unreadable(title))?;
        let sides = header.shape.iter();
        let expected = sides
            .map(|&side| side as u64)
            .try_fold(size, u64::checked_mul)
            .ok_or_else(|| damaged(title, "its shape is larger than memory can be"))?;
        let found = blob.len().saturating_sub(header.len);
        if found < expected {
            return Err(damaged(
                title,
                &format!("{expected} bytes should follow the header, {found} do"),
            ));
        }
        Ok(Self { blob, header })
    }

    pub(super) fn into_array(self, title: &str) -> Result<Array, Error> {
        let header = self.header;
        let element = match header.descr.as_str() {
            "|u1" | "u1" | "<u1" | ">u1" => Element::U8,
            "<f4" => Element::F32(Endian::Little),
            ">f4" => Element::F32(Endian::Big),
            "<f8" => Element::F64(Endian::Little),
            ">f8" => Element::F64(Endian::Big),
            other => {
                let message = format!(
                    "{title}: images of type {other:?} are not read; save them as uint8, float32 \
                     or float64"
                );
                return Err(Error::unsupported(message));
            }
        };
        if header.column_major && header.shape.len() > 1 {
            let message = format!(
                "{title}: the array is stored in Fortran order; save it with \
                 numpy.ascontiguousarray"
            );
            return Err(Error::unsupported(message));
        }
        Ok(Array {
            blob: self.blob,
            start: header.len,
            element,
            shape: header.shape,
        })
    }

    /// A one-dimensional array (or a column) of class indices.
    pub(super) fn labels(&self, title: &str) -> Result<Vec<usize>, Error> {
        let number = Number::of(&self.header.descr).filter(|number| !number.is_float());
        let Some(number) = number else {
            let found = &self.header.descr;
            let problem = format!("{title}: labels of type {found:?}, expected whole numbers");
            return Err(Error::unsupported(problem));
        };
        let mut labels = Vec::new();
        self.each(number, "labels", title, |stored| {
            match usize::try_from(number.bits(stored)) {
                Ok(label) if !number.is_negative(stored) => labels.push(label),
                _ => {
                    let place = labels.len();
                    let problem = format!("{title}: label {place} is negative or too large");
                    return Err(Error::malformed(problem));
                }
            }
            Ok(())
        })?;
        Ok(labels)
    }

    /// A one-dimensional array (or a column) of numbers.
    pub(super) fn numbers(&self, title: &str) -> Result<Vec<f64>, Error> {
        let Some(number) = Number::of(&self.header.descr) else {
            return Err(self.header.unreadable(title));
        };
        let mut numbers = Vec::new();
        self.each(number, "numbers", title, |stored| {
            numbers.push(number.to_f64(stored));
            Ok(())
        })?;
        Ok(numbers)
    }

    /// Calls `take` with the bytes of each value of a one-dimensional array (or a column).
    fn each(
        &self,
        number: Number,
        what: &str,
        title: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let header = &self.header;
        let count = match header.vector() {
            Some(count) if count <= MAX_IMAGES => count,
            _ => {
                return Err(Error::unsupported(format!(
                    "{title}: {what} of shape {:?}, expected [N], at most {MAX_IMAGES}",
                    header.shape
                )));
            }
        };
        let mut at = header.len;
        let end = at + (count * number.width) as u64;
        while at < end {
            let size = CHUNK.min(end - at);
            let piece = self.blob.read(at, size).map_err(|e| {
                Error::new(ErrorKind::Io, format!("cannot read {title}")).because(e)
            })?;
            piece.chunks_exact(number.width).try_for_each(&mut take)?;
            at += size;
        }
        Ok(())
    }
}

/// How a number is stored.
#[derive(Debug, Clone, Copy)]
struct Number {
    kind: u8,
    width: usize,
    endian: Endian,
}

impl Number {
    /// That of numpy's description, such as `<f4`.
    fn of(descr: &str) -> Option<Self> {
        let [order, kind, width] = *descr.as_bytes() else {
            return None;
        };
        let known = match kind {
            b'i' | b'u' => b"1248".contains(&width),
            b'f' => b"248".contains(&width),
            _ => false,
        };
        known.then(|| Self {
            kind,
            width: usize::from(width - b'0'),
            endian: match order {
                b'>' => Endian::Big,
                _ => Endian::Little,
            },
        })
    }

    fn is_float(self) -> bool {
        self.kind == b'f'
    }

    /// What is stored, without a sign.
    fn bits(self, stored: &[u8]) -> u64 {
        let mut wide = [0; 8];
        wide[..self.width].copy_from_slice(stored);
        if self.endian == Endian::Big {
            wide[..self.width].reverse();
        }
        u64::from_le_bytes(wide)
    }

    fn is_negative(self, stored: &[u8]) -> bool {
        self.kind == b'i' && self.signed(stored) < 0
    }

    fn signed(self, stored: &[u8]) -> i64 {
        let unused = 64 - 8 * self.width;
        (self.bits(stored) as i64) << unused >> unused
    }

    fn to_f64(self, stored: &[u8]) -> f64 {
        let bits = self.bits(stored);
        match (self.kind, self.width) {
            (b'f', 2) => half(bits as u16),
            (b'f', 4) => f64::from(f32::from_bits(bits as u32)),
            (b'f', _) => f64::from_bits(bits),
            (b'i', _) => self.signed(stored) as f64,
            _ => bits as f64,
        }
    }
}

/// A number in half precision.
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    match bits >> 15 {
        0 => magnitude,
        _ => -magnitude,
    }
}

/// The three fields of `{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }`.
fn parse_header(header: &str) -> Option<(String, bool, Vec<usize>)> {
    let descr = field(header, "descr")?.strip_prefix(['\'', '"'])?;
    let descr = descr.split(['\'', '"']).next()?.to_owned();
    let order = field(header, "fortran_order")?;
    let column_major = order.starts_with("True");
    if !column_major && !order.starts_with("False") {
        return None;
    }
    let shape = field(header, "shape")?.strip_prefix('(')?;
    let shape = shape
        .split_once(')')?
        .0
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.trim_end_matches('L').parse().ok())
        .collect::<Option<Vec<usize>>>()?;
    Some((descr, column_major, shape))
}

/// What follows the key and its colon.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let rest = [format!("'{key}'"), format!("\"{key}\"")]
        .iter()
        .find_map(|key| header.split_once(key.as_str()))?
        .1;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_fit_one_strength_of_a_corruption_or_all() {
        let some = [3, 1, 2];
        for (labels, count, fits) in [
            (some.to_vec(), 3, true),
            (some.to_vec(), 15, true),
            (some.repeat(5), 3, true),
            (some.repeat(5), 15, true),
            ((0..15).collect(), 3, false),
            (some.to_vec(), 6, false),
            (Vec::new(), 3, false),
        ] {
            let found = for_images(labels, count);
            assert_eq!(found.is_some(), fits, "{count}");
            assert!(found.is_none_or(|found| found == some.repeat(count / 3)));
        }
    }

    #[test]
    fn numbers_of_every_type() {
        for (descr, stored, expected) in [
            ("|u1", &[200][..], 200.0),
            ("|i1", &[200], -56.0),
            ("<i2", &[0xfe, 0xff], -2.0),
            (">u4", &[0, 0, 1, 2], 258.0),
            (">i8", &[0xff; 8], -1.0),
            ("<f2", &[0x00, 0x3c], 1.0),
            (">f2", &[0xc5, 0x01], -5.00390625),
            ("<f2", &[0x01, 0x00], 5.960_464_477_539_063e-8),
            ("<f2", &[0xff, 0x7b], 65504.0),
            ("<f2", &[0x00, 0xfc], f64::NEG_INFINITY),
            (">f4", &[0xbf, 0x80, 0, 0], -1.0),
            ("<f8", &[0, 0, 0, 0, 0, 0, 0xe0, 0x3f], 0.5),
        ] {
            let number = Number::of(descr).unwrap();
            assert_eq!(number.to_f64(stored), expected, "{descr}");
        }
        assert!(half(0x7c01).is_nan());
        for descr in ["|b1", "<f1", "|O", "<U5", "<c8", "<i16", "", "f4", "<f16"] {
            assert!(Number::of(descr).is_none(), "{descr}");
        }
    }

    #[test]
    fn headers() {
        for (header, expected) in [
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }   \n",
                Some(("|u1", false, vec![2, 3, 4])),
            ),
            (
                "{\"shape\": (5L,), 'fortran_order':True,'descr': '<f4'}",
                Some(("<f4", true, vec![5])),
            ),
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': ()}",
                Some(("|u1", false, vec![])),
            ),
            (
                "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
                None,
            ),
            ("{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}", None),
            (
                "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}",
                None,
            ),
            ("", None),
        ] {
            let expected = expected.map(|(d, o, s)| (d.to_owned(), o, s));
            assert_eq!(parse_header(header), expected, "{header}");
        }
    }
}
