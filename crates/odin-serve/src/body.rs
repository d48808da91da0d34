//! Bodies of requests, received in bounded time and memory.

use crate::admission::Room;
use crate::refusal::{Reason, Refusal};
use crate::shared::Shared;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use std::io::Read;
use std::sync::Arc;
use tokio::time::timeout;

/// A whole body, and the room that it takes.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// To be kept as long as anything that was made of the bytes.
    pub(crate) room: Option<Room>,
}

/// Receives a body and undoes its `Content-Encoding`.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Refusal> {
    let time = shared.service.limits.time;
    let whole = timeout(time, read(shared, headers, body)).await;
    let whole = whole.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} s", time.as_secs_f64());
        Err(Refusal::new(Reason::SlowBody, message))
    })?;
    let encoding = encoding(headers)?;
    if encoding == Encoding::Identity {
        return Ok(whole);
    }
    let (service, unpacking) = (&shared.service, Arc::clone(shared));
    // A thousand times as many bytes may come out.
    let unpack = move || unpack(&unpacking, encoding, &whole.bytes);
    service.parse(usize::MAX, unpack).await
}

async fn read(shared: &Shared, headers: &HeaderMap, mut body: Body) -> Result<Received, Refusal> {
    let most = shared.service.limits.body_bytes;
    let told = headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let mut whole = BytesMut::new();
    let mut room: Option<Room> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::invalid(format!("the body breaks off: {e}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > most {
            return Err(too_large(most));
        }
        take_room(shared, &mut room, whole.len() + data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(Received {
        bytes: whole.freeze(),
        room,
    })
}

/// Room for so many bytes in all.
fn take_room(shared: &Shared, room: &mut Option<Room>, bytes: usize) -> Result<(), Refusal> {
    let admission = &shared.service.admission;
    match room {
        None => *room = Some(admission.bytes(bytes)?),
        Some(room) => admission.grow(room, bytes)?,
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "identity" => Ok(Encoding::Identity),
        "gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        _ => Err(Refusal::new(
            Reason::ContentType,
            "the content encoding is not known; gzip, deflate and identity are",
        )),
    }
}

/// What is compressed, in pieces, so that no more is unpacked than a body may have.
fn unpack(shared: &Shared, encoding: Encoding, packed: &[u8]) -> Result<Received, Refusal> {
    match encoding {
        Encoding::Identity => pieces(shared, packed),
        Encoding::Gzip => pieces(shared, MultiGzDecoder::new(packed)),
        Encoding::Deflate => {
            let mut unpacked = ZlibDecoder::new(packed);
            let received = pieces(shared, &mut unpacked)?;
            match unpacked.total_in() == packed.len() as u64 {
                true => Ok(received),
                false => Err(Refusal::invalid("bytes follow the compressed body")),
            }
        }
    }
}

fn pieces(shared: &Shared, mut packed: impl Read) -> Result<Received, Refusal> {
    let most = shared.service.limits.body_bytes;
    let mut whole = Vec::new();
    let mut room = None;
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = packed.read(&mut piece);
        let read =
            read.map_err(|e| Refusal::invalid(format!("the body does not decompress: {e}")))?;
        if read == 0 {
            break;
        }
        if whole.len() + read > most {
            return Err(too_large(most));
        }
        take_room(shared, &mut room, whole.len() + read)?;
        whole.extend_from_slice(&piece[..read]);
    }
    Ok(Received {
        bytes: whole.into(),
        room,
    })
}

fn too_large(most: usize) -> Refusal {
    let message = format!("the body has more than {most} bytes; send several requests");
    Refusal::new(Reason::TooLarge, message)
}
