//! Messages on the wire, counted before they are decoded: a few bytes of protobuf can stand for
//! many elements of a message.

use super::messages::{Empty, ModelInferRequest, OfModel};
use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// No request needs more inputs, outputs, axes or parameters.
const FEW: usize = 64;
/// The most bytes of a packed shape.
const SHAPE: usize = 10 * 8;

/// A message of a request.
pub(super) trait Request: Message + Default + 'static {
    /// What is too much of it; `images` is the most elements of a tensor of `BYTES`.
    fn check(_: &[u8], _images: usize) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Request for Empty {}

impl Request for OfModel {}

impl Request for ModelInferRequest {
    fn check(message: &[u8], images: usize) -> Result<(), &'static str> {
        let (mut inputs, mut others) = (0, 0);
        each_field(message, &mut |tag, value| match (tag, value) {
            (5, Some(tensor)) => {
                inputs += 1;
                check_tensor(tensor, images)?;
                at_most(FEW, inputs, "too many inputs")
            }
            (4..=7, _) => {
                others += 1;
                at_most(
                    4 * FEW,
                    others,
                    "too many outputs, parameters or raw contents",
                )
            }
            _ => Ok(()),
        })
    }
}

fn check_tensor(tensor: &[u8], images: usize) -> Result<(), &'static str> {
    let mut others = 0;
    each_field(tensor, &mut |tag, value| match (tag, value) {
        (3, Some(packed)) if packed.len() > SHAPE => Err("too many axes"),
        (3..=4, _) => {
            others += 1;
            at_most(FEW, others, "too many axes or parameters")
        }
        (5, Some(contents)) => {
            others += 1;
            at_most(FEW, others, "too many contents")?;
            check_contents(contents, images)
        }
        _ => Ok(()),
    })
}

fn check_contents(contents: &[u8], images: usize) -> Result<(), &'static str> {
    let mut elements = 0;
    each_field(contents, &mut |tag, value| match (tag, value) {
        (8, _) => {
            elements += 1;
            at_most(
                images,
                elements,
                "more images than a request may have; send several requests",
            )
        }
        // Unpacked, which nothing writes, an element of 4 bytes may take 2 on the wire.
        _ => Ok(()),
    })
}

fn at_most(most: usize, count: usize, problem: &'static str) -> Result<(), &'static str> {
    if count <= most { Ok(()) } else { Err(problem) }
}

type OnField<'a> = dyn FnMut(u32, Option<&[u8]>) -> Result<(), &'static str> + 'a;

/// Calls `on` for each field with its tag, and with its bytes where it has a length. What is no
/// protobuf ends it: decoding says so.
fn each_field(mut message: &[u8], on: &mut OnField<'_>) -> Result<(), &'static str> {
    while !message.is_empty() {
        let Ok((tag, wire_type)) = decode_key(&mut message) else {
            return Ok(());
        };
        if wire_type != WireType::LengthDelimited {
            on(tag, None)?;
            if skip_field(wire_type, tag, &mut message, DecodeContext::default()).is_err() {
                return Ok(());
            }
            continue;
        }
        let length = decode_varint(&mut message).ok();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let Some((value, rest)) = length.and_then(|length| message.split_at_checked(length)) else {
            return Ok(());
        };
        on(tag, Some(value))?;
        message = rest;
    }
    Ok(())
}

/// Decodes requests that have been counted, and encodes answers.
pub(super) struct BoundedCodec<A, Q> {
    images: usize,
    messages: PhantomData<(A, Q)>,
}

impl<A, Q> BoundedCodec<A, Q> {
    pub(super) fn new(images: usize) -> Self {
        Self {
            images,
            messages: PhantomData,
        }
    }
}

impl<A, Q> Codec for BoundedCodec<A, Q>
where
    A: Message + Send + 'static,
    Q: Request + Send,
{
    type Encode = A;
    type Decode = Q;
    type Encoder = ProstEncoder<A>;
    type Decoder = BoundedDecoder<Q>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<A, Empty>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder {
            images: self.images,
            message: PhantomData,
        }
    }
}

pub(super) struct BoundedDecoder<Q> {
    images: usize,
    message: PhantomData<Q>,
}

impl<Q: Request + Send> Decoder for BoundedDecoder<Q> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        let message = source.copy_to_bytes(source.remaining());
        Q::check(&message, self.images).map_err(Status::resource_exhausted)?;
        let decoded = Q::decode(message);
        let decoded = decoded.map_err(|e| Status::invalid_argument(e.to_string()))?;
        Ok(Some(decoded))
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Contents, RequestedOutput, Tensor};
    use super::*;
    use bytes::Bytes;

    fn check(change: impl FnOnce(&mut ModelInferRequest)) -> Result<(), &'static str> {
        let mut request = ModelInferRequest {
            inputs: vec![Tensor::default()],
            ..ModelInferRequest::default()
        };
        change(&mut request);
        ModelInferRequest::check(&request.encode_to_vec(), 2)
    }

    #[test]
    fn messages_are_counted_before_they_are_decoded() {
        let images = |count: usize| Contents {
            bytes: vec![Bytes::from_static(b"x"); count],
            ..Contents::default()
        };
        assert_eq!(check(|r| r.inputs[0].contents = Some(images(2))), Ok(()));
        assert!(check(|r| r.inputs[0].contents = Some(images(3))).is_err());
        assert_eq!(check(|r| r.inputs[0].shape = vec![-1; 8]), Ok(()));
        assert!(check(|r| r.inputs[0].shape = vec![-1; 9]).is_err());
        assert!(check(|r| r.inputs = vec![Tensor::default(); 65]).is_err());
        let output = RequestedOutput::default();
        assert_eq!(check(|r| r.outputs = vec![output.clone(); 64]), Ok(()));
        assert!(check(|r| r.outputs = vec![output; 257]).is_err());
        assert!(check(|r| r.raw_input_contents = vec![Bytes::new(); 257]).is_err());
        // What is no protobuf is left to the decoder.
        for broken in [&b"\xff"[..], b"\x2a\xff", b"\x2a\x05x", b"\x0b"] {
            assert_eq!(ModelInferRequest::check(broken, 2), Ok(()));
        }
    }
}
