//! Unpacks an archive below the data folder; nothing in it is trusted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use odin_untrusted::inflate::{Budget, CopyError, gunzip};
use odin_untrusted::{tar, zip};

use super::options::UnpackLimits;
use crate::error::{Error, ErrorKind};

/// Unpacks `archive` into `data_dir/name` and returns the path of `member` there.
///
/// Everything is unpacked into a folder beside, which is renamed when it is complete. Links,
/// devices and names that lead out of the folder are refused.
pub(super) fn unpack(
    archive: &Path,
    data_dir: &Path,
    name: &str,
    member: &str,
    limits: &UnpackLimits,
) -> Result<PathBuf, Error> {
    let file = File::open(archive).map_err(|error| Error::io("open", archive, error))?;
    if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
        return Err(Error::new(
            ErrorKind::Io,
            format!(
                "{} is being unpacked by another process; wait for it to end",
                archive.display()
            ),
        ));
    }
    let staging = Staging::create(data_dir.join(format!(".unpacking-{name}")))?;
    let mut sink = Sink {
        archive,
        folder: staging.path.clone(),
        budget: Budget::new(limits.max_bytes),
        max_members: limits.max_members,
    };
    unpack_any(file, &mut sink)?;
    if !staging.path.join(member).exists() {
        return Err(sink.malformed(&format!("holds no {member}")));
    }
    let target = data_dir.join(name);
    staging.move_into(&target, member)?;
    Ok(target.join(member))
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
        std::fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))
    }

    fn file(&mut self, name: &str, content: &mut dyn Read) -> Result<(), Error> {
        let path = self.path(name)?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
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

/// The folder that an archive is unpacked into. It disappears unless it is moved.
struct Staging {
    path: PathBuf,
}

impl Staging {
    fn create(path: PathBuf) -> Result<Self, Error> {
        // What an interrupted run left.
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, error));
            }
            _ => {}
        }
        std::fs::create_dir(&path).map_err(|error| Error::io("create", &path, error))?;
        Ok(Self { path })
    }

    /// Moves the content into `target`. What leads to `member` comes last: by its presence the
    /// content counts as here.
    fn move_into(self, target: &Path, member: &str) -> Result<(), Error> {
        let read = |error| Error::io("read", &self.path, error);
        let last = member.split('/').next().unwrap_or(member);
        let mut names = Vec::new();
        for child in std::fs::read_dir(&self.path).map_err(read)? {
            names.push(child.map_err(read)?.file_name());
        }
        names.sort_by_key(|name| name == last);
        std::fs::create_dir_all(target).map_err(|error| Error::io("create", target, error))?;
        for name in names {
            let to = target.join(&name);
            if to.exists() {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!("{} is in the way; move it and try again", to.display()),
                ));
            }
            std::fs::rename(self.path.join(&name), &to)
                .map_err(|error| Error::io("create", &to, error))?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nothing to report to, and the next run clears it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
