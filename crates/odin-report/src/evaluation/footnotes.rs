//! The footnotes of an evaluation's table.

use super::report::{Report, SetInfo};
use crate::measured::{self, Labelled};
use crate::terms::score_label;
use odin::NoAccuracy;
use odin_error::{agree, counted};

/// What the reader of a table should know of its numbers, one sentence or two each.
pub(super) fn footnotes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let unlabelled = &NoAccuracy::Unlabelled;
    if let Some(reason) = report.accuracy.as_ref().err().filter(|e| *e != unlabelled) {
        let in_dataset = &report.in_dataset;
        notes.push(format!("No accuracy is given for {in_dataset}: {reason}."));
    }
    let mut of_set = |name: &str, set: &SetInfo| notes.extend(about_set(name, set));
    of_set(&report.in_dataset, &report.in_set);
    for result in &report.results {
        of_set(&result.out_dataset, &result.out_set);
    }
    notes.extend(shortened(report));
    notes.extend(measured::notes(&scores(report), report.seed));
    notes
}

fn about_set(name: &str, set: &SetInfo) -> Vec<String> {
    let mut notes = Vec::new();
    let (images, skipped) = (set.images, set.skipped);
    if let Some(expected) = set.expected_images {
        notes.push(format!(
            "{name}: {} {} here, the registry says {expected}.",
            counted(images, "image"),
            agree(images, "is", "are")
        ));
    }
    if skipped > 0 {
        let them = match skipped {
            1 => "1 image was left out because it".to_string(),
            _ => format!("{skipped} images were left out because they"),
        };
        notes.push(format!("{name}: {them} cannot be read."));
    }
    notes
}

fn shortened(report: &Report) -> Option<String> {
    let results = report.results.iter().filter(|r| r.in_set_shortened);
    let names: Vec<&str> = results.map(|r| r.out_dataset.as_str()).collect();
    (!names.is_empty()).then(|| {
        let (names, in_dataset) = (names.join(", "), &report.in_dataset);
        format!("{names}: compared with as many images of {in_dataset}, as in the paper.")
    })
}

/// Every score of every out-set, named: "iSUN (ODIN)".
fn scores(report: &Report) -> Vec<Labelled<'_>> {
    let mut scores = Vec::new();
    for result in &report.results {
        let (e, out_set) = (&result.evaluation, &result.out_dataset);
        scores.extend(e.named().map(|(name, measured)| Labelled {
            label: format!("{out_set} ({})", score_label(name)),
            measured,
            count: e.n_in + e.n_out,
        }));
    }
    scores
}
