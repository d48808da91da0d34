//! JPEG, as grey or RGB, and what is done to it before it is decoded: whether it is whole, and
//! which colours it has.
//!
//! The decoder goes by the Adobe marker alone, and by components called R, G and B whatever the
//! markers say. libjpeg, and so Pillow, goes by what comes first in this list:
//!
//! - three components beside a JFIF marker are YCbCr;
//! - beside an Adobe marker three are RGB if its transform is 0 and YCbCr otherwise, four are CMYK
//!   if it is 0 and YCCK otherwise;
//! - three called R, G and B are RGB, others YCbCr; four are CMYK.
//!
//! Where the two differ, the markers are rewritten so that they do not.

use std::borrow::Cow;
use std::ops::Range;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decode::{Decoded, Encoded, Levels, damaged, unsupported};
use crate::error::Error;

const START: &[u8] = &[0xff, 0xd8, 0xff];

const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Where the transform lies in an Adobe marker.
const TRANSFORM: usize = 11;

/// The names of components that stand for RGB, and others that stand for nothing.
const RGB: [u8; 3] = *b"RGB";
const PLAIN: [u8; 3] = [1, 2, 3];

pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(START)
}

pub(super) fn decode(file: &Encoded<'_>) -> Result<Decoded, Error> {
    let Encoded { bytes, name, .. } = *file;
    let Some(bytes) = prepared(bytes) else {
        let message = format!("{name} is a JPEG without its end; it is truncated");
        return Err(Error::malformed(message));
    };
    let broken = |error| match error {
        DecodeErrors::Unsupported(_) => unsupported(name, error),
        _ => damaged(name, error),
    };
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    file.check_pixels(height, width)?;

    let colours = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    Ok(Decoded {
        height,
        width,
        levels: Levels {
            samples: decoder.decode().map_err(broken)?,
            per_pixel: colours.num_components(),
        },
    })
}

/// The file as the decoder takes it for what libjpeg takes it for; `None` where it lacks its end
/// marker, for which the decoder would fill what is missing with grey instead of refusing it.
fn prepared(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let segments = segments(bytes)?;
    let mut changed = Cow::Borrowed(bytes);
    for (at, value) in corrections(bytes, &segments) {
        if changed[at] != value {
            changed.to_mut()[at] = value;
        }
    }
    Some(changed)
}

/// A marker and where its content lies.
struct Segment {
    marker: u8,
    content: Range<usize>,
}

impl Segment {
    /// Whether it is the start of a frame, which names the components.
    fn is_frame(&self) -> bool {
        matches!(self.marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf)
    }
}

/// All segments up to the end marker; `None` where there is none.
fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut at = 2;
    loop {
        // Entropy-coded data, in which 0xff is followed by 0 or a restart marker, or padding.
        at += bytes.get(at..)?.iter().position(|&b| b == 0xff)? + 1;
        match *bytes.get(at..)? {
            [0xff, ..] => {}
            [0x00 | 0x01 | 0xd0..=0xd8, ..] => at += 1,
            [END_OF_IMAGE, ..] => return Some(segments),
            [marker, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                let end = at + 1 + length;
                if length >= 2 && end <= bytes.len() {
                    let content = at + 3..end;
                    segments.push(Segment { marker, content });
                }
                at = end;
            }
            _ => return None,
        }
    }
}

/// Places and the bytes that must lie there.
fn corrections(bytes: &[u8], segments: &[Segment]) -> Vec<(usize, u8)> {
    let frame = segments.iter().rev().find(|segment| segment.is_frame());
    let Some(components) = frame.and_then(|frame| components_of(bytes, frame)) else {
        return Vec::new();
    };
    let header = segments.split(|s| s.marker == START_OF_SCAN).next();
    let header = header.unwrap_or_default();
    let holds = |segment: &Segment, marker, name: &[u8], len| {
        let content = &bytes[segment.content.clone()];
        segment.marker == marker && content.starts_with(name) && content.len() >= len
    };
    let has_jfif = header.iter().any(|s| holds(s, APP0, b"JFIF\0", 14));
    let adobe: Vec<usize> = header
        .iter()
        .filter(|s| holds(s, APP14, b"Adobe", TRANSFORM + 1))
        .map(|s| s.content.start + TRANSFORM)
        .collect();
    let transform = adobe.last().map(|&at| bytes[at]);

    let names: Vec<u8> = components.clone().map(|at| bytes[at]).collect();
    let meant = match (names.len(), has_jfif, transform) {
        (3, false, Some(0)) | (4, _, Some(0)) => 0,
        (3, false, None) if names == RGB => 0,
        (3, ..) => 1,
        (4, _, Some(_)) => 2,
        _ => return Vec::new(),
    };
    let mut corrections: Vec<_> = adobe.into_iter().map(|at| (at, meant)).collect();
    if meant == 1 && names == RGB {
        corrections.extend(components.zip(PLAIN));
        let scans = segments.iter().filter(|s| s.marker == START_OF_SCAN);
        corrections.extend(scans.flat_map(|scan| plain_names(bytes, scan)));
    }
    corrections
}

/// Where the names of the components lie.
fn components_of(bytes: &[u8], frame: &Segment) -> Option<impl Iterator<Item = usize> + Clone> {
    let content = bytes.get(frame.content.clone())?;
    let count = usize::from(*content.get(5)?);
    let names = frame.content.clone().skip(6).step_by(3).take(count);
    (content.len() >= 6 + 3 * count).then_some(names)
}

/// What a scan must call the components that are called R, G and B.
fn plain_names(bytes: &[u8], scan: &Segment) -> Vec<(usize, u8)> {
    let count = bytes.get(scan.content.start).copied().unwrap_or(0);
    let places = scan.content.clone().skip(1).step_by(2);
    let names = places.take(count.into()).filter_map(|at| {
        let which = RGB.iter().position(|name| *name == bytes[at])?;
        Some((at, PLAIN[which]))
    });
    names.collect()
}
