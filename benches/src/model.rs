//! Networks and images to measure with.

use anyhow::{Result, bail};
use clap::Args;
use odin::{
    Classifier, Detector, DetectorBuilder, Device, Image, Images, Normalization, Precision, Setting,
};
use odin_data::NoiseKind;
use std::path::PathBuf;

/// A network, and how it is run.
#[derive(Debug, Clone, Args)]
pub struct Model {
    /// A checkpoint or ONNX file.
    pub network: PathBuf,
    /// Threads of the engine.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// T.
    #[arg(long, default_value_t = 1000.0)]
    pub temperature: f64,
    /// ε, on the [0, 1] pixel scale.
    #[arg(long, default_value_t = 0.0014)]
    pub magnitude: f64,
    /// How products are computed: exact or fast.
    #[arg(long, default_value = "exact")]
    pub precision: Precision,
    /// Where it runs: cpu, or, with the feature `gpu`, gpu:N or cpu-vulkan.
    #[arg(long, default_value = "cpu")]
    pub device: Device,
    /// Mean of each channel; together with --std. Otherwise what the file says, or is usual.
    #[arg(long, value_delimiter = ',', requires = "std")]
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    #[arg(long, value_delimiter = ',', requires = "mean")]
    pub std: Vec<f32>,
}

impl Model {
    /// Reads the network.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(&self) -> Result<Classifier> {
        let path = &self.network;
        Ok(if self.mean.is_empty() {
            Classifier::open(path, odin::ClassifierOptions::default())?
        } else {
            Classifier::open(path, Normalization::new(&self.mean, &self.std)?)?
        })
    }

    /// Prepares ODIN around the network.
    ///
    /// # Errors
    /// When it has no gradient.
    pub fn detector(&self, classifier: &Classifier, threads: usize) -> Result<Detector> {
        Ok(self.builder(classifier)?.threads(threads).build()?)
    }

    /// A detector in the making.
    ///
    /// # Errors
    /// When the setting is out of its range.
    pub fn builder(&self, classifier: &Classifier) -> Result<DetectorBuilder> {
        let setting = Setting::new(self.temperature, self.magnitude)?;
        let setting = setting.with_precision(self.precision);
        let builder = Detector::builder(classifier).setting(setting);
        Ok(builder.device(self.device))
    }
}

/// Noise in the size that the network takes.
///
/// # Errors
/// When that is no size of an image.
pub fn noise_for(classifier: &Classifier, count: usize) -> Result<Images> {
    Ok(classifier.noise(NoiseKind::Uniform, count, 0)?)
}

/// `count` images in memory: those of `file`, or noise.
///
/// # Errors
/// When the file cannot be read or has too few images.
pub fn images(classifier: &Classifier, file: Option<&PathBuf>, count: usize) -> Result<Vec<Image>> {
    let images = match file {
        Some(path) => classifier.open_images(path)?,
        None => noise_for(classifier, count)?,
    };
    if images.len() < count {
        bail!("{count} images were asked for, {} are there", images.len());
    }
    (0..count).map(|i| Ok(images.get(i)?.image)).collect()
}
