//! JSON as the commands print it.

use odin_error::printable_json;
use serde_json::Value;

/// Indented, and ended by a line break. What acts on a terminal is escaped, however a file names
/// its parts.
pub(crate) fn indented(value: &Value) -> String {
    printable_json(&format!("{value:#}\n")).into_owned()
}

/// On one line, likewise.
pub(crate) fn line(value: &Value) -> String {
    printable_json(&value.to_string()).into_owned()
}
