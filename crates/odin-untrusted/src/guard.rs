//! Keeps a panic of a decoder to the file that it was decoding.
//!
//! A library that reads a damaged file should give an error, and some panic instead. What runs in
//! [`contain`] may: the panic becomes an error, and nothing of it is printed.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// A panic that [`contain`] caught. It shows as the panic's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked(String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Panicked {}

/// What `action` gives. What it was working on must not be used again when it panicked, unless it
/// is known to be whole.
///
/// The first call installs a panic hook, which passes on to the one before it whatever panics
/// elsewhere, also at the same time on other threads. A hook that is installed later should do the
/// same, or it sees the panics in here. Threads that `action` starts are not covered.
///
/// # Errors
/// When `action` panics.
pub fn contain<T>(action: impl FnOnce() -> T) -> Result<T, Panicked> {
    silence_once();
    let _inside = Inside::enter();
    panic::catch_unwind(AssertUnwindSafe(action)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Panicked(text.unwrap_or("a panic without a message").to_owned())
    })
}

thread_local! {
    /// Calls of [`contain`] that this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

fn silence_once() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A thread that ends has no count any more.
            if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
                before(info);
            }
        }));
    });
}

/// A decoder as a reader whose panics are errors.
#[derive(Debug)]
pub(crate) struct Contained<R>(pub(crate) R);

impl<R: Read> Read for Contained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        contain(|| self.0.read(buffer)).unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_panics_gives_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("index out of bounds")
            }
        }
        let error = Contained(Broken).read(&mut [0]).unwrap_err();
        assert!(error.to_string().contains("index out of bounds"), "{error}");
        assert_eq!(Contained(&b"ab"[..]).read(&mut [0; 4]).unwrap(), 2);
    }
}
