//! Which output of a file holds the logits.

use super::file::File;
use super::topology::reads;
use crate::onnx::proto::{ValueInfoProto, data_type};
use crate::{Error, ErrorKind};
use std::collections::HashSet;

/// Parts of the names that outputs of classifiers have, those that say most first.
const OF_CLASSIFIERS: [&[&str]; 2] = [
    &["logit"],
    &["predict", "prob", "class", "softmax", "score"],
];

/// Parts of the names of outputs that are something else.
const OF_OTHERS: [&str; 6] = ["embed", "feature", "hidden", "pool", "project", "aux"];

/// The output asked for; the only one; or the one that must be meant. Where that is not asked for,
/// the notices say which was taken.
pub(super) fn choose<'f>(
    file: &'f File,
    wanted: Option<&str>,
    notices: &mut Vec<String>,
) -> Result<&'f str, Error> {
    let names = file.output_names();
    if let Some(wanted) = wanted {
        return names
            .iter()
            .find(|n| *n == &wanted)
            .copied()
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Mismatch,
                    format!("it has no output {wanted:?}; its outputs are {names:?}"),
                )
            });
    }
    if let [only] = names[..] {
        return Ok(only);
    }
    match likely(file, &names)[..] {
        [chosen] => {
            notices.push(format!(
                "of the outputs {names:?} the logits are taken from {chosen:?}"
            ));
            Ok(chosen)
        }
        [] => Err(unknown(format!(
            "none of its outputs {names:?} looks like logits [N, classes]"
        ))),
        ref several => Err(unknown(format!(
            "each of its outputs {several:?} may hold the logits"
        ))),
    }
}

fn unknown(what: String) -> Error {
    let message = format!("{what}; say which output is meant");
    Error::new(ErrorKind::SeveralOutputs, message)
}

/// The outputs that may hold the logits: one, where something tells it from the others.
fn likely<'f>(file: &'f File, names: &[&'f str]) -> Vec<&'f str> {
    let all = names.iter().copied();
    if let Some(logits) = all.clone().find(|n| n.eq_ignore_ascii_case("logits")) {
        return vec![logits];
    }
    let may_be_logits = |name: &&str| {
        let mut infos = file.graph.output.iter();
        infos.find(|o| o.name == *name).is_none_or(is_of_rows)
    };
    let mut left: Vec<&str> = all.filter(may_be_logits).collect();
    let has = |name: &str, parts: &[&str]| {
        let name = name.to_ascii_lowercase();
        parts.iter().any(|part| name.contains(part))
    };
    keep(&mut left, |name| !has(name, &OF_OTHERS));
    for parts in OF_CLASSIFIERS {
        keep(&mut left, |name| has(name, parts));
    }
    // Of a layer and what is computed from it, the latter is closer to the classes.
    let behind: HashSet<&str> = left
        .iter()
        .flat_map(|name| inner_values(file, name))
        .collect();
    keep(&mut left, |name| !behind.contains(name));
    left
}

/// Keeps what fits, if anything does.
fn keep<'f>(names: &mut Vec<&'f str>, fits: impl Fn(&'f str) -> bool) {
    if names.iter().any(|name| fits(name)) {
        names.retain(|name| fits(name));
    }
}

/// Whether a value may be rows of real numbers, as far as the file declares it.
fn is_of_rows(info: &ValueInfoProto) -> bool {
    use data_type::*;
    let Some(ty) = &info.r#type else { return true };
    let Some(ty) = &ty.tensor_type else {
        return false; // a sequence or a map
    };
    let real = matches!(ty.elem_type, 0 | FLOAT | DOUBLE | FLOAT16 | BFLOAT16);
    let rows = ty.shape.as_ref().is_none_or(|shape| {
        let wide = shape.dim.iter().skip(1).filter(|d| d.fixed() != Some(1));
        wide.count() == 1
    });
    real && rows
}

/// The values that an output is computed from.
fn inner_values<'f>(file: &'f File, output: &str) -> Vec<&'f str> {
    file.nodes_for(&[output])
        .into_iter()
        .flat_map(reads)
        .collect()
}
