//! `ModelInfer`.

use super::messages::{Contents, ModelInferRequest, ModelInferResponse, Tensor};
use super::version;
use crate::infer::{self, Datatype, InputTensor, OutputTensor, Values};
use crate::refusal::Refusal;
use crate::shared::Shared;
use bytes::Bytes;
use std::sync::Arc;

/// Judges images. The outputs are raw where the inputs were.
pub(super) async fn infer(
    shared: Arc<Shared>,
    request: ModelInferRequest,
) -> Result<ModelInferResponse, Refusal> {
    let name = Some(request.model_name.as_str());
    let served = shared
        .service
        .detectors
        .find(name, version(&request.model_version))?;
    let is_raw = !request.raw_input_contents.is_empty();
    let inputs = inputs(request.inputs, request.raw_input_contents)?;
    let wanted: Vec<String> = request.outputs.into_iter().map(|o| o.name).collect();
    let tensors = infer::infer(&shared.service, &served, inputs, &wanted).await?;
    let mut raw = Vec::new();
    let outputs = tensors.into_iter().map(|OutputTensor { name, values }| {
        let mut tensor = Tensor {
            name,
            datatype: values.datatype().name().to_string(),
            shape: vec![values.len() as i64],
            ..Tensor::default()
        };
        match is_raw {
            true => raw.push(Bytes::from(values.to_raw())),
            false => tensor.contents = Some(contents(values)),
        }
        tensor
    });
    Ok(ModelInferResponse {
        model_name: served.info.name.clone(),
        model_version: served.info.version.clone(),
        id: request.id,
        outputs: outputs.collect(),
        raw_output_contents: raw,
    })
}

fn inputs(tensors: Vec<Tensor>, raw: Vec<Bytes>) -> Result<Vec<InputTensor>, Refusal> {
    if !raw.is_empty() && raw.len() != tensors.len() {
        let message = format!("{} inputs have {} raw contents", tensors.len(), raw.len());
        return Err(Refusal::invalid(message));
    }
    let mut raw = raw.into_iter();
    tensors
        .into_iter()
        .map(|tensor| input(tensor, raw.next()))
        .collect()
}

fn input(tensor: Tensor, raw: Option<Bytes>) -> Result<InputTensor, Refusal> {
    let name = odin_error::shown(&tensor.name);
    let about = |problem: String| Refusal::invalid(format!("input {name}: {problem}"));
    let datatype = Datatype::of(&tensor.datatype).map_err(|e| about(e.message.to_string()))?;
    let extents = tensor
        .shape
        .iter()
        .map(|&extent| usize::try_from(extent).ok());
    let shape = extents.collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| about(format!("its shape is {:?}", tensor.shape)))?;
    let data = match (raw, tensor.contents) {
        (Some(raw), None) => raw,
        (None, Some(contents)) => bytes_of(contents, datatype).map_err(|e| about(e.to_string()))?,
        (Some(_), Some(_)) => return Err(about("it has contents and raw contents".to_string())),
        (None, None) => return Err(about("it has no contents".to_string())),
    };
    Ok(InputTensor {
        name: tensor.name,
        datatype,
        shape,
        data,
    })
}

/// The values in the protocol's binary form.
fn bytes_of(contents: Contents, datatype: Datatype) -> Result<Bytes, &'static str> {
    match datatype {
        Datatype::Uint8 => {
            let levels = contents
                .uints
                .into_iter()
                .map(|value| u8::try_from(value).ok());
            let levels = levels.collect::<Option<Vec<u8>>>();
            Ok(levels.ok_or("its values are not from 0 to 255")?.into())
        }
        Datatype::Fp32 => Ok(contents
            .fp32s
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect()),
        Datatype::Bytes => {
            let mut raw = Vec::new();
            for element in contents.bytes {
                raw.extend(
                    u32::try_from(element.len())
                        .unwrap_or(u32::MAX)
                        .to_le_bytes(),
                );
                raw.extend(element);
            }
            Ok(raw.into())
        }
        Datatype::Bool | Datatype::Int64 | Datatype::Fp64 => Err("no input has its datatype"),
    }
}

fn contents(values: Values) -> Contents {
    let mut contents = Contents::default();
    match values {
        Values::Int64(values) => contents.int64s = values,
        Values::Fp64(values) => contents.fp64s = values,
        Values::Bool(values) => contents.bools = values,
        Values::Bytes(values) => contents.bytes = values.into_iter().map(Bytes::from).collect(),
    }
    contents
}
