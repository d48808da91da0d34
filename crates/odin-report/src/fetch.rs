//! The report of `odin fetch`.

use crate::json;
use odin_data::fetch::{Check, Fetched};
use serde_json::{Value, json};

/// What was fetched.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FetchReport {
    /// In the order in which they were named.
    pub rows: Vec<FetchRow>,
}

/// The result for one name.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchRow {
    /// The name in the registry.
    pub name: String,
    /// Where its content is, or why it is not there.
    pub outcome: Result<Fetched, String>,
}

impl FetchReport {
    /// A line each.
    pub fn to_table(&self) -> String {
        self.rows.iter().map(FetchRow::to_line).collect()
    }

    /// As a JSON array of objects.
    pub fn to_json(&self) -> String {
        let rows = self.rows.iter().map(FetchRow::to_json);
        json::indented(&Value::Array(rows.collect()))
    }
}

impl FetchRow {
    /// A line for people.
    pub fn to_line(&self) -> String {
        let what = match &self.outcome {
            Ok(Fetched::Present { path, check }) => {
                format!("{} (was here; {})", path.display(), in_words(*check))
            }
            Ok(Fetched::Downloaded { path, check, url }) => {
                format!("{} (from {url}; {})", path.display(), in_words(*check))
            }
            Ok(_) => "generated when needed, nothing to fetch".to_string(),
            Err(reason) => reason.clone(),
        };
        format!("{}: {what}\n", self.name)
    }

    fn to_json(&self) -> Value {
        let (status, check, url) = match &self.outcome {
            Ok(Fetched::Present { check, .. }) => ("present", Some(*check), None),
            Ok(Fetched::Downloaded { check, url, .. }) => ("downloaded", Some(*check), Some(url)),
            Ok(_) => ("generated", None, None),
            Err(_) => ("failed", None, None),
        };
        let path = self.outcome.as_ref().ok().and_then(Fetched::path);
        json!({
            "name": self.name,
            "status": status,
            "path": path.map(|path| path.display().to_string()),
            "url": url,
            "checksum": check.and_then(as_str),
            "verified": check.map(Check::is_verified),
            "error": self.outcome.as_ref().err(),
        })
    }
}

fn in_words(check: Check) -> &'static str {
    match check {
        Check::Registry => "checksum as in the registry",
        Check::Recorded => "unverified: no checksum is known; the same file as when first seen",
        Check::FirstSeen => "unverified: no checksum is known; the one seen is recorded",
        _ => "unverified: not checked",
    }
}

/// What the checksum was compared with; nothing where none was.
fn as_str(check: Check) -> Option<&'static str> {
    match check {
        Check::Registry => Some("registry"),
        Check::Recorded => Some("recorded"),
        Check::FirstSeen => Some("first-seen"),
        _ => None,
    }
}
