//! Scores and verdicts as columns.

use crate::error::of_image;
use numpy::PyArray1;
use odin::{Decision, ImageError, Row, Score, ScoredSet, Verdict};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Scored images, each with its scores or the reason why it has none.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct Scored {
    pub(crate) set: String,
    pub(crate) score_names: Vec<String>,
    pub(crate) rows: Vec<Result<Row, ImageError>>,
}

impl Scored {
    /// The images with scores.
    ///
    /// # Errors
    /// That of the first image that has none.
    pub(crate) fn scored_set(&self) -> PyResult<ScoredSet> {
        let rows = self.rows.iter().cloned();
        let rows = rows.collect::<Result<Vec<Row>, _>>().map_err(of_image)?;
        Ok(ScoredSet::new(&self.set, &self.score_names, rows))
    }
}

#[pymethods]
impl Scored {
    /// These and those of others behind them.
    #[staticmethod]
    fn joined(parts: Vec<PyRef<'_, Scored>>) -> Self {
        let first = parts.first();
        Self {
            set: first.map(|part| part.set.clone()).unwrap_or_default(),
            score_names: first
                .map(|part| part.score_names.clone())
                .unwrap_or_default(),
            rows: parts
                .iter()
                .flat_map(|part| part.rows.iter().cloned())
                .collect(),
        }
    }

    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// The columns by name: `file`, `label`, `prediction`, the scores, and `error` where an image
    /// has none.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = self.rows.iter().map(|row| match row {
            Ok(row) => Ok((&row.name[..], row.label, &row.score)),
            Err(error) => Err(error),
        });
        columns(py, &self.score_names, rows)
    }
}

/// Judged images.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct Judged {
    pub(crate) score_names: Vec<String>,
    pub(crate) rows: Vec<Result<Verdict, ImageError>>,
}

#[pymethods]
impl Judged {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// Those of scored images, and `percentile`, `p_value`, `threshold` and `is_in_distribution`.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let rows = self.rows.iter().map(|row| match row {
            Ok(row) => Ok((&row.name[..], row.label, &row.score)),
            Err(error) => Err(error),
        });
        let columns = columns(py, &self.score_names, rows)?;
        let decisions = || {
            self.rows
                .iter()
                .map(|row| row.as_ref().ok().map(|row| &row.decision))
        };
        let real = |value: fn(&Decision) -> f64| {
            let values = decisions().map(|decision| decision.map_or(f64::NAN, value));
            PyArray1::from_iter(py, values)
        };
        columns.set_item("percentile", real(|decision| decision.percentile))?;
        columns.set_item("p_value", real(|decision| decision.p_value))?;
        columns.set_item("threshold", real(|decision| decision.threshold))?;
        let known = decisions().map(|decision| decision.is_some_and(|d| d.is_in_distribution));
        columns.set_item("is_in_distribution", PyArray1::from_iter(py, known))?;
        Ok(columns)
    }
}

fn columns<'py, 'a>(
    py: Python<'py>,
    score_names: &[String],
    rows: impl Iterator<Item = Result<(&'a str, Option<usize>, &'a Score), &'a ImageError>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (mut names, mut labels, mut predictions, mut errors) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut scores = vec![Vec::new(); score_names.len()];
    for row in rows {
        match row {
            Ok((name, label, score)) => {
                names.push(name);
                labels.push(label.map_or(-1, |label| label as i64));
                predictions.push(score.prediction as i64);
                for (column, name) in scores.iter_mut().zip(score_names) {
                    column.push(score.get(name).unwrap_or(f64::NAN));
                }
                errors.push(None);
            }
            Err(error) => {
                names.push(&error.name);
                labels.push(-1);
                predictions.push(-1);
                scores.iter_mut().for_each(|column| column.push(f64::NAN));
                errors.push(Some(error.to_string()));
            }
        }
    }
    let columns = PyDict::new(py);
    columns.set_item("file", PyList::new(py, names)?)?;
    columns.set_item("label", PyArray1::from_vec(py, labels))?;
    columns.set_item("prediction", PyArray1::from_vec(py, predictions))?;
    for (name, values) in score_names.iter().zip(scores) {
        columns.set_item(name, PyArray1::from_vec(py, values))?;
    }
    if errors.iter().any(Option::is_some) {
        columns.set_item("error", PyList::new(py, errors)?)?;
    }
    Ok(columns)
}
