//! Runs the ONNX project's own test cases of operators. `scripts/onnx_conformance.py DIR` writes
//! them; `ODIN_ONNX_CONFORMANCE=DIR` names the folder. A case may be refused; a wrong result is a
//! failure.

use super::super::proto::{ModelProto, TensorProto, data_type};
use super::builder::{Value, invalid};
use super::const_value::Kind;
use super::file::{File, OPSETS};
use super::operator::Operator;
use super::{ops, tensor};
use crate::Error;
use odin_graph::{Array, Shape, Type, interpret};
use prost::Message;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// Cases that expect a size before it is rounded to take part in `align_corners`. ONNX Runtime and
/// PyTorch compute with the rounded one, and so do the networks that are exported from the latter.
const CONTESTED: [&str; 2] = [
    "test_resize_downsample_scales_cubic_align_corners",
    "test_resize_downsample_scales_linear_align_corners",
];

/// How the cases of an operator went.
#[derive(Default)]
struct Tally {
    right: usize,
    /// The versions that the right ones are written in.
    opsets: BTreeSet<i64>,
    refused: Vec<String>,
    wrong: Vec<String>,
}

#[test]
fn operators_give_what_the_standard_says() {
    let Some(folder) = odin_test::named_by("ODIN_ONNX_CONFORMANCE", "folder of cases") else {
        return;
    };
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: Json = serde_json::from_slice(&index).unwrap();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for case in index["cases"].as_array().unwrap() {
        let operator = case["operator"].as_str().unwrap_or("(several)");
        let name = case["name"].as_str().unwrap();
        if CONTESTED.contains(&name) {
            continue;
        }
        let model = std::fs::read(folder.join(format!("{name}.onnx"))).unwrap();
        for data in case["data"].as_array().unwrap() {
            let data = std::fs::read(folder.join(data.as_str().unwrap())).unwrap();
            let data = SafeTensors::deserialize(&data).unwrap();
            let tally = tallies.entry(operator.to_string()).or_default();
            match run(case, &model, &data) {
                Ok(Ok(())) => {
                    tally.right += 1;
                    tally.opsets.extend(case["opset"].as_i64());
                }
                Ok(Err(difference)) => tally.wrong.push(format!("{name}: {difference}")),
                Err(refused) => tally.refused.push(format!("{name}: {refused}")),
            }
        }
    }
    report(&tallies);
    let wrong: Vec<&String> = tallies.values().flat_map(|t| &t.wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // An operator that is claimed is one of which something is known to be right. The exceptions
    // are read in forms that the cases do not have, and tested with whole networks.
    // What quantised networks compute is not rounded when it is read.
    const EXCEPTIONS: [&str; 5] = ["GatherND", "If", "OneHot", "QuantizeLinear", "ReduceProd"];
    for operator in operators() {
        let right = tallies.get(operator.name).map_or(0, |t| t.right);
        assert!(
            right > 0 || EXCEPTIONS.contains(&operator.name),
            "no case of {} was read",
            operator.name
        );
    }
    check_documents(&tallies);
}

/// `docs/operators.md` is what this gives; `ODIN_WRITE_DOCS=1` writes it.
fn check_documents(tallies: &BTreeMap<String, Tally>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operators.md");
    let (first, last) = (OPSETS.start(), OPSETS.end());
    let mut text = format!(
        "# Operators that are read from ONNX files\n\n\
         Versions {first} to {last} of the standard operators. *Gradient*: `yes`, with respect to \
         every operand that may depend on the input; `none` where the result is piecewise constant; \
         `-` where the operator is supported for what does not depend on the input: shapes, \
         indices, masks. *Cases*: the ONNX project's own tests that give the expected result, of \
         those that there are for dense tensors of numbers, and the versions these are written in. \
         The others are refused with a reason; none gives another result. Two cases of `Resize` are \
         left out, in which ONNX Runtime and PyTorch give another one: they expect a size that is not \
         yet rounded (`align_corners` by scales).\n\n\
         Of the domain `ai.onnx.ml`: ArrayFeatureExtractor, LinearClassifier, Normalizer (L1, L2), \
         Scaler and ZipMap. QuantizeLinear and DequantizeLinear stand for real numbers, which are \
         bounded, but not rounded ([models.md](models.md#quantised-networks)). Of what depends on \
         the input, TopK gives the one largest or smallest entry with its place and gradient, and of \
         several their values alone, without a gradient.\n\n\
         Written by the test `conformance` of `odin-formats` \
         (`ODIN_ONNX_CONFORMANCE=DIR ODIN_WRITE_DOCS=1`, cases by `scripts/onnx_conformance.py DIR`).\n\n\
         | operator | gradient | cases | versions |\n|---|---|---|---|\n"
    );
    for operator in operators() {
        let tally = tallies.get(operator.name);
        let right = tally.map_or(0, |t| t.right);
        let all = right + tally.map_or(0, |t| t.refused.len());
        let versions = tally.and_then(|t| Some((t.opsets.first()?, t.opsets.last()?)));
        let versions = match versions {
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
            None => String::new(),
        };
        let (name, gradient) = (operator.name, gradient(operator.name));
        text += &format!("| {name} | {gradient} | {right} of {all} | {versions} |\n");
    }
    if std::env::var_os("ODIN_WRITE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, text, "docs/operators.md is out of date");
}

/// All operators, by name.
fn operators() -> Vec<&'static Operator> {
    let mut operators: Vec<_> = ops::all().collect();
    operators.sort_by_key(|operator| operator.name);
    operators
}

fn is_constants_only(operator: &str) -> bool {
    ops::find("", operator).is_some_and(Operator::is_constants_only)
}

fn gradient(operator: &str) -> &'static str {
    match operator {
        _ if is_constants_only(operator) => "-",
        "And" | "ArgMax" | "Constant" | "Equal" | "Greater" | "GreaterOrEqual" | "IsInf"
        | "IsNaN" | "Less" | "LessOrEqual" | "Not" | "OneHot" | "Or" | "Sign" => "none",
        "TopK" => "of one",
        _ => "yes",
    }
}

