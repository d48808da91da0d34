//! Normalisation: mean, standard deviation, scale and channel order of a network's input.

use crate::{Error, ErrorKind, Layout};
use std::fmt;
use std::str::FromStr;

/// The order of colours in a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChannelOrder {
    /// Red, green, blue, as images are read.
    #[default]
    Rgb,
    /// Blue, green, red, as networks from Caffe, or with images from OpenCV, take them.
    Bgr,
}

impl ChannelOrder {
    /// As options and files spell it, `RGB` or `BGR`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
        }
    }
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChannelOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut known = [Self::Rgb, Self::Bgr].into_iter();
        let same = known.find(|order| order.as_str().eq_ignore_ascii_case(text));
        same.ok_or_else(|| {
            invalid(format!(
                "there is no order {text:?} of channels; it is RGB or BGR"
            ))
        })
    }
}

/// How pixels become the network's input: `x = (scale · pixel - mean) / std` per channel, pixels
/// being in [0, 1], in the network's order of channels.
///
/// ```
/// use odin::{ChannelOrder, Normalization};
///
/// // A network born in Caffe: levels from 0 to 255, blue first, the mean subtracted.
/// let caffe = Normalization::new(&[104.0, 117.0, 123.0], &[1.0])?
///     .with_scale(255.0)?
///     .with_channels(ChannelOrder::Bgr);
/// assert_eq!(caffe.std(), [1.0; 3]);
/// # Ok::<(), odin::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
    scale: f32,
    channels: ChannelOrder,
}

