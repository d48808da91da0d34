//! Storages: the one-dimensional arrays that tensors are views of.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use crate::Error;
use crate::element::{Element, StridedLayout};
use odin_error::shown;
use odin_untrusted::pickle::{Id, Pickle, Value};

/// Longest key of a storage or a tensor, in bytes. Keys are numbers.
const MAX_KEY: usize = 256;

/// Most axes of a tensor.
pub(super) const MAX_AXES: usize = 64;

/// What a container keeps outside of its pickle.
pub(super) trait Storages {
    /// What a persistent id stands for.
    fn referent(&self, pickle: &Pickle<'_>, id: Id) -> Result<Referent, Error>;

    /// The content of the storage of this key.
    fn bytes(&mut self, key: &str) -> Result<Cow<'_, [u8]>, Error>;
}

/// What a persistent id stands for.
#[derive(Debug)]
pub(super) enum Referent {
    /// A class, stored with its source code. The code is ignored.
    Class(Id),
    Storage(Storage),
    Tensor(View),
}

/// A storage, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) key: Rc<str>,
    pub(super) element: Element,
    /// The first element of the part.
    pub(super) offset: usize,
    /// Elements in the part.
    pub(super) count: usize,
}

impl Storage {
    /// The part of `count` elements from `offset`, if it lies in this storage.
    pub(super) fn part(&self, offset: usize, count: usize) -> Option<Storage> {
        let end = offset.checked_add(count)?;
        (end <= self.count).then(|| Storage {
            offset: self.offset + offset,
            count,
            ..self.clone()
        })
    }
}

/// A tensor that has not been read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) storage: Rc<str>,
    pub(super) element: Element,
    pub(super) layout: StridedLayout,
}

impl View {
    /// A view whose layout counts from the start of `storage`.
    pub(super) fn new(storage: &Storage, layout: StridedLayout) -> Self {
        Self {
            storage: Rc::clone(&storage.key),
            element: storage.element,
            layout: layout.shifted(storage.offset),
        }
    }

    /// Whether its elements are real numbers.
    pub(super) fn is_real(&self) -> bool {
        !matches!(self.element, Element::Other(_))
    }
}

/// What the persistent ids of zip and legacy containers stand for:
/// `('storage', type, key, location, count)`, in legacy ones followed by `None` or
/// `(view_key, offset, view_count)`, or `('module', class, file, source)`.
pub(super) fn tuple_referent(pickle: &Pickle<'_>, id: Id) -> Result<Referent, Error> {
    let strange = || Error::corrupt("a persistent id is not one that PyTorch writes");
    let (&tag, fields) = pickle
        .tuple(id)
        .and_then(|t| t.split_first())
        .ok_or_else(strange)?;
    match (pickle.text(tag), fields) {
        (Some("module"), &[class, _file, _source]) => Ok(Referent::Class(class)),
        (Some("storage"), &[class, key, _location, count, ref view @ ..]) => {
            let (_module, class) = pickle.global(class).ok_or_else(strange)?;
            let whole = Storage {
                key: key_text(pickle, key).ok_or_else(strange)?,
                element: element_of_storage(class),
                offset: 0,
                count: pickle.size(count).ok_or_else(strange)?,
            };
            let view = view.first().and_then(|&view| pickle.tuple(view));
            match view {
                None => Ok(Referent::Storage(whole)),
                Some(&[_key, offset, count]) => {
                    let offset = pickle.size(offset);
                    let part = offset.and_then(|o| whole.part(o, pickle.size(count)?));
                    part.map(Referent::Storage).ok_or_else(strange)
                }
                Some(_) => Err(strange()),
            }
        }
        _ => Err(strange()),
    }
}

/// The element of a storage class such as `torch.cuda.HalfStorage`.
pub(super) fn element_of_storage(class: &str) -> Element {
    match class {
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::Bf16,
        "FloatStorage" => Element::F32,
        "DoubleStorage" => Element::F64,
        "ShortStorage" => Element::Other(2),
        "IntStorage" | "QInt32Storage" | "ComplexHalfStorage" => Element::Other(4),
        "LongStorage" | "ComplexFloatStorage" => Element::Other(8),
        "ComplexDoubleStorage" => Element::Other(16),
        _ => Element::Other(1),
    }
}

/// A key: a text in zip and legacy containers, an integer (an address) in tar ones.
pub(super) fn key_text(pickle: &Pickle<'_>, id: Id) -> Option<Rc<str>> {
    match pickle.get(id) {
        Value::Text(text) if text.len() <= MAX_KEY => Some((**text).into()),
        Value::Int(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// Takes a storage as the legacy and tar containers write it, an element count and the
/// elements, from the start of `input`.
pub(super) fn take_storage<'a>(input: &mut &'a [u8], element: Element) -> Result<&'a [u8], Error> {
    let truncated = || Error::corrupt("the file ends inside of a storage; it is truncated");
    let (count, rest) = input.split_first_chunk().ok_or_else(truncated)?;
    let count = usize::try_from(i64::from_le_bytes(*count)).ok();
    let size = count.and_then(|c| c.checked_mul(element.size()));
    let (storage, rest) = size
        .and_then(|s| rest.split_at_checked(s))
        .ok_or_else(truncated)?;
    *input = rest;
    Ok(storage)
}

/// Storages that lie in a file in memory.
pub(super) type InMemory<'a> = HashMap<Rc<str>, &'a [u8]>;

pub(super) fn missing(key: &str) -> Error {
    Error::corrupt(format!(
        "storage `{}` is not in the file; it is truncated or damaged",
        shown(key)
    ))
}
