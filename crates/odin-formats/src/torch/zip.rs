//! The container of PyTorch 1.6 and later: a zip archive that holds, in a folder of any name,
//! `data.pkl`, one entry per storage under `data/`, and small texts such as `byteorder`.

use std::borrow::Cow;
use std::io::Cursor;

use super::assemble::checkpoint;
use super::pickle;
use super::storage::{Referent, Storages, missing, tuple_referent};
use crate::allowance::Allowance;
use crate::checkpoint::{Checkpoint, Container};
use crate::{Error, ErrorKind};
use odin_error::{first_shown, shown};
use odin_untrusted::pickle::{Id, Pickle};
use odin_untrusted::zip::Archive;

pub(crate) fn read(
    bytes: &[u8],
    allowance: Allowance,
    wanted: Option<&str>,
) -> Result<Checkpoint, Error> {
    let mut entries = Entries::open(bytes, allowance)?;
    if let Some(order) = entries.read("byteorder")?
        && order != b"little"
    {
        return Err(Error::unsupported(
            "big-endian numbers; save it on a usual machine",
        ));
    }
    let data = entries
        .read("data.pkl")?
        .ok_or_else(|| missing("data.pkl"))?;
    let pickle = pickle::read(&mut data.as_slice())?;
    checkpoint(
        Container::TorchZip,
        &pickle,
        &mut entries,
        allowance,
        wanted,
    )
}

struct Entries<'a> {
    archive: Archive<Cursor<&'a [u8]>>,
    folder: String,
    allowance: Allowance,
}

impl<'a> Entries<'a> {
    fn open(bytes: &'a [u8], allowance: Allowance) -> Result<Self, Error> {
        let archive = Archive::open(Cursor::new(bytes)).map_err(damaged)?;
        let names = || archive.members().iter().map(|member| member.name.as_str());
        let folders = names().filter_map(|name| name.strip_suffix("data.pkl"));
        let folder = folders
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
            .min_by_key(|folder| folder.len());
        let folder = folder
            .map(str::to_owned)
            .ok_or_else(|| no_pickle(names()))?;
        if archive.find(&format!("{folder}constants.pkl")).is_some() {
            return Err(Error::unsupported(
                "a TorchScript archive (torch.jit.save); save the model's state_dict instead",
            ));
        }
        Ok(Self {
            archive,
            folder,
            allowance,
        })
    }

    /// The content of an entry of the folder, if it is there.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}{name}", self.folder);
        let Some(member) = self.archive.find(&path) else {
            return Ok(None);
        };
        let content = self.archive.content(member);
        let (content, _) = content.map_err(|e| damaged(e).about(shown(&path)))?;
        let content = self.allowance.read(content);
        let about = |e: Error| e.about(format_args!("zip: {}", shown(&path)));
        content.map(Some).map_err(about)
    }
}

impl Storages for Entries<'_> {
    fn referent(&self, pickle: &Pickle<'_>, id: Id) -> Result<Referent, Error> {
        tuple_referent(pickle, id)
    }

    fn bytes(&mut self, key: &str) -> Result<Cow<'_, [u8]>, Error> {
        let content = self.read(&format!("data/{key}"))?;
        content.map(Cow::Owned).ok_or_else(|| missing(key))
    }
}

fn damaged(e: odin_untrusted::Error) -> Error {
    Error::corrupt(format!("zip: {e}; the file is truncated or damaged"))
}

fn no_pickle<'n>(names: impl Iterator<Item = &'n str>) -> Error {
    let some = first_shown(names);
    Error::new(
        ErrorKind::UnknownContainer,
        format!(
            "a zip archive without `data.pkl`, holding {some:?}; expected what torch.save \
             writes: unpack it and give the checkpoint"
        ),
    )
}
