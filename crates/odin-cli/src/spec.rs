//! From what the user names to networks and sets.

use crate::args::{Eval, ImageSize, SplitArg, UsageError};
use anyhow::{Context, Result, bail};
use odin::{Classifier, Normalization};
use odin_data::registry::{Entry, Located, Registry};
use odin_data::{DataSet, NoiseKind, OpenOptions, Transform, Transformed, noise, open};
use odin_formats::Checkpoint;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The first images of each of the paper's sets are for tuning.
const VALIDATION_IMAGES: usize = 1000;

/// The embedded registry and the user's own files.
pub(crate) fn registry(files: &[PathBuf]) -> Result<Registry> {
    let mut registry = Registry::embedded()?;
    for path in files {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the registry file {origin}"))?;
        registry.extend_from_toml(&text, &origin)?;
    }
    Ok(registry)
}

/// Where the content of a registry entry lies; an error that says how to get it where it does
/// not.
fn located(entry: &Entry, eval: &Eval) -> Result<PathBuf> {
    match entry.locate(&eval.data_dir) {
        Located::Here(path) | Located::Packed(path) => Ok(path),
        Located::Missing { looked_at, how } => {
            let places: Vec<String> = looked_at
                .iter()
                .map(|p| format!("  {}", p.display()))
                .collect();
            bail!(
                "{} is not here. It was looked for at\n{}\n{how}",
                entry.name,
                places.join("\n")
            )
        }
        _ => bail!("{} is generated, there is no file of it", entry.name),
    }
}

/// The network and what it is called.
pub(crate) fn classifier(eval: &Eval, registry: &Registry) -> Result<Classifier> {
    let entry = registry.get(&eval.nn).filter(|e| e.network().is_some());
    let (path, shape, normalization) = match entry.and_then(|e| Some((e, e.network()?))) {
        Some((entry, network)) => {
            let f32s = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
            let normalization = Normalization::new(&f32s(&network.mean), &f32s(&network.std))?;
            (
                located(entry, eval)?,
                Some(network.shape),
                Some(normalization),
            )
        }
        None => {
            let path = PathBuf::from(&eval.nn);
            if !path.exists() {
                let known = registry.network(&eval.nn).err().map(|e| e.to_string());
                bail!(
                    "--nn: there is no file {}, and {}",
                    path.display(),
                    known.unwrap_or_default()
                );
            }
            (path, None, None)
        }
    };
    let checkpoint = Checkpoint::open(&path)?;
    let normalization = match (eval.mean.is_empty(), normalization) {
        (false, _) => Normalization::new(&eval.mean, &eval.std).context("--mean and --std")?,
        (true, Some(of_entry)) => of_entry,
        (true, None) => match from_metadata(&checkpoint)? {
            Some(of_file) => of_file,
            None => Normalization::cifar(),
        },
    };
    let shape = match eval.image_size {
        Some(ImageSize { height, width }) => {
            let channels = normalization.mean().len();
            Some([channels, height, width])
        }
        None => shape.or_else(|| shape_from_metadata(&checkpoint)),
    };
    Ok(Classifier::from_checkpoint(
        &checkpoint,
        shape,
        normalization,
    )?)
}

/// The image shape that a safetensors file carries as text, `input = "1x8x8"`.
fn shape_from_metadata(checkpoint: &Checkpoint) -> Option<[usize; 3]> {
    let (_, text) = checkpoint.metadata().find(|(key, _)| *key == "input")?;
    let extents: Option<Vec<usize>> = text.split('x').map(|v| v.trim().parse().ok()).collect();
    extents?.try_into().ok()
}

/// The normalisation that a safetensors file carries as text, `mean` and `std`.
pub(crate) fn from_metadata(checkpoint: &Checkpoint) -> Result<Option<Normalization>> {
    let numbers = |key: &str| -> Option<Vec<f32>> {
        let (_, text) = checkpoint.metadata().find(|(k, _)| *k == key)?;
        text.trim_matches(['[', ']'])
            .split(',')
            .map(|v| v.trim().parse().ok())
            .collect()
    };
    match (numbers("mean"), numbers("std")) {
        (Some(mean), Some(std)) => Ok(Some(Normalization::new(&mean, &std)?)),
        _ => Ok(None),
    }
}

