//! The footnotes of an evaluation's table.

use super::report::{Report, SetInfo};
use crate::terms::LABELS;
use odin::{Measured, NoAccuracy};

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
    notes.extend(intervals(report));
    notes.extend(stand_ins(report));
    notes.extend(outside_grid(report));
    notes
}

fn about_set(name: &str, set: &SetInfo) -> Vec<String> {
    let mut notes = Vec::new();
    let (images, skipped) = (set.images, set.skipped);
    if let Some(expected) = set.expected_images {
        notes.push(format!(
            "{name}: {images} images are here, the registry says {expected}."
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

fn intervals(report: &Report) -> Option<String> {
    let mut results = report.results.iter();
    let any = results.any(|r| r.evaluation.odin.ci95.is_some());
    let seed = report.seed;
    any.then(|| {
        format!("In brackets: 95 % confidence intervals (stratified bootstrap, seed {seed}).")
    })
}

/// Every score of every out-set, named: "iSUN (ODIN)".
fn measured(report: &Report) -> impl Iterator<Item = (String, &Measured, usize)> {
    report.results.iter().flat_map(|result| {
        let (e, out_set) = (&result.evaluation, &result.out_dataset);
        let count = e.n_in + e.n_out;
        e.named().map(move |(name, measured)| {
            let name = match name {
                "msp" => "baseline",
                "odin" => "ODIN",
                other => other,
            };
            (format!("{out_set} ({name})"), measured, count)
        })
    })
}

/// One note for all scores with the same gaps.
fn stand_ins(report: &Report) -> Vec<String> {
    let mut gaps: Vec<(String, Vec<String>)> = Vec::new();
    for (name, measured, _) in measured(report) {
        let flags = measured.exact_instead.named();
        let labels = LABELS.iter().zip(flags).filter(|(_, (_, flag))| *flag);
        let labels: Vec<&str> = labels.map(|((_, short), _)| *short).collect();
        let labels = labels.join(", ");
        match gaps.iter_mut().find(|(known, _)| *known == labels) {
            _ if labels.is_empty() => {}
            Some((_, names)) => names.push(name),
            None => gaps.push((labels, vec![name])),
        }
    }
    let notes = gaps.into_iter().map(|(labels, names)| {
        let names = names.join(", ");
        format!(
            "The paper's procedure does not define {labels} for the scores of {names}; the exact value is shown."
        )
    });
    notes.collect()
}

fn outside_grid(report: &Report) -> Option<String> {
    let outside = measured(report).filter(|(_, measured, _)| measured.outside_grid > 0);
    let scores = outside
        .map(|(name, measured, count)| format!("{name} {} of {count}", measured.outside_grid));
    let scores: Vec<String> = scores.collect();
    (!scores.is_empty()).then(|| {
        let scores = scores.join(", ");
        format!(
            "Scores outside of the paper's thresholds, which cannot tell them apart: {scores}. Where these are many, the values mean nothing; see --metrics exact."
        )
    })
}
