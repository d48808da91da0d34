//! Output files: atomic writes, and writing into streams such as pipes and devices.

use crate::{Error, ErrorKind};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// As many symbolic links are followed as Linux follows.
const MAX_LINKS: usize = 40;

/// What a path that is to be written leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file, there or not, behind all symbolic links. It is replaced when the new content is
    /// whole.
    File(PathBuf),
    /// What is no regular file: a device, a pipe, or an open file such as `/dev/stdout`. It is
    /// written into, and never replaced.
    Stream(PathBuf),
}

impl Destination {
    /// Follows the symbolic links of a path.
    ///
    /// # Errors
    /// When it names a folder, or cannot be followed.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        follow(path).map_err(|e| cannot_write(path, e))
    }

    /// The path behind all links.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Stream(path) => path,
        }
    }

    /// Sees whether a file could be written, and leaves nothing behind. A stream is not opened: a
    /// pipe would wait for its reader.
    ///
    /// # Errors
    /// When its folder is not there, or takes no file.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::File(_) => self.create().map(drop),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Begins to write. What a file holds appears under its name by [`AtomicFile::commit`].
    ///
    /// # Errors
    /// When no file can be made in its folder, or the stream cannot be opened.
    pub fn create(&self) -> Result<AtomicFile, Error> {
        let begun = match self {
            Self::File(path) => temporary_beside(path).map(Begun::File),
            Self::Stream(path) => open_stream(path).map(Begun::Stream),
        };
        Ok(AtomicFile {
            begun: begun.map_err(|e| cannot_write(self.path(), e))?,
            path: self.path().to_path_buf(),
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// When it cannot be written; a file is then as it was.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.create()?;
        let written = file.write_all(bytes);
        written.map_err(|e| cannot_write(self.path(), e))?;
        file.commit()
    }
}

/// A file being written under a name that nobody can guess, in the folder of its own, which it
/// gets by [`AtomicFile::commit`]; without that it is removed. A stream is written as it comes.
#[derive(Debug)]
pub struct AtomicFile {
    begun: Begun,
    path: PathBuf,
}

#[derive(Debug)]
enum Begun {
    File(NamedTempFile),
    Stream(File),
}

impl AtomicFile {
    /// Gives the file its name, when its content has reached the disk.
    ///
    /// # Errors
    /// When the content cannot be written, or the file not be renamed.
    pub fn commit(self) -> Result<(), Error> {
        let Self { begun, path } = self;
        let committed = match begun {
            Begun::File(file) => persist(file, &path),
            Begun::Stream(mut stream) => stream.flush(),
        };
        committed.map_err(|e| cannot_write(&path, e))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.begun {
            Begun::File(file) => file.write(bytes),
            Begun::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.begun {
            Begun::File(file) => file.flush(),
            Begun::Stream(stream) => stream.flush(),
        }
    }
}

/// Writes a file that appears under its name whole or not at all: it is written under a name that
/// nothing else has, in the same folder, and renamed when its content has reached the disk. A
/// symbolic link is followed to the file; what is no regular file is written into.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    Destination::of(path)?.write(bytes)
}

/// The same of a file whose name is ours: a symbolic link that lies there is replaced.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Destination::File(path.to_path_buf()).write(bytes)
}

fn cannot_write(path: &Path, cause: io::Error) -> Error {
    let problem = format!("cannot write {}", path.display());
    Error::new(ErrorKind::Io, problem).because(cause)
}

fn follow(path: &Path) -> io::Result<Destination> {
    if path.file_name().is_none() {
        return Err(io::Error::other("it names no file"));
    }
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let kind = match path.symlink_metadata() {
            Ok(metadata) => metadata.file_type(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Destination::File(path)),
            Err(e) => return Err(e),
        };
        if kind.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        if kind.is_file() && !is_descriptor(&path) {
            return Ok(Destination::File(path));
        }
        if !kind.is_symlink() || is_descriptor(&path) {
            return Ok(Destination::Stream(path));
        }
        let next = path.read_link()?;
        path = folder_of(&path).join(next);
    }
    Err(io::Error::other("it leads through too many symbolic links"))
}

