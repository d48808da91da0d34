//! `checksums.toml` in the data folder: the checksums of files for which the registry knows none,
//! as they were when the files were first seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::checksum::Digests;
use super::lock::{IfHeld, open_locked};
use super::options::Check;
use crate::error::Error;
use crate::registry::RemoteFile;

const FILE_NAME: &str = "checksums.toml";
/// The largest list, in bytes. A longer one is cut, and then is none.
const LIMIT: u64 = 16 << 20;
const HEADER: &str = "\
# Checksums of downloaded files as they were when first seen here. A file that differs is refused.
# Remove a file's section to accept another version of it.

";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    sha256: String,
    size: u64,
}

/// Compares a file's digests with the registry's checksum or the recorded one, and records what
/// has none. The inner error says what differs.
pub(super) fn settle(
    file: &RemoteFile,
    digests: &Digests,
    data_dir: &Path,
) -> Result<Result<Check, String>, Error> {
    if let Err(mismatch) = digests.check(file) {
        return Ok(Err(mismatch));
    }
    if file.checksums.is_complete() {
        return Ok(Ok(Check::Registry));
    }
    check_or_record(data_dir, &file.name, digests)
}

/// Compares with the record of `name`, or makes one. The inner error says what differs.
fn check_or_record(
    data_dir: &Path,
    name: &str,
    digests: &Digests,
) -> Result<Result<Check, String>, Error> {
    let path = data_dir.join(FILE_NAME);
    // Nobody else's record may get lost between reading and writing.
    let file = open_locked(&path, IfHeld::Wait)?;
    let mut records = load(&file, &path)?;
    if let Some(seen) = records.get(name) {
        if seen.sha256.eq_ignore_ascii_case(&digests.sha256) && seen.size == digests.size {
            return Ok(Ok(Check::Recorded));
        }
        return Ok(Err(format!(
            "its sha256 is {} ({} bytes), expected {} ({} bytes) as recorded in {} when it was \
             first seen",
            digests.sha256,
            digests.size,
            seen.sha256,
            seen.size,
            path.display()
        )));
    }
    let seen = Seen {
        sha256: digests.sha256.clone(),
        size: digests.size,
    };
    records.insert(name.to_owned(), seen);
    save(&path, data_dir, &records)?;
    Ok(Ok(Check::FirstSeen))
}

/// Removes the record of `name`.
pub(super) fn forget(data_dir: &Path, name: &str) -> Result<(), Error> {
    let path = data_dir.join(FILE_NAME);
    let file = open_locked(&path, IfHeld::Wait)?;
    let mut records = load(&file, &path)?;
    match records.remove(name) {
        Some(_) => save(&path, data_dir, &records),
        None => Ok(()),
    }
}

fn load(file: &File, path: &Path) -> Result<BTreeMap<String, Seen>, Error> {
    let mut text = Vec::new();
    let read = file.take(LIMIT).read_to_end(&mut text);
    read.map_err(|error| Error::io("read", path, error))?;
    toml::from_slice(&text).map_err(|error| {
        Error::malformed(format!(
            "{} is not a list of checksums; mend it or move it away",
            path.display()
        ))
        .because(error)
    })
}

fn save(path: &Path, data_dir: &Path, records: &BTreeMap<String, Seen>) -> Result<(), Error> {
    let text = toml::to_string(records)
        .map_err(|error| Error::io("write", path, std::io::Error::other(error)))?;
    write_atomically(path, data_dir, &format!("{HEADER}{text}"))
}

/// Writes beside the target and renames, so that the target is the old file or the new one.
pub(super) fn write_atomically(path: &Path, folder: &Path, text: &str) -> Result<(), Error> {
    let failed = |error| Error::io("write", path, error);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// Makes the names in a folder last. Not every system can, and those that cannot do it anyway.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}
