//! Allocates unique names.

use std::collections::HashMap;

/// The names that a file uses; in ONNX a name means one thing.
#[derive(Default)]
pub(super) struct Names {
    /// How often each name was asked for.
    asked: HashMap<String, usize>,
}

impl Names {
    /// Takes a name as it is; `false` when it is taken already.
    pub(super) fn reserve(&mut self, name: &str) -> bool {
        self.asked.insert(name.to_string(), 1).is_none()
    }

    /// A name like this one that is not taken yet.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        let base = wanted.replace(char::is_whitespace, "_");
        loop {
            let count = self.asked.entry(base.clone()).or_default();
            *count += 1;
            let name = match *count {
                1 => return base,
                again => format!("{base}_{again}"),
            };
            if self.reserve(&name) {
                return name;
            }
        }
    }
}
