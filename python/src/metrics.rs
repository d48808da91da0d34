//! Metrics of scores from anywhere.

use crate::error::{invalid, raised};
use crate::job::interruptible;
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use odin::data::{ArrayChoice, read_vector};
use odin::metrics::{
    HistogramSketch as Sketch, PaperProtocol, Points, Scores, Side, threshold_at_tpr,
};
use odin::{Intervals, MeasureOptions, measure};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};
use std::fs::File;
use std::path::PathBuf;

/// The scores in the paper's protocol.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Protocol {
    score: String,
    classes: usize,
    temperature: f64,
}

impl Protocol {
    fn protocol(&self) -> PyResult<PaperProtocol> {
        match self.score.as_str() {
            "msp" => Ok(PaperProtocol::baseline(self.classes)),
            "odin" => Ok(PaperProtocol::odin(self.classes, self.temperature)),
            "other" => Ok(PaperProtocol::other()),
            score => Err(invalid(format!(
                "there is no protocol for the score {score:?}; they are 'msp', 'odin' and 'other'"
            ))),
        }
    }
}

/// `metrics` by name, `exact_instead` (the names of those that are exact all the same),
/// `outside_grid` and `ci95` by name. `protocol` is None for the exact metrics.
#[pyfunction]
#[pyo3(signature = (in_scores, out_scores, protocol=None, bootstrap=None))]
pub(crate) fn evaluate<'py>(
    py: Python<'py>,
    in_scores: PyReadonlyArray1<'_, f64>,
    out_scores: PyReadonlyArray1<'_, f64>,
    protocol: Option<&Bound<'_, PyDict>>,
    bootstrap: Option<(usize, u64, usize)>,
) -> PyResult<Bound<'py, PyDict>> {
    let protocol = protocol
        .map(|given| given.extract::<Protocol>()?.protocol())
        .transpose()?;
    let (in_scores, out_scores) = (in_scores.to_vec()?, out_scores.to_vec()?);
    let options = MeasureOptions::default().intervals(
        bootstrap.map(|(resamples, seed, threads)| Intervals::new(resamples, seed, threads)),
    );
    let options = match protocol {
        None => options,
        Some(protocol) => options.paper(protocol),
    };
    let measured = interruptible(py, None, move |job| {
        measure(&in_scores, &out_scores, &options.stopped_by(job.stop()))
    });
    let measured = measured?.map_err(raised)?;
    let metrics = PyDict::new(py);
    for (name, value) in measured.metrics.named() {
        metrics.set_item(name, value)?;
    }
    let exact_instead = measured.exact_instead.named().into_iter();
    let exact_instead = exact_instead.filter_map(|(name, exact)| exact.then_some(name));
    let intervals = measured.ci95.map(|intervals| {
        let bounds = intervals
            .named()
            .map(|(name, i)| (name, (i.lower, i.upper)));
        bounds.into_py_dict(py)
    });
    let told = PyDict::new(py);
    told.set_item("metrics", metrics)?;
    told.set_item("exact_instead", exact_instead.collect::<Vec<_>>())?;
    told.set_item("outside_grid", measured.outside_grid)?;
    told.set_item("ci95", intervals.transpose()?)?;
    Ok(told)
}

/// The largest threshold that keeps at least the share `tpr` of the scores.
#[pyfunction]
pub(crate) fn threshold_for_tpr(
    py: Python<'_>,
    in_scores: PyReadonlyArray1<'_, f64>,
    tpr: f64,
) -> PyResult<f64> {
    let in_scores = in_scores.to_vec()?;
    let found = interruptible(py, None, move |_| threshold_at_tpr(&in_scores, tpr))?;
    found.map_err(raised)
}

/// The scores of an `.npy` or `.npz` file, by the name of their array.
#[pyfunction]
#[pyo3(signature = (path, name=None))]
pub(crate) fn read_scores<'py>(
    py: Python<'py>,
    path: PathBuf,
    name: Option<String>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let read = interruptible(py, None, move |_| {
        let title = path.display().to_string();
        let choice = match &name {
            Some(name) => ArrayChoice::Named(name),
            None => ArrayChoice::Usually("conf"),
        };
        read_vector(File::open(&path)?, &title, choice)
    });
    let vector = read?.map_err(|e: odin::data::Error| raised(e))?;
    Ok(PyArray1::from_vec(py, vector.values))
}

