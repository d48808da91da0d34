//! Metrics of scores from anywhere.

use crate::error::{invalid, raised};
use crate::job::interruptible;
use numpy::{PyArrayMethods, PyReadonlyArray1};
use odin::metrics::{Bootstrap, Interval, Metrics, PaperProtocol, Scores, threshold_at_tpr};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

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
    let measured = interruptible(py, None, move |_| {
        let scores = Scores::new(&in_scores, &out_scores)?;
        let bootstrap =
            bootstrap.map(|(resamples, seed, threads)| Bootstrap::new(resamples, seed, threads));
        let bootstrap = bootstrap.transpose()?;
        Ok(match protocol {
            None => Measured {
                metrics: scores.exact(),
                exact_instead: Metrics::default(),
                outside_grid: 0,
                intervals: bootstrap.map(|b| scores.exact_intervals(&b)),
            },
            Some(protocol) => {
                let paper = scores.paper(&protocol);
                Measured {
                    metrics: paper.values,
                    exact_instead: paper.exact_instead,
                    outside_grid: paper.outside_grid,
                    intervals: bootstrap.map(|b| scores.paper_intervals(&protocol, &b)),
                }
            }
        })
    });
    let measured = measured?.map_err(|e: odin::metrics::Error| raised(e))?;
    let metrics = PyDict::new(py);
    for (name, value) in measured.metrics.named() {
        metrics.set_item(name, value)?;
    }
    let exact_instead = measured.exact_instead.named().into_iter();
    let exact_instead = exact_instead.filter_map(|(name, exact)| exact.then_some(name));
    let intervals = measured.intervals.map(|intervals| {
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

struct Measured {
    metrics: Metrics,
    exact_instead: Metrics<bool>,
    outside_grid: usize,
    intervals: Option<Metrics<Interval>>,
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
