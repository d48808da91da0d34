//! All tests of this crate in one program, which links once.

#[path = "data/main.rs"]
mod data;
#[path = "fetch/main.rs"]
mod fetch;
mod registry;
