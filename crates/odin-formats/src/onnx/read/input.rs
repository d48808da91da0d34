//! The input of a network: its type, and its extents where the file leaves them open.

use super::builder::{Builder, invalid};
use super::tensor;
use crate::onnx::proto::{Extent, ValueInfoProto, data_type};
use crate::{Error, ErrorKind};
use odin_graph::{Dim, Shape, Type, ValueId};

/// Adds an input to the graph. Its first axis is the batch, whether the file leaves it open or
/// was written for a fixed number of images; `rest` are the other extents where the file leaves
/// those open.
pub(super) fn declare(
    builder: &mut Builder<'_>,
    info: &ValueInfoProto,
    rest: Option<&[Option<usize>]>,
) -> Result<ValueId, Error> {
    let about = |e: Error| e.about(format_args!("input {:?}", info.name));
    let ty = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let ty = ty.ok_or_else(|| about(Error::unsupported("it is no tensor")))?;
    use data_type::*;
    if !matches!(ty.elem_type, FLOAT | DOUBLE | FLOAT16 | BFLOAT16 | UINT8) {
        let found = tensor::type_name(ty.elem_type);
        return Err(about(Error::unsupported(format!(
            "it takes {found}; images are real numbers or bytes"
        ))));
    }
    let extents: Vec<Option<usize>> = match &ty.shape {
        Some(shape) => shape
            .dim
            .iter()
            .map(|d| match d.value {
                Some(Extent::Value(v)) => usize::try_from(v).ok().filter(|&v| v > 0),
                _ => None,
            })
            .collect(),
        None => vec![None; rest.map_or(0, |r| r.len() + 1)],
    };
    let shape = input_shape(&extents, rest).map_err(about)?;
    if let Some(Some(images)) = extents.first() {
        builder.fixed_batch = Some(*images);
    }
    let added = builder.graph.input(&info.name, Type::float(shape));
    added.map_err(invalid)
}

fn input_shape(extents: &[Option<usize>], rest: Option<&[Option<usize>]>) -> Result<Shape, Error> {
    let show = |extents: &[Option<usize>]| {
        let text = |e: &Option<usize>| e.map_or("?".to_string(), |v| v.to_string());
        extents.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let Some((_, own)) = extents.split_first() else {
        return Err(open_shape("it has no shape".to_string()));
    };
    if own.is_empty() {
        return Err(Error::unsupported(
            "it has no axis beside that of the batch",
        ));
    }
    let fits = rest.is_none_or(|rest| {
        let mut pairs = own.iter().zip(rest);
        rest.len() == own.len() && pairs.all(|(o, r)| o.is_none() || r.is_none() || o == r)
    });
    if !fits {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!(
                "its shape is [{}], not [N, {}]",
                show(extents),
                show(rest.unwrap_or_default())
            ),
        ));
    }
    let dims: Option<Vec<Dim>> = own
        .iter()
        .enumerate()
        .map(|(i, o)| o.or(rest.and_then(|r| r[i])).map(Dim::Fixed))
        .collect();
    let dims = dims
        .ok_or_else(|| open_shape(format!("its shape [{}] leaves extents open", show(extents))))?;
    Ok(Shape::new(
        std::iter::once(Dim::BATCH).chain(dims).collect::<Vec<_>>(),
    ))
}

fn open_shape(what: String) -> Error {
    let message = format!("{what}; say what images the network takes");
    Error::new(ErrorKind::OpenShape, message)
}
