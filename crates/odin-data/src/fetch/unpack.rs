//! Unpacks an archive below the data folder; nothing in it is trusted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use odin_untrusted::file::open_regular;
use odin_untrusted::inflate::{Budget, CopyError, gunzip};
use odin_untrusted::{tar, zip};

use super::lock::{IfHeld, open_locked};
use super::options::UnpackLimits;
use super::record::sync_folder;
use crate::error::{Error, ErrorKind};
use crate::registry::{earlier_staging, has_content};

/// Unpacks `archive` into `data_dir/name` and returns the path of `member` there.
///
/// Everything is unpacked into a folder beside. When it is complete and on the disk, one renaming
/// makes it the content: whatever ends this early leaves no `member`. Links, devices and names
/// that lead out of the folder are refused.
pub(super) fn unpack(
    archive: &Path,
    data_dir: &Path,
    name: &str,
    member: &str,
    limits: &UnpackLimits,
) -> Result<PathBuf, Error> {
    let file = open_regular(archive).map_err(Error::unreadable_file)?;
    let target = data_dir.join(name);
    let ready = target.join(member);
    let staging = Staging::create(data_dir.join(format!(".{name}.unpacking")))?;
    // Another process may have unpacked it until now.
    if has_content(&ready) {
        return Ok(ready);
    }
    let mut sink = Sink {
        archive,
        folder: staging.content.clone(),
        budget: Budget::new(limits.max_bytes),
        max_members: limits.max_members,
    };
    unpack_any(file, &mut sink)?;
    if !has_content(&staging.content.join(member)) {
        return Err(sink.malformed(&format!("holds no {member}, or nothing in it")));
    }
    staging.move_to(&target, member)?;
    remove_all(&data_dir.join(earlier_staging(name)))?;
    Ok(ready)
}

fn unpack_any(mut file: File, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut magic = Vec::new();
    (&mut file)
        .take(4)
        .read_to_end(&mut magic)
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(|error| Error::io("read", sink.archive, error))?;
    let file = BufReader::new(file);
    if magic.starts_with(b"PK") {
        unpack_zip(file, sink)
    } else if magic.starts_with(&[0x1f, 0x8b]) {
        unpack_tar(gunzip(file, sink.budget), sink)
    } else {
        unpack_tar(file, sink)
    }
}

fn unpack_tar(stream: impl Read, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut archive = tar::Archive::new(stream);
    let members = archive.members(sink.max_members);
    for member in members.map_err(|error| sink.unreadable(error))? {
        let mut member = member.map_err(|error| sink.unreadable(error))?;
        let name = sink.utf8(&member.name)?.to_owned();
        match member.kind {
            tar::Kind::File => sink.file(&name, &mut member)?,
            tar::Kind::Folder => {
                sink.spend(member.size)?;
                sink.folder(&name)?;
            }
            tar::Kind::Other => return Err(sink.refused(&name, "it is a link or a device")),
        }
    }
    Ok(())
}

fn unpack_zip(file: impl Read + Seek, sink: &mut Sink<'_>) -> Result<(), Error> {
    let archive = zip::Archive::open(file);
    let mut archive = archive.map_err(|error| sink.unreadable(error))?;
    if archive.has_duplicate_names() {
        return Err(sink.malformed("holds two members of one name"));
    }
    let members = archive.members().to_vec();
    if members.len() as u64 > sink.max_members {
        return Err(sink.too_many());
    }
    for (i, zip::Member { name, kind, .. }) in members.iter().enumerate() {
        match kind {
            zip::Kind::File => {
                let content = archive.content(i);
                let (mut content, _) = content.map_err(|error| sink.unreadable(error))?;
                sink.file(name, &mut content)?;
            }
            zip::Kind::Folder => sink.folder(name)?,
            zip::Kind::Link => return Err(sink.refused(name, "it is a link")),
        }
    }
    Ok(())
}

/// Writes members into a folder, within the limits.
struct Sink<'a> {
    archive: &'a Path,
    folder: PathBuf,
    budget: Budget,
    max_members: u64,
}

