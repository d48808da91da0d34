//! Detectors, calibrated and not.

use crate::classifier::Classifier;
use crate::error::{invalid, of_image, raised};
use crate::fitting::{FitSummary, Outcome, methods, methods_or_all};
use crate::fork_safe::ForkSafe;
use crate::images::Images;
use crate::job::{Job, interruptible, interruptible_unless_short};
use crate::scored::{Judged, Scored};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods};
use odin::{
    CalibrationOptions, DetectorBuilder, Grid, ImageError, InputGradient, OpenDetector, Parameters,
    SavedDetector, Setting, ThresholdRule, TuneOptions, write_atomically,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A network with ODIN built into it at one setting.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct Detector {
    inner: ForkSafe<odin::Detector>,
    builder: DetectorBuilder,
    gradient: Gradient,
}

/// How the engine runs.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Engine {
    threads: usize,
    batch_size: usize,
    device: String,
    libraries: Vec<PathBuf>,
}

/// Where a detector's model is: a path, or bytes with a name.
#[derive(FromPyObject)]
enum Model {
    Path(PathBuf),
    Memory(String, Vec<u8>),
}

impl Engine {
    fn builder(self, classifier: &odin::Classifier, setting: Setting) -> PyResult<DetectorBuilder> {
        Ok(odin::Detector::builder(classifier)
            .setting(setting)
            .threads(self.threads)
            .batch_size(self.batch_size)
            .device(self.device.parse().map_err(|e: odin::Error| raised(e))?)
            .onnx_runtime(self.libraries))
    }

    fn options(self, model: Option<Model>) -> PyResult<OpenDetector> {
        let options = odin::CalibratedDetector::options()
            .threads(self.threads)
            .batch_size(self.batch_size)
            .device(self.device.parse().map_err(|e: odin::Error| raised(e))?)
            .onnx_runtime(self.libraries);
        Ok(match model {
            None => options,
            Some(Model::Path(path)) => options.model(path),
            Some(Model::Memory(name, bytes)) => options.model_bytes(name, bytes),
        })
    }
}

/// Goes through rows until the job is stopped; the first error ends it unless errors are kept.
fn collect<T, R>(
    job: &mut Job<R>,
    rows: impl Iterator<Item = Result<T, ImageError>>,
    total: usize,
    keep_errors: bool,
) -> Result<Vec<Result<T, ImageError>>, ImageError> {
    let mut collected = Vec::with_capacity(total);
    for row in rows {
        if job.is_stopped() {
            break;
        }
        match row {
            Err(error) if !keep_errors => return Err(error),
            row => collected.push(row),
        }
        job.progress(collected.len(), total);
    }
    Ok(collected)
}

fn score(
    py: Python<'_>,
    detector: Arc<odin::Detector>,
    images: &Images,
    keep_errors: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Scored> {
    let (count, images) = (images.len(), images.of_job());
    let scored = interruptible_unless_short(py, progress, count, move |job| {
        let images = images(job);
        let rows = collect(job, detector.rows(&images), images.len(), keep_errors)?;
        Ok(Scored {
            set: images.name().to_string(),
            score_names: detector.score_names().to_vec(),
            rows,
        })
    });
    scored?.map_err(of_image)
}

/// The network prepared for its input gradient, when it is first asked for.
#[derive(Default)]
struct Gradient(OnceLock<Arc<InputGradient>>);

impl Gradient {
    fn prepared(
        &self,
        py: Python<'_>,
        prepare: impl FnOnce() -> Result<InputGradient, odin::Error> + Send + 'static,
    ) -> PyResult<Arc<InputGradient>> {
        if let Some(prepared) = self.0.get() {
            return Ok(Arc::clone(prepared));
        }
        let prepared = interruptible(py, None, move |_| prepare())?;
        let prepared = Arc::new(prepared.map_err(raised)?);
        Ok(Arc::clone(self.0.get_or_init(|| prepared)))
    }
}

/// `[N, C, H, W]`.
fn gradient<'py>(
    py: Python<'py>,
    gradient: Arc<InputGradient>,
    images: &Images,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let [channels, height, width] = images.shape();
    let images = images.of_job();
    let values = interruptible(py, None, move |job| {
        let images = images(job);
        let mut values = Vec::new();
        for i in 0..images.len() {
            if job.is_stopped() {
                break;
            }
            values.extend(gradient.of_prepared(&[images.get(i)?.image])?.concat());
        }
        Ok((images.len(), values))
    });
    let (count, values) = values?.map_err(|e: odin::Error| raised(e))?;
    PyArray1::from_vec(py, values).reshape(vec![count, channels, height, width])
}

