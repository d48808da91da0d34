//! Images as Python has them, as sets of the library.

use crate::classifier::Classifier;
use crate::error::{invalid, raised};
use crate::job::Job;
use bytemuck::NoUninit;
use numpy::{Element, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use odin::data::{
    ArrayElement, ArrayImages, ArrayLayout, DataSet, EncodedImages, ImageList, MemoryImages,
    OpenOptions, Sample, SharedBytes, open,
};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, io};

/// Images for one network.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct Images {
    set: Arc<dyn DataSet>,
    classifier: odin::Classifier,
}

impl Images {
    fn new(classifier: &Classifier, set: impl Into<Arc<dyn DataSet>>) -> Self {
        Self {
            set: set.into(),
            classifier: classifier.inner.clone(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    /// `[C, H, W]` of an image as the network takes it.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.classifier.image_shape()
    }

    /// The images as `job` reads them.
    pub(crate) fn of_job<T>(&self) -> impl FnOnce(&Job<T>) -> odin::Images + Send + 'static {
        let (set, classifier) = (Arc::clone(&self.set), self.classifier.clone());
        move |job| classifier.images(job.stoppable(&set))
    }
}

#[pymethods]
impl Images {
    /// What lies at a path.
    #[staticmethod]
    fn from_path(py: Python<'_>, classifier: &Classifier, path: PathBuf) -> PyResult<Self> {
        let options = classifier.inner.open_options();
        let set = py.detach(|| open(&path, &options)).map_err(raised)?;
        Ok(Self::new(classifier, set))
    }

    /// Files of one image each.
    #[staticmethod]
    fn from_paths(classifier: &Classifier, paths: Vec<PathBuf>) -> PyResult<Self> {
        let options = classifier.inner.open_options();
        let list = ImageList::new("images", paths, options).map_err(raised)?;
        Ok(Self::new(classifier, Arc::new(list) as Arc<dyn DataSet>))
    }

    /// An array of images in C order; `layout` is `NCHW`, `NHWC`, or None to recognise it.
    #[staticmethod]
    #[pyo3(signature = (classifier, array, labels=None, layout=None))]
    fn from_array(
        classifier: &Classifier,
        array: &Bound<'_, PyUntypedArray>,
        labels: Option<Vec<i64>>,
        layout: Option<&str>,
    ) -> PyResult<Self> {
        let mut options = classifier.inner.open_options();
        options.layout = layout.map(layout_of).transpose()?;
        let mut images = array_images("images", array)?;
        images.labels = labels.map(checked).transpose()?;
        Ok(Self::new(
            classifier,
            images.open(&options).map_err(raised)?,
        ))
    }

    /// Decoded images of any sizes, `[H, W]` or `[H, W, C]`.
    #[staticmethod]
    #[pyo3(signature = (classifier, arrays, names=None, labels=None))]
    fn from_decoded(
        classifier: &Classifier,
        arrays: Vec<Bound<'_, PyUntypedArray>>,
        names: Option<Vec<String>>,
        labels: Option<Vec<i64>>,
    ) -> PyResult<Self> {
        let mut options = classifier.inner.open_options();
        options.layout = Some(ArrayLayout::Nhwc);
        options.shape = None;
        let labels = labels.map(checked).transpose()?;
        let label = |i: usize| labels.as_ref().and_then(|labels| labels.get(i).copied());
        let images = arrays.iter().enumerate().map(|(i, array)| {
            let image = decoded(&format!("image {i}"), array, &options)?;
            Ok((image, label(i)))
        });
        let mut set = MemoryImages::new("images", images.collect::<PyResult<_>>()?);
        if let Some(names) = names {
            set = set.and_then(|set| set.with_names(names));
        }
        let set = Arc::new(set.map_err(raised)?) as Arc<dyn DataSet>;
        Ok(Self::new(classifier, set))
    }

    /// Encoded image files with their names.
    #[staticmethod]
    fn from_encoded(classifier: &Classifier, files: Vec<(String, Vec<u8>)>) -> PyResult<Self> {
        let files = files.into_iter().map(|(name, bytes)| (name, bytes.into()));
        let channels = classifier.inner.open_options().channels;
        let set = EncodedImages::new("images", files.collect(), channels).map_err(raised)?;
        Ok(Self::new(classifier, Arc::new(set) as Arc<dyn DataSet>))
    }

