//! Metrics of scores from anywhere.

use crate::error::{invalid, raised};
use crate::job::interruptible;
use numpy::{PyArrayMethods, PyReadonlyArray1};
use odin::metrics::{Bootstrap, Interval, Metrics, PaperProtocol, Scores, threshold_at_tpr};
use pyo3::prelude::*;
use pyo3::types::PyDict;

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

/// `(metrics, names of those that are exact instead, scores outside the grid, intervals)`; each of
/// the first and last by name. `protocol` is None for the exact metrics.
#[pyfunction]
#[pyo3(signature = (in_scores, out_scores, protocol=None, bootstrap=None))]
pub(crate) fn evaluate<'py>(
    py: Python<'py>,
    in_scores: PyReadonlyArray1<'_, f64>,
    out_scores: PyReadonlyArray1<'_, f64>,
    protocol: Option<&Bound<'_, PyDict>>,
    bootstrap: Option<(usize, u64, usize)>,
) -> PyResult<(
    Bound<'py, PyDict>,
    Vec<&'static str>,
    usize,
    Option<Bound<'py, PyDict>>,
)> {
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
    let exact_instead = exact_instead
        .filter(|(_, exact)| *exact)
        .map(|(name, _)| name);
    let intervals = measured.intervals.map(|intervals| {
        let dict = PyDict::new(py);
        for (name, interval) in intervals.named() {
            dict.set_item(name, (interval.lower, interval.upper))?;
        }
        Ok::<_, PyErr>(dict)
    });
    let exact_instead = exact_instead.collect();
    Ok((
        metrics,
        exact_instead,
        measured.outside_grid,
        intervals.transpose()?,
    ))
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
