//! Calibrated detectors: a network, a setting, scores and thresholds as one value, which judges
//! images.

use super::decision::Decision;
use super::record::{DetectorRecord, Statistics, damaged};
use crate::detect::{restore_statistics, statistics_to_bytes};
use crate::files::{Destination, folder_of, replace};
use crate::model::ModelSource;
use crate::names::{I_ODIN, MSP, ODIN};
use crate::{
    Classifier, ClassifierOptions, CompileOptions, Detector, DetectorBuilder, Device, Error,
    ErrorKind, ImageError, Images, Row, Rows, Score,
};
use odin_data::Image;
use odin_scores::{Fitted, Method, Scorer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A calibrated detector: it decides about images by what it was calibrated with, and can be given
/// nothing else.
///
/// ```
/// # let demo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
/// use odin::CalibratedDetector;
///
/// let detector = CalibratedDetector::open(demo.join("detector.toml"))?;
/// let photos = detector.open_images(demo.join("near.npy"))?.range(0..3);
/// for verdict in detector.judge(&photos) {
///     let verdict = verdict?;
///     println!("{}: {}", verdict.name, verdict.decision.is_in_distribution);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CalibratedDetector {
    record: DetectorRecord,
    detector: Detector,
}

/// The verdict of a calibrated detector on one image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// The image's name in its set.
    pub name: String,
    /// Its true class, where the set knows it.
    pub label: Option<usize>,
    /// The predicted class and all scores.
    pub score: Score,
    /// What the score that decides says.
    pub decision: Decision,
}

/// The verdicts on images in their order, computed on demand, a batch at a time, while later images
/// are decoded.
#[derive(Debug)]
#[must_use = "images are judged as they are asked for"]
pub struct Verdicts<'a> {
    record: &'a DetectorRecord,
    rows: Rows<'a>,
}

impl Iterator for Verdicts<'_> {
    type Item = Result<Verdict, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let verdict = |Row { name, label, score }| match self.record.decide(&score) {
            Ok(decision) => Ok(Verdict {
                name,
                label,
                score,
                decision,
            }),
            Err(error) => Err(ImageError { name, error }),
        };
        Some(self.rows.next()?.and_then(verdict))
    }
}

impl CalibratedDetector {
    pub(super) fn new(record: DetectorRecord, detector: Detector) -> Self {
        Self { record, detector }
    }

