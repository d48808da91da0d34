//! Atomic writes: a file appears under its name when it is complete, or not at all.

use crate::{Error, ErrorKind};
use std::io::Write;
use std::path::Path;

/// Writes a file that appears under its name whole or not at all: it is written under a name that
/// nothing else has, in the same folder, and renamed when its content has reached the disk.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), Error> {
    let path = path.as_ref();
    write(path, bytes).map_err(|e| {
        let problem = format!("cannot write {}", path.display());
        Error::new(ErrorKind::Io, problem).because(e)
    })
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // As of any new file, less what the process's mask takes away.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        builder.permissions(permissions);
    }
    let mut file = builder
        .prefix(".odin-")
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
