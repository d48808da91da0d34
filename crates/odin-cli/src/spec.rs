//! From what the user names to sets.

use crate::args::{SplitArg, UsageError};
use anyhow::{Context, Result, bail};
use odin_data::fetch::{FetchOptions, fetch};
use odin_data::registry::{Entry, Located, Registry};
use odin_data::{DataSet, NoiseKind, OpenOptions, Step, Transform, Transformed, noise, open};
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

/// Where the content of a registry entry lies, unpacked if need be; an error that says how to get
/// it where it is not here.
pub(crate) fn located(entry: &Entry, data_dir: &Path) -> Result<PathBuf> {
    match entry.locate(data_dir) {
        Located::Here(path) => Ok(path),
        Located::Packed(archive) => {
            let mut options = FetchOptions::default();
            options.offline = true;
            let fetched = fetch(entry, data_dir, &options, &mut |_| {})?;
            let unpacked = fetched.path().map(Path::to_path_buf);
            unpacked.with_context(|| format!("{} holds no file to use", archive.display()))
        }
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

/// What part of the sets takes part, and how their images are seen.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Where registry names are looked for.
    pub(crate) data_dir: PathBuf,
    pub(crate) split: Option<SplitArg>,
    pub(crate) limit: Option<u64>,
    /// Where noise starts from.
    pub(crate) seed: u64,
    /// What the user asks to be done to every image.
    pub(crate) transform: Option<Transform>,
    /// What the model asks for.
    pub(crate) of_model: Option<Transform>,
    /// The shape of the network's images, `[C, H, W]`.
    pub(crate) image_shape: [usize; 3],
    /// Whether images become vectors, so that any shape with the right number of values fits.
    pub(crate) any_shape: bool,
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
        selection: &Selection,
        registry: &Registry,
    ) -> Result<Self> {
        if let Some(entry) = registry.get(text).filter(|e| e.dataset().is_some()) {
            let source = match entry.locate(&selection.data_dir) {
                Located::Generated(kind) => Source::Noise(kind),
                _ => Source::Path(located(entry, &selection.data_dir)?),
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
        selection: &Selection,
        noise_count: usize,
    ) -> Result<Box<dyn DataSet>> {
        let [channels, height, width] = selection.image_shape;
        let path = match &self.source {
            Source::Noise(kind) => {
                return Ok(Box::new(noise(
                    *kind,
                    channels,
                    height,
                    width,
                    noise_count,
                    selection.seed,
                )?));
            }
            Source::Path(path) => path,
        };
        let mut options = OpenOptions::default();
        options.channels = (!selection.any_shape).then_some(channels);
        let set = open(path, &options)?;
        Ok(match self.transform(selection)? {
            Some(transform) => Box::new(Transformed::new(set, transform)),
            None => set,
        })
    }

    /// What every image goes through: what the user asks for, or else what the registry says of
    /// the set, followed by what the model asks for. Noise is made as the network takes it.
    pub(crate) fn transform(&self, selection: &Selection) -> Result<Option<Transform>> {
        if matches!(self.source, Source::Noise(_)) {
            return Ok(None);
        }
        if let Some(asked_for) = &selection.transform {
            return Ok(Some(asked_for.clone()));
        }
        let steps = [&self.transform, &selection.of_model].into_iter().flatten();
        let steps: Vec<Step> = steps.flat_map(Transform::steps).copied().collect();
        match steps.is_empty() {
            true => Ok(None),
            false => Ok(Some(Transform::new(steps)?)),
        }
    }

    /// The images of the set that take part.
    pub(crate) fn range(&self, selection: &Selection, len: usize) -> Result<Range<usize>> {
        let default = match self.registered {
            true => SplitArg::Test,
            false => SplitArg::All,
        };
        let part = match (&self.source, selection.split.unwrap_or(default)) {
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
        let limit = selection
            .limit
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(part.start..part.end.min(part.start.saturating_add(limit)))
    }

    /// The number of noise images: as many as are asked for, or as in the in-set.
    pub(crate) fn noise_count(selection: &Selection, in_count: usize) -> usize {
        selection
            .limit
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(in_count)
    }

    /// Whether the paper evaluates this set against equally many in-distribution images: iSUN,
    /// which is shorter than the others.
    pub(crate) fn shortens_in_set(&self) -> bool {
        self.registered && self.name == "iSUN"
    }
}
