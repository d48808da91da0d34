//! Which output of a file holds the logits.

use super::classifier::ReadOptions;
use super::file::File;
use super::topology::reads;
use crate::onnx::proto::{NodeProto, ValueInfoProto, data_type};
use crate::{Error, ErrorKind};
use std::collections::{HashMap, HashSet};

/// Parts of the names that outputs of classifiers have, those that say most first.
const OF_CLASSIFIERS: [&[&str]; 2] = [
    &["logit"],
    &["predict", "prob", "class", "softmax", "score"],
];

/// Parts of the names of outputs that are features.
const OF_FEATURES: [&str; 5] = ["embed", "feature", "hidden", "latent", "pooler"];

/// Parts of the names of outputs that are something else than logits.
const OF_OTHERS: [&str; 6] = ["pool", "project", "aux", "token", "attention", "represent"];

/// Parts of the names of outputs that are a number of each image, but no logit.
const OF_LABELS: [&str; 3] = ["label", "index", "argmax"];

/// The output asked for; the only one; or the one that must be meant. Where that is not asked for,
/// the notices say which was taken.
pub(super) fn choose<'f>(
    file: &'f File,
    options: &ReadOptions,
    notices: &mut Vec<String>,
) -> Result<&'f str, Error> {
    let names = file.output_names();
    if let Some(wanted) = options.output.as_deref() {
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
    let candidates = Candidates {
        file,
        classes: options.classes,
        nodes: producers(file),
    };
    let left = candidates.likely(&names);
    let of_features = |name: &&str| candidates.is_of_features(name);
    let among_features = names.iter().any(of_features);
    let doubtful = |name: &&'f str| among_features && !candidates.is_of_classes(name);
    if !left.is_empty() && left.iter().all(|name| of_features(name) || doubtful(name)) {
        return Err(headless(&names));
    }
    match left[..] {
        [chosen] => {
            if names.len() > 1 {
                notices.push(format!(
                    "of the outputs {names:?} the logits are taken from {chosen:?}"
                ));
            }
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

fn headless(names: &[&str]) -> Error {
    let message = format!(
        "its outputs {names:?} are features by their names, not logits: a network without its last layer has no classes to score. Export it with the layer that gives the classes; if one of these are the logits after all, say which output is meant"
    );
    Error::new(ErrorKind::SeveralOutputs, message)
}

fn has(name: &str, parts: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}

/// The nodes of the file by what they give.
fn producers(file: &File) -> HashMap<&str, &NodeProto> {
    let nodes = file.graph.node.iter();
    let outputs = nodes.flat_map(|node| node.output.iter().map(move |name| (&name[..], node)));
    outputs.collect()
}

/// What tells the outputs of a file apart.
struct Candidates<'f> {
    file: &'f File,
    classes: Option<usize>,
    nodes: HashMap<&'f str, &'f NodeProto>,
}

impl<'f> Candidates<'f> {
    /// The outputs that may hold the logits: one, where something tells it from the others.
    fn likely(&self, names: &[&'f str]) -> Vec<&'f str> {
        if let [only] = names[..] {
            return vec![only];
        }
        let mut all = names.iter().copied();
        if let Some(logits) = all.clone().find(|n| n.eq_ignore_ascii_case("logits")) {
            return vec![logits];
        }
        let mut left: Vec<&str> = all
            .by_ref()
            .filter(|name| self.may_be_logits(name))
            .collect();
        keep(&mut left, |name| self.is_as_wide_as_the_classes(name));
        keep(&mut left, |name| {
            !has(name, &OF_OTHERS) && !has(name, &OF_FEATURES)
        });
        for parts in OF_CLASSIFIERS {
            keep(&mut left, |name| has(name, parts));
        }
        keep(&mut left, |name| self.is_of_linear_layer(name));
        keep(&mut left, |name| self.width(name) != Some(1));
        // Of a layer and what is computed from it, the latter is closer to the classes.
        let behind: HashSet<&str> = left
            .iter()
            .flat_map(|name| inner_values(self.file, name))
            .collect();
        keep(&mut left, |name| !behind.contains(name));
        left
    }

    fn info(&self, name: &str) -> Option<&'f ValueInfoProto> {
        let mut infos = self.file.graph.output.iter();
        infos.find(|info| info.name == name)
    }

    /// Whether an output may be rows of real numbers, or the maps that scikit-learn makes of them.
    fn may_be_logits(&self, name: &str) -> bool {
        let mapped = self.nodes.get(name).is_some_and(|n| n.op_type == "ZipMap");
        let label = self.width(name) == Some(1) && has(name, &OF_LABELS);
        mapped || (!label && self.info(name).is_none_or(is_of_rows))
    }

    /// The numbers that an image has of an output, where the file declares it.
    fn width(&self, name: &str) -> Option<usize> {
        let ty = self.info(name)?.r#type.as_ref()?.tensor_type.as_ref()?;
        let extents = ty.shape.as_ref()?.dim.iter().skip(1);
        let extents = extents.map(|dim| usize::try_from(dim.fixed()?).ok());
        extents.product()
    }

    /// Two classes may have a single logit.
    fn is_as_wide_as_the_classes(&self, name: &str) -> bool {
        match (self.classes, self.width(name)) {
            (Some(classes), Some(width)) => width == classes || (width, classes) == (1, 2),
            _ => false,
        }
    }

    /// Whether the name is that of features, and nothing else speaks for logits.
    fn is_of_features(&self, name: &str) -> bool {
        let named = OF_CLASSIFIERS.iter().any(|parts| has(name, parts));
        has(name, &OF_FEATURES) && !named && !self.is_as_wide_as_the_classes(name)
    }

    /// Whether anything speaks for logits.
    fn is_of_classes(&self, name: &'f str) -> bool {
        let named = OF_CLASSIFIERS.iter().any(|parts| has(name, parts));
        named || self.is_as_wide_as_the_classes(name) || self.is_of_linear_layer(name)
    }

    /// Whether an output comes from a linear layer, through operators that keep its entries apart.
    fn is_of_linear_layer(&self, name: &'f str) -> bool {
        let mut name = name;
        // No way through the nodes, which are sorted, is longer.
        for _ in 0..self.file.graph.node.len() {
            let Some(node) = self.nodes.get(name) else {
                return false;
            };
            let computed = node.input.iter().map(String::as_str);
            let mut computed = computed.filter(|input| self.nodes.contains_key(input));
            name = match (node.op_type.as_str(), computed.next(), computed.next()) {
                ("Gemm" | "MatMul" | "Conv" | "LinearClassifier", ..) => return true,
                (
                    "Identity" | "Cast" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze"
                    | "Dropout" | "Softmax" | "LogSoftmax" | "Sigmoid" | "Log" | "Clip" | "ZipMap"
                    | "Normalizer" | "QuantizeLinear" | "DequantizeLinear",
                    Some(inner),
                    _,
                ) => inner,
                // A bias, a temperature.
                ("Add" | "Sub" | "Mul" | "Div", Some(inner), None) => inner,
                _ => return false,
            };
        }
        false
    }
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
        !shape.dim.is_empty() && wide.count() <= 1
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
