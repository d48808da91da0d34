//! Matrix products.

pub(crate) mod microkernel;
pub(crate) mod packed;
pub(crate) mod packing;
pub(crate) mod prefetch;
pub(crate) mod small;