    /// Opens a `detector.toml`, the model that it names, and the statistics beside it.
    ///
    /// # Errors
    /// When one of the files cannot be read, was changed, or is not the one that the detector was
    /// calibrated with; [`ErrorKind::MissingScorer`] when it has a user-defined score
    /// ([`OpenDetector::scorer`]).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open(path)
    }

    /// How a detector is opened: threads, device, user-defined scores, another path of the model.
    /// None of these changes a score.
    pub fn options() -> OpenDetector {
        OpenDetector {
            model: None,
            threads: 1,
            batch_size: 32,
            device: Device::Cpu,
            libraries: Vec::new(),
            engine_cache: None,
            scorers: Vec::new(),
            keep: Vec::new(),
        }
    }

    /// What it decides by.
    pub fn record(&self) -> &DetectorRecord {
        &self.record
    }

    /// How [`compile`](crate::compile) makes one file of it, with all of its scores.
    ///
    /// # Errors
    /// When a score is user-defined.
    pub fn compile_options(&self) -> Result<CompileOptions, Error> {
        CompileOptions::calibrated(&self.record, self.detector.fitted())
    }

    /// What computes its scores.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// The network.
    pub fn classifier(&self) -> &Classifier {
        self.detector.classifier()
    }

    /// As [`Classifier::open_images`].
    ///
    /// # Errors
    /// As [`Classifier::open_images`].
    pub fn open_images(&self, path: impl AsRef<Path>) -> Result<Images, Error> {
        self.classifier().open_images(path)
    }

    /// Judges images one after the other: each gives a verdict, or the reason why there is none.
    pub fn judge(&self, images: &Images) -> Verdicts<'_> {
        Verdicts {
            record: &self.record,
            rows: self.detector.rows(images),
        }
    }

    /// Judges images as they were decoded: the model's transform is applied to them first. Their
    /// names are their places.
    ///
    /// # Errors
    /// When an image has not the shape that the network takes, or a score is not a number.
    pub fn judge_decoded(&self, decoded: &[Image]) -> Result<Vec<Verdict>, Error> {
        let scores = self.detector.score(decoded)?.into_iter().enumerate();
        scores
            .map(|(place, score)| self.verdict(place, score))
            .collect()
    }

    /// Judges images of the network's shape, as [`Images::get`] gives them, in one batch. Their
    /// names are their places. What is wrong with one of them is its own error.
    ///
    /// # Errors
    /// When an image has another shape, or the engine fails.
    pub fn judge_prepared(&self, images: &[Image]) -> Result<Vec<Result<Verdict, Error>>, Error> {
        let scores = self.detector.score_prepared(images)?.into_iter();
        let verdict = |(place, score): (usize, Result<Score, Error>)| self.verdict(place, score?);
        Ok(scores.enumerate().map(verdict).collect())
    }

    fn verdict(&self, place: usize, score: Score) -> Result<Verdict, Error> {
        Ok(Verdict {
            name: place.to_string(),
            label: None,
            decision: self.record.decide(&score)?,
            score,
        })
    }

    /// Writes the detector: first what was fitted, into a file beside it whose name holds its hash,
    /// then the `detector.toml`, which appears under its name whole or not at all. Whenever this is
    /// interrupted, the detector that was there opens, or the new one does. What the former had
    /// fitted is removed at last, where no other detector in the folder names it. Gives the record
    /// as it was written, with the places of model and statistics.
    ///
    /// # Errors
    /// When a file cannot be written, or the model's file is not there any more.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<DetectorRecord, Error> {
        let destination = Destination::of(path)?;
        let folder = folder_of(destination.path());
        let model = from_folder(folder, &self.classifier().file().name)?;
        self.save_naming(model, &destination)
    }

    /// As [`CalibratedDetector::save`], for a model that is in memory only: its bytes are written,
    /// too, into a file beside the detector whose name holds their hash.
    ///
    /// # Errors
    /// When a file cannot be written, or these are not the bytes of the model.
    pub fn save_with_model(
        &self,
        path: impl AsRef<Path>,
        model: &[u8],
    ) -> Result<DetectorRecord, Error> {
        let destination = Destination::of(path)?;
        let source = ModelSource::of_bytes(model, &self.classifier().file().name);
        if source.sha256 != self.record.model.sha256 {
            return Err(other_model(&self.record, &source));
        }
        let path = destination.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}.{}.{}", &source.sha256[..12], source.extension());
        replace(&folder_of(path).join(&name), model)?;
        self.save_naming(name.into(), &destination)
    }

    fn save_naming(
        &self,
        model: PathBuf,
        destination: &Destination,
    ) -> Result<DetectorRecord, Error> {
        let path = destination.path();
        let folder = folder_of(path);
        let replaced = DetectorRecord::open(path).ok();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let (mut record, statistics) = self.record_as(&stem)?;
        record.model.path = model;
        if let (Some(named), Some(bytes)) = (&record.statistics, statistics) {
            replace(&folder.join(&named.file), &bytes)?;
        }
        destination.write(record.to_toml().as_bytes())?;
        if let Some(former) = replaced.and_then(|record| record.statistics) {
            former.remove_if_unused(folder);
        }
        Ok(record)
    }

    /// What [`CalibratedDetector::save`] writes, in memory, but for the model.
    ///
    /// # Errors
    /// When what was fitted is too large for its format.
    pub fn to_saved(&self) -> Result<SavedDetector, Error> {
        let (record, statistics) = self.record_as("detector")?;
        Ok(SavedDetector {
            toml: record.to_toml(),
            statistics,
        })
    }

    /// The record that names its statistics by this stem, and their bytes.
    fn record_as(&self, stem: &str) -> Result<(DetectorRecord, Option<Vec<u8>>), Error> {
        let mut record = self.record.clone();
        let named = |fitted: &&Fitted| {
            let name = fitted.method().name();
            record.scores.iter().any(|score| score.name == name)
        };
        let fitted: Vec<_> = self
            .detector
            .fitted()
            .iter()
            .filter(named)
            .cloned()
            .collect();
        let bytes = statistics_to_bytes(&fitted)?;
        record.statistics = bytes.as_ref().map(|bytes| Statistics::beside(stem, bytes));
        Ok((record, bytes))
    }
}

