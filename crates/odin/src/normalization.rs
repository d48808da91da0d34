use crate::{Error, ErrorKind, Layout};

/// How pixels become the network's input: `x = (pixel - mean) / std` per channel, pixels being
/// in [0, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalization {
    /// A mean and a standard deviation for each channel, or one of each for all.
    ///
    /// # Errors
    /// When their numbers differ, a value is not finite, or a standard deviation is not
    /// positive.
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Self, Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        if mean.len() != std.len() || mean.is_empty() {
            let (m, s) = (mean.len(), std.len());
            return invalid(format!(
                "mean and std need one value for each channel, they have {m} and {s}"
            ));
        }
        if let Some(v) = mean.iter().find(|v| !v.is_finite()) {
            return invalid(format!("mean must be finite, it contains {v}"));
        }
        if let Some(v) = std.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return invalid(format!("std must be positive, it contains {v}"));
        }
        let (mean, std) = (mean.to_vec(), std.to_vec());
        Ok(Self { mean, std })
    }

    /// What the paper's models for CIFAR-10 and CIFAR-100 were trained with: mean
    /// (125.3, 123.0, 113.9)/255, std (63.0, 62.1, 66.7)/255.
    pub fn cifar() -> Self {
        Self {
            mean: [125.3, 123.0, 113.9].map(|v: f32| v / 255.0).to_vec(),
            std: [63.0, 62.1, 66.7].map(|v: f32| v / 255.0).to_vec(),
        }
    }

    /// What nearly all models for ImageNet were trained with: mean (0.485, 0.456, 0.406), std
    /// (0.229, 0.224, 0.225).
    pub fn imagenet() -> Self {
        Self {
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }

    /// Mean 0, standard deviation 1: the network takes pixels in [0, 1].
    pub fn identity() -> Self {
        Self {
            mean: vec![0.0],
            std: vec![1.0],
        }
    }

    /// Mean 0, standard deviation 1/255: the network takes pixels from 0 to 255.
    pub fn bytes() -> Self {
        Self {
            mean: vec![0.0],
            std: vec![1.0 / 255.0],
        }
    }

    /// The mean of each channel.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The standard deviation of each channel.
    pub fn std(&self) -> &[f32] {
        &self.std
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
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "the network takes {channels} channel{}, mean and std have {found} values",
                    if channels == 1 { "" } else { "s" }
                ),
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
        })
    }

    /// Appends one CHW image to `batch`, normalised and in the order of the network's input.
    pub(crate) fn apply(&self, pixels: &[f32], layout: Layout, batch: &mut Vec<f32>) {
        let channels = self.mean.len();
        let area = pixels.len() / channels;
        let parameters = || self.mean.iter().zip(&self.std);
        if layout.channels_last() {
            for place in 0..area {
                let values = parameters().enumerate();
                batch
                    .extend(values.map(|(c, (mean, std))| (pixels[c * area + place] - mean) / std));
            }
        } else {
            for (channel, (mean, std)) in pixels.chunks_exact(area).zip(parameters()) {
                batch.extend(channel.iter().map(|pixel| (pixel - mean) / std));
            }
        }
    }
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
    }
}
