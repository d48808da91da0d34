//! Identifiers of requests.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives identifiers that no other request of this process has, and hardly one of another process.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self {
            // The only randomness of the standard library.
            process: RandomState::new().build_hasher().finish(),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn next(&self) -> String {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{next:x}", self.process)
    }
}
