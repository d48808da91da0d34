//! Files that one process at a time works on, also where that process renames or removes them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use same_file::Handle;

use crate::error::{Error, ErrorKind};

/// What to do while another process holds the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IfHeld {
    Wait,
    /// Fail, saying that the file "is being" this.
    Refuse(&'static str),
}

/// Opens or creates the regular file at `path`, and locks it until it is closed.
///
/// On a file system without locks it is just opened.
pub(super) fn open_locked(path: &Path, if_held: IfHeld) -> Result<File, Error> {
    loop {
        let file = open(path)?;
        match (if_held, file.try_lock()) {
            (IfHeld::Wait, Err(TryLockError::WouldBlock)) => {
                let locked = file.lock();
                locked.map_err(|error| Error::io("lock", path, error))?;
            }
            (IfHeld::Refuse(held), Err(TryLockError::WouldBlock)) => {
                return Err(Error::new(
                    ErrorKind::Io,
                    format!(
                        "{} is being {held} by another process; wait for it to end",
                        path.display()
                    ),
                ));
            }
            _ => {}
        }
        // Its last holder may have renamed or removed the file that was opened here. A lock on
        // that one would keep nobody from the file that now has the name.
        if is_at(&file, path).map_err(|error| Error::io("open", path, error))? {
            return Ok(file);
        }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    if let Ok(there) = path.symlink_metadata()
        && !there.is_file()
    {
        return Err(Error::new(
            ErrorKind::Io,
            format!(
                "{} is in the way: not a regular file; move it away",
                path.display()
            ),
        ));
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let opened = options.open(path);
    opened.map_err(|error| Error::io("create", path, error))
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = Handle::from_file(file.try_clone()?)?;
    match Handle::from_path(path) {
        Ok(there) => Ok(own == there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const REFUSE: IfHeld = IfHeld::Refuse("tested");

    /// Who waits for a file that is then renamed or removed gets a file of that name, not the one
    /// that had it.
    #[test]
    fn the_lock_is_on_the_file_that_has_the_name() {
        let give_away: [fn(&Path); 2] = [
            |path| std::fs::rename(path, path.with_extension("final")).unwrap(),
            |path| std::fs::remove_file(path).unwrap(),
        ];
        for give_away in give_away {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.part");
            let mut first = open_locked(&path, REFUSE).unwrap();
            first.write_all(b"verified").unwrap();
            let error = open_locked(&path, REFUSE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().contains("tested by another process"));
            let waiting = {
                let path = path.clone();
                std::thread::spawn(move || open_locked(&path, IfHeld::Wait).unwrap())
            };
            give_away(&path);
            drop(first);
            let second = waiting.join().unwrap();
            second.set_len(0).unwrap();
            assert!(path.is_file());
            if let Ok(kept) = std::fs::read(path.with_extension("final")) {
                assert_eq!(kept, b"verified");
            }
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = open_locked(folder.path(), IfHeld::Wait).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = open_locked(&link, IfHeld::Wait).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
}