#[pymethods]
impl Detector {
    /// `scores` are fitted scores to compute beside ODIN; `statistics` is what was fitted.
    #[new]
    #[pyo3(signature = (classifier, temperature, magnitude, precision, engine, scores, statistics, i_odin))]
    #[allow(
        clippy::too_many_arguments,
        reason = "called by keyword from one place"
    )]
    fn new(
        py: Python<'_>,
        classifier: &Classifier,
        temperature: f64,
        magnitude: f64,
        precision: &str,
        engine: &Bound<'_, PyDict>,
        scores: Vec<String>,
        statistics: Vec<u8>,
        i_odin: bool,
    ) -> PyResult<Self> {
        let setting = Setting::new(temperature, magnitude).map_err(raised)?;
        let precision: odin::Precision = precision.parse().map_err(|e: odin::Error| raised(e))?;
        let setting = setting.with_precision(precision);
        let engine = engine.extract::<Engine>()?;
        let builder = engine.builder(&classifier.inner, setting)?;
        let methods = methods(scores)?;
        let build = move || {
            let fitted = builder.restore(&methods, &statistics)?;
            let builder = builder.fitted(fitted).i_odin(i_odin).free_scores()?;
            Ok((builder.clone().build()?, builder))
        };
        let built = interruptible(py, None, |_| build())?;
        let (detector, builder) = built.map_err(|e: odin::Error| raised(e))?;
        Ok(Self {
            inner: ForkSafe::new(detector),
            builder,
            gradient: Gradient::default(),
        })
    }

    /// Whether this process made it, and not the one that it was forked from.
    #[getter]
    fn is_usable(&self) -> bool {
        self.inner.is_usable()
    }

    #[getter]
    fn score_names(&self) -> PyResult<Vec<String>> {
        Ok(self.inner.get()?.score_names().to_vec())
    }

    #[getter]
    fn engine(&self) -> PyResult<String> {
        Ok(self.inner.get()?.engine())
    }

    #[getter]
    fn instructions(&self) -> PyResult<Option<String>> {
        Ok(self.inner.get()?.instructions())
    }

    #[pyo3(signature = (images, keep_errors=false, progress=None))]
    fn score(
        &self,
        py: Python<'_>,
        images: &Images,
        keep_errors: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Scored> {
        score(py, self.inner.get()?, images, keep_errors, progress)
    }

    fn gradient<'py>(
        &self,
        py: Python<'py>,
        images: &Images,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let detector = self.inner.get()?;
        let prepared = self
            .gradient
            .prepared(py, move || detector.input_gradient())?;
        gradient(py, prepared, images)
    }

    /// Fits scores to images; all that fit the network, where no names are given. The result has
    /// `names`, `statistics`, `left_out` (names and reasons) and `warnings`.
    #[pyo3(signature = (images, names, parameters, progress=None))]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        images: &Images,
        names: Option<Vec<String>>,
        parameters: &Bound<'_, PyDict>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let is_named = names.is_some();
        let methods = methods_or_all(names)?;
        let builder = self.builder.clone().parameters(parameters_of(parameters)?);
        let images = images.of_job();
        let fitted = interruptible(py, progress, move |job| {
            let (images, own) = (images(job), builder.clone());
            let progress = |p: odin::Progress| job.progress(p.done, p.total);
            let each = match is_named {
                true => own
                    .fit(&methods, Some(&images), progress)
                    .map(|fitted| fitted.into_iter().map(Ok).collect()),
                false => own.fit_each(&methods, Some(&images), progress),
            };
            Outcome::new(builder, &methods, each?)
        });
        fitted?.map_err(|e: odin::Error| raised(e))?.told(py)
    }

    /// What scores are fitted from, with these parameters; of all that are, where no names are given.
    #[pyo3(signature = (images, names, parameters, skip_errors=false, progress=None))]
    fn summarize(
        &self,
        py: Python<'_>,
        images: &Images,
        names: Option<Vec<String>>,
        parameters: &Bound<'_, PyDict>,
        skip_errors: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<FitSummary> {
        let methods = methods_or_all(names)?;
        let builder = self.builder.clone().parameters(parameters_of(parameters)?);
        let images = images.of_job();
        let summary = interruptible(py, progress, move |job| {
            let images = images(job).skip_bad(skip_errors);
            builder.summarize(&methods, &images, |p| job.progress(p.done, p.total))
        });
        Ok(FitSummary::new(summary?.map_err(raised)?))
    }

    /// As `fit`, from a summary; all that it was made for and that fit the network, where no names
    /// are given.
    fn fit_summary<'py>(
        &self,
        py: Python<'py>,
        summary: &FitSummary,
        names: Option<Vec<String>>,
        parameters: &Bound<'_, PyDict>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let named = names.map(methods).transpose()?;
        let builder = self.builder.clone().parameters(parameters_of(parameters)?);
        let summary = summary.get();
        let fitted = interruptible(py, None, move |_| {
            let own = builder.clone();
            let (methods, each) = match named {
                Some(named) => {
                    let fitted = own.fit_summary(&named, &summary)?;
                    (named, fitted.into_iter().map(Ok).collect())
                }
                None => {
                    let all = summary.methods().to_vec();
                    let each = own.fit_summary_each(&all, &summary)?;
                    (all, each)
                }
            };
            Outcome::new(builder, &methods, each)
        });
        fitted?.map_err(|e: odin::Error| raised(e))?.told(py)
    }

    /// The setting chosen, and how: `temperature`, `magnitude`, `rule`, `tuned_on`, `in_images`,
    /// `out_images`.
    #[pyo3(signature = (images, out_images, grid, objective, rule, seed, progress=None))]
    #[allow(
        clippy::too_many_arguments,
        reason = "called by keyword from one place"
    )]
    fn tune<'py>(
        &self,
        py: Python<'py>,
        images: &Images,
        out_images: Option<PyRef<'_, Images>>,
        grid: Option<(Vec<f64>, Vec<f64>)>,
        objective: Option<&str>,
        rule: Option<&str>,
        seed: u64,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut options = TuneOptions::default().seed(seed);
        if let Some((temperatures, magnitudes)) = grid {
            let grid = Grid::new(&temperatures, &magnitudes).map_err(raised)?;
            let precision = self.inner.get()?.setting().precision;
            options = options.grid(grid.with_precision(precision));
        }
        if let Some(name) = objective {
            options = options.objective(name.parse().map_err(|e: odin::Error| raised(e))?);
        }
        if let Some(name) = rule {
            options = options.in_only(name.parse().map_err(|e: odin::Error| raised(e))?);
        }
        let builder = self.builder.clone();
        let (images, out) = (
            images.of_job(),
            out_images.as_ref().map(|images| images.of_job()),
        );
        let tuned = interruptible(py, progress, move |job| {
            let images = images(job);
            let out = out.map(|out| out(job));
            options.tune(builder, &images, out.as_ref(), |_, p| {
                job.progress(p.done, p.total)
            })
        });
        let tuned = tuned?.map_err(raised)?;
        let told = PyDict::new(py);
        told.set_item("temperature", tuned.setting.temperature)?;
        told.set_item("magnitude", tuned.setting.magnitude)?;
        told.set_item("rule", tuned.rule)?;
        told.set_item("tuned_on", tuned.tuned_on)?;
        told.set_item("in_images", tuned.in_images)?;
        told.set_item("out_images", tuned.out_images)?;
        Ok(told)
    }

    /// A calibrated detector from scored images; `rule` is `tpr`, `fpr` or `detection-error`.
    #[pyo3(signature = (in_scored, out_scored, scores, rule, rate, per_class))]
    fn calibrate(
        &self,
        in_scored: &Scored,
        out_scored: Option<PyRef<'_, Scored>>,
        scores: Vec<String>,
        rule: &str,
        rate: f64,
        per_class: bool,
    ) -> PyResult<CalibratedDetector> {
        let rule = match rule {
            "tpr" => ThresholdRule::Tpr(rate),
            "fpr" => ThresholdRule::Fpr(rate),
            _ => ThresholdRule::DetectionError,
        };
        let detector = self.inner.get()?;
        let detector = detector.with_setting(detector.setting()).map_err(raised)?;
        let in_set = in_scored.scored_set()?;
        let out_set = out_scored.map(|out| out.scored_set()).transpose()?;
        let options = CalibrationOptions::default()
            .scores(scores)
            .rule(rule)
            .per_class(per_class);
        let calibrated = options.calibrate(detector, &in_set, out_set.as_ref());
        Ok(CalibratedDetector::new(calibrated.map_err(raised)?))
    }
}

