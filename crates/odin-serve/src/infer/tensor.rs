//! Tensors of requests.

use crate::refusal::Refusal;
use bytes::Bytes;

/// The datatypes of the protocol that occur here, and those that are refused by their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    Bool,
    Uint8,
    Int64,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    const ALL: [Self; 6] = [
        Self::Bool,
        Self::Uint8,
        Self::Int64,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Int64 => "INT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    pub(crate) fn of(name: &str) -> Result<Self, Refusal> {
        let found = Self::ALL
            .into_iter()
            .find(|datatype| datatype.name() == name);
        found.ok_or_else(|| {
            let message = format!("no input has the datatype {}", odin_error::shown(name));
            Refusal::invalid(message)
        })
    }
}

/// A tensor of a request: `data` is as in the protocol's binary form, numbers in little-endian
/// order, each of `BYTES` led by its length in four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputTensor {
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Bytes,
}

/// The elements of a `BYTES` tensor of one axis.
///
/// # Errors
/// When the shape is another, or the lengths do not fit the bytes.
pub(crate) fn split_bytes(
    mut data: Bytes,
    shape: &[usize],
    most: usize,
) -> Result<Vec<Bytes>, Refusal> {
    // Some clients give [N, 1].
    let ([count] | [count, 1]) = *shape else {
        return Err(Refusal::invalid(format!(
            "the shape is {shape:?}; it must be [N]"
        )));
    };
    let mut elements = Vec::new();
    while !data.is_empty() && elements.len() <= most {
        let length = data.split_to_checked(4).and_then(|length| {
            let length: [u8; 4] = length[..].try_into().ok()?;
            usize::try_from(u32::from_le_bytes(length)).ok()
        });
        let element = length.and_then(|length| data.split_to_checked(length));
        elements.push(element.ok_or_else(|| {
            Refusal::invalid("its bytes end within an element; each is led by its length in four bytes, little-endian")
        })?);
    }
    match elements.len() == count || elements.len() > most {
        true => Ok(elements),
        false => Err(Refusal::invalid(format!(
            "the shape is {shape:?}, but there are {} elements",
            elements.len()
        ))),
    }
}

trait SplitChecked: Sized {
    /// The first `count` bytes, taken off; `None` where there are fewer.
    fn split_to_checked(&mut self, count: usize) -> Option<Self>;
}

impl SplitChecked for Bytes {
    fn split_to_checked(&mut self, count: usize) -> Option<Self> {
        (count <= self.len()).then(|| self.split_to(count))
    }
}

/// Little-endian `f32` values in the byte order of the machine.
pub(crate) fn in_native_order(values: Bytes) -> Bytes {
    if cfg!(target_endian = "little") {
        return values;
    }
    let (each, _) = values.as_chunks::<4>();
    let native = each
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes).to_ne_bytes());
    native.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_split_by_their_lengths() {
        let data = Bytes::from_static(b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c");
        let split = |shape: &[usize]| split_bytes(data.clone(), shape, 8);
        assert_eq!(split(&[3]).unwrap(), ["ab", "", "c"]);
        assert_eq!(split(&[3, 1]).unwrap().len(), 3);
        assert!(
            split(&[2])
                .unwrap_err()
                .message
                .contains("there are 3 elements")
        );
        assert!(
            split(&[1, 3])
                .unwrap_err()
                .message
                .contains("it must be [N]")
        );
        // More than a request may have: counting them is enough.
        assert_eq!(split_bytes(data.clone(), &[3], 1).unwrap().len(), 2);
        for end in [1, 3, 5, 9, 14] {
            let cut = data.slice(..end);
            assert!(split_bytes(cut, &[3], 8).is_err(), "{end}");
        }
    }
}