fn report(tallies: &BTreeMap<String, Tally>) {
    for (operator, tally) in tallies {
        let (refused, wrong) = (tally.refused.len(), tally.wrong.len());
        println!(
            "{operator}: {} right, {refused} refused, {wrong} wrong",
            tally.right
        );
        for line in &tally.refused {
            println!("    {}", line.replace('\n', " "));
        }
    }
    let sum = |f: fn(&Tally) -> usize| tallies.values().map(f).sum::<usize>();
    println!(
        "in all {} right, {} refused, {} wrong",
        sum(|t| t.right),
        sum(|t| t.refused.len()),
        sum(|t| t.wrong.len())
    );
}

/// Whether the case's outputs are as expected, or why it was refused.
fn run(case: &Json, model: &[u8], data: &SafeTensors<'_>) -> Result<Result<(), String>, Error> {
    let mut model = ModelProto::decode(model).map_err(|e| Error::corrupt(e.to_string()))?;
    // Cases of operators that have never changed name the first version of all.
    for import in model
        .opset_import
        .iter_mut()
        .filter(|_| case["kind"] == "node")
    {
        import.version = import.version.max(*OPSETS.start());
    }
    // The first operand, if it is real, is computed with; the others are constants, and so are all
    // of an operator that takes nothing else.
    let operator = case["operator"].as_str().unwrap_or_default();
    let names = strings(&case["inputs"]);
    let mut inputs: Vec<(String, Array<f64>)> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let Ok(view) = data.tensor(&format!("input_{i}")) else {
            return Err(Error::unsupported(format!("no data for {name:?}")));
        };
        let proto = as_proto(name, &view);
        if i == 0 && tensor::is_float(&proto) && !is_constants_only(operator) {
            let shape = view.shape().to_vec();
            inputs.push((name.clone(), Array::new(shape, numbers(&view))));
        } else if let Some(graph) = &mut model.graph {
            graph.input.retain(|i| i.name != *name);
            graph.initializer.push(proto);
        }
    }
    let file = File::from_proto(model, String::new(), None, 1 << 20)?;
    let mut importer = file.importer();
    for (name, array) in &inputs {
        let ty = Type::float(Shape::fixed(array.shape()));
        let id = importer.builder.graph.input(name, ty).map_err(invalid)?;
        importer.define(name, Value::Node(id));
    }
    let outputs = strings(&case["outputs"]);
    let wanted: Vec<&str> = outputs.iter().map(String::as_str).collect();
    importer.nodes(file.nodes_for(&wanted), 0);
    importer.check()?;
    let (rtol, atol) = (
        case["rtol"].as_f64().unwrap(),
        case["atol"].as_f64().unwrap(),
    );
    for (i, name) in outputs.iter().enumerate() {
        let view = data.tensor(&format!("output_{i}")).unwrap();
        let (found, shape) = match importer.value(name)? {
            Value::Const(constant) => {
                let whole = |v: f64| {
                    if constant.kind == Kind::Int {
                        v.trunc()
                    } else {
                        v
                    }
                };
                let data = constant.data.iter().map(|n| whole(n.value)).collect();
                (data, constant.shape.clone())
            }
            Value::Node(id) => {
                importer.builder.graph.clear_outputs();
                importer.builder.graph.output("y", id);
                let given: Vec<(&str, Array<f64>)> = inputs
                    .iter()
                    .map(|(n, a)| (n.as_str(), a.clone()))
                    .collect();
                let results = interpret(&importer.builder.graph, &given);
                let value = results.map_err(invalid)?.remove(0);
                (flat(value), importer.builder.graph.shape(id).at(1))
            }
        };
        if shape != view.shape() {
            return Ok(Err(format!(
                "{name}: shape {shape:?}, not {:?}",
                view.shape()
            )));
        }
        for (i, (f, e)) in found.iter().zip(numbers(&view)).enumerate() {
            let same = *f == e || (f.is_nan() && e.is_nan());
            // The expected numbers are rounded to the type of the file.
            if !same && (f - e).abs() > atol.max(1e-5) + rtol.max(1e-5) * e.abs() {
                return Ok(Err(format!("{name}, element {i}: {f}, not {e}")));
            }
        }
    }
    Ok(Ok(()))
}