/// The parameters of scores, by the names of the library.
fn parameters_of(given: &Bound<'_, PyDict>) -> PyResult<Parameters> {
    let mut parameters = Parameters::default();
    for (name, value) in given {
        let name = name.extract::<String>()?;
        let set = set_parameter(&mut parameters, &name, &value);
        set.map_err(|e| invalid(format!("{name}: {}", e.value(given.py()))))?;
    }
    Ok(parameters)
}

fn set_parameter(
    parameters: &mut Parameters,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    match name {
        "kept_images" => parameters.kept_images = value.extract()?,
        "gen_gamma" => parameters.gen_gamma = value.extract()?,
        "gen_top" => parameters.gen_top = value.extract()?,
        "knn_k" => parameters.knn_k = value.extract()?,
        "knn_share" => parameters.knn_share = value.extract()?,
        "knn_seed" => parameters.knn_seed = value.extract()?,
        "knn_images" => parameters.knn_images = value.extract()?,
        "nn_guide_k" => parameters.nn_guide_k = value.extract()?,
        "nn_guide_share" => parameters.nn_guide_share = value.extract()?,
        "nn_guide_seed" => parameters.nn_guide_seed = value.extract()?,
        "nn_guide_images" => parameters.nn_guide_images = value.extract()?,
        "weiper_distance" => parameters.weiper_distance = value.extract()?,
        "weiper_repeats" => parameters.weiper_repeats = value.extract()?,
        "weiper_lambda1" => parameters.weiper_lambda1 = value.extract()?,
        "weiper_lambda2" => parameters.weiper_lambda2 = value.extract()?,
        "weiper_bins" => parameters.weiper_bins = value.extract()?,
        "weiper_feature_width" => parameters.weiper_feature_width = value.extract()?,
        "weiper_logit_width" => parameters.weiper_logit_width = value.extract()?,
        "weiper_feature_floor" => parameters.weiper_feature_floor = value.extract()?,
        "weiper_logit_floor" => parameters.weiper_logit_floor = value.extract()?,
        "weiper_images" => parameters.weiper_images = value.extract()?,
        "weiper_seed" => parameters.weiper_seed = value.extract()?,
        "vim_dimension" => parameters.vim_dimension = value.extract()?,
        "react_quantile" => parameters.react_quantile = value.extract()?,
        "adascale_o" => parameters.adascale_o = value.extract()?,
        "adascale_epsilon" => parameters.adascale_epsilon = value.extract()?,
        "adascale_k1" => parameters.adascale_k1 = value.extract()?,
        "adascale_k2" => parameters.adascale_k2 = value.extract()?,
        "adascale_lambda" => parameters.adascale_lambda = value.extract()?,
        "adascale_pmin" => parameters.adascale_pmin = value.extract()?,
        "adascale_pmax" => parameters.adascale_pmax = value.extract()?,
        "react_map_quantile" => parameters.react_map_quantile = value.extract()?,
        "ash_map_pruned" => parameters.ash_map_pruned = value.extract()?,
        "scale_map_pruned" => parameters.scale_map_pruned = value.extract()?,
        "ash_pruned" => parameters.ash_pruned = value.extract()?,
        "scale_pruned" => parameters.scale_pruned = value.extract()?,
        "lts_pruned" => parameters.lts_pruned = value.extract()?,
        "vra_lower" => parameters.vra_lower = value.extract()?,
        "vra_upper" => parameters.vra_upper = value.extract()?,
        "dice_pruned" => parameters.dice_pruned = value.extract()?,
        "mcm_temperature" => parameters.mcm_temperature = value.extract()?,
        "nci_alpha" => parameters.nci_alpha = value.extract()?,
        _ => {
            return Err(invalid(
                "there is no such parameter; they are kept_images, gen_gamma, gen_top, knn_k, \
                 knn_share, knn_seed, knn_images, nn_guide_k, \
                 nn_guide_share, nn_guide_seed, nn_guide_images, weiper_distance, weiper_repeats, weiper_lambda1, \
                 weiper_lambda2, weiper_bins, weiper_feature_width, weiper_logit_width, \
                 weiper_feature_floor, weiper_logit_floor, weiper_images, weiper_seed, vim_dimension, react_quantile, \
                 ash_pruned, scale_pruned, lts_pruned, vra_lower, vra_upper, dice_pruned, adascale_o, \
                 adascale_epsilon, adascale_k1, adascale_k2, adascale_lambda, adascale_pmin, \
                 adascale_pmax, react_map_quantile, ash_map_pruned, scale_map_pruned, \
                 mcm_temperature and nci_alpha",
            ));
        }
    }
    Ok(())
}

