//! The order of the axes of a network's input.

use crate::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;

/// The order of the axes of a network's input; `N` is the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// Images: channel, row, column.
    Nchw,
    /// Images: row, column, channel.
    Nhwc,
    /// Volumes: channel, slice, row, column.
    Ncdhw,
    /// Signals: channel, position.
    Ncl,
    /// Signals: position, channel.
    Nlc,
    /// Vectors of features.
    Nf,
}

impl Layout {
    const ALL: [Self; 6] = [
        Self::Nchw,
        Self::Nhwc,
        Self::Ncdhw,
        Self::Ncl,
        Self::Nlc,
        Self::Nf,
    ];

    /// As options and files spell it, such as `NCHW`.
    pub fn as_str(self) -> &'static str {
        match self {
            Layout::Nchw => "NCHW",
            Layout::Nhwc => "NHWC",
            Layout::Ncdhw => "NCDHW",
            Layout::Ncl => "NCL",
            Layout::Nlc => "NLC",
            Layout::Nf => "NF",
        }
    }

    /// Where the channels are, the batch being axis 0. The features of a vector count as
    /// channels.
    pub fn channel_axis(self) -> usize {
        match self {
            Layout::Nchw | Layout::Ncdhw | Layout::Ncl | Layout::Nf => 1,
            Layout::Nlc => 2,
            Layout::Nhwc => 3,
        }
    }

    /// The number of axes without the batch.
    pub(crate) fn axes(self) -> usize {
        self.as_str().len() - 1
    }

    pub(crate) fn channels_last(self) -> bool {
        matches!(self, Layout::Nhwc | Layout::Nlc)
    }

    /// What a file's extents (without the batch) look most like; `None` for a number of axes
    /// that no layout has.
    pub(crate) fn guess(extents: &[usize]) -> Option<Self> {
        let may_be_channels = |n: usize| matches!(n, 1 | 3);
        match *extents {
            [_] => Some(Layout::Nf),
            [first, last] if first > last => Some(Layout::Nlc),
            [_, _] => Some(Layout::Ncl),
            [c, _, last] if !may_be_channels(c) && may_be_channels(last) => Some(Layout::Nhwc),
            [_, _, _] => Some(Layout::Nchw),
            [_, _, _, _] => Some(Layout::Ncdhw),
            _ => None,
        }
    }

    /// The shape of the images, `[C, H, W]`, that an input of these extents takes. A signal is an
    /// image of one row, a vector one of one row and one channel, a volume a grey one of all its
    /// rows below each other.
    pub(crate) fn image_shape(self, extents: &[usize]) -> Option<[usize; 3]> {
        match (self, extents) {
            (Layout::Nchw, &[c, h, w]) | (Layout::Nhwc, &[h, w, c]) => Some([c, h, w]),
            (Layout::Ncl, &[c, l]) | (Layout::Nlc, &[l, c]) => Some([c, 1, l]),
            (Layout::Nf, &[f]) => Some([1, 1, f]),
            (Layout::Ncdhw, &[c, d, h, w]) => Some([1, c * d * h, w]),
            _ => None,
        }
    }

    /// The extents of an input for images of this size, as far as the size says them. The
    /// positions of a signal are the width.
    pub(crate) fn extents(
        self,
        channels: Option<usize>,
        [height, width]: [usize; 2],
    ) -> Vec<Option<usize>> {
        let (c, h, w) = (channels, Some(height), Some(width));
        match self {
            Layout::Nchw => vec![c, h, w],
            Layout::Nhwc => vec![h, w, c],
            Layout::Ncdhw => vec![c, None, h, w],
            Layout::Ncl => vec![c, w],
            Layout::Nlc => vec![w, c],
            Layout::Nf => vec![height.saturating_mul(width).checked_mul(c.unwrap_or(1))],
        }
    }

    /// Whether a given size is that of images of this shape. One number, which stands for both
    /// sides, may be the positions of a signal.
    pub(crate) fn has_size(self, [_, h, w]: [usize; 3], [height, width]: [usize; 2]) -> bool {
        match self {
            Layout::Nchw | Layout::Nhwc => [h, w] == [height, width],
            Layout::Ncl | Layout::Nlc => w == width && (height == 1 || height == width),
            Layout::Ncdhw => w == width && h.is_multiple_of(height),
            Layout::Nf => false,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter();
        let mut same = known.filter(|l| l.as_str().eq_ignore_ascii_case(text));
        same.next().ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            let message = format!("there is no layout {text:?}; the layouts are {names}");
            Error::new(ErrorKind::Invalid, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_told_from_extents() {
        let cases: [(&[usize], Option<Layout>); 10] = [
            (&[3, 32, 32], Some(Layout::Nchw)),
            (&[32, 32, 3], Some(Layout::Nhwc)),
            (&[28, 28, 1], Some(Layout::Nhwc)),
            (&[3, 32, 3], Some(Layout::Nchw)),
            (&[12, 64, 64], Some(Layout::Nchw)),
            (&[2, 96], Some(Layout::Ncl)),
            (&[96, 2], Some(Layout::Nlc)),
            (&[24], Some(Layout::Nf)),
            (&[3, 8, 32, 32], Some(Layout::Ncdhw)),
            (&[2, 3, 8, 32, 32], None),
        ];
        for (extents, expected) in cases {
            assert_eq!(Layout::guess(extents), expected, "{extents:?}");
        }
    }

    #[test]
    fn sizes_say_extents_and_are_checked_against_them() {
        let cases = [
            (
                Layout::Nchw,
                vec![Some(3), Some(48), Some(64)],
                [48, 64],
                true,
            ),
            (
                Layout::Nhwc,
                vec![Some(48), Some(64), Some(3)],
                [48, 64],
                true,
            ),
            (
                Layout::Nhwc,
                vec![Some(64), Some(48), Some(3)],
                [48, 64],
                false,
            ),
            (Layout::Ncl, vec![Some(3), Some(64)], [64, 64], true),
            (Layout::Nlc, vec![Some(64), Some(3)], [1, 64], true),
            (Layout::Ncl, vec![Some(3), Some(64)], [48, 64], false),
            (
                Layout::Ncdhw,
                vec![Some(3), Some(2), Some(48), Some(64)],
                [48, 64],
                true,
            ),
        ];
        for (layout, extents, size, fits) in cases {
            let known: Vec<usize> = extents.iter().copied().flatten().collect();
            let shape = layout.image_shape(&known).unwrap();
            assert_eq!(layout.has_size(shape, size), fits, "{layout} {extents:?}");
            if fits {
                let said = layout.extents(Some(3), size);
                let agree = |(said, is): (&Option<usize>, _)| said.is_none() || said == is;
                assert!(said.iter().zip(&extents).all(agree), "{layout} {said:?}");
            }
        }
        assert_eq!(Layout::Nf.extents(None, [4, 6]), [Some(24)]);
    }

    #[test]
    fn layouts_are_parsed_as_they_are_written() {
        for layout in Layout::ALL {
            assert_eq!(layout.as_str().parse::<Layout>(), Ok(layout));
            assert_eq!(layout.as_str().to_lowercase().parse::<Layout>(), Ok(layout));
        }
        let message = "NWHC".parse::<Layout>().unwrap_err().to_string();
        assert!(message.contains("NCHW, NHWC"), "{message}");
    }
}
