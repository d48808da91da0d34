//! `odin list`.

use crate::args::List;
use crate::output::stdout::write_stdout;
use crate::resolve::registry;
use anyhow::Result;
use odin_data::registry::{ListRow, Located};

pub(crate) fn run(args: &List) -> Result<()> {
    let rows = registry::open(&args.registry)?.list(&args.registry.data_dir);
    write_stdout(&args.format.text(|| table(&rows), || json(&rows)))
}

fn table(rows: &[ListRow]) -> String {
    let head = [
        "Name",
        "Kind",
        "What it is",
        "Images",
        "Download",
        "Licence",
        "Here",
    ]
    .map(str::to_string);
    let cells: Vec<[String; 7]> = rows
        .iter()
        .map(|row| {
            [
                row.name.clone(),
                row.kind.to_string(),
                row.title.clone(),
                row.images.map_or("-".into(), |n| n.to_string()),
                row.download_bytes
                    .map_or("-".into(), |b| format!("{:.1} MB", b as f64 / 1e6)),
                row.licence.clone(),
                whereabouts(&row.located),
            ]
        })
        .collect();
    let widths: Vec<usize> = (0..7)
        .map(|i| {
            cells
                .iter()
                .chain([&head])
                .map(|r| r[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; 7]| {
        let padded: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(c, &w)| format!("{c:<w$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    std::iter::once(&head).chain(&cells).map(line).collect()
}

fn whereabouts(located: &Located) -> String {
    match located {
        Located::Here(path) => path.display().to_string(),
        Located::Packed(path) => format!("{} (packed)", path.display()),
        Located::Generated(_) => "generated".to_string(),
        _ => "no".to_string(),
    }
}

fn json(rows: &[ListRow]) -> String {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let path = match &row.located {
                Located::Here(path) | Located::Packed(path) => Some(path.display().to_string()),
                _ => None,
            };
            serde_json::json!({
                "name": row.name,
                "kind": row.kind,
                "title": row.title,
                "images": row.images,
                "download_bytes": row.download_bytes,
                "licence": row.licence,
                "citation": row.citation,
                "available": !matches!(row.located, Located::Missing { .. }),
                "path": path,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}