    /// The same images with these labels.
    fn labelled(&self, labels: Vec<i64>) -> PyResult<Self> {
        if labels.len() != self.set.len() {
            let (labels, images) = (labels.len(), self.set.len());
            return Err(invalid(format!(
                "each image needs one label: images {images}, labels {labels}"
            )));
        }
        let set = Labelled {
            set: Arc::clone(&self.set),
            labels: checked(labels)?,
        };
        Ok(Self {
            set: Arc::new(set),
            classifier: self.classifier.clone(),
        })
    }

    fn __len__(&self) -> usize {
        self.set.len()
    }

    #[getter]
    fn name(&self) -> &str {
        self.set.name()
    }

    /// What a user should know of how the images were read.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.set.notes().to_vec()
    }
}

fn layout_of(name: &str) -> PyResult<ArrayLayout> {
    match name {
        "NCHW" => Ok(ArrayLayout::Nchw),
        "NHWC" => Ok(ArrayLayout::Nhwc),
        _ => Err(invalid(format!(
            "the layout {name:?} is not known; it is 'NCHW' or 'NHWC'"
        ))),
    }
}

fn checked(labels: Vec<i64>) -> PyResult<Vec<usize>> {
    let label = |label: i64| {
        usize::try_from(label).map_err(|_| invalid(format!("the label {label} is negative")))
    };
    labels.into_iter().map(label).collect()
}

fn decoded(
    name: &str,
    array: &Bound<'_, PyUntypedArray>,
    options: &OpenOptions,
) -> PyResult<odin::Image> {
    let mut images = array_images(name, array)?;
    images.shape.insert(0, 1);
    let sample = images.open(options).and_then(|set| set.get(0));
    Ok(sample.map_err(raised)?.image)
}

/// The array where it lies.
fn array_images(name: &str, array: &Bound<'_, PyUntypedArray>) -> PyResult<ArrayImages> {
    if !array.is_c_contiguous() {
        return Err(invalid("the array is not in C order"));
    }
    let (bytes, element) = if let Ok(array) = array.cast::<PyArrayDyn<u8>>() {
        (shared(array), ArrayElement::U8)
    } else if let Ok(array) = array.cast::<PyArrayDyn<f32>>() {
        (shared(array), ArrayElement::F32)
    } else if let Ok(array) = array.cast::<PyArrayDyn<f64>>() {
        (shared(array), ArrayElement::F64)
    } else {
        return Err(invalid(format!(
            "arrays of the type {} are no images; give uint8 levels, or float32 from 0 to 1",
            array.dtype()
        )));
    };
    Ok(ArrayImages {
        name: name.to_string(),
        bytes,
        element,
        shape: array.shape().to_vec(),
        labels: None,
    })
}

fn shared<T: Element + NoUninit>(array: &Bound<'_, PyArrayDyn<T>>) -> Arc<dyn SharedBytes> {
    Arc::new(NumpyBytes {
        len: (array.len() * size_of::<T>()) as u64,
        array: array.clone().unbind(),
    })
}

/// The memory of a NumPy array, read piece by piece under the interpreter's lock.
struct NumpyBytes<T: Element> {
    array: Py<PyArrayDyn<T>>,
    len: u64,
}

impl<T: Element> fmt::Debug for NumpyBytes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NumpyBytes")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<T: Element + NoUninit> SharedBytes for NumpyBytes<T> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        Python::attach(|py| {
            let array = self
                .array
                .bind(py)
                .try_readonly()
                .map_err(io::Error::other)?;
            let values = array.as_slice().map_err(io::Error::other)?;
            let bytes: &[u8] = bytemuck::cast_slice(values);
            let piece = bytes
                .get(offset as usize..)
                .and_then(|b| b.get(..buffer.len()));
            buffer.copy_from_slice(piece.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }
}

/// A set with labels given beside it.
struct Labelled {
    set: Arc<dyn DataSet>,
    labels: Vec<usize>,
}

impl DataSet for Labelled {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn len(&self) -> usize {
        self.set.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        self.set.sample_name(i)
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.labels.get(i).copied()
    }

    fn size(&self, i: usize) -> Option<[usize; 3]> {
        self.set.size(i)
    }

    fn get(&self, i: usize) -> Result<Sample, odin::data::Error> {
        let mut sample = self.set.get(i)?;
        sample.label = self.label(i);
        Ok(sample)
    }

    fn notes(&self) -> &[String] {
        self.set.notes()
    }
}
