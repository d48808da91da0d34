//! The container of PyTorch 1.6 and later: a zip archive that holds, in a folder of any name,
//! `data.pkl`, one entry per storage under `data/`, and small texts such as `byteorder`.

use std::borrow::Cow;
use std::io::Cursor;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::checkpoint;
use super::pickle::{Id, Pickle};
use super::storage::{Referent, Storages, missing, tuple_referent};
use crate::checkpoint::{Checkpoint, Container};
use crate::container::Inflation;
use crate::{Error, ErrorKind};
use odin_error::{first_shown, shown};

pub(crate) fn read(bytes: &[u8], inflation: Inflation) -> Result<Checkpoint, Error> {
    let mut entries = Entries::open(bytes, inflation)?;
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
    let pickle = Pickle::read(&mut data.as_slice())?;
    checkpoint(Container::TorchZip, &pickle, &mut entries, inflation)
}

struct Entries<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
    inflation: Inflation,
}

impl<'a> Entries<'a> {
    fn open(bytes: &'a [u8], inflation: Inflation) -> Result<Self, Error> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
        let names = names(&archive)?;
        let folders = names
            .iter()
            .filter_map(|name| name.strip_suffix("data.pkl"));
        let folder = folders
            .filter(|folder| folder.is_empty() || folder.ends_with('/'))
            .min_by_key(|folder| folder.len());
        let folder = folder.map(str::to_owned).ok_or_else(|| no_pickle(&names))?;
        if archive
            .index_for_name(&format!("{folder}constants.pkl"))
            .is_some()
        {
            return Err(Error::unsupported(
                "a TorchScript archive (torch.jit.save); save the model's state_dict instead",
            ));
        }
        Ok(Self {
            archive,
            folder,
            inflation,
        })
    }

    /// The content of an entry of the folder, if it is there.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}{name}", self.folder);
        let entry = match self.archive.by_name(&path) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(damaged(e).about(shown(&path))),
        };
        let content = self.inflation.read(entry);
        let about = |e: Error| e.about(format_args!("zip: {}", shown(&path)));
        content.map(Some).map_err(about)
    }
}

impl Storages for Entries<'_> {
    fn referent(&self, pickle: &Pickle, id: Id) -> Result<Referent, Error> {
        tuple_referent(pickle, id)
    }

    fn bytes(&mut self, key: &str) -> Result<Cow<'_, [u8]>, Error> {
        let content = self.read(&format!("data/{key}"))?;
        content.map(Cow::Owned).ok_or_else(|| missing(key))
    }
}

fn damaged(e: ZipError) -> Error {
    Error::corrupt(format!("zip: {e}; the file is truncated or damaged"))
}

fn names(archive: &ZipArchive<Cursor<&[u8]>>) -> Result<Vec<String>, Error> {
    let names = archive
        .file_names()
        .map(|name| Ok(name.map_err(damaged)?.into_owned()));
    names.collect()
}

fn no_pickle(names: &[String]) -> Error {
    let some = first_shown(names.iter().map(String::as_str));
    Error::new(
        ErrorKind::UnknownContainer,
        format!(
            "a zip archive without `data.pkl`, holding {some:?}; expected what torch.save \
             writes: unpack it and give the checkpoint"
        ),
    )
}
