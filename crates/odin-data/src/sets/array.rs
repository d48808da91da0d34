//! Sets stored as one array of images, signals or vectors, read image by image.

use std::sync::Arc;

use super::axes::{Axes, Kind, axes};
use super::origin::Origin;
use super::{ArrayLayout, DataSet, Sample};
use crate::archive::Blob;
use crate::error::{Error, ErrorKind};
use crate::image::{Image, check_size, to_unit};
use odin_error::counted;

/// The most images of one array, and the most labels: what is kept of each adds up.
pub(super) const MAX_IMAGES: usize = 1 << 24;

/// Bytes of an image that are in memory beside the values that they become.
pub(super) const CHUNK: u64 = 1 << 20;

/// How one value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    U8,
    F32(Endian),
    F64(Endian),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Element {
    pub(super) fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32(_) => 4,
            Self::F64(_) => 8,
        }
    }

    fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::U8 => values.extend(bytes.iter().map(|&level| to_unit(level))),
            Self::F32(endian) => decode_chunks(bytes, values, |bytes| match endian {
                Endian::Little => f32::from_le_bytes(bytes),
                Endian::Big => f32::from_be_bytes(bytes),
            }),
            Self::F64(endian) => decode_chunks(bytes, values, |bytes| match endian {
                Endian::Little => f64::from_le_bytes(bytes) as f32,
                Endian::Big => f64::from_be_bytes(bytes) as f32,
            }),
        }
    }
}

fn decode_chunks<const N: usize>(
    bytes: &[u8],
    values: &mut Vec<f32>,
    decode: impl Fn([u8; N]) -> f32,
) {
    let (chunks, _) = bytes.as_chunks::<N>();
    values.extend(chunks.iter().map(|&chunk| decode(chunk)));
}

/// Values in C order, somewhere in a file.
#[derive(Debug, Clone)]
pub(super) struct Array {
    pub(super) blob: Arc<Blob>,
    /// Where the first value lies in `blob`.
    pub(super) start: u64,
    pub(super) element: Element,
    /// The samples are along the first axis.
    pub(super) shape: Vec<usize>,
}

/// An [`Array`] as a set.
struct ArraySet {
    name: String,
    title: String,
    array: Array,
    axes: Axes,
    /// Whether real numbers may lie outside of [0, 1].
    measurements: bool,
    labels: Option<Vec<usize>>,
    channels: Option<usize>,
    notes: Vec<String>,
}

/// The set of `array`'s images, whose values the caller knows to be there. `notes` are what a user
/// should know of the labels.
pub(super) fn open(
    array: Array,
    labels: Option<Vec<usize>>,
    notes: Vec<String>,
    origin: &Origin,
) -> Result<Box<dyn DataSet>, Error> {
    let axes = axes(&array.shape, origin)?;
    let (count, size) = (axes.count, axes.size);
    if count == 0 {
        return Err(origin.error(ErrorKind::Empty, "the array holds no image"));
    }
    if count > MAX_IMAGES {
        let problem = format!("it holds {count} images, more than {MAX_IMAGES}; split it");
        return Err(origin.error(ErrorKind::Unsupported, problem));
    }
    check_size(size.0, size.1, size.2).map_err(|e| {
        origin
            .error(ErrorKind::Unsupported, format!("{:?}", array.shape))
            .because(e)
    })?;
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != count) {
        let (labels, images) = (counted(labels.len(), "label"), counted(count, "image"));
        let problem = format!("{labels} for {images}");
        return Err(origin.error(ErrorKind::Malformed, problem));
    }
    let vectors = array.shape.len() == 2;
    let mut set = ArraySet {
        name: origin.name.clone(),
        title: origin.title.clone(),
        array,
        axes,
        measurements: origin.options.measurements || vectors,
        labels,
        channels: origin.options.channels,
        notes,
    };
    if set.measurements {
        set.notes.extend(set.describe());
    }
    Ok(Box::new(set))
}

