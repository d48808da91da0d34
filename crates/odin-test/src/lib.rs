//! What a test needs that is not in the repository: it is skipped where that is missing, in plain
//! words, and fails where `ODIN_REQUIRE=1` says that nothing may be.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "a test speaks by printing and fails by panicking"
)]

use std::env;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Says that a test is skipped and why, or fails it under `ODIN_REQUIRE=1`.
///
/// # Panics
/// Where nothing may be missing.
#[track_caller]
pub fn skip(reason: impl Display) {
    let required = env::var_os("ODIN_REQUIRE").is_some_and(|value| value == "1");
    skip_unless(required, reason);
}

#[track_caller]
fn skip_unless(required: bool, reason: impl Display) {
    match required {
        true => panic!("{reason}; ODIN_REQUIRE=1 lets no test be skipped"),
        false => println!("SKIPPED: {reason}"),
    }
}

/// The folder of the reference data, or what lies in it under this name; skips where it is not
/// there.
pub fn refdata(part: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/refdata");
    let path = folder.join(part);
    if path.exists() {
        return Some(path);
    }
    skip(format_args!("there is no {}", path.display()));
    None
}

/// What the environment variable names; skips where it is not set.
pub fn named_by(variable: &str, what: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|value| !value.is_empty());
    if named.is_none() {
        skip(format_args!("{variable} names no {what}"));
    }
    named.map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_skipped() {
        skip_unless(false, "there is nothing to test");
    }

    #[test]
    #[should_panic(expected = "there is nothing to test; ODIN_REQUIRE=1")]
    fn what_is_required_fails() {
        skip_unless(true, "there is nothing to test");
    }
}
