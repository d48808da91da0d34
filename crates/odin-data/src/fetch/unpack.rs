//! Unpacks an archive below the data folder, trusting nothing in it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{EntryType, PaxExtensions};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Error, ErrorKind};

/// The longest member name, in a tar archive's extension header.
const MAX_NAME: u64 = 1 << 16;

/// What an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackLimits {
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Files and folders.
    pub max_members: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 30,
            max_members: 2_000_000,
        }
    }
}

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
        limits,
        bytes: 0,
        members: 0,
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
        unpack_tar(MultiGzDecoder::new(file), sink)
    } else {
        unpack_tar(file, sink)
    }
}

fn unpack_tar(stream: impl Read, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut archive = tar::Archive::new(stream);
    let members = archive.entries().map_err(|error| sink.damaged(error))?;
    // Extension headers are read here: the tar crate would load names of any length.
    let mut long_name = None;
    for member in members.raw(true) {
        let mut member = member.map_err(|error| sink.damaged(error))?;
        sink.count_member()?;
        let kind = member.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                let name = read_extension(&mut member).map_err(|error| sink.damaged(error))?;
                long_name = Some(name.split(|&b| b == 0).next().unwrap_or(&[]).to_vec());
                continue;
            }
            EntryType::XHeader => {
                let path = read_extension(&mut member).and_then(|records| pax_path(&records));
                long_name = path.map_err(|error| sink.damaged(error))?.or(long_name);
                continue;
            }
            EntryType::XGlobalHeader => {
                read_extension(&mut member).map_err(|error| sink.damaged(error))?;
                continue;
            }
            _ => {}
        }
        let name = long_name
            .take()
            .unwrap_or_else(|| member.path_bytes().into_owned());
        let name = sink.utf8(&name)?.to_owned();
        // Before POSIX a folder was a regular file whose name ends in a slash.
        let regular = matches!(kind, EntryType::Regular | EntryType::Continuous);
        if kind == EntryType::Directory || (regular && name.ends_with('/')) {
            sink.count_bytes(member.size())?;
            sink.folder(&name)?;
        } else if regular {
            sink.file(&name, &mut member)?;
        } else {
            return Err(sink.refused(&name, "it is a link or a device"));
        }
    }
    Ok(())
}

fn read_extension(member: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    member.take(MAX_NAME + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_NAME {
        return Err(io::Error::other(format!(
            "an extension header of more than {MAX_NAME} bytes"
        )));
    }
    Ok(bytes)
}

fn pax_path(records: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut path = None;
    for record in PaxExtensions::new(records) {
        let record = record?;
        match record.key_bytes() {
            b"path" => path = Some(record.value_bytes().to_vec()),
            b"size" => return Err(io::Error::other("a member with its size in a PAX header")),
            _ => {}
        }
    }
    Ok(path)
}

fn unpack_zip(file: impl Read + Seek, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut archive = ZipArchive::new(file).map_err(|error| sink.bad_zip(error))?;
    for index in 0..archive.len() {
        sink.count_member()?;
        let mut member = archive
            .by_index(index)
            .map_err(|error| sink.bad_zip(error))?;
        let name = member.name().map_err(|error| sink.bad_zip(error))?;
        let name = name.into_owned();
        if member.is_symlink() {
            return Err(sink.refused(&name, "it is a link"));
        }
        if member.is_dir() {
            sink.folder(&name)?;
        } else {
            sink.file(&name, &mut member)?;
        }
    }
    Ok(())
}

/// Writes members into a folder, within the limits.
struct Sink<'a> {
    archive: &'a Path,
    folder: PathBuf,
    limits: &'a UnpackLimits,
    bytes: u64,
    members: u64,
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
        let mut buffer = vec![0; 1 << 16];
        loop {
            let bytes = match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => &buffer[..n],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(error)),
            };
            self.count_bytes(bytes.len() as u64)?;
            file.write_all(bytes)
                .map_err(|error| Error::io("write", &path, error))?;
        }
    }

    fn count_member(&mut self) -> Result<(), Error> {
        self.members += 1;
        if self.members <= self.limits.max_members {
            return Ok(());
        }
        let limit = self.limits.max_members;
        Err(self.malformed(&format!("holds more than {limit} files, the limit")))
    }

    fn count_bytes(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes <= self.limits.max_bytes {
            return Ok(());
        }
        let limit = self.limits.max_bytes;
        Err(self.malformed(&format!("unpacks to more than {limit} bytes, the limit")))
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
        Error::new(
            ErrorKind::Malformed,
            format!("{archive} {what}; nothing of it was kept"),
        )
    }

    fn damaged(&self, error: impl Into<io::Error>) -> Error {
        let cause: io::Error = error.into();
        Error::new(
            ErrorKind::Malformed,
            format!(
                "{} is damaged or not a tar or zip archive; move it away and fetch it again",
                self.archive.display()
            ),
        )
        .because(cause)
    }

    fn bad_zip(&self, error: ZipError) -> Error {
        match error {
            ZipError::UnsupportedArchive(what) => Error::new(
                ErrorKind::Unsupported,
                format!("{} cannot be unpacked: {what}", self.archive.display()),
            ),
            other => self.damaged(other),
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