impl ArraySet {
    fn image(&self, i: usize) -> Result<Image, Error> {
        let (channels, height, width) = self.axes.size;
        let values = channels * height * width;
        let bytes = (values * self.array.element.size()) as u64;
        let mut at = self.array.start + i as u64 * bytes;
        let end = at + bytes;
        let mut stored = Vec::with_capacity(values);
        while at < end {
            let count = CHUNK.min(end - at);
            let piece = self.array.blob.read(at, count).map_err(|e| {
                let message = format!("{}: cannot read image {i}", self.title);
                Error::new(ErrorKind::Io, message).because(e)
            })?;
            self.array.element.decode(&piece, &mut stored);
            at += count;
        }
        self.check_values(&stored, i)?;
        let pixels = match self.axes.layout {
            ArrayLayout::Nchw => stored,
            ArrayLayout::Nhwc => (0..channels)
                .flat_map(|c| stored[c..].iter().step_by(channels).copied())
                .collect(),
        };
        Image::new(channels, height, width, pixels)
    }

    fn check_values(&self, values: &[f32], i: usize) -> Result<(), Error> {
        let (allowed, expected): (fn(&f32) -> bool, _) = match self.measurements {
            true => (|v| v.is_finite(), "values must be finite in float32"),
            false => (
                |v| (0.0..=1.0).contains(v),
                "floats of images must lie in [0, 1] (divide 8-bit levels by 255, and undo any \
                 normalisation)",
            ),
        };
        match values.iter().find(|v| !allowed(v)) {
            None => Ok(()),
            Some(value) => Err(Error::malformed(format!(
                "{}: image {i} holds the value {value}; {expected}",
                self.title
            ))),
        }
    }

    /// How measurements were understood.
    fn describe(&self) -> Vec<String> {
        let (c, h, w) = self.axes.size;
        let (first, last) = (ArrayLayout::Nchw, ArrayLayout::Nhwc);
        let (what, axes) = match (Kind::of(self.axes.size), self.axes.layout) {
            (Kind::Vectors, _) => (format!("vectors of {w} values"), "[N, F]"),
            (Kind::Signals, layout) => (
                format!("signals of {c} channels and {w} positions"),
                if layout == first {
                    "[N, C, L]"
                } else {
                    "[N, L, C]"
                },
            ),
            (Kind::Images, layout) => (
                format!("images of {c} channels, {h}x{w}"),
                if layout == last {
                    "[N, H, W, C]"
                } else {
                    "[N, C, H, W]"
                },
            ),
        };
        let doubt = match self.axes.ambiguous {
            true => "; the shape fits channels at the end as well",
            false => "",
        };
        let shape = &self.array.shape;
        let mut notes = vec![format!(
            "the array {shape:?} is read as {axes}, {what}{doubt}"
        )];
        if self.array.element == Element::U8 {
            notes.push("its bytes are divided by 255".to_owned());
        } else if let Ok(sample) = self.image(0) {
            let min = sample.pixels.iter().copied().fold(f32::INFINITY, f32::min);
            let max = sample
                .pixels
                .iter()
                .copied()
                .fold(f32::NEG_INFINITY, f32::max);
            notes.push(format!(
                "its values are taken as they are (those of the first sample go from {min} to \
                 {max}); ε counts in their unit"
            ));
        }
        notes
    }
}

impl DataSet for ArraySet {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.axes.count
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        match i < self.len() {
            true => format!("{i:05}"),
            false => String::new(),
        }
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.labels.as_ref()?.get(i).copied()
    }

    fn size(&self, i: usize) -> Option<[usize; 3]> {
        let (channels, height, width) = self.axes.size;
        let channels = self.channels.unwrap_or(channels);
        (i < self.len()).then_some([channels, height, width])
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let image = self.image(i)?;
        let channels = self.channels.unwrap_or(image.channels);
        Ok(Sample {
            name: self.sample_name(i),
            label: self.label(i),
            image: image.to_channels(channels)?,
        })
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}
