//! The detectors that are served, and how they are opened again.

use crate::batcher::Batcher;
use crate::error::{Error, ErrorKind};
use crate::info::DetectorInfo;
use crate::options::ServeOptions;
use crate::refusal::{Reason, Refusal};
use crate::telemetry::DetectorMetrics;
use odin::{CalibratedDetector, Image, Images, InputGradient, OpenDetector};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Where detectors are opened from, again at each reload.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) files: Vec<PathBuf>,
    /// Threads, device, the model's path: what changes no score.
    pub(crate) open: OpenDetector,
}

/// A detector that is served.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) info: DetectorInfo,
    pub(crate) detector: Arc<CalibratedDetector>,
    pub(crate) batcher: Batcher,
    pub(crate) metrics: Arc<DetectorMetrics>,
    /// Prepared when it is first asked for.
    gradient: Mutex<Option<InputGradient>>,
}

/// The detectors that are served at the moment. Requests that began before a reload end with the
/// detectors that they began with.
#[derive(Debug)]
pub(crate) struct Detectors(RwLock<Arc<[Arc<Served>]>>);

impl Detectors {
    /// # Errors
    /// When one does not open, there is none, or two have the same name.
    pub(crate) fn open(sources: &Sources, options: &ServeOptions) -> Result<Self, Error> {
        let served = open_all(sources, options, &[])?;
        Ok(Self(RwLock::new(served.into())))
    }

    /// Opens all anew; where one does not open, all stay as they are.
    ///
    /// # Errors
    /// As [`Detectors::open`].
    pub(crate) fn reload(&self, sources: &Sources, options: &ServeOptions) -> Result<(), Error> {
        let anew = open_all(sources, options, &self.all())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = anew.into();
        Ok(())
    }

    /// Says which there are.
    pub(crate) fn log(&self, what: &str) {
        for served in self.all().iter() {
            let DetectorInfo { name, version, .. } = &served.info;
            tracing::info!(detector = name, version, "{what}");
        }
    }

    pub(crate) fn all(&self) -> Arc<[Arc<Served>]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The detector of this name, and of this version where one is given; without a name the only
    /// one.
    pub(crate) fn find(
        &self,
        name: Option<&str>,
        version: Option<&str>,
    ) -> Result<Arc<Served>, Refusal> {
        let all = self.all();
        let found = match (name, &all[..]) {
            (None, [only]) => Some(only),
            (None, _) => {
                let message = format!("several detectors are served; name one of {}", names(&all));
                return Err(Refusal::invalid(message));
            }
            (Some(name), all) => all.iter().find(|served| served.info.name == name),
        };
        let found = found.filter(|served| version.is_none_or(|v| served.info.version == v));
        found.cloned().ok_or_else(|| {
            let message = format!("there is no such detector; there are {}", names(&all));
            Refusal::new(Reason::NotFound, message)
        })
    }
}

/// Names with versions.
fn names(all: &[Arc<Served>]) -> String {
    let each = all.iter().map(|served| {
        let info = &served.info;
        format!("{} (version {})", info.name, info.version)
    });
    each.collect::<Vec<_>>().join(", ")
}

impl Served {
    /// Reads an image as the network takes it.
    ///
    /// # Errors
    /// When it cannot be read, or has another shape than the network takes.
    pub(crate) fn prepared(&self, images: &Images, i: usize) -> Result<Image, odin::Error> {
        let image = images.get(i)?.image;
        self.detector.detector().check_prepared(&image)?;
        Ok(image)
    }

    /// What ODIN follows at the detector's temperature.
    ///
    /// # Errors
    /// When the network cannot be prepared for it.
    pub(crate) fn gradient(&self) -> Result<InputGradient, odin::Error> {
        let mut kept = self.gradient.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gradient) = &*kept {
            return Ok(gradient.clone());
        }
        let gradient = self.detector.detector().input_gradient()?;
        Ok(kept.insert(gradient).clone())
    }
}

fn open_all(
    sources: &Sources,
    options: &ServeOptions,
    before: &[Arc<Served>],
) -> Result<Vec<Arc<Served>>, Error> {
    let mut all: Vec<Arc<Served>> = Vec::new();
    for file in &sources.files {
        let served = open_one(file, &sources.open, options, before)?;
        let name = &served.info.name;
        if all.iter().any(|other| other.info.name == *name) {
            let problem = format!(
                "two detectors have the name {name}, that of their file without its ending; rename one"
            );
            return Err(Error::new(ErrorKind::Detector, problem).about(file.display()));
        }
        all.push(served);
    }
    match all.is_empty() {
        true => Err(Error::new(
            ErrorKind::Detector,
            "there is no detector to serve",
        )),
        false => Ok(all),
    }
}

fn open_one(
    file: &Path,
    open: &OpenDetector,
    options: &ServeOptions,
    before: &[Arc<Served>],
) -> Result<Arc<Served>, Error> {
    let name = name_of(file)?;
    let opened = open.clone().open(file).map_err(unopened)?;
    let info = DetectorInfo::of(&name, &opened).map_err(unopened)?;
    let same = before.iter().find(|served| served.info == info);
    let metrics = match same {
        // Its window and counts go on.
        Some(served) => Arc::clone(&served.metrics),
        None => {
            let deciding = opened.record().deciding().map_err(unopened)?;
            Arc::new(DetectorMetrics::new(&deciding.reference, options.window))
        }
    };
    let detector = Arc::new(opened);
    let batcher = Batcher::start(
        Arc::clone(&detector),
        options.batching,
        Arc::clone(&metrics),
    )?;
    Ok(Arc::new(Served {
        info,
        detector,
        batcher,
        metrics,
        gradient: Mutex::new(None),
    }))
}

fn unopened(error: odin::Error) -> Error {
    Error::from_cause(ErrorKind::Detector, error)
}

/// The stem of the file, which must be one that can stand in a URL as it is.
fn name_of(file: &Path) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    match stem {
        Some(stem) if stem.chars().all(plain) => Ok(stem.to_string()),
        _ => {
            let problem = "the name of a detector, that of its file without its ending, may have ASCII letters, digits, '-', '_' and '.'; rename the file";
            Err(Error::new(ErrorKind::Detector, problem).about(file.display()))
        }
    }
}
