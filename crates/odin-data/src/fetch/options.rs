//! Options of a fetch, its progress events, and its result.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to fetch. Construct it with `default()` and set fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Never use the network. What lies here is still verified and unpacked.
    pub offline: bool,
    /// How often an address is tried again after a cut connection or a server's failure.
    pub retries: u32,
    /// The wait before the first retry. It doubles with every further one, up to a minute.
    pub backoff: Duration,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for the next bytes.
    pub read_timeout: Duration,
    /// The fewest bytes a second that a server may send, on average over `rate_time`.
    pub min_rate: u64,
    /// The time over which `min_rate` is measured.
    pub rate_time: Duration,
    /// The most redirects to follow for one request.
    pub max_redirects: u32,
    /// The largest download in bytes, for a file whose size the registry does not know.
    pub max_download_bytes: u64,
    /// What an archive may unpack to.
    pub unpack_limits: UnpackLimits,
    /// The proxy to use, as `http://[user:password@]host:port`.
    pub proxy: Option<String>,
    /// Hosts for which the proxy is not used: `example.org`, `.example.org` (its subdomains), `*`.
    pub no_proxy: Vec<String>,
    /// A PEM file with the certificates to trust instead of Mozilla's.
    pub root_certificates: Option<PathBuf>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            offline: false,
            retries: 5,
            backoff: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(30),
            min_rate: 1024,
            rate_time: Duration::from_secs(30),
            max_redirects: 10,
            max_download_bytes: 8 << 30,
            unpack_limits: UnpackLimits::default(),
            proxy: None,
            no_proxy: Vec::new(),
            root_certificates: None,
        }
    }
}

/// An event in the progress of a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A server began to send a file.
    Started {
        /// The file's name.
        file: &'a str,
        /// Where it comes from.
        url: &'a str,
        /// Bytes that were here already.
        resumed_at: u64,
        /// Length of the whole file in bytes, if the server tells.
        total: Option<u64>,
    },
    /// More of the file is here.
    Received {
        /// Bytes that are here, including those of earlier attempts.
        bytes: u64,
        /// Length of the whole file in bytes, if the server tells.
        total: Option<u64>,
    },
    /// An attempt failed; the same address is tried again after a wait.
    Retrying {
        /// The address.
        url: &'a str,
        /// What went wrong.
        reason: &'a str,
        /// The wait.
        after: Duration,
    },
    /// An address failed for good; the next one is tried, if there is one.
    SourceFailed {
        /// The address.
        url: &'a str,
        /// What went wrong.
        reason: &'a str,
    },
    /// The checksum of a file is computed.
    Verifying {
        /// The file.
        path: &'a Path,
    },
    /// An archive is unpacked.
    Unpacking {
        /// The archive.
        path: &'a Path,
    },
}

/// Where the content of an entry is after a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetched {
    /// It is noise, generated when it is needed.
    Generated,
    /// It lay here already.
    Present {
        /// What to read.
        path: PathBuf,
        /// How the content was checked.
        check: Check,
    },
    /// It was downloaded.
    Downloaded {
        /// What to read.
        path: PathBuf,
        /// How the content was checked.
        check: Check,
        /// The address that it came from.
        url: String,
    },
}

impl Fetched {
    /// What to read; nothing for noise.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Generated => None,
            Self::Present { path, .. } | Self::Downloaded { path, .. } => Some(path),
        }
    }
}

/// What the content was checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// The checksum in the registry.
    Registry,
    /// The checksum that was recorded when the file was first seen here. It is the same file, but
    /// nobody has said that it is the right one.
    Recorded,
    /// Nothing to check against; the checksum seen is now recorded, unverified.
    FirstSeen,
    /// Not checked: an unpacked or differently named file or folder has no checksum.
    Unchecked,
}

impl Check {
    /// Whether somebody else vouches for the content: the registry has its checksum.
    pub fn is_verified(self) -> bool {
        self == Self::Registry
    }
}

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
