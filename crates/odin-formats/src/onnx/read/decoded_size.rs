//! How much memory the messages of a file take when they are decoded, found without decoding: two
//! bytes are enough for an empty message, which in memory has all its fields.

use crate::onnx::proto::*;

/// A message that has others or texts inside, as far as they are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// A text, or a message of nothing but numbers and texts.
    Plain,
}

use Message::*;

/// What a field of a message holds, and the bytes of that in memory.
fn inside(message: Message, field: u64) -> Option<(Message, usize)> {
    const TEXT: (Message, usize) = (Plain, size_of::<String>());
    let pair = (Plain, size_of::<StringStringEntryProto>());
    let node = (Node, size_of::<NodeProto>());
    let opset = (Plain, size_of::<OperatorSetIdProto>());
    let tensor = (Tensor, size_of::<TensorProto>());
    let sparse = (Sparse, size_of::<SparseTensorProto>());
    let attribute = (Attribute, size_of::<AttributeProto>());
    Some(match (message, field) {
        (Model, 7) => (Graph, size_of::<GraphProto>()),
        (Model, 8) | (Function, 9) => opset,
        (Model, 14) | (Tensor, 13) => pair,
        (Model, 25) => (Function, size_of::<FunctionProto>()),
        (Graph, 1) | (Function, 7) => node,
        (Graph, 5) | (Attribute, 5) | (Sparse, 1 | 2) => tensor,
        (Graph, 15) | (Attribute, 22) => sparse,
        (Graph, 11..=13) => (ValueInfo, size_of::<ValueInfoProto>()),
        (Function, 4..=6) | (Node, 1 | 2) | (Attribute, 9) => TEXT,
        (Function, 11) | (Node, 5) => attribute,
        (Attribute, 6) => (Graph, size_of::<GraphProto>()),
        (ValueInfo, 2) => (Type, size_of::<TypeProto>()),
        (Type, 1) => (TensorType, size_of::<TypeTensor>()),
        (TensorType, 2) => (Shape, size_of::<TensorShapeProto>()),
        (Shape, 1) => (Plain, size_of::<Dimension>()),
        _ => return None,
    })
}

/// The bytes of all messages and lists of texts, which grow by doubling; `None` where the file is
/// damaged, of which the decoder says more. Numbers and the texts themselves take a few times what
/// they take in the file.
pub(super) fn decoded_size(file: &[u8]) -> Option<usize> {
    let mut total = 0usize;
    let mut open = vec![(Model, file)];
    while let Some((message, mut rest)) = open.pop() {
        while !rest.is_empty() {
            let key = varint(&mut rest)?;
            let skipped = match key & 7 {
                0 => {
                    varint(&mut rest)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut rest)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let (content, behind) = rest.split_at_checked(skipped)?;
            rest = behind;
            let Some((inner, size)) = inside(message, key >> 3).filter(|_| key & 7 == 2) else {
                continue;
            };
            total = total.saturating_add(2 * size);
            if inner != Plain {
                open.push((message, rest));
                open.push((inner, content));
                break;
            }
        }
    }
    Some(total)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;

    #[test]
    fn messages_inside_of_messages_are_counted() {
        let node = NodeProto {
            input: vec![String::new(); 3],
            attribute: vec![AttributeProto::default(); 2],
            name: "name".to_string(),
            ..NodeProto::default()
        };
        let sparse = SparseTensorProto {
            values: Some(Box::default()),
            ..SparseTensorProto::default()
        };
        let graph = GraphProto {
            node: vec![node; 5],
            sparse_initializer: vec![sparse; 4],
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        };
        let node = size_of::<NodeProto>() + 3 * size_of::<String>();
        let node = node + 2 * size_of::<AttributeProto>();
        let sparse = size_of::<SparseTensorProto>() + size_of::<TensorProto>();
        let expected = 2 * (size_of::<GraphProto>() + 5 * node + 4 * sparse);
        let bytes = model.encode_to_vec();
        assert_eq!(decoded_size(&bytes), Some(expected));
        assert_eq!(decoded_size(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decoded_size(&[]), Some(0));
    }
}