/// What a saved detector consists of, but for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedDetector {
    /// The `detector.toml`.
    pub toml: String,
    /// What was fitted, the content of the file beside it; `None` where nothing was.
    pub statistics: Option<Vec<u8>>,
}

impl SavedDetector {
    /// A detector of these parts, which [`OpenDetector::restore`] checks.
    pub fn new(toml: impl Into<String>, statistics: Option<Vec<u8>>) -> Self {
        Self {
            toml: toml.into(),
            statistics,
        }
    }
}

/// The folders in which the files of a detector are looked for: that of its path, and where this
/// is a symbolic link, that of the file.
fn folders_of(path: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder_of(path).to_path_buf()];
    if let Ok(real) = path.canonicalize() {
        folders.push(folder_of(&real).to_path_buf());
    }
    folders
}

/// A file of a detector, in the first of the folders that has it.
fn beside(folders: &[PathBuf], file: &Path) -> PathBuf {
    let mut places = folders.iter().map(|folder| folder.join(file));
    let first = places.next().unwrap_or(file.to_path_buf());
    match first.exists() {
        true => first,
        false => places.find(|path| path.exists()).unwrap_or(first),
    }
}

/// Where the model of a detector is, other than where the detector says.
#[derive(Debug, Clone)]
enum ModelAt {
    Path(PathBuf),
    Memory { name: String, bytes: Arc<[u8]> },
}

/// How a calibrated detector is opened.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until `open` is called"]
pub struct OpenDetector {
    model: Option<ModelAt>,
    threads: usize,
    batch_size: usize,
    device: Device,
    libraries: Vec<PathBuf>,
    engine_cache: Option<PathBuf>,
    scorers: Vec<Arc<dyn Scorer>>,
    keep: Vec<String>,
}

impl OpenDetector {
    /// The present path of the model; that in the detector, unless set.
    pub fn model(mut self, path: impl Into<PathBuf>) -> Self {
        self.model = Some(ModelAt::Path(path.into()));
        self
    }

    /// The model itself, in memory; `name` is what errors call it.
    pub fn model_bytes(mut self, name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.model = Some(ModelAt::Memory {
            name: name.into(),
            bytes: bytes.into(),
        });
        self
    }

    /// As [`DetectorBuilder::threads`].
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// As [`DetectorBuilder::batch_size`].
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// As [`DetectorBuilder::device`].
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// As [`DetectorBuilder::onnx_runtime`].
    pub fn onnx_runtime(mut self, libraries: impl IntoIterator<Item = PathBuf>) -> Self {
        self.libraries = libraries.into_iter().collect();
        self
    }