/// A set as the user named it.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// What reports and score files call it.
    pub(crate) name: String,
    source: Source,
    transform: Option<Transform>,
    /// Whether it is one of the registry's, with the paper's split.
    registered: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Path(PathBuf),
    Noise(NoiseKind),
}

impl Spec {
    /// A registry name, or else a path.
    pub(crate) fn resolve(
        text: &str,
        option: &str,
        eval: &Eval,
        registry: &Registry,
    ) -> Result<Self> {
        if let Some(entry) = registry.get(text).filter(|e| e.dataset().is_some()) {
            let source = match entry.locate(&eval.data_dir) {
                Located::Generated(kind) => Source::Noise(kind),
                _ => Source::Path(located(entry, eval)?),
            };
            let transform = entry.dataset().and_then(|d| d.transform.clone());
            let name = entry.name.clone();
            return Ok(Self {
                name,
                source,
                transform,
                registered: true,
            });
        }
        let path = Path::new(text);
        if !path.exists() {
            let known = registry.dataset(text).err().map(|e| e.to_string());
            bail!(
                "{option}: there is no file or folder {text}, and {}",
                known.unwrap_or_default()
            );
        }
        let base = path
            .canonicalize()
            .ok()
            .and_then(|p| Some(p.file_name()?.to_string_lossy().into_owned()));
        Ok(Self {
            name: base.unwrap_or_else(|| text.to_string()),
            source: Source::Path(path.to_path_buf()),
            transform: None,
            registered: false,
        })
    }

    /// Opens the set; noise takes the shape of the network's images and this count.
    pub(crate) fn open(
        &self,
        eval: &Eval,
        shape: [usize; 3],
        noise_count: usize,
    ) -> Result<Box<dyn DataSet>> {
        let [channels, height, width] = shape;
        let path = match &self.source {
            Source::Noise(kind) => {
                return Ok(Box::new(noise(
                    *kind,
                    channels,
                    height,
                    width,
                    noise_count,
                    eval.seed,
                )?));
            }
            Source::Path(path) => path,
        };
        let mut options = OpenOptions::default();
        options.channels = Some(channels);
        let set = open(path, &options)?;
        Ok(match self.transform(eval) {
            Some(transform) => Box::new(Transformed::new(set, transform.clone())),
            None => set,
        })
    }

    /// What every image goes through: what the user asks for, or else what the registry says.
    pub(crate) fn transform<'a>(&'a self, eval: &'a Eval) -> Option<&'a Transform> {
        let applies = matches!(self.source, Source::Path(_));
        eval.transform
            .as_ref()
            .or(self.transform.as_ref())
            .filter(|_| applies)
    }

    /// The images of the set that take part.
    pub(crate) fn range(&self, eval: &Eval, len: usize) -> Result<Range<usize>> {
        let default = match self.registered {
            true => SplitArg::Test,
            false => SplitArg::All,
        };
        let part = match (&self.source, eval.split.unwrap_or(default)) {
            (Source::Noise(_), _) | (_, SplitArg::All) => 0..len,
            (_, SplitArg::Test) => VALIDATION_IMAGES..len,
            (_, SplitArg::Validation) => 0..len.min(VALIDATION_IMAGES),
        };
        if part.is_empty() {
            return Err(UsageError(format!(
                "{} has {len} images, and its test part begins at image {VALIDATION_IMAGES}; --split all takes them all",
                self.name
            ))
            .into());
        }
        let limit = eval
            .limit
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(part.start..part.end.min(part.start.saturating_add(limit)))
    }

    /// The number of noise images: as many as are asked for, or as in the in-set.
    pub(crate) fn noise_count(eval: &Eval, in_count: usize) -> usize {
        eval.limit
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(in_count)
    }

    /// Whether the paper evaluates this set against equally many in-distribution images: iSUN,
    /// which is shorter than the others.
    pub(crate) fn shortens_in_set(&self) -> bool {
        self.registered && self.name == "iSUN"
    }
}
