//! The inference request of the Open Inference Protocol (KServe V2), whatever transport it came by:
//! tensors in, tensors out.

mod outputs;
mod tensor;

pub(crate) use outputs::{OutputTensor, Values, all_outputs};
pub(crate) use tensor::{Datatype, InputTensor, split_bytes};

use crate::detectors::Served;
use crate::images;
use crate::refusal::Refusal;
use crate::service::Service;
use odin::{Images, Verdict};
use odin_data::ArrayElement;
use std::sync::Arc;

/// The names of inputs: encoded images, and pixels as arrays.
pub(crate) const IMAGES: &str = "images";
pub(crate) const PIXELS_UINT8: &str = "pixels_uint8";
pub(crate) const PIXELS_FLOAT32: &str = "pixels_float32";

/// An input or output as a model's metadata describes it; -1 is any extent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorKind {
    pub(crate) name: String,
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<i64>,
}

/// The inputs of a detector, of which a request gives one.
pub(crate) fn all_inputs(served: &Served) -> Vec<TensorKind> {
    let input = served.info.input;
    let side = |side: usize| if served.info.resizes { -1 } else { side as i64 };
    let (channels, height, width) = (input.channels as i64, side(input.height), side(input.width));
    let kind = |name: &str, datatype, shape: &[i64]| TensorKind {
        name: name.to_string(),
        datatype,
        shape: shape.to_vec(),
    };
    vec![
        kind(IMAGES, Datatype::Bytes, &[-1]),
        kind(
            PIXELS_UINT8,
            Datatype::Uint8,
            &[-1, height, width, channels],
        ),
        kind(
            PIXELS_FLOAT32,
            Datatype::Fp32,
            &[-1, channels, height, width],
        ),
    ]
}

/// Judges the images of the only input, and gives the outputs of these names, or all of them.
///
/// # Errors
/// When there is another number of inputs than one, it is none of the detector's, an output is
/// none, or an image cannot be judged: the protocol has no place for errors of single images.
pub(crate) async fn infer(
    service: &Service,
    served: &Arc<Served>,
    inputs: Vec<InputTensor>,
    outputs: &[String],
) -> Result<Vec<OutputTensor>, Refusal> {
    let wanted = outputs::wanted(served, outputs)?;
    let images = images_of(service, served, inputs)?;
    let judged = service.judge(served, images).await?.into_iter().enumerate();
    let verdicts: Result<Vec<Verdict>, Refusal> = judged
        .map(|(i, judged)| {
            judged.map_err(|problem| Refusal::invalid(format!("image {i}: {problem}")))
        })
        .collect();
    Ok(outputs::of(served, &verdicts?, &wanted))
}

fn images_of(
    service: &Service,
    served: &Served,
    inputs: Vec<InputTensor>,
) -> Result<Images, Refusal> {
    let count = inputs.len();
    let mut inputs = inputs.into_iter();
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        let message = format!(
            "the request has {count} inputs; give one of {IMAGES}, {PIXELS_UINT8}, {PIXELS_FLOAT32}"
        );
        return Err(Refusal::invalid(message));
    };
    let InputTensor {
        name,
        datatype,
        shape,
        data,
    } = input;
    let about = |refusal: Refusal| Refusal {
        message: format!("input {name}: {}", refusal.message).into(),
        ..refusal
    };
    let images = match (name.as_str(), datatype) {
        (IMAGES, Datatype::Bytes) => {
            let most = service.limits.images;
            let files = split_bytes(data, &shape, most).map_err(about)?;
            let named = files.into_iter().enumerate();
            let named = named.map(|(i, bytes)| (format!("image {i}"), bytes));
            images::encoded(served, named.collect(), service.limits.pixels)
        }
        (PIXELS_UINT8, Datatype::Uint8) => images::array(served, data, ArrayElement::U8, shape),
        (PIXELS_FLOAT32, Datatype::Fp32) => images::array(
            served,
            tensor::in_native_order(data),
            ArrayElement::F32,
            shape,
        ),
        _ => {
            let message = format!(
                "the datatype is {}; inputs are {IMAGES} (BYTES, encoded images), {PIXELS_UINT8} (UINT8) and {PIXELS_FLOAT32} (FP32, in [0, 1])",
                datatype.name()
            );
            Err(Refusal::invalid(message))
        }
    };
    images.map_err(about)
}
