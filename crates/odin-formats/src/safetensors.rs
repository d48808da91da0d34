//! Safetensors files: a JSON header of names, types, shapes and offsets, then the data.

use ::safetensors::{Dtype, SafeTensors};
use indexmap::IndexMap;

use crate::checkpoint::{Checkpoint, Container};
use crate::element::{Element, StridedLayout};
use crate::weights::{is_counter, read_tensor, without_wrappers};
use crate::{Error, ErrorKind};
use odin_error::shown;

/// Whether the content begins with the length of a JSON object and that object.
pub(crate) fn recognises(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) <= rest.len() as u64
}

pub(crate) fn read(bytes: &[u8], wanted: Option<&str>) -> Result<Checkpoint, Error> {
    let damaged = |e: ::safetensors::SafeTensorError| {
        let cause = shown(&e.to_string());
        Error::corrupt(format!("safetensors: {cause}; the file is damaged"))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;

    let mut tensors = IndexMap::new();
    let mut set_aside = Vec::new();
    for name in header.offset_keys() {
        let view = file.tensor(&name).map_err(damaged)?;
        let Some(element) = element(view.dtype()).filter(|_| !is_counter(&name)) else {
            set_aside.push(name);
            continue;
        };
        let available = view.data().len() / element.size();
        let tensor = StridedLayout::dense(view.shape().to_vec(), available)
            .and_then(|layout| read_tensor(&name, &layout, view.data(), element))?;
        tensors.insert(name, tensor);
    }
    if tensors.is_empty() {
        let message = "safetensors: the file holds no tensor of real numbers";
        return Err(Error::new(ErrorKind::NoWeights, message));
    }
    let mut metadata: IndexMap<_, _> = header.metadata().iter().flatten().collect();
    metadata.sort_unstable_keys();
    Ok(Checkpoint {
        name: String::new(),
        container: Container::Safetensors,
        key: None,
        others: Vec::new(),
        part: wanted.map(str::to_owned),
        tensors: without_wrappers(tensors),
        set_aside,
        metadata: metadata
            .into_iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    })
}

fn element(dtype: Dtype) -> Option<Element> {
    match dtype {
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::F32 => Some(Element::F32),
        Dtype::F64 => Some(Element::F64),
        _ => None,
    }
}