    /// As [`DetectorBuilder::engine_cache`].
    pub fn engine_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.engine_cache = Some(folder.into());
        self
    }

    /// Registers a user-defined score that the detector was calibrated with, by its name.
    pub fn scorer(mut self, scorer: impl Scorer + 'static) -> Self {
        self.scorers.push(Arc::new(scorer));
        self
    }

    /// Computes only these of the calibrated scores; the first decides. All, as they were
    /// calibrated, unless set.
    pub fn scores(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.keep = names.into_iter().map(Into::into).collect();
        self
    }

    /// Opens a `detector.toml`.
    ///
    /// # Errors
    /// As [`CalibratedDetector::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<CalibratedDetector, Error> {
        let path = path.as_ref();
        let (record, builder) = self.unprepared(path)?;
        let detector = builder.build().map_err(|e| e.about(path.display()))?;
        Ok(CalibratedDetector::new(record, detector))
    }

    /// Reads a `detector.toml`, the network that it names, and what was fitted for its scores,
    /// without preparing the network to be run: what
    /// [`CompileOptions::calibrated`](crate::CompileOptions::calibrated) is made of.
    ///
    /// # Errors
    /// As [`CalibratedDetector::open`].
    pub fn parts(
        self,
        path: impl AsRef<Path>,
    ) -> Result<(DetectorRecord, Classifier, Vec<Fitted>), Error> {
        let (record, builder) = self.unprepared(path.as_ref())?;
        let fitted = builder.fitted_scores().to_vec();
        Ok((record, builder.classifier().clone(), fitted))
    }

    /// A builder of what computes the scores of a `detector.toml`.
    ///
    /// # Errors
    /// As [`CalibratedDetector::open`].
    pub fn builder(self, path: impl AsRef<Path>) -> Result<DetectorBuilder, Error> {
        Ok(self.unprepared(path.as_ref())?.1)
    }

    fn unprepared(&self, path: &Path) -> Result<(DetectorRecord, DetectorBuilder), Error> {
        let record = DetectorRecord::open(path)?;
        let folders = folders_of(path);
        let read = |statistics: &Statistics| {
            let path = beside(&folders, Path::new(&statistics.file));
            Ok((statistics.read(&path)?, path.display().to_string()))
        };
        let builder = self.builder_of(record, &folders, read);
        builder.map_err(|e| e.about(path.display()))
    }

    /// Opens what [`CalibratedDetector::to_saved`] gave, with the model that
    /// [`OpenDetector::model`] or [`OpenDetector::model_bytes`] names, or else the detector.
    ///
    /// # Errors
    /// As [`CalibratedDetector::open`].
    pub fn restore(self, saved: &SavedDetector) -> Result<CalibratedDetector, Error> {
        let record = DetectorRecord::from_toml(&saved.toml)?;
        let read = |statistics: &Statistics| {
            let bytes = saved.statistics.as_deref().unwrap_or_default();
            let name = "the statistics of the detector";
            match Statistics::of("", bytes).sha256 == statistics.sha256 {
                true => Ok((bytes.to_vec(), name.to_string())),
                false => Err(damaged("they are not those of this detector").about(name)),
            }
        };
        let (record, builder) = self.builder_of(record, &[], read)?;
        Ok(CalibratedDetector::new(record, builder.build()?))
    }

    /// The scores of a record to be computed, and a builder for them; `read` gives its statistics and
    /// what errors call them.
    fn builder_of(
        &self,
        mut record: DetectorRecord,
        folders: &[PathBuf],
        read: impl Fn(&Statistics) -> Result<(Vec<u8>, String), Error>,
    ) -> Result<(DetectorRecord, DetectorBuilder), Error> {
        if !self.keep.is_empty() {
            record.keep(&self.keep)?;
        }
        let classifier = self.classifier(&record, folders)?;
        let builder = Detector::builder(&classifier)
            .setting(record.setting)
            .threads(self.threads)
            .batch_size(self.batch_size)
            .device(self.device)
            .onnx_runtime(self.libraries.clone());
        let builder = match &self.engine_cache {
            Some(folder) => builder.engine_cache(folder),
            None => builder,
        };
        let builder = self.with_scores(builder, &record, &classifier, read)?;
        Ok((record, builder))
    }

    /// Opens the network of a detector whose file lies in one of these folders.
    ///
    /// # Errors
    /// When the file is not there, is not the one that the detector was calibrated with, or cannot
    /// be read.
    fn classifier(
        &self,
        record: &DetectorRecord,
        folders: &[PathBuf],
    ) -> Result<Classifier, Error> {
        let source = match &self.model {
            Some(ModelAt::Memory { name, bytes }) => ModelSource::of_bytes(bytes, name),
            Some(ModelAt::Path(path)) => model_at(path)?,
            None => model_at(&beside(folders, &record.model.path))?,
        };
        if source.sha256 != record.model.sha256 {
            return Err(other_model(record, &source));
        }
        // The detector says all that a `model.toml` beside the model could, which is not read.
        let options = ClassifierOptions::of_detector(record.model.config.clone());
        Classifier::from_source(&source, options)
    }

    /// A builder that computes the scores of a detector.
    fn with_scores(
        &self,
        builder: DetectorBuilder,
        record: &DetectorRecord,
        classifier: &Classifier,
        read: impl Fn(&Statistics) -> Result<(Vec<u8>, String), Error>,
    ) -> Result<DetectorBuilder, Error> {
        let (mut methods, mut own) = (Vec::new(), Vec::new());
        let has = |name: &str| record.scores.iter().any(|score| score.name == name);
        for score in &record.scores {
            let name = score.name.as_str();
            let registered = self.scorers.iter().find(|scorer| scorer.name() == name);
            match (name, registered, name.parse::<Method>()) {
                (MSP | ODIN | I_ODIN, ..) => {}
                (_, Some(scorer), _) => own.push(Arc::clone(scorer)),
                (_, None, Ok(method)) => methods.push(method),
                (_, None, Err(_)) => {
                    let problem = format!(
                        "the detector has the score {name}, which is not one of this library's; register it when opening"
                    );
                    return Err(Error::new(ErrorKind::MissingScorer, problem));
                }
            }
        }
        let fitted = match methods.is_empty() {
            true => Vec::new(),
            false => {
                let statistics = record.statistics.as_ref().map(read).transpose()?;
                let (bytes, name) = statistics.unwrap_or_default();
                restore_statistics(classifier, &methods, &bytes).map_err(|e| match &name[..] {
                    "" => e,
                    name => e.about(name),
                })?
            }
        };
        let builder = builder.odin(has(ODIN)).i_odin(has(I_ODIN));
        Ok(builder.fitted(fitted).scorers(own))
    }
}

