//! The bytes of a histogram sketch.
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `ODIN-HS` |
//! | 1 | version, 1 |
//! | 1 | precision |
//! | LEB128 | number of bins |
//! | 3 LEB128 for each bin | its key less that of the bin before, in-scores, out-scores |
//!
//! Bins rise by their keys, the first less 0. One sketch has one encoding.

use super::{Bin, HistogramSketch};
use crate::error::{Error, ErrorKind};

const MAGIC: &[u8; 7] = b"ODIN-HS";
const VERSION: u8 = 1;

impl HistogramSketch {
    /// The sketch as bytes, which [`from_bytes`](Self::from_bytes) reads on any machine. Equal
    /// sketches have equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, self.precision as u8]);
        write(&mut bytes, self.bins.len() as u64);
        let mut before = 0;
        for (&key, bin) in &self.bins {
            write(&mut bytes, key - before);
            write(&mut bytes, bin.in_count);
            write(&mut bytes, bin.out_count);
            before = key;
        }
        bytes
    }

    /// The sketch of these bytes. They are checked; memory is bounded by their number.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSketch`] when they are no sketch of this version, end early or late, or
    /// have a bin that is empty, out of order or not of finite numbers; [`ErrorKind::InvalidPrecision`],
    /// [`ErrorKind::TooManyScores`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { bytes, offset: 0 };
        reader.header()?;
        let mut sketch = Self::new(reader.byte()?.into())?;
        let bins = reader.number()?;
        for _ in 0..bins {
            sketch.read_bin(&mut reader)?;
        }
        if reader.offset < bytes.len() {
            return Err(reader.error("the end after the last bin", "more bytes"));
        }
        Ok(sketch)
    }

    fn read_bin(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let start = reader.at();
        let last = self.bins.last_key_value().map(|(key, _)| *key);
        let key = last.unwrap_or(0).checked_add(reader.number()?);
        let key = key.filter(|key| last.is_none_or(|last| last < *key) && self.is_finite(*key));
        let Some(key) = key else {
            return Err(start.error(
                "a key above that of the bin before, of finite numbers",
                "another",
            ));
        };
        let bin = Bin {
            in_count: reader.number()?,
            out_count: reader.number()?,
        };
        if bin == Bin::default() {
            return Err(start.error("a bin with scores", "an empty one"));
        }
        self.total = self.total_with(bin)?;
        self.bins.insert(key, bin);
        Ok(())
    }

    /// Whether there is such a bin, and its numbers are finite.
    fn is_finite(&self, key: u64) -> bool {
        let ends = self.ends(key);
        key <= u64::MAX >> self.shift() && ends.lower.is_finite() && ends.upper.is_finite()
    }
}

/// Writes a number as LEB128: seven bits a byte, the lowest first, all bytes but the last with the
/// highest bit set.
fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Reader<'_> {
    fn at(&self) -> Self {
        *self
    }

    fn header(&mut self) -> Result<(), Error> {
        if !self.bytes.starts_with(MAGIC) {
            return Err(self.error(
                "a histogram sketch, which begins with ODIN-HS",
                "other bytes",
            ));
        }
        self.offset = MAGIC.len();
        let start = self.at();
        match self.byte()? {
            VERSION => Ok(()),
            other => Err(start.error("version 1", &format!("version {other}"))),
        }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = self.bytes.get(self.offset).copied();
        let byte = byte.ok_or_else(|| self.error("another byte", "the end"))?;
        self.offset += 1;
        Ok(byte)
    }

    /// A number in the shortest form of LEB128.
    fn number(&mut self) -> Result<u64, Error> {
        let start = self.at();
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            let overlong = byte == 0 && shift > 0;
            if overlong || (part << shift) >> shift != part {
                break;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(start.error("a number of up to 64 bits in its shortest form", "another"))
    }

    fn error(&self, expected: &str, found: &str) -> Error {
        Error::new(
            ErrorKind::InvalidSketch,
            format!(
                "the bytes of a histogram sketch have at offset {} {found}; expected {expected}: \
                 they are damaged, or were not written by this version",
                self.offset
            ),
        )
    }
}
