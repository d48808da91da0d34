//! The report of `odin list`: the data sets and networks of the registry.

use crate::columns::left_aligned;
use crate::json;
use odin_data::registry::{ListRow, Located};
use serde_json::{Value, json};

/// Every known data set and network.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryReport {
    /// In this order.
    pub rows: Vec<ListRow>,
}

impl RegistryReport {
    /// A line each.
    pub fn to_table(&self) -> String {
        let head = [
            "Name",
            "Kind",
            "What it is",
            "Images",
            "Download",
            "Licence",
            "Here",
        ];
        let megabytes = |bytes| format!("{:.1} MB", bytes as f64 / 1e6);
        let unknown = || "-".to_string();
        let rows = self.rows.iter().map(|row| {
            vec![
                row.name.clone(),
                row.kind.to_string(),
                row.title.clone(),
                row.images.map_or_else(unknown, |count| count.to_string()),
                row.download_bytes.map_or_else(unknown, megabytes),
                row.licence.clone(),
                whereabouts(row),
            ]
        });
        left_aligned(&head.map(str::to_string), &rows.collect::<Vec<_>>())
    }

    /// As a JSON array of objects.
    pub fn to_json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let path = match &row.located {
                Located::Here(path) | Located::Packed(path) => Some(path.display().to_string()),
                _ => None,
            };
            json!({
                "name": row.name,
                "kind": row.kind,
                "title": row.title,
                "images": row.images,
                "download_bytes": row.download_bytes,
                "licence": row.licence,
                "citation": row.citation,
                "available": !matches!(row.located, Located::Missing { .. }),
                "path": path,
                "unverified": row.unverified,
            })
        });
        json::indented(&Value::Array(rows.collect()))
    }
}

fn whereabouts(row: &ListRow) -> String {
    let unverified = if row.unverified { ", unverified" } else { "" };
    match &row.located {
        Located::Here(path) if row.unverified => format!("{} (unverified)", path.display()),
        Located::Here(path) => path.display().to_string(),
        Located::Packed(path) => format!("{} (packed{unverified})", path.display()),
        Located::Generated(_) => "generated".to_string(),
        _ => "no".to_string(),
    }
}
