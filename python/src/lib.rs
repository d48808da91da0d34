//! The native part of the Python package `odin_ood`: the library `odin`, with arrays, callbacks and
//! errors as Python has them. The classes that users see are written in Python (`odin_ood/`) and
//! add checks of arguments and docstrings to these.

mod arrow;
mod classifier;
mod detector;
mod error;
mod fitting;
mod fork_safe;
mod images;
mod job;
mod metrics;
mod scored;

use pyo3::prelude::*;

/// The native part of `odin_ood`; not an interface of its own.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::arrow::arrow_stream;
    #[pymodule_export]
    use super::classifier::Classifier;
    #[pymodule_export]
    use super::detector::{CalibratedDetector, Detector};
    #[pymodule_export]
    use super::fitting::FitSummary;
    #[pymodule_export]
    use super::images::Images;
    #[pymodule_export]
    use super::metrics::{
        HistogramSketch, evaluate, precision_recall_curve, read_scores, roc_curve,
        threshold_for_tpr,
    };
    #[pymodule_export]
    use super::scored::{Judged, Scored};

    use super::*;

    /// The version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "it is Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Looks NumPy up now: an interrupt while it is looked up at first use would be a panic.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) {
        let _ = numpy::PyArray1::<f64>::zeros(module.py(), 0, false);
    }

    /// The command line `odin`, with the program's name as the first argument; its exit status.
    #[pyfunction]
    fn run_command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
        py.detach(|| odin_cli::run(arguments))
    }

    /// How many threads this process may use: of its affinity, and of its quota of processor time.
    #[pyfunction]
    fn available_threads() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