/// A calibrated detector.
#[pyclass(frozen, module = "odin_ood._native")]
pub(crate) struct CalibratedDetector {
    inner: ForkSafe<odin::CalibratedDetector>,
    gradient: Gradient,
}

impl CalibratedDetector {
    fn new(detector: odin::CalibratedDetector) -> Self {
        Self {
            inner: ForkSafe::new(detector),
            gradient: Gradient::default(),
        }
    }
}

/// `msp`, `odin`, then the others as they were calibrated: the same whenever it is opened again.
fn score_names(detector: &odin::CalibratedDetector) -> Vec<String> {
    let calibrated = detector.record().scores.iter().map(|score| &score.name);
    let computed = detector.detector().score_names();
    let mut names: Vec<String> = computed.iter().take(2).cloned().collect();
    for name in calibrated {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

#[pymethods]
impl CalibratedDetector {
    /// Opens a `detector.toml`.
    #[staticmethod]
    #[pyo3(signature = (path, engine, model=None))]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        engine: &Bound<'_, PyDict>,
        model: Option<Model>,
    ) -> PyResult<Self> {
        let options = engine.extract::<Engine>()?.options(model)?;
        let opened = interruptible(py, None, move |_| options.open(path))?;
        Ok(Self::new(opened.map_err(raised)?))
    }

    /// Opens what `to_saved` gave.
    #[staticmethod]
    #[pyo3(signature = (toml, statistics, engine, model=None))]
    fn restore(
        py: Python<'_>,
        toml: String,
        statistics: Option<Vec<u8>>,
        engine: &Bound<'_, PyDict>,
        model: Option<Model>,
    ) -> PyResult<Self> {
        let options = engine.extract::<Engine>()?.options(model)?;
        let saved = SavedDetector::new(toml, statistics);
        let opened = interruptible(py, None, move |_| options.restore(&saved))?;
        Ok(Self::new(opened.map_err(raised)?))
    }

    /// `(toml, statistics)`.
    fn to_saved<'py>(&self, py: Python<'py>) -> PyResult<(String, Option<Bound<'py, PyBytes>>)> {
        let saved = self.inner.get()?.to_saved().map_err(raised)?;
        let statistics = saved.statistics.map(|bytes| PyBytes::new(py, &bytes));
        Ok((saved.toml, statistics))
    }

    #[getter]
    fn is_usable(&self) -> bool {
        self.inner.is_usable()
    }

    #[getter]
    fn classifier(&self) -> PyResult<Classifier> {
        let inner = self.inner.get()?.classifier().clone();
        Ok(Classifier { inner })
    }

    #[getter]
    fn temperature(&self) -> PyResult<f64> {
        Ok(self.inner.get()?.record().setting.temperature)
    }

    #[getter]
    fn magnitude(&self) -> PyResult<f64> {
        Ok(self.inner.get()?.record().setting.magnitude)
    }

    #[getter]
    fn precision(&self) -> PyResult<&'static str> {
        Ok(self.inner.get()?.record().setting.precision.as_str())
    }

    #[getter]
    fn instructions(&self) -> PyResult<Option<String>> {
        Ok(self.inner.get()?.detector().instructions())
    }

    #[getter]
    fn score_names(&self) -> PyResult<Vec<String>> {
        Ok(score_names(&*self.inner.get()?))
    }

    /// The calibrated scores, the deciding one first: names and thresholds.
    #[getter]
    fn thresholds(&self) -> PyResult<Vec<(String, f64)>> {
        let detector = self.inner.get()?;
        let scores = detector.record().scores.iter();
        Ok(scores
            .map(|score| (score.name.clone(), score.threshold))
            .collect())
    }

    /// The path of the model, or what it is called in memory.
    #[getter]
    fn model_path(&self) -> PyResult<String> {
        Ok(self.inner.get()?.classifier().file().name.clone())
    }

    #[getter]
    fn model_sha256(&self) -> PyResult<String> {
        Ok(self.inner.get()?.record().model.sha256.clone())
    }

    /// Identifies the detector: two of one checksum judge alike.
    #[getter]
    fn checksum(&self) -> PyResult<String> {
        Ok(self.inner.get()?.record().checksum())
    }

    #[pyo3(signature = (images, keep_errors=false, progress=None))]
    fn judge(
        &self,
        py: Python<'_>,
        images: &Images,
        keep_errors: bool,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Judged> {
        let (detector, count, images) = (self.inner.get()?, images.len(), images.of_job());
        let judged = interruptible_unless_short(py, progress, count, move |job| {
            let images = images(job);
            let rows = collect(job, detector.judge(&images), images.len(), keep_errors)?;
            Ok(Judged {
                score_names: score_names(&detector),
                rows,
            })
        });
        judged?.map_err(of_image)
    }

    fn gradient<'py>(
        &self,
        py: Python<'py>,
        images: &Images,
    ) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let detector = self.inner.get()?;
        let prepare = move || detector.detector().input_gradient();
        gradient(py, self.gradient.prepared(py, prepare)?, images)
    }

    /// Writes the `detector.toml`, and the model beside it where its bytes are given.
    #[pyo3(signature = (path, model=None))]
    fn save(&self, path: PathBuf, model: Option<Vec<u8>>) -> PyResult<()> {
        let detector = self.inner.get()?;
        let saved = match model {
            Some(bytes) => detector.save_with_model(path, &bytes),
            None => detector.save(path),
        };
        saved.map(|_| ()).map_err(raised)
    }

    /// Writes the detector as one ONNX file.
    #[pyo3(signature = (path, p_values=false))]
    fn compile(&self, path: PathBuf, p_values: bool) -> PyResult<()> {
        let detector = self.inner.get()?;
        let written = detector
            .compile_options()
            .and_then(|options| odin::compile(detector.classifier(), &options.p_values(p_values)))
            .and_then(|file| write_atomically(path, &file));
        written.map_err(raised)
    }
}
