//! Values that a forked process must not touch.

use crate::error::failed;
use pyo3::PyResult;
use std::process;
use std::sync::Arc;

/// A value with threads of its own. In a process that was forked they are not there: the value is
/// refused, and is leaked where dropping it would wait for them.
#[derive(Debug)]
pub(crate) struct ForkSafe<T> {
    process: u32,
    value: Option<Arc<T>>,
}

impl<T> ForkSafe<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            process: process::id(),
            value: Some(Arc::new(value)),
        }
    }

    /// Whether this process made it.
    pub(crate) fn is_usable(&self) -> bool {
        self.process == process::id()
    }

    pub(crate) fn get(&self) -> PyResult<Arc<T>> {
        match &self.value {
            Some(value) if self.is_usable() => Ok(Arc::clone(value)),
            _ => Err(failed("the engine belongs to the process that was forked")),
        }
    }
}

impl<T> Drop for ForkSafe<T> {
    fn drop(&mut self) {
        if !self.is_usable() {
            std::mem::forget(self.value.take());
        }
    }
}
