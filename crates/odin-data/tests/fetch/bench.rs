//! One registry entry, one data folder, one server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use odin_data::fetch::{FetchOptions, Fetched, Progress, fetch};
use odin_data::registry::{Entry, Registry};
use odin_data::{Error, ErrorKind};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::server::{Reply, Request, Server};

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
    pub(crate) options: FetchOptions,
}

impl Bench {
    pub(crate) fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let mut options = FetchOptions::default();
        options.retries = 3;
        options.backoff = Duration::from_millis(1);
        options.read_timeout = Duration::from_millis(400);
        Self {
            server: Server::start(handler),
            dir: TempDir::new().unwrap(),
            options,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fetches `thing`, whose file has this name and these further fields, from `/a` and `/b`.
    pub(crate) fn fetch(&self, file: &str, fields: &str) -> Result<Fetched, Error> {
        self.fetch_into(self.dir.path(), file, fields, &mut |_| {})
    }

    pub(crate) fn fetch_into(
        &self,
        data_dir: &Path,
        file: &str,
        fields: &str,
        progress: &mut dyn FnMut(&Progress<'_>),
    ) -> Result<Fetched, Error> {
        let entry = self.entry(file, fields);
        fetch(&entry, data_dir, &self.options, progress)
    }

    /// The entry `thing`.
    pub(crate) fn entry(&self, file: &str, fields: &str) -> Entry {
        let urls = [self.server.url("/a"), self.server.url("/b")];
        let text = format!(
            "[[dataset]]
            name = 'thing'
            title = 'Thing'
            licence = 'none'
            citation = 'none'
            rebuild = {{ from = 'tiny-imagenet', transform = 'random-crop:32' }}
            [[dataset.file]]
            name = '{file}'
            urls = {urls:?}
            {fields}"
        );
        let mut registry = Registry::embedded().unwrap();
        registry.extend_from_toml(&text, "test.toml").unwrap();
        registry.entry("thing").unwrap().clone()
    }

    /// Asserts that the fetch fails with this kind and a message with all of these words, and
    /// that nothing has a final name.
    pub(crate) fn fails(&self, file: &str, fields: &str, kind: ErrorKind, words: &[&str]) -> Error {
        let error = self.fetch(file, fields).unwrap_err();
        assert_error(&error, kind, words);
        assert!(!self.path(file).exists(), "a final name after {error}");
        error
    }

    /// The names in the data folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let children = fs::read_dir(self.dir.path()).unwrap();
        let name = |c: std::io::Result<fs::DirEntry>| c.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = children.map(name).collect();
        names.sort();
        names
    }

    /// The first bytes that the requests asked for, in order; 0 for a plain request.
    pub(crate) fn ranges(&self) -> Vec<usize> {
        let requests = self.server.requests();
        requests.iter().map(|r| r.range.unwrap_or(0)).collect()
    }
}

pub(crate) fn assert_error(error: &Error, kind: ErrorKind, words: &[&str]) {
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

pub(crate) fn sha256_field(content: &[u8]) -> String {
    format!("sha256 = '{}'", sha256(content))
}

pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are no known format and differ everywhere.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 256 * 7) as u8).collect()
}
