//! The container of PyTorch 0.1.10 to 1.5: pickles of a magic number, the protocol's version,
//! facts about the machine, the saved object, and the list of storage keys; then the storages
//! in the order of that list.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use super::assemble::checkpoint;
use super::pickle;
use super::storage::{
    InMemory, Referent, Storages, key_text, missing, take_storage, tuple_referent,
};
use crate::Error;
use crate::allowance::Allowance;
use crate::checkpoint::{Checkpoint, Container};
use crate::element::Element;
use odin_error::shown;
use odin_untrusted::pickle::{Id, Pickle, Value};

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL: i128 = 1001;

/// A pickle of the magic number takes fewer bytes than this in any protocol.
const MAGIC_LENGTH: usize = 64;

/// Whether the content begins with a pickle of the magic number.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let mut head = &bytes[..bytes.len().min(MAGIC_LENGTH)];
    pickle::read(&mut head).is_ok_and(|p| p.int(p.root()) == Some(MAGIC))
}

pub(crate) fn read(
    bytes: &[u8],
    allowance: Allowance,
    wanted: Option<&str>,
) -> Result<Checkpoint, Error> {
    let mut input = bytes;
    let _magic = pickle::read(&mut input)?;
    check_protocol(&pickle::read(&mut input)?)?;
    check_machine(&pickle::read(&mut input)?)?;
    let object = pickle::read(&mut input)?;
    let keys = pickle::read(&mut input)?;
    let mut storages = Legacy(storages(input, &object, &keys)?);
    checkpoint(
        Container::TorchLegacy,
        &object,
        &mut storages,
        allowance,
        wanted,
    )
}

fn check_protocol(version: &Pickle<'_>) -> Result<(), Error> {
    match version.int(version.root()) {
        Some(PROTOCOL) => Ok(()),
        found => Err(Error::unsupported(format!(
            "protocol version {found:?}; PyTorch wrote {PROTOCOL}"
        ))),
    }
}

pub(super) fn check_machine(facts: &Pickle<'_>) -> Result<(), Error> {
    let Value::Dict(facts_dict) = facts.get(facts.root()) else {
        return Err(Error::corrupt("the facts about the machine are no dict"));
    };
    let little_endian = |&(key, value): &(Id, Id)| {
        facts.text(key) == Some("little_endian") && matches!(facts.get(value), Value::Bool(false))
    };
    if facts_dict.iter().any(little_endian) {
        return Err(Error::unsupported(
            "big-endian numbers; save it on a usual machine",
        ));
    }
    Ok(())
}

/// The storages that follow the list of keys. A storage begins with the number of its elements;
/// their type is in the saved object.
fn storages<'a>(
    mut input: &'a [u8],
    object: &Pickle<'_>,
    keys: &Pickle<'_>,
) -> Result<InMemory<'a>, Error> {
    let elements = elements(object);
    let list = keys.sequence(keys.root());
    let list = list.ok_or_else(|| Error::corrupt("the storage keys are no list"))?;
    let mut storages = HashMap::new();
    for &key in list {
        let key = key_text(keys, key).ok_or_else(|| Error::corrupt("a strange storage key"))?;
        let element = elements.get(&key).copied();
        let element = element.ok_or_else(|| {
            Error::corrupt(format!(
                "storage `{}` is not used by the saved object",
                shown(&key)
            ))
        })?;
        let storage = take_storage(&mut input, element)
            .map_err(|e| e.about(format_args!("storage `{}`", shown(&key))))?;
        storages.insert(key, storage);
    }
    Ok(storages)
}

fn elements(object: &Pickle<'_>) -> HashMap<Rc<str>, Element> {
    let ids = object.values().iter().filter_map(|value| match value {
        Value::Persistent(id) => Some(*id),
        _ => None,
    });
    let referents = ids.filter_map(|id| tuple_referent(object, id).ok());
    referents
        .filter_map(|referent| match referent {
            Referent::Storage(storage) => Some((storage.key, storage.element)),
            _ => None,
        })
        .collect()
}

struct Legacy<'a>(InMemory<'a>);

impl Storages for Legacy<'_> {
    fn referent(&self, pickle: &Pickle<'_>, id: Id) -> Result<Referent, Error> {
        tuple_referent(pickle, id)
    }

    fn bytes(&mut self, key: &str) -> Result<Cow<'_, [u8]>, Error> {
        let storage = self.0.get(key).copied();
        storage.map(Cow::Borrowed).ok_or_else(|| missing(key))
    }
}
