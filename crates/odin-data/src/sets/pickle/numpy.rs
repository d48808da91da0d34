//! Decodes pickled `numpy` arrays of bytes.

use std::borrow::Cow;

use odin_untrusted::pickle::{Id, Value};

use super::{Dictionary, PickleError, Result, wrong};

/// A two-dimensional array of `uint8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sets) struct ByteArray<'a> {
    pub(in crate::sets) rows: usize,
    pub(in crate::sets) columns: usize,
    /// Column after column instead of row after row.
    pub(in crate::sets) column_major: bool,
    pub(in crate::sets) data: Cow<'a, [u8]>,
}

impl Dictionary<'_> {
    /// The array under `key`, whose size fits its data.
    pub(in crate::sets) fn byte_array(&self, key: &str) -> Result<ByteArray<'_>> {
        let Some(value) = self.get(key) else {
            return wrong(format!("it has no {key:?}"));
        };
        let no_array = || PickleError(format!("{key:?} is no numpy array"));
        let unknown_form = || PickleError(format!("{key:?} is a numpy array of an unknown form"));
        let call = self.0.object(value).ok_or_else(no_array)?;
        let (shape, dtype, column_major, data) = match (self.function(call.callable), call.state) {
            // Protocols up to 4: an empty array, filled from (version, shape, dtype, order, data).
            (Some("_reconstruct"), Some(state)) => match *self.tuple(state) {
                [_, shape, dtype, order, data] => {
                    (shape, dtype, *self.0.get(order) == Value::Bool(true), data)
                }
                _ => return Err(unknown_form()),
            },
            // Protocol 5: made from (buffer, dtype, shape, order).
            (Some("_frombuffer"), None) => match *self.tuple(call.args) {
                [data, dtype, shape, order] => {
                    (shape, dtype, self.string(order) == Some(b"F"), data)
                }
                _ => return Err(unknown_form()),
            },
            _ => return Err(no_array()),
        };
        if !self.is_uint8(dtype) {
            return wrong(format!(
                "{key:?} is a numpy array of another type than uint8"
            ));
        }
        let (rows, columns) = match *self.tuple(shape) {
            [rows, columns] => (self.size(rows)?, self.size(columns)?),
            _ => return wrong(format!("{key:?} is a numpy array without exactly 2 axes")),
        };
        let data = self.data(data)?;
        if rows.checked_mul(columns) != Some(data.len()) {
            return wrong(format!(
                "{key:?} has the shape ({rows}, {columns}), but {} bytes of data",
                data.len()
            ));
        }
        Ok(ByteArray {
            rows,
            columns,
            column_major,
            data,
        })
    }

    /// The name of an importable that belongs to numpy; its module has moved over the years.
    fn function(&self, id: Id) -> Option<&str> {
        let (module, name) = self.0.global(id)?;
        let package = module.split('.').next();
        (package == Some("numpy")).then_some(name)
    }

    fn tuple(&self, id: Id) -> &[Id] {
        self.0.tuple(id).unwrap_or_default()
    }

    fn size(&self, id: Id) -> Result<usize> {
        let size = self.0.size(id);
        size.ok_or_else(|| PickleError("a numpy array has a size that is no natural number".into()))
    }

    fn is_uint8(&self, id: Id) -> bool {
        let Some(call) = self.0.object(id) else {
            return false;
        };
        let name = self.tuple(call.args).first().and_then(|&n| self.string(n));
        self.function(call.callable) == Some("dtype")
            && matches!(name, Some(b"u1" | b"|u1" | b"uint8"))
    }

    /// The bytes of an array, which protocols 0 to 2 write as a text in Latin-1.
    fn data(&self, id: Id) -> Result<Cow<'_, [u8]>> {
        if let Some(text) = self.encoded_text(id) {
            let letters = self.0.text(text).map(str::chars);
            let bytes = letters.and_then(|l| l.map(|c| u8::try_from(c).ok()).collect());
            return bytes
                .map(Cow::Owned)
                .ok_or_else(|| PickleError("a byte string is not written in Latin-1".into()));
        }
        match self.0.get(id) {
            Value::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            _ => wrong("a numpy array's data is no byte string"),
        }
    }
}
