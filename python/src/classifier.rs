//! Trained networks.

use crate::error::{invalid, raised};
use crate::job::interruptible;
use odin::{ClassifierOptions, ModelConfig, Normalization};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

/// A trained network with its preprocessing.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct Classifier {
    pub(crate) inner: odin::Classifier,
}

/// What a caller says of a model, by the names of the arguments of `Detector.from_onnx`.
#[derive(FromPyObject, Default)]
#[pyo3(from_item_all)]
struct Options {
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    scale: Option<f32>,
    channels: Option<String>,
    layout: Option<String>,
    size: Option<[usize; 2]>,
    transform: Option<String>,
    class_names: Option<Vec<String>>,
    output: Option<String>,
    weights: Option<String>,
    multi_label: Option<bool>,
    config: Option<PathBuf>,
}

impl Options {
    fn normalization(&self) -> PyResult<Option<Normalization>> {
        match (&self.mean, &self.std) {
            (None, None) => Ok(None),
            (Some(mean), Some(std)) => Ok(Some(Normalization::new(mean, std).map_err(raised)?)),
            _ => Err(invalid("mean and std belong together; give both, or none")),
        }
    }

    fn classifier_options(self) -> PyResult<ClassifierOptions> {
        let mut given = ModelConfig::default();
        given.normalization = self.normalization()?;
        given.size = self.size;
        given.scale = self.scale;
        given.class_names = self.class_names;
        given.output = self.output;
        given.weights = self.weights;
        given.multi_label = self.multi_label;
        given.channels = parsed(self.channels)?;
        given.layout = parsed(self.layout)?;
        let transform = self.transform.map(|text| text.parse());
        let transform = transform.transpose();
        given.transform = transform.map_err(|e: odin::data::Error| raised(e))?;
        let mut options = ClassifierOptions::from(given);
        options.config_file = self.config;
        Ok(options)
    }
}

fn parsed<T: std::str::FromStr<Err = odin::Error>>(text: Option<String>) -> PyResult<Option<T>> {
    let value = text.map(|text| text.parse()).transpose();
    value.map_err(|error: odin::Error| raised(error))
}

#[pymethods]
impl Classifier {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let options = options.extract::<Options>()?.classifier_options()?;
        let opened = interruptible(py, None, |_| odin::Classifier::open(path, options))?;
        let inner = opened.map_err(raised)?;
        Ok(Self { inner })
    }

    #[staticmethod]
    fn from_bytes(
        py: Python<'_>,
        bytes: Vec<u8>,
        name: String,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let options = options.extract::<Options>()?.classifier_options()?;
        let open = move || odin::Classifier::from_bytes(&bytes, &name, options);
        let inner = interruptible(py, None, |_| open())?.map_err(raised)?;
        Ok(Self { inner })
    }

    #[getter]
    fn architecture(&self) -> &str {
        self.inner.architecture()
    }

    #[getter]
    fn classes(&self) -> usize {
        self.inner.classes()
    }

    #[getter]
    fn class_names(&self) -> Option<Vec<String>> {
        self.inner.class_names().map(<[String]>::to_vec)
    }

    /// `(C, H, W)`.
    #[getter]
    fn image_shape(&self) -> (usize, usize, usize) {
        self.inner.image_shape().into()
    }

    #[getter]
    fn takes_measurements(&self) -> bool {
        self.inner.takes_measurements()
    }

    #[getter]
    fn mean(&self) -> Vec<f32> {
        self.inner.normalization().mean().to_vec()
    }

    #[getter]
    fn std(&self) -> Vec<f32> {
        self.inner.normalization().std().to_vec()
    }

    /// What the normalisation is assumed from, where no source states it.
    #[getter]
    fn normalization_source(&self) -> String {
        self.inner.preprocessing().normalization.from.to_string()
    }

    #[getter]
    fn sha256(&self) -> Option<String> {
        self.inner.file().sha256.clone()
    }

    /// Identifies the network and its preprocessing.
    #[getter]
    fn fingerprint(&self) -> [u8; 32] {
        self.inner.fingerprint()
    }

    #[getter]
    fn notices(&self) -> Vec<String> {
        self.inner.file().notices.clone()
    }
}