/// The model at a path.
fn model_at(path: &Path) -> Result<ModelSource, Error> {
    match path.exists() {
        true => ModelSource::open(path),
        false => Err(Error::new(
            ErrorKind::NotFound,
            format!("the model {} of the detector is not there", path.display()),
        )),
    }
}

/// The file is not the model that the detector was calibrated with; what differs.
fn other_model(record: &DetectorRecord, source: &ModelSource) -> Error {
    let own = &record.model;
    let mut differences = vec![format!(
        "SHA-256 {} instead of {}",
        source.sha256, own.sha256
    )];
    if let Ok(found) = Classifier::from_source(source, ClassifierOptions::default()) {
        if found.architecture() != own.architecture {
            let (found, own) = (found.architecture(), &own.architecture);
            differences.push(format!("{found} instead of {own}"));
        }
        if found.classes() != own.classes {
            let (found, own) = (found.classes(), own.classes);
            differences.push(format!("{found} classes instead of {own}"));
        }
    }
    let problem = format!(
        "this is not the model that the detector was calibrated with: {}; thresholds hold for one model only: calibrate again, or give the right file",
        differences.join(", ")
    );
    Error::new(ErrorKind::OtherModel, problem).about(&source.name)
}

/// The path of a file as a file in `folder` names it: relative where it lies in it or below.
fn from_folder(folder: &Path, path: &str) -> Result<PathBuf, Error> {
    let whole = |path: &Path| {
        let about = |e| Error::from_cause(ErrorKind::Io, e).about(path.display());
        path.canonicalize().map_err(about)
    };
    let (path, folder) = (whole(Path::new(path))?, whole(folder)?);
    Ok(path
        .strip_prefix(&folder)
        .map_or(path.clone(), Path::to_path_buf))
}
