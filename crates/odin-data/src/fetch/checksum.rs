//! Lengths and checksums of files, and their comparison with those of the registry.

use std::io::{self, Read, Seek, SeekFrom};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::registry::RemoteFile;

/// Length and digests of a file's content, digits in lower case.
pub(super) struct Digests {
    pub(super) size: u64,
    pub(super) sha256: String,
    md5: String,
    git_blob_sha1: String,
}

impl Digests {
    /// Reads the file from its start to its end, once.
    pub(super) fn of(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        // git hashes the length before the content.
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut git_blob_sha1 = Sha1::new_with_prefix(format!("blob {size}\0"));
        let mut sha256 = Sha256::new();
        let mut md5 = Md5::new();
        let mut buffer = vec![0; 1 << 16];
        let mut read = 0;
        loop {
            let n = file.read(&mut buffer)?;
            let bytes = &buffer[..n];
            if bytes.is_empty() {
                break;
            }
            sha256.update(bytes);
            md5.update(bytes);
            git_blob_sha1.update(bytes);
            read += bytes.len() as u64;
        }
        if read != size {
            return Err(io::Error::other("the file changed while it was read"));
        }
        Ok(Self {
            size,
            sha256: hex(&sha256.finalize()),
            md5: hex(&md5.finalize()),
            git_blob_sha1: hex(&git_blob_sha1.finalize()),
        })
    }

    /// Compares with everything that the registry knows of the file. The error says what differs.
    pub(super) fn check(&self, file: &RemoteFile) -> Result<(), String> {
        if let Some(size) = file.size
            && size != self.size
        {
            return Err(format!("it has {} bytes, expected {size}", self.size));
        }
        let known = &file.checksums;
        let pairs = [
            ("sha256", &known.sha256, &self.sha256),
            ("md5", &known.md5, &self.md5),
            ("git blob sha1", &known.git_blob_sha1, &self.git_blob_sha1),
        ];
        for (label, expected, got) in pairs {
            if let Some(expected) = expected
                && expected != got
            {
                return Err(format!("its {label} is {got}, expected {expected}"));
            }
        }
        match &known.sha256_prefix {
            Some(prefix) if !self.sha256.starts_with(prefix) => Err(format!(
                "its sha256 is {}, expected one that starts with {prefix}",
                self.sha256
            )),
            _ => Ok(()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_published_test_vectors() {
        let digests = Digests::of(&mut io::Cursor::new(b"abc")).unwrap();
        assert_eq!(digests.size, 3);
        assert_eq!(
            digests.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digests.md5, "900150983cd24fb0d6963f7d28e17f72");
        // The object name that `git hash-object` gives.
        assert_eq!(
            digests.git_blob_sha1,
            "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
        );
    }
}
