//! How `numpy` arrays of bytes appear in pickles.

use super::{Id, Pickle, Result, Span, Value, text, wrong};

/// A two-dimensional array of `uint8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sets) struct ByteArray {
    pub(in crate::sets) rows: usize,
    pub(in crate::sets) columns: usize,
    /// Column after column instead of row after row.
    pub(in crate::sets) column_major: bool,
    /// The data, if it is not part of the input.
    pub(in crate::sets) owned: Option<Vec<u8>>,
    /// Where the data starts in `owned`, or else in the input.
    pub(in crate::sets) start: usize,
}

impl Pickle {
    /// The array under `key`, whose size fits its data.
    pub(in crate::sets) fn byte_array(&self, key: &str) -> Result<ByteArray> {
        let Some(value) = self.get(key) else {
            return wrong(format!("it has no {key:?}"));
        };
        let Value::Call {
            callable,
            arguments,
            state,
        } = value
        else {
            return wrong(format!("{key:?} is no numpy array"));
        };
        let (shape, dtype, column_major, data) = match (self.function(*callable), state) {
            // Protocols up to 4: an empty array, filled from (version, shape, dtype, order, data).
            (Some(b"_reconstruct"), Some(state)) => match self.tuple(*state)[..] {
                [_, shape, dtype, order, data] => {
                    (shape, dtype, self.values[order] == Value::Bool(true), data)
                }
                _ => return wrong(format!("{key:?} is a numpy array of an unknown form")),
            },
            // Protocol 5: made from (buffer, dtype, shape, order).
            (Some(b"_frombuffer"), None) => match self.tuple(*arguments)[..] {
                [data, dtype, shape, order] => {
                    (shape, dtype, self.string(order) == Some(b"F"), data)
                }
                _ => return wrong(format!("{key:?} is a numpy array of an unknown form")),
            },
            _ => return wrong(format!("{key:?} is no numpy array")),
        };
        if !self.is_uint8(dtype) {
            return wrong(format!(
                "{key:?} is a numpy array of another type than uint8"
            ));
        }
        let (rows, columns) = match self.tuple(shape)[..] {
            [rows, columns] => (self.size(rows)?, self.size(columns)?),
            _ => return wrong(format!("{key:?} is a numpy array without exactly 2 axes")),
        };
        let (owned, start, len) = self.data(data)?;
        if rows.checked_mul(columns) != Some(len) {
            return wrong(format!(
                "{key:?} has the shape ({rows}, {columns}), but {len} bytes of data"
            ));
        }
        Ok(ByteArray {
            rows,
            columns,
            column_major,
            owned,
            start,
        })
    }

    /// The name of an importable that belongs to numpy; its module has moved over the years.
    fn function(&self, id: Id) -> Option<&[u8]> {
        let (module, name) = self.global(id)?;
        let package = module.split(|&byte| byte == b'.').next();
        matches!(package, Some(b"numpy")).then_some(name)
    }

    fn tuple(&self, id: Id) -> &[Id] {
        match &self.values[id] {
            Value::Tuple(items) => items,
            _ => &[],
        }
    }

    fn size(&self, id: Id) -> Result<usize> {
        match self.values[id] {
            Value::Int(size) if size >= 0 => Ok(size as usize),
            _ => wrong("a numpy array has a size that is no natural number"),
        }
    }

    fn is_uint8(&self, id: Id) -> bool {
        let Value::Call {
            callable,
            arguments,
            ..
        } = self.values[id]
        else {
            return false;
        };
        matches!(self.function(callable), Some(b"dtype"))
            && self
                .tuple(arguments)
                .first()
                .is_some_and(|&name| matches!(self.string(name), Some(b"u1" | b"|u1" | b"uint8")))
    }

    /// The bytes themselves: owned ones, or else their start in the input; and their number.
    fn data(&self, id: Id) -> Result<(Option<Vec<u8>>, usize, usize)> {
        if let Some(text) = self.encoded_text(id) {
            return match self.string(text).and_then(text::to_latin1) {
                Some(bytes) => {
                    let len = bytes.len();
                    Ok((Some(bytes), 0, len))
                }
                None => wrong("a byte string is not written in Latin-1"),
            };
        }
        match &self.values[id] {
            Value::Bytes(Span::Input(range)) => Ok((None, range.start, range.len())),
            Value::Bytes(Span::Owned(bytes)) => Ok((Some(bytes.clone()), 0, bytes.len())),
            _ => wrong("a numpy array's data is no byte string"),
        }
    }
}