impl Normalization {
    /// A mean and a standard deviation for each channel; one value stands for all. Pixels are
    /// in [0, 1], and RGB.
    ///
    /// # Errors
    /// When their numbers differ, a value is not finite, or a standard deviation is not
    /// positive.
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Self, Error> {
        let (m, s) = (mean.len(), std.len());
        let channels = m.max(s);
        if m == 0 || s == 0 || (m != s && m.min(s) != 1) {
            return Err(invalid(format!(
                "mean and std need one value for each channel or one for all, they have {m} and {s}"
            )));
        }
        if let Some(v) = mean.iter().find(|v| !v.is_finite()) {
            return Err(invalid(format!("mean must be finite, it contains {v}")));
        }
        if let Some(v) = std.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return Err(invalid(format!("std must be positive, it contains {v}")));
        }
        let spread = |values: &[f32]| match values {
            &[one] => vec![one; channels],
            all => all.to_vec(),
        };
        Ok(Self {
            mean: spread(mean),
            std: spread(std),
            scale: 1.0,
            channels: ChannelOrder::Rgb,
        })
    }

    fn of(mean: impl Into<Vec<f32>>, std: impl Into<Vec<f32>>) -> Self {
        Self {
            mean: mean.into(),
            std: std.into(),
            scale: 1.0,
            channels: ChannelOrder::Rgb,
        }
    }

    /// The same for pixels from 0 to `scale`, such as 255, instead of 0 to 1.
    ///
    /// # Errors
    /// When the scale is not positive and finite.
    pub fn with_scale(self, scale: f32) -> Result<Self, Error> {
        match scale.is_finite() && scale > 0.0 {
            true => Ok(Self { scale, ..self }),
            false => Err(invalid(format!(
                "scale must be a positive number, such as 255; it is {scale}"
            ))),
        }
    }

    /// The same for channels in this order; mean and std are in that order, too.
    pub fn with_channels(self, channels: ChannelOrder) -> Self {
        Self { channels, ..self }
    }

    /// What the paper's models for CIFAR-10 and CIFAR-100 were trained with: mean
    /// (125.3, 123.0, 113.9)/255, std (63.0, 62.1, 66.7)/255.
    pub fn cifar() -> Self {
        Self::of(
            [125.3, 123.0, 113.9].map(|v: f32| v / 255.0),
            [63.0, 62.1, 66.7].map(|v: f32| v / 255.0),
        )
    }

    /// What nearly all models for ImageNet were trained with: mean (0.485, 0.456, 0.406), std
    /// (0.229, 0.224, 0.225).
    pub fn imagenet() -> Self {
        Self::of([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    }

    /// Mean 0, standard deviation 1: the network takes pixels in [0, 1].
    pub fn identity() -> Self {
        Self::of([0.0], [1.0])
    }

    /// Mean 0, standard deviation 1/255: the network takes pixels from 0 to 255.
    pub fn bytes() -> Self {
        Self::of([0.0], [1.0 / 255.0])
    }

    /// The mean of each channel, on the scale of [`Normalization::scale`].
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel, on the same scale.
    pub fn std(&self) -> &[f32] {
        &self.std
    }

    /// What a pixel of 1 (white) is before the mean is subtracted: 1, or 255.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The order of the network's channels.
    pub fn channels(&self) -> ChannelOrder {
        self.channels
    }

    /// What a perturbation of ε = `magnitude` on the [0, 1] pixel scale is in normalised units,
    /// for each channel: `ε · scale / std`.
    pub(crate) fn step(&self, magnitude: f64) -> Vec<f32> {
        let step = |&std: &f32| (magnitude * f64::from(self.scale) / f64::from(std)) as f32;
        self.std.iter().map(step).collect()
    }

    /// Whether the mean or the deviation cannot be those of pictures with pixels from 0 to
    /// [`Normalization::scale`], but look like those of pixels from 0 to 255; the value.
    pub(crate) fn out_of_scale(&self) -> Option<f32> {
        let beyond = |values: &[f32], limit: f32| {
            let mut beyond = values.iter().filter(|v| v.abs() > limit * self.scale);
            beyond.next().copied()
        };
        beyond(&self.mean, 2.0).or_else(|| beyond(&self.std, 10.0))
    }

    /// The same with a value for each of `channels` channels. One value stands for all; in a
    /// vector, which may be a flattened image, each of a few stands for a run of equal length.
    pub(crate) fn for_channels(&self, channels: usize, layout: Layout) -> Result<Self, Error> {
        let found = self.mean.len();
        let fits = match layout {
            Layout::Nf => found <= channels && channels.is_multiple_of(found),
            _ => found == channels || found == 1,
        };
        if !fits {
            return Err(invalid(format!(
                "the network takes {channels} channel{}, mean and std have {found} values",
                if channels == 1 { "" } else { "s" }
            )));
        }
        let pictures = matches!(layout, Layout::Nchw | Layout::Nhwc) && channels == 3;
        if self.channels == ChannelOrder::Bgr && !pictures {
            return Err(invalid(
                "BGR is an order of the channels of colour images, which this network does not take",
            ));
        }
        let spread = |values: &[f32]| -> Vec<f32> {
            let runs = values
                .iter()
                .map(|&v| std::iter::repeat_n(v, channels / found));
            runs.flatten().collect()
        };
        Ok(Self {
            mean: spread(&self.mean),
            std: spread(&self.std),
            ..*self
        })
    }

    /// Appends one RGB image in the order CHW to `batch`, normalised and in the order of the
    /// network's input.
    pub(crate) fn apply(&self, pixels: &[f32], layout: Layout, batch: &mut Vec<f32>) {
        let channels = self.mean.len();
        let area = pixels.len() / channels;
        let plane = |channel: usize| match self.channels {
            ChannelOrder::Rgb => channel,
            ChannelOrder::Bgr => channels - 1 - channel,
        };
        let normal = |channel: usize, pixel: f32| {
            // A factor of 1 changes no bit.
            (pixel * self.scale - self.mean[channel]) / self.std[channel]
        };
        if layout.channels_last() {
            for place in 0..area {
                let pixel = |channel: usize| pixels[plane(channel) * area + place];
                batch.extend((0..channels).map(|c| normal(c, pixel(c))));
            }
        } else {
            for channel in 0..channels {
                let plane = &pixels[plane(channel) * area..][..area];
                batch.extend(plane.iter().map(|&pixel| normal(channel, pixel)));
            }
        }
    }

    /// The adjoint of [`Normalization::apply`]: from a gradient with respect to the network's input
    /// to one with respect to pixels on the [0, 1] scale, in the order CHW, RGB.
    pub(crate) fn pull_back(&self, gradient: &[f32], layout: Layout) -> Vec<f32> {
        let channels = self.mean.len();
        let area = gradient.len() / channels;
        let factors = self.step(1.0);
        let mut pixels = Vec::with_capacity(gradient.len());
        for plane in 0..channels {
            let channel = match self.channels {
                ChannelOrder::Rgb => plane,
                ChannelOrder::Bgr => channels - 1 - plane,
            };
            let at = |place: usize| match layout.channels_last() {
                true => gradient[place * channels + channel],
                false => gradient[channel * area + place],
            };
            pixels.extend((0..area).map(|place| at(place) * factors[channel]));
        }
        pixels
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_normalised_in_the_order_of_the_layout() {
        let normalization = Normalization::new(&[0.0, 1.0], &[1.0, 2.0]).unwrap();
        let pixels = [1.0, 2.0, 3.0, 5.0, 7.0, 9.0];
        for (layout, expected) in [
            (Layout::Nchw, [1.0, 2.0, 3.0, 2.0, 3.0, 4.0]),
            (Layout::Ncl, [1.0, 2.0, 3.0, 2.0, 3.0, 4.0]),
            (Layout::Nhwc, [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]),
            (Layout::Nlc, [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]),
        ] {
            let mut batch = Vec::new();
            normalization.apply(&pixels, layout, &mut batch);
            assert_eq!(batch, expected, "{layout}");
        }
    }

    /// Mean and deviation are those of the network's first channel first, which is blue.
    #[test]
    fn levels_and_blue_first_are_what_caffe_takes() {
        let caffe = Normalization::new(&[104.0, 117.0, 123.0], &[1.0, 2.0, 4.0]);
        let caffe = caffe.unwrap().with_scale(255.0).unwrap();
        let caffe = caffe.with_channels(ChannelOrder::Bgr);
        let [red, green, blue] = [[0.0, 1.0], [1.0, 0.0], [0.2, 0.4]];
        let pixels = [red, green, blue].concat();
        for (layout, expected) in [
            (Layout::Nchw, [-53.0, -2.0, 69.0, -58.5, -30.75, 33.0]),
            (Layout::Nhwc, [-53.0, 69.0, -30.75, -2.0, -58.5, 33.0]),
        ] {
            let mut batch = Vec::new();
            caffe.apply(&pixels, layout, &mut batch);
            assert_eq!(batch, expected, "{layout}");
        }
        assert_eq!(caffe.step(0.002), [0.51, 0.255, 0.1275]);
    }

    /// `<apply(p) - apply(0), g> = <p, pull_back(g)>` for every p and g.
    #[test]
    fn gradients_are_pulled_back_by_the_adjoint() {
        let rgb = Normalization::new(&[0.5, 0.25, 0.0], &[0.5, 0.25, 2.0]).unwrap();
        let bgr = rgb.clone().with_channels(ChannelOrder::Bgr);
        let scaled = bgr.clone().with_scale(2.0).unwrap();
        let pixels: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let gradient: Vec<f32> = (0..12).map(|i| ((i * 5) % 12) as f32).collect();
        let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        for normalization in [rgb, bgr, scaled] {
            for layout in [Layout::Nchw, Layout::Nhwc] {
                let (mut at, mut origin) = (Vec::new(), Vec::new());
                normalization.apply(&pixels, layout, &mut at);
                normalization.apply(&[0.0; 12], layout, &mut origin);
                let pulled_back = normalization.pull_back(&gradient, layout);
                assert_eq!(
                    dot(&at, &gradient) - dot(&origin, &gradient),
                    dot(&pixels, &pulled_back),
                    "{layout}"
                );
            }
        }
    }

    #[test]
    fn few_values_stand_for_many_channels() {
        let rgb = Normalization::imagenet();
        assert_eq!(
            rgb.for_channels(6, Layout::Nf).unwrap().mean(),
            [0.485, 0.485, 0.456, 0.456, 0.406, 0.406]
        );
        let identity = Normalization::identity();
        assert_eq!(
            identity.for_channels(4, Layout::Nchw).unwrap().std(),
            [1.0; 4]
        );
        for (channels, layout) in [(1, Layout::Nchw), (6, Layout::Nhwc), (4, Layout::Nf)] {
            let error = rgb.for_channels(channels, layout).unwrap_err();
            let message = error.to_string();
            assert!(
                message.contains(&format!("{channels} channel")),
                "{message}"
            );
        }
        let one_deviation = Normalization::new(&[0.1, 0.2, 0.3], &[0.5]).unwrap();
        assert_eq!(one_deviation.std(), [0.5; 3]);
        let bgr = Normalization::identity().with_channels(ChannelOrder::Bgr);
        assert!(bgr.for_channels(1, Layout::Nchw).is_err());
    }

    #[test]
    fn values_of_another_scale_are_noticed() {
        let new = |mean, std| Normalization::new(&[mean], &[std]).unwrap();
        for (normalization, beyond) in [
            (new(123.7, 58.4), Some(123.7)),
            (new(0.5, 58.4), Some(58.4)),
            (new(123.7, 58.4).with_scale(255.0).unwrap(), None),
            (Normalization::imagenet(), None),
            (Normalization::bytes(), None),
            (new(-1.0, 2.0), None),
        ] {
            assert_eq!(normalization.out_of_scale(), beyond);
        }
    }
}
