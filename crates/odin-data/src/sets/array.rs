//! Sets that are one array of images, read image by image.

use std::sync::Arc;

use super::recognise::Origin;
use super::{ArrayLayout, DataSet, Sample};
use crate::archive::Blob;
use crate::error::{Error, ErrorKind};
use crate::image::{Image, check_size, to_unit};

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

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::U8 => bytes.iter().map(|&level| to_unit(level)).collect(),
            Self::F32(endian) => decode_chunks(bytes, |bytes| match endian {
                Endian::Little => f32::from_le_bytes(bytes),
                Endian::Big => f32::from_be_bytes(bytes),
            }),
            Self::F64(endian) => decode_chunks(bytes, |bytes| match endian {
                Endian::Little => f64::from_le_bytes(bytes) as f32,
                Endian::Big => f64::from_be_bytes(bytes) as f32,
            }),
        }
    }
}

fn decode_chunks<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&chunk| decode(chunk)).collect()
}

/// Values in C order, somewhere in a file.
#[derive(Debug, Clone)]
pub(super) struct Array {
    pub(super) blob: Arc<Blob>,
    /// Where the first value lies in `blob`.
    pub(super) start: u64,
    pub(super) element: Element,
    /// Three axes (image, row, column) or four.
    pub(super) shape: Vec<usize>,
}

/// An [`Array`] as a set.
struct ArraySet {
    name: String,
    title: String,
    array: Array,
    count: usize,
    /// Channels, rows, columns.
    size: (usize, usize, usize),
    layout: ArrayLayout,
    labels: Option<Vec<usize>>,
    channels: Option<usize>,
}

/// The set of `array`'s images, whose values the caller knows to be there.
pub(super) fn open(
    array: Array,
    labels: Option<Vec<usize>>,
    origin: &Origin,
) -> Result<Box<dyn DataSet>, Error> {
    let layout = layout(&array.shape, origin)?;
    let (count, size) = match (array.shape[..].as_ref(), layout) {
        (&[n, h, w], _) => (n, (1, h, w)),
        (&[n, c, h, w], ArrayLayout::Nchw) => (n, (c, h, w)),
        (&[n, h, w, c], ArrayLayout::Nhwc) => (n, (c, h, w)),
        _ => return Err(wrong_shape(&array.shape, origin)),
    };
    if count == 0 {
        return Err(origin.error(ErrorKind::Empty, "the array holds no image"));
    }
    check_size(size.0, size.1, size.2).map_err(|e| {
        origin
            .error(ErrorKind::Unsupported, shape_text(&array.shape))
            .because(e)
    })?;
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != count) {
        let problem = format!("{} labels do not fit {count} images", labels.len());
        return Err(origin.error(ErrorKind::Malformed, problem));
    }
    Ok(Box::new(ArraySet {
        name: origin.name.clone(),
        title: origin.title.clone(),
        array,
        count,
        size,
        layout,
        labels,
        channels: origin.options.channels,
    }))
}

fn layout(shape: &[usize], origin: &Origin) -> Result<ArrayLayout, Error> {
    let is_channels = |axis: usize| matches!(shape.get(axis), Some(1 | 3));
    if shape.len() == 3 {
        return Ok(ArrayLayout::Nchw);
    }
    match (origin.options.layout, is_channels(1), is_channels(3)) {
        _ if shape.len() != 4 => Err(wrong_shape(shape, origin)),
        (Some(ArrayLayout::Nchw), true, _) | (None, true, false) => Ok(ArrayLayout::Nchw),
        (Some(ArrayLayout::Nhwc), _, true) | (None, false, true) => Ok(ArrayLayout::Nhwc),
        (None, true, true) => Err(origin.error(
            ErrorKind::Invalid,
            format!(
                "the shape {} fits NCHW and NHWC; say which it is with the layout option",
                shape_text(shape)
            ),
        )),
        _ => Err(wrong_shape(shape, origin)),
    }
}

fn wrong_shape(shape: &[usize], origin: &Origin) -> Error {
    let layout = match origin.options.layout {
        Some(ArrayLayout::Nchw) => "[N, C, H, W]",
        Some(ArrayLayout::Nhwc) => "[N, H, W, C]",
        None => "[N, C, H, W] or [N, H, W, C]",
    };
    let problem = format!(
        "the array has the shape {}, expected [N, H, W], or {layout} with 1 or 3 channels",
        shape_text(shape)
    );
    origin.error(ErrorKind::Unsupported, problem)
}

fn shape_text(shape: &[usize]) -> String {
    format!("{shape:?}")
}

impl ArraySet {
    fn image(&self, i: usize) -> Result<Image, Error> {
        let (channels, height, width) = self.size;
        let values = channels * height * width;
        let bytes = (values * self.array.element.size()) as u64;
        let offset = self.array.start + i as u64 * bytes;
        let bytes = self.array.blob.read(offset, bytes).map_err(|e| {
            let message = format!("{}: cannot read image {i}", self.title);
            Error::new(ErrorKind::Io, message).because(e)
        })?;
        let stored = self.array.element.decode(&bytes);
        if let Some(value) = stored.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            let message = format!(
                "{}: image {i} holds the value {value}; floats must lie in [0, 1] (divide 8-bit \
                 levels by 255, and undo any normalisation)",
                self.title
            );
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        let pixels = match self.layout {
            ArrayLayout::Nchw => stored,
            ArrayLayout::Nhwc => (0..channels)
                .flat_map(|c| stored[c..].iter().step_by(channels).copied())
                .collect(),
        };
        Image::new(channels, height, width, pixels)
    }
}

impl DataSet for ArraySet {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.count
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        match i < self.count {
            true => format!("{i:05}"),
            false => String::new(),
        }
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let image = self.image(i)?;
        let channels = self.channels.unwrap_or(image.channels);
        Ok(Sample {
            name: self.sample_name(i),
            label: self.labels.as_ref().map(|labels| labels[i]),
            image: image.to_channels(channels)?,
        })
    }
}
