//! How far a file may unfold: the compressed parts of a checkpoint, the constants and functions of
//! a network.

use std::io::Read;

use odin_untrusted::ErrorKind;
use odin_untrusted::inflate::Budget;

use crate::Error;

/// The bytes that a file of so many may unfold to. Trained weights hardly compress; a factor of 16
/// leaves room for momentum buffers that are all zero.
pub(crate) fn unfolded_limit(file_len: u64) -> u64 {
    file_len.saturating_mul(16).saturating_add(128 << 20)
}

/// How many bytes a file may unpack to. Compressed parts inside of others share the budget of the
/// file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    file_len: usize,
    budget: Budget,
}

impl Allowance {
    /// The allowance of a file of `file_len` bytes.
    pub(crate) fn of(file_len: usize) -> Self {
        Self {
            file_len,
            budget: Budget::new(unfolded_limit(file_len as u64)),
        }
    }

    /// Bytes of the file itself.
    pub(crate) fn file_len(&self) -> usize {
        self.file_len
    }

    /// The whole allowance in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.budget.limit()
    }

    /// What is left of it.
    pub(crate) fn budget(&self) -> Budget {
        self.budget
    }

    /// All that a decoder gives.
    pub(crate) fn read(&mut self, decoder: impl Read) -> Result<Vec<u8>, Error> {
        let content = self.budget.read(decoder);
        content.map_err(|e| match e.kind() {
            ErrorKind::TooLarge => Error::unsupported(format!(
                "a file of {} bytes unfolds to more than {}, which weights do not",
                self.file_len,
                self.limit()
            )),
            _ => Error::corrupt(format!("{e}; the file is truncated or damaged")),
        })
    }
}
