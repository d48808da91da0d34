//! Matrix products: a microkernel, packing, and blocked products on top.

pub(crate) mod bf16;
pub(crate) mod microkernel;
pub(crate) mod packed;
pub(crate) mod packing;
pub(crate) mod prefetch;
pub(crate) mod small;