fn strings(json: &Json) -> Vec<String> {
    let values = json.as_array().unwrap().iter();
    values.map(|v| v.as_str().unwrap().to_string()).collect()
}

fn flat(value: odin_graph::Value<f64>) -> Vec<f64> {
    match value {
        odin_graph::Value::Float(array) => array.floats().to_vec(),
        odin_graph::Value::Int(data, _) => data.iter().map(|&v| v as f64).collect(),
        odin_graph::Value::Bool(data, _) => data.iter().map(|&v| f64::from(v)).collect(),
    }
}

fn element_type(dtype: Dtype) -> i32 {
    use data_type::*;
    match dtype {
        Dtype::F32 => FLOAT,
        Dtype::F64 => DOUBLE,
        Dtype::F16 => FLOAT16,
        Dtype::BOOL => BOOL,
        Dtype::U8 => UINT8,
        Dtype::I8 => INT8,
        Dtype::U16 => UINT16,
        Dtype::I16 => INT16,
        Dtype::U32 => UINT32,
        Dtype::I32 => INT32,
        Dtype::U64 => UINT64,
        _ => INT64,
    }
}

fn as_proto(name: &str, view: &safetensors::tensor::TensorView<'_>) -> TensorProto {
    TensorProto {
        name: name.to_string(),
        dims: view.shape().iter().map(|&d| d as i64).collect(),
        data_type: element_type(view.dtype()),
        raw_data: Some(view.data().to_vec().into()),
        ..TensorProto::default()
    }
}

fn numbers(view: &safetensors::tensor::TensorView<'_>) -> Vec<f64> {
    let constant = tensor::const_value(&as_proto("", view), None).unwrap();
    constant.data.iter().map(|n| n.value).collect()
}
