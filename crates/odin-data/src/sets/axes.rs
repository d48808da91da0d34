//! Infers which axes of an array are samples, channels, rows and columns.

use super::origin::Origin;
use super::{ArrayLayout, OpenOptions};
use crate::error::{Error, ErrorKind};
use crate::image::is_picture;

/// Channels, rows, columns.
pub(super) type Size = (usize, usize, usize);

/// How the axes of an array are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axes {
    /// The number of samples.
    pub(super) count: usize,
    /// The size of each.
    pub(super) size: Size,
    pub(super) layout: ArrayLayout,
    /// Whether the shape fits the other layout as well.
    pub(super) ambiguous: bool,
}

/// What the samples of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Vectors,
    Signals,
    Images,
}

impl Kind {
    pub(super) fn of(size: Size) -> Self {
        match size {
            (1, 1, _) => Kind::Vectors,
            (_, 1, _) => Kind::Signals,
            _ => Kind::Images,
        }
    }
}

/// The axes of an array of this shape.
pub(super) fn axes(shape: &[usize], origin: &Origin) -> Result<Axes, Error> {
    let options = origin.options;
    let understood = match *shape {
        [count, f] => Some(plain(count, (1, 1, f))),
        [count, a, b] if wants_signals(options) => {
            either(count, (a, 1, b), (b, 1, a), options, origin, shape)?
        }
        [count, h, w] => Some(plain(count, (1, h, w))),
        [count, a, b, c] => either(count, (a, b, c), (c, a, b), options, origin, shape)?,
        _ => None,
    };
    let understood = understood.filter(|axes| becomes_wanted(axes.size.0, options));
    understood.ok_or_else(|| wrong_shape(shape, origin))
}

fn plain(count: usize, size: Size) -> Axes {
    Axes {
        count,
        size,
        layout: ArrayLayout::Nchw,
        ambiguous: false,
    }
}

/// With the channels first or last; none where neither fits.
fn either(
    count: usize,
    first: Size,
    last: Size,
    options: &OpenOptions,
    origin: &Origin,
    shape: &[usize],
) -> Result<Option<Axes>, Error> {
    let chosen = |layout, ambiguous| {
        let size = match layout {
            ArrayLayout::Nchw => first,
            ArrayLayout::Nhwc => last,
        };
        Ok(Some(Axes {
            count,
            size,
            layout,
            ambiguous,
        }))
    };
    if let Some(layout) = options.layout {
        return chosen(layout, false);
    }
    let wanted = options.shape.map(|[c, h, w]| (c, h, w));
    let by_shape = (wanted == Some(first), wanted == Some(last));
    let by_channels = (
        may_be_channels(first.0, options),
        may_be_channels(last.0, options),
    );
    match (by_shape, by_channels) {
        ((true, true), _) if options.measurements => chosen(ArrayLayout::Nchw, true),
        ((true, true), _) => Err(fits_both(shape, origin)),
        ((true, false), _) | (_, (true, false)) => chosen(ArrayLayout::Nchw, false),
        ((false, true), _) | (_, (false, true)) => chosen(ArrayLayout::Nhwc, false),
        (_, (true, true)) => Err(fits_both(shape, origin)),
        (_, (false, false)) => Ok(None),
    }
}

fn fits_both(shape: &[usize], origin: &Origin) -> Error {
    origin.error(
        ErrorKind::Invalid,
        format!(
            "the shape {shape:?} fits channels in front and at the end; say which it is with the \
             layout option, or move them to the front (numpy.moveaxis)"
        ),
    )
}

fn wants_signals(options: &OpenOptions) -> bool {
    matches!(options.shape, Some([_, 1, _]))
}

/// The number of channels that is asked for.
fn wanted_channels(options: &OpenOptions) -> Option<usize> {
    options.channels.or(options.shape.map(|[c, _, _]| c))
}

fn may_be_channels(extent: usize, options: &OpenOptions) -> bool {
    match wanted_channels(options) {
        Some(wanted) if options.measurements || !is_picture(wanted) => extent == wanted,
        _ => is_picture(extent),
    }
}

/// Whether samples of so many channels are, or become, what is asked for.
fn becomes_wanted(channels: usize, options: &OpenOptions) -> bool {
    options.channels.is_none_or(|wanted| {
        let both_pictures = is_picture(channels) && is_picture(wanted);
        channels == wanted || (both_pictures && !options.measurements)
    })
}

fn wrong_shape(shape: &[usize], origin: &Origin) -> Error {
    let options = origin.options;
    let channels = match wanted_channels(options) {
        Some(wanted) if options.measurements || !is_picture(wanted) => Some(wanted),
        _ => None,
    };
    let expected = match (channels, wants_signals(options)) {
        (Some(1), true) => "[N, L], [N, 1, L] or [N, L, 1]".to_owned(),
        (Some(c), true) => format!("[N, {c}, L] or [N, L, {c}]"),
        (Some(c), false) => format!("[N, {c}, H, W] or [N, H, W, {c}]"),
        (None, _) => {
            "[N, H, W], [N, C, H, W] or [N, H, W, C] with 1 or 3 channels, or vectors [N, F]"
                .to_owned()
        }
    };
    let problem = format!("the array has the shape {shape:?}, expected {expected}");
    origin.error(ErrorKind::Unsupported, problem)
}
