//! Fitting of scores, at once or from summaries.

use crate::error::raised;
use odin::{DetectorBuilder, Fitted, Method, TrainingSummary};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The methods of these names; all but the baseline, which every detector has, where none are
/// given.
pub(crate) fn methods_or_all(names: Option<Vec<String>>) -> PyResult<Vec<Method>> {
    match names {
        Some(names) => methods(names),
        None => Ok(Method::ALL
            .into_iter()
            .filter(|&method| method != Method::Msp)
            .collect()),
    }
}

pub(crate) fn methods(names: Vec<String>) -> PyResult<Vec<Method>> {
    let method = |name: String| name.parse().map_err(|e: odin::scores::Error| raised(e));
    names.into_iter().map(method).collect()
}

/// What was fitted, and what was not.
pub(crate) struct Outcome {
    names: Vec<String>,
    statistics: Vec<u8>,
    left_out: Vec<(String, String)>,
    warnings: Vec<String>,
}

impl Outcome {
    /// Of each method's score, or why it has none.
    pub(crate) fn new(
        builder: DetectorBuilder,
        methods: &[Method],
        each: Vec<Result<Fitted, odin::Error>>,
    ) -> Result<Self, odin::Error> {
        let (mut fitted, mut left_out) = (Vec::new(), Vec::new());
        for (method, score) in methods.iter().zip(each) {
            match score {
                Ok(score) => fitted.push(score),
                Err(error) => left_out.push((method.name().to_string(), error.to_string())),
            }
        }
        let name = |score: &Fitted| score.method().name().to_string();
        Ok(Self {
            names: fitted.iter().map(name).collect(),
            warnings: fitted.iter().flat_map(Fitted::warnings).cloned().collect(),
            statistics: builder.fitted(fitted).build()?.statistics()?,
            left_out,
        })
    }

    pub(crate) fn told(self, py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
        let told = PyDict::new(py);
        told.set_item("names", self.names)?;
        told.set_item("statistics", PyBytes::new(py, &self.statistics))?;
        told.set_item("left_out", self.left_out)?;
        told.set_item("warnings", self.warnings)?;
        Ok(told)
    }
}

/// What scores are fitted from.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct FitSummary {
    inner: Mutex<Arc<TrainingSummary>>,
}

impl FitSummary {
    pub(crate) fn new(summary: TrainingSummary) -> Self {
        Self {
            inner: Mutex::new(Arc::new(summary)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<TrainingSummary>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Arc<TrainingSummary> {
        Arc::clone(&self.lock())
    }
}

#[pymethods]
impl FitSummary {
    #[staticmethod]
    fn from_bytes(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let read = py.detach(|| TrainingSummary::from_bytes(bytes));
        Ok(Self::new(read.map_err(raised)?))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes = py.detach(|| self.get().to_bytes());
        PyBytes::new(py, &bytes)
    }

    /// The summary of the images of both.
    fn merged(&self, py: Python<'_>, other: &Self) -> PyResult<Self> {
        let merged = py.detach(|| {
            let mut merged = TrainingSummary::clone(&self.get());
            merged.merge(&other.get()).map(|()| merged)
        });
        Ok(Self::new(merged.map_err(raised)?))
    }

    /// Adds the images of another to this one, which nobody else has seen yet.
    fn absorb(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let merged = py.detach(|| {
            let other = other.get();
            Arc::make_mut(&mut self.lock()).merge(&other)
        });
        merged.map_err(raised)
    }

    #[getter]
    fn images(&self) -> u64 {
        self.get().images()
    }

    #[getter]
    fn has_labels(&self) -> bool {
        self.get().has_labels()
    }

    #[getter]
    fn scores(&self) -> Vec<&'static str> {
        let summary = self.get();
        let methods = summary.methods().iter();
        methods.map(|method| method.name()).collect()
    }
}