/// Whether points on the line between their neighbours are left out.
fn points(drop_intermediate: bool) -> Points {
    match drop_intermediate {
        true => Points::Corners,
        false => Points::All,
    }
}

/// Three arrays of one curve.
type Curve<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

/// `(fpr, tpr, thresholds)`.
#[pyfunction]
pub(crate) fn roc_curve<'py>(
    py: Python<'py>,
    in_scores: PyReadonlyArray1<'_, f64>,
    out_scores: PyReadonlyArray1<'_, f64>,
    drop_intermediate: bool,
) -> PyResult<Curve<'py>> {
    let (in_scores, out_scores) = (in_scores.to_vec()?, out_scores.to_vec()?);
    let curve = interruptible(py, None, move |_| {
        Ok(Scores::new(&in_scores, &out_scores)?.roc_curve(points(drop_intermediate)))
    });
    let curve = curve?.map_err(|e: odin::metrics::Error| raised(e))?;
    let array = |values| PyArray1::from_vec(py, values);
    Ok((array(curve.fpr), array(curve.tpr), array(curve.thresholds)))
}

/// `(precision, recall, thresholds)`; `out` says which side is positive.
#[pyfunction]
pub(crate) fn precision_recall_curve<'py>(
    py: Python<'py>,
    in_scores: PyReadonlyArray1<'_, f64>,
    out_scores: PyReadonlyArray1<'_, f64>,
    out: bool,
    drop_intermediate: bool,
) -> PyResult<Curve<'py>> {
    let (in_scores, out_scores) = (in_scores.to_vec()?, out_scores.to_vec()?);
    let side = if out { Side::Out } else { Side::In };
    let curve = interruptible(py, None, move |_| {
        let scores = Scores::new(&in_scores, &out_scores)?;
        Ok(scores.precision_recall_curve(side, points(drop_intermediate)))
    });
    let curve = curve?.map_err(|e: odin::metrics::Error| raised(e))?;
    let array = |values| PyArray1::from_vec(py, values);
    Ok((
        array(curve.precision),
        array(curve.recall),
        array(curve.thresholds),
    ))
}

/// Counts of the scores of both sides in bins, which are merged exactly.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct HistogramSketch {
    inner: Sketch,
}

#[pymethods]
impl HistogramSketch {
    #[new]
    fn new(
        in_scores: PyReadonlyArray1<'_, f64>,
        out_scores: PyReadonlyArray1<'_, f64>,
        precision: u32,
    ) -> PyResult<Self> {
        let mut inner = Sketch::new(precision).map_err(raised)?;
        inner.add_in(&in_scores.to_vec()?).map_err(raised)?;
        inner.add_out(&out_scores.to_vec()?).map_err(raised)?;
        Ok(Self { inner })
    }

    #[staticmethod]
    fn from_bytes(bytes: &[u8]) -> PyResult<Self> {
        let inner = Sketch::from_bytes(bytes).map_err(raised)?;
        Ok(Self { inner })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.to_bytes())
    }

    fn merged(&self, other: &Self) -> PyResult<Self> {
        let mut inner = self.inner.clone();
        inner.merge(&other.inner).map_err(raised)?;
        Ok(Self { inner })
    }

    #[getter]
    fn precision(&self) -> u32 {
        self.inner.precision()
    }

    #[getter]
    fn n_in(&self) -> u64 {
        self.inner.n_in()
    }

    #[getter]
    fn n_out(&self) -> u64 {
        self.inner.n_out()
    }

    #[getter]
    fn bins(&self) -> usize {
        self.inner.bins()
    }

    fn metrics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.inner
            .metrics()
            .map_err(raised)?
            .named()
            .into_py_dict(py)
    }

    /// Each metric's least and largest value for scores in these bins.
    fn bounds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let bounds = self.inner.bounds().map_err(raised)?.named();
        bounds
            .map(|(name, b)| (name, (b.lower, b.upper)))
            .into_py_dict(py)
    }

    fn threshold_for_tpr(&self, tpr: f64) -> PyResult<(f64, f64)> {
        let bounds = self.inner.threshold_at_tpr(tpr).map_err(raised)?;
        Ok((bounds.lower, bounds.upper))
    }
}
