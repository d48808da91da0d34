//! Tensors of answers.

use super::TensorKind;
use super::tensor::Datatype;
use crate::detectors::Served;
use crate::refusal::Refusal;
use odin::Verdict;

/// The values of an output, one for each image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Int64(Vec<i64>),
    Fp64(Vec<f64>),
    Bool(Vec<bool>),
    Bytes(Vec<String>),
}

/// A tensor of an answer; its shape is `[N]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OutputTensor {
    pub(crate) name: String,
    pub(crate) values: Values,
}

impl Values {
    pub(crate) fn datatype(&self) -> Datatype {
        match self {
            Self::Int64(_) => Datatype::Int64,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bool(_) => Datatype::Bool,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Int64(values) => values.len(),
            Self::Fp64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// In the protocol's binary form.
    pub(crate) fn to_raw(&self) -> Vec<u8> {
        match self {
            Self::Int64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Fp64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Bool(values) => values.iter().map(|v| u8::from(*v)).collect(),
            Self::Bytes(values) => {
                let mut raw = Vec::new();
                for value in values {
                    raw.extend((value.len() as u32).to_le_bytes());
                    raw.extend(value.as_bytes());
                }
                raw
            }
        }
    }
}

/// An output of a detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Prediction,
    Class,
    Score(String),
    Percentile,
    PValue,
    IsInDistribution,
}

impl Output {
    fn name(&self) -> &str {
        match self {
            Self::Prediction => "prediction",
            Self::Class => "class",
            Self::Score(name) => name,
            Self::Percentile => "percentile",
            Self::PValue => "p_value",
            Self::IsInDistribution => "is_in_distribution",
        }
    }

    fn of(&self, served: &Served, verdicts: &[Verdict]) -> Values {
        let reals = |of: &dyn Fn(&Verdict) -> f64| Values::Fp64(verdicts.iter().map(of).collect());
        match self {
            Self::Prediction => {
                let each = verdicts.iter().map(|v| v.score.prediction as i64);
                Values::Int64(each.collect())
            }
            Self::Class => {
                let class = |v: &Verdict| {
                    let prediction = v.score.prediction;
                    let name = served.info.class(prediction);
                    name.map_or_else(|| prediction.to_string(), str::to_string)
                };
                Values::Bytes(verdicts.iter().map(class).collect())
            }
            Self::Score(name) => reals(&|v| v.score.get(name).unwrap_or(f64::NAN)),
            Self::Percentile => reals(&|v| v.decision.percentile),
            Self::PValue => reals(&|v| v.decision.p_value),
            Self::IsInDistribution => {
                let each = verdicts.iter().map(|v| v.decision.is_in_distribution);
                Values::Bool(each.collect())
            }
        }
    }
}

/// All outputs, in their order.
fn outputs(served: &Served) -> Vec<Output> {
    let scores = served.info.scores.iter().cloned().map(Output::Score);
    let mut all = vec![Output::Prediction, Output::Class];
    all.extend(scores);
    all.extend([Output::Percentile, Output::PValue, Output::IsInDistribution]);
    all
}

/// The outputs of a detector as its metadata describes them.
pub(crate) fn all_outputs(served: &Served) -> Vec<TensorKind> {
    let kind = |output: Output| TensorKind {
        name: output.name().to_string(),
        datatype: output.of(served, &[]).datatype(),
        shape: vec![-1],
    };
    outputs(served).into_iter().map(kind).collect()
}

/// The outputs of these names; all where none is named.
pub(super) fn wanted(served: &Served, names: &[String]) -> Result<Vec<Output>, Refusal> {
    let all = outputs(served);
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|output| output.name() == name);
        found.cloned().ok_or_else(|| {
            let known: Vec<&str> = all.iter().map(Output::name).collect();
            let name = odin_error::shown(name);
            let message = format!("there is no output {name}; there are {}", known.join(", "));
            Refusal::invalid(message)
        })
    };
    names.iter().map(find).collect()
}

pub(super) fn of(served: &Served, verdicts: &[Verdict], wanted: &[Output]) -> Vec<OutputTensor> {
    let tensor = |output: &Output| OutputTensor {
        name: output.name().to_string(),
        values: output.of(served, verdicts),
    };
    wanted.iter().map(tensor).collect()
}