/// Whether the path stands for a file that a process holds open, such as `/dev/fd/1` or
/// `/proc/self/fd/1`. The name that such a link shows need not lead to that file.
fn is_descriptor(path: &Path) -> bool {
    let folder = folder_of(path);
    let real = folder.canonicalize();
    folder == Path::new("/dev/fd") || real.is_ok_and(|real| real.starts_with("/proc"))
}

/// The folder that a path lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// An empty file with the permissions of the one that it is to replace, or of any new file.
fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    if matches!(folder.metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound) {
        let problem = format!("there is no folder {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, problem));
    }
    // Its errors name the temporary file, which nobody knows.
    let unnamed = |error: io::Error| io::Error::from(error.kind());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".odin-");
    #[cfg(unix)]
    {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt;
        // The process's mask is taken away.
        builder.permissions(Permissions::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(unnamed)?;
        if let Ok(replaced) = path.metadata() {
            let mode = replaced.permissions().mode() & 0o777;
            file.as_file()
                .set_permissions(Permissions::from_mode(mode))?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    builder.tempfile_in(folder).map_err(unnamed)
}

fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // Not all systems and file systems can: the file is whole either way.
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

fn open_stream(path: &Path) -> io::Result<File> {
    if let Some(own) = own_stream(path)? {
        return Ok(own);
    }
    File::options().append(true).open(path)
}

/// Standard output or standard error, if the path leads there: opened anew, a file that they go
/// to would be written from its beginning.
#[cfg(unix)]
fn own_stream(path: &Path) -> io::Result<Option<File>> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let wanted = path.metadata()?;
    io::stdout().flush()?;
    let (out, err) = (io::stdout(), io::stderr());
    for stream in [out.as_fd(), err.as_fd()] {
        let file = File::from(stream.try_clone_to_owned()?);
        let metadata = file.metadata()?;
        if (metadata.dev(), metadata.ino()) == (wanted.dev(), wanted.ino()) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

#[cfg(not(unix))]
fn own_stream(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// What is written to, from `path`, and whether it is a file.
    fn destination(path: &Path) -> Result<(PathBuf, bool), Error> {
        let destination = Destination::of(path)?;
        let is_file = matches!(destination, Destination::File(_));
        Ok((destination.path().to_path_buf(), is_file))
    }

    #[test]
    fn links_are_followed_and_streams_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).unwrap();
        fs::write(at("deep/file"), "old").unwrap();
        for (link, to) in [
            ("link", "deep/file"),
            ("second", "link"),
            ("deep/up", "../second"),
            ("dangling", "deep/new"),
            ("null", "/dev/null"),
            ("loop", "loop"),
            ("to-folder", "deep"),
        ] {
            symlink(to, at(link)).unwrap();
        }
        for (name, expected, is_file) in [
            ("deep/file", "deep/file", true),
            ("link", "deep/file", true),
            ("second", "deep/file", true),
            ("dangling", "deep/new", true),
            ("new", "new", true),
            ("null", "/dev/null", false),
            ("/dev/stdout", "/proc/self/fd/1", false),
            ("/dev/fd/1", "/dev/fd/1", false),
        ] {
            let found = destination(&at(name)).unwrap();
            assert_eq!(found, (at(expected), is_file), "{name}");
        }
        let (path, _) = destination(&at("deep/up")).unwrap();
        assert_eq!(
            path.canonicalize().unwrap(),
            at("deep/file").canonicalize().unwrap()
        );
        for (name, part) in [
            ("loop", "too many"),
            ("deep", "a folder"),
            ("to-folder", "a folder"),
            ("deep/file/x", "cannot write"),
            ("..", "no file"),
        ] {
            let error = destination(&at(name)).unwrap_err().to_string();
            assert!(error.contains(part), "{name}: {error}");
        }
    }

    #[test]
    fn a_link_stays_and_its_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        symlink("file", &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
        write_atomically("/dev/null", b"gone").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file());
    }

    #[test]
    fn what_is_not_committed_leaves_all_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "old").unwrap();
        let destination = Destination::of(&file).unwrap();
        destination.check().unwrap();
        let mut begun = destination.create().unwrap();
        begun.write_all(b"new").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(begun);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read(&file).unwrap(), b"old");
        let nowhere = Destination::of(folder.path().join("none/file")).unwrap();
        let error = nowhere.check().unwrap_err().to_string();
        assert!(error.contains("none/file"), "{error}");
    }
}
