//! PyTorch checkpoints in all the containers that `torch.save` has written.
//!
//! Each container ([`zip`], [`legacy`], [`tar`]) holds one pickle with the saved object, and
//! the tensors' storages outside of it, to which the pickle refers by persistent ids. The
//! pickle is read by `odin-untrusted` without executing anything, [`object`] tells which of its
//! values are tensors and modules, [`weights`] finds the weights among them, and a container's
//! [`Storages`](storage::Storages) hold the elements; [`assemble`] puts them together.

mod assemble;
mod legacy;
mod object;
mod pickle;
mod storage;
mod tar;
mod weights;
mod zip;

pub(crate) use legacy::{read as read_legacy, recognises as recognises_legacy};
pub(crate) use tar::{PARTS as TAR_PARTS, files as tar_files, read as read_tar};
pub(crate) use zip::read as read_zip;