impl Sink<'_> {
    fn folder(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name)?;
        self.create_folder(name, &path)
    }

    fn create_folder(&self, name: &str, path: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                self.refused(name, "a file has the name of a folder")
            }
            _ => Error::io("create", path, error),
        })
    }

    fn file(&mut self, name: &str, content: &mut dyn Read) -> Result<(), Error> {
        let path = self.path(name)?;
        if let Some(parent) = path.parent() {
            self.create_folder(name, parent)?;
        }
        let mut file = match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.refused(name, "the name occurs twice"));
            }
            created => created.map_err(|error| Error::io("create", &path, error))?,
        };
        let copied = self.budget.copy(content, |piece| file.write_all(piece));
        copied.map(drop).map_err(|error| match error {
            CopyError::Source(error) => self.damaged(error),
            CopyError::Spent => self.too_long(),
            CopyError::Sink(error) => Error::io("write", &path, error),
        })
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Error> {
        match self.budget.spend(bytes) {
            true => Ok(()),
            false => Err(self.too_long()),
        }
    }

    fn too_long(&self) -> Error {
        let limit = self.budget.limit();
        self.malformed(&format!("unpacks to more than {limit} bytes, the limit"))
    }

    fn too_many(&self) -> Error {
        let limit = self.max_members;
        self.malformed(&format!("holds more than {limit} files, the limit"))
    }

    fn utf8<'n>(&self, name: &'n [u8]) -> Result<&'n str, Error> {
        std::str::from_utf8(name).map_err(|_| {
            let name = String::from_utf8_lossy(name);
            self.refused(&name, "the name is not UTF-8")
        })
    }

    /// The path for a member, surely inside the folder.
    fn path(&self, name: &str) -> Result<PathBuf, Error> {
        let unsafe_char = |c: char| c == '\\' || c == ':' || c.is_control();
        if name.starts_with('/') || name.contains(unsafe_char) {
            return Err(self.refused(name, "the name is not a plain relative path"));
        }
        let mut path = self.folder.clone();
        for component in name.split('/').filter(|c| !c.is_empty() && *c != ".") {
            if component == ".." {
                return Err(self.refused(name, "the name leads out of the folder"));
            }
            path.push(component);
        }
        Ok(path)
    }

    fn refused(&self, name: &str, why: &str) -> Error {
        let shown: String = name.chars().take(200).collect();
        self.malformed(&format!("holds {shown:?}, which is not unpacked: {why}"))
    }

    fn malformed(&self, what: &str) -> Error {
        let archive = self.archive.display();
        Error::malformed(format!("{archive} {what}; nothing of it was kept"))
    }

    fn damaged(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::malformed(format!(
            "{} is damaged or not a tar or zip archive; move it away and fetch it again",
            self.archive.display()
        ))
        .because(cause)
    }

    fn unreadable(&self, error: odin_untrusted::Error) -> Error {
        match error.kind() {
            odin_untrusted::ErrorKind::Unsupported => Error::unsupported(format!(
                "{} cannot be unpacked: {error}",
                self.archive.display()
            )),
            odin_untrusted::ErrorKind::TooLarge => self.too_many(),
            _ => self.damaged(error),
        }
    }
}

/// The folder that an archive is unpacked into, and the lock that gives it to one process. Both
/// disappear with this value; what an interrupted run left is cleared by the next one.
struct Staging {
    content: PathBuf,
    folder: PathBuf,
    _lock: File,
}

const LOCK: &str = "lock";

impl Staging {
    fn create(folder: PathBuf) -> Result<Self, Error> {
        let created = std::fs::create_dir_all(&folder);
        created.map_err(|error| Error::io("create", &folder, error))?;
        let lock = open_locked(&folder.join(LOCK), IfHeld::Refuse("unpacked"))?;
        let content = folder.join("content");
        remove_all(&content)?;
        std::fs::create_dir(&content).map_err(|error| Error::io("create", &content, error))?;
        Ok(Self {
            content,
            folder,
            _lock: lock,
        })
    }

    /// Makes the content `target`, or, if there is something in `target` already, moves what leads
    /// to `member` there. Either is one renaming.
    fn move_to(&self, target: &Path, member: &str) -> Result<(), Error> {
        sync_all_below(&self.content).map_err(|error| Error::io("write", &self.content, error))?;
        // An empty folder is nothing. Any other is not removed by this.
        let _ = std::fs::remove_dir(target);
        let (from, to) = match target.symlink_metadata() {
            Err(_) => (self.content.clone(), target.to_owned()),
            Ok(_) => {
                let first = member.split('/').next().unwrap_or(member);
                (self.content.join(first), target.join(first))
            }
        };
        if to.symlink_metadata().is_ok() {
            return Err(Error::new(
                ErrorKind::Io,
                format!("{} is in the way; move it and try again", to.display()),
            ));
        }
        std::fs::rename(from, &to).map_err(|error| Error::io("create", &to, error))?;
        to.parent().into_iter().for_each(sync_folder);
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nothing to report to, and the next run clears it. The lock goes last but for the folder,
        // which is another process's already if that is not empty.
        let _ = remove_all(&self.content);
        let _ = std::fs::remove_file(self.folder.join(LOCK));
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn remove_all(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder, error))
        }
        _ => Ok(()),
    }
}

/// Waits until everything below the folder is on the disk.
#[cfg(target_os = "linux")]
fn sync_all_below(folder: &Path) -> io::Result<()> {
    // One call instead of one for each of perhaps a hundred thousand files.
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Waits until everything below the folder is on the disk.
#[cfg(not(target_os = "linux"))]
fn sync_all_below(folder: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            File::options().write(true).open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}
