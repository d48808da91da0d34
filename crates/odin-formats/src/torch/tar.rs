//! The container of PyTorch before 0.1.10: a tar archive of `sys_info` (facts about the
//! machine), `storages`, `tensors` (views of the storages), and `pickle` (the saved object,
//! which refers to tensors and storages by number).

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Cursor;
use std::rc::Rc;

use super::assemble::checkpoint;
use super::legacy::check_machine;
use super::pickle;
use super::storage::{
    InMemory, MAX_AXES, Referent, Storage, Storages, View, element_of_storage, key_text, missing,
    take_storage,
};
use crate::Error;
use crate::allowance::Allowance;
use crate::checkpoint::{Checkpoint, Container};
use crate::element::StridedLayout;
use odin_untrusted::pickle::{Id, Pickle};
use odin_untrusted::tar::{Archive, Kind};

/// The files that make a tar archive a checkpoint.
pub(crate) const PARTS: [&str; 3] = ["storages", "tensors", "pickle"];

pub(crate) fn read(
    bytes: &[u8],
    allowance: Allowance,
    wanted: Option<&str>,
) -> Result<Checkpoint, Error> {
    let files: HashMap<String, &[u8]> = files(bytes)?.into_iter().collect();
    let part = |name: &str| files.get(name).copied().ok_or_else(|| missing(name));
    if let Ok(mut facts) = part("sys_info") {
        check_machine(&pickle::read(&mut facts)?)?;
    }
    let mut contents = Contents::default();
    let about = |name: &'static str| move |e: Error| e.about(name);
    contents
        .read_storages(part("storages")?)
        .map_err(about("storages"))?;
    contents
        .read_tensors(part("tensors")?)
        .map_err(about("tensors"))?;
    let object = pickle::read(&mut part("pickle")?).map_err(about("pickle"))?;
    checkpoint(
        Container::TorchTar,
        &object,
        &mut contents,
        allowance,
        wanted,
    )
}

/// The regular files of a tar archive that is in memory, with their contents.
pub(crate) fn files(bytes: &[u8]) -> Result<Vec<(String, &[u8])>, Error> {
    let damaged =
        |e: odin_untrusted::Error| Error::corrupt(format!("tar: {e}; the file is damaged"));
    let mut files = Vec::new();
    let mut archive = Archive::new(Cursor::new(bytes));
    for member in archive.members_with_seek(u64::MAX).map_err(damaged)? {
        let member = member.map_err(damaged)?;
        if member.kind != Kind::File {
            continue;
        }
        let start = usize::try_from(member.start).ok();
        let size = usize::try_from(member.size).ok();
        let range = start.and_then(|s| Some(s..s.checked_add(size?)?));
        let content = range.and_then(|r| bytes.get(r)).ok_or_else(|| {
            Error::corrupt("tar: an entry reaches past the end; the file is truncated")
        })?;
        let name = String::from_utf8_lossy(&member.name).into_owned();
        files.push((name.trim_start_matches("./").to_owned(), content));
    }
    Ok(files)
}

#[derive(Default)]
struct Contents<'a> {
    bytes: InMemory<'a>,
    storages: HashMap<Rc<str>, Storage>,
    tensors: HashMap<Rc<str>, View>,
}

impl<'a> Contents<'a> {
    /// A count; per storage a pickled `(key, location, type)` and the storage; a pickled list
    /// of parts `(key, key of the whole, offset, count)`.
    fn read_storages(&mut self, mut input: &'a [u8]) -> Result<(), Error> {
        for _ in 0..count(&mut input)? {
            let (pickle, [key, _location, class]) = record(&mut input)?;
            let class = pickle.global(class).ok_or_else(strange)?;
            let element = element_of_storage(class.1);
            let key = key_text(&pickle, key).ok_or_else(strange)?;
            let bytes = take_storage(&mut input, element)?;
            let storage = Storage {
                key: key.clone(),
                element,
                offset: 0,
                count: bytes.len() / element.size(),
            };
            self.bytes.insert(key.clone(), bytes);
            self.storages.insert(key, storage);
        }
        let parts = pickle::read(&mut input)?;
        for &part in parts.sequence(parts.root()).ok_or_else(strange)? {
            let &[key, whole, offset, count] = parts.sequence(part).unwrap_or_default() else {
                return Err(strange());
            };
            let whole = key_text(&parts, whole).and_then(|k| self.storages.get(&k));
            let range = parts.size(offset).zip(parts.size(count));
            let part = whole.zip(range).and_then(|(w, (o, c))| w.part(o, c));
            let key = key_text(&parts, key).ok_or_else(strange)?;
            self.storages.insert(key, part.ok_or_else(strange)?);
        }
        Ok(())
    }

    /// A count; per tensor a pickled `(key, storage key, type)`, the number of axes in eight
    /// bytes, the shape, the strides and the offset.
    fn read_tensors(&mut self, mut input: &'a [u8]) -> Result<(), Error> {
        for _ in 0..count(&mut input)? {
            let (pickle, [key, storage, _class]) = record(&mut input)?;
            let key = key_text(&pickle, key).ok_or_else(strange)?;
            let storage = key_text(&pickle, storage).and_then(|k| self.storages.get(&k));
            let storage = storage.ok_or_else(strange)?;
            let axes = word(&mut input)? & 0xffff_ffff;
            if axes > MAX_AXES {
                return Err(strange());
            }
            let shape = words(&mut input, axes)?;
            let strides = words(&mut input, axes)?;
            let offset = word(&mut input)?;
            let layout = StridedLayout::new(offset, shape, strides, storage.count)?;
            self.tensors.insert(key, View::new(storage, layout));
        }
        Ok(())
    }
}

impl Storages for Contents<'_> {
    fn referent(&self, pickle: &Pickle<'_>, id: Id) -> Result<Referent, Error> {
        if let Some(&[class, ..]) = pickle.tuple(id) {
            return Ok(Referent::Class(class));
        }
        let key = key_text(pickle, id).ok_or_else(strange)?;
        let tensor = self.tensors.get(&key).cloned().map(Referent::Tensor);
        let storage = || self.storages.get(&key).cloned().map(Referent::Storage);
        tensor.or_else(storage).ok_or_else(|| missing(&key))
    }

    fn bytes(&mut self, key: &str) -> Result<Cow<'_, [u8]>, Error> {
        let storage = self.bytes.get(key).copied();
        storage.map(Cow::Borrowed).ok_or_else(|| missing(key))
    }
}

/// A pickled count of records. It bounds nothing: the records end where the input ends.
fn count(input: &mut &[u8]) -> Result<usize, Error> {
    let pickle = pickle::read(input)?;
    pickle.size(pickle.root()).ok_or_else(strange)
}

fn record<'a, const N: usize>(input: &mut &'a [u8]) -> Result<(Pickle<'a>, [Id; N]), Error> {
    let pickle = pickle::read(input)?;
    let fields = pickle.sequence(pickle.root()).ok_or_else(strange)?;
    let fields = fields.try_into().map_err(|_| strange())?;
    Ok((pickle, fields))
}

fn words(input: &mut &[u8], count: usize) -> Result<Vec<usize>, Error> {
    (0..count).map(|_| word(input)).collect()
}

fn word(input: &mut &[u8]) -> Result<usize, Error> {
    let truncated = || Error::corrupt("ends inside of a tensor; the file is truncated");
    let (head, tail) = input.split_first_chunk().ok_or_else(truncated)?;
    *input = tail;
    usize::try_from(i64::from_le_bytes(*head)).map_err(|_| strange())
}

fn strange() -> Error {
    Error::corrupt("a record is not one that PyTorch writes; the file is damaged")
}
