//! Saves the fitted statistics of scores as safetensors, and restores them.

use crate::{Classifier, Error, ErrorKind};
use odin_scores::{Fitted, Method, NamedTensor, Values, restore, tensors};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// The content of a safetensors file that holds what was fitted; `None` where nothing was.
///
/// # Errors
/// When the tensors are too large for the format.
pub(crate) fn statistics_to_bytes(scores: &[Fitted]) -> Result<Option<Vec<u8>>, Error> {
    let tensors = tensors(scores);
    if tensors.is_empty() {
        return Ok(None);
    }
    let data: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|t| bytes_of(&t.values)).collect();
    let about = |e: safetensors::SafeTensorError| {
        let message = format!("what was fitted cannot be saved: {e}");
        Error::new(ErrorKind::Scores, message)
    };
    let views = tensors.iter().zip(&data).map(|(tensor, (dtype, data))| {
        let view = TensorView::new(*dtype, tensor.shape.clone(), data).map_err(about)?;
        Ok((tensor.name.as_str(), view))
    });
    let views = views.collect::<Result<Vec<_>, Error>>()?;
    safetensors::serialize(views, None).map(Some).map_err(about)
}

fn bytes_of(values: &Values) -> (Dtype, Vec<u8>) {
    match values {
        Values::F32(values) => (
            Dtype::F32,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Values::F64(values) => (
            Dtype::F64,
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
    }
}

/// The scores whose statistics [`statistics_to_bytes`] wrote.
///
/// # Errors
/// When the bytes are damaged, or are those of other scores or of another network.
pub(crate) fn restore_statistics(
    classifier: &Classifier,
    methods: &[Method],
    bytes: &[u8],
) -> Result<Vec<Fitted>, Error> {
    let damaged = |what: String| Error::new(ErrorKind::Scores, what);
    let mut tensors = Vec::new();
    if !bytes.is_empty() {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| damaged(format!("it is no safetensors file, or damaged: {e}")))?;
        for (name, view) in file.iter() {
            let values = values_of(view.dtype(), view.data()).ok_or_else(|| {
                damaged(format!(
                    "the tensor {name:?} is of the type {:?}",
                    view.dtype()
                ))
            })?;
            tensors.push(NamedTensor {
                name: name.to_string(),
                shape: view.shape().to_vec(),
                values,
            });
        }
    }
    let head = classifier.head_for(methods)?;
    Ok(restore(methods, head.as_ref(), &tensors)?)
}

fn values_of(dtype: Dtype, data: &[u8]) -> Option<Values> {
    match dtype {
        Dtype::F32 => {
            let (chunks, _) = data.as_chunks::<4>();
            Some(Values::F32(
                chunks.iter().map(|c| f32::from_le_bytes(*c)).collect(),
            ))
        }
        Dtype::F64 => {
            let (chunks, _) = data.as_chunks::<8>();
            Some(Values::F64(
                chunks.iter().map(|c| f64::from_le_bytes(*c)).collect(),
            ))
        }
        _ => None,
    }
}
