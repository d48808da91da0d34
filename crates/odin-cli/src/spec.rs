//! From what the user names to sets.

use crate::args::{RunOptions, SplitArg, UsageError};
use crate::network;
use anyhow::{Context, Result, bail};
use odin::Classifier;
use odin_data::fetch::{FetchOptions, fetch};
use odin_data::registry::{DatasetEntry, Entry, Located, Registry};
use odin_data::{
    DataSet, ErrorKind, NoiseKind, OpenOptions, Split, Step, Transform, Transformed, noise, open,
};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many of the first images are for tuning where a split is asked for and the registry does
/// not say: as many as of the paper's sets.
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
    /// The part of the paper's sets that takes part where none is asked for.
    pub(crate) preferred: SplitArg,
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

impl Selection {
    pub(crate) fn new(
        run: &RunOptions,
        classifier: &Classifier,
        split: Option<SplitArg>,
        limit: Option<u64>,
    ) -> Self {
        Self {
            data_dir: run.network.data_dir.clone(),
            split,
            preferred: SplitArg::Test,
            limit,
            seed: run.seed,
            transform: run.transform.clone(),
            of_model: network::transform(classifier),
            image_shape: classifier.image_shape(),
            any_shape: network::takes_any_shape(classifier),
        }
    }

    /// The first images of a part, no more than asked for.
    fn limited(&self, part: Range<usize>) -> Range<usize> {
        let limit = self
            .limit
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        part.start..part.end.min(part.start.saturating_add(limit))
    }

    /// Whether the network takes signals, vectors or images that are no pictures, whose values
    /// may be any.
    fn takes_measurements(&self) -> bool {
        let [channels, height, _] = self.image_shape;
        network::takes_measurements(self.any_shape, channels, height)
    }
}

/// Whether the set cannot be opened with these options.
fn is_invalid(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<odin_data::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::Invalid)
}

/// A set as the user named it.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// What the user wrote.
    typed: String,
    source: Source,
    /// What the registry says of it.
    entry: Option<Entry>,
}

#[derive(Debug, Clone)]
enum Source {
    Path(PathBuf),
    Noise(NoiseKind),
}

/// The entry of this name. Only a name as the registry spells it goes before a file or folder.
pub(crate) fn named<'a>(text: &str, registry: &'a Registry) -> Option<&'a Entry> {
    let entry = registry.get(text)?;
    let mut names = std::iter::once(&entry.name).chain(&entry.aliases);
    names.any(|name| name == text).then_some(entry)
}

/// Why the registry has nothing for a name.
pub(crate) fn unknown(
    text: &str,
    registry: &Registry,
    lookup: Result<&Entry, odin_data::Error>,
) -> String {
    match (lookup, registry.get(text)) {
        (Ok(entry), _) => format!("the registry spells it {}", entry.name),
        (Err(_), Some(entry)) => format!(
            "{} is a {} of the registry",
            entry.name,
            entry.kind.as_str()
        ),
        (Err(error), None) => error.to_string(),
    }
}

impl Spec {
    /// A registry name, or else a path.
    pub(crate) fn resolve(
        text: &str,
        option: &str,
        selection: &Selection,
        registry: &Registry,
    ) -> Result<Self> {
        let typed = text.to_string();
        if let Some(entry) = named(text, registry).filter(|e| e.dataset().is_some()) {
            let source = match entry.locate(&selection.data_dir) {
                Located::Generated(kind) => Source::Noise(kind),
                _ => Source::Path(located(entry, &selection.data_dir)?),
            };
            let entry = Some(entry.clone());
            return Ok(Self {
                typed,
                source,
                entry,
            });
        }
        let path = Path::new(text);
        if !path.exists() {
            let unknown = unknown(text, registry, registry.dataset(text));
            bail!("{option}: there is no file or folder {text}, and {unknown}");
        }
        Ok(Self {
            typed,
            source: Source::Path(path.to_path_buf()),
            entry: None,
        })
    }

    /// Opens the set; noise takes the shape of the network's images and this count.
    pub(crate) fn open(
        &self,
        selection: &Selection,
        noise_count: usize,
    ) -> Result<Box<dyn DataSet>> {
        self.open_split(selection, noise_count, None)
    }

    /// Opens the training images of a set that is distributed in two, or else all of it.
    pub(crate) fn open_training(
        &self,
        selection: &Selection,
        noise_count: usize,
    ) -> Result<Box<dyn DataSet>> {
        match self.open_split(selection, noise_count, Some(Split::Train)) {
            Err(error) if is_invalid(&error) => self.open_split(selection, noise_count, None),
            other => other,
        }
    }

    fn open_split(
        &self,
        selection: &Selection,
        noise_count: usize,
        split: Option<Split>,
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
        options.split = split;
        if !selection.any_shape {
            options.channels = Some(channels);
            options.shape = Some(selection.image_shape);
        }
        options.measurements = selection.takes_measurements();
        let set = match &self.entry {
            Some(entry) => entry.open(path, &options)?,
            None => open(path, &options)?,
        };
        Ok(match self.transform(selection)? {
            Some(transform) => Box::new(Transformed::new(set, transform)),
            None => set,
        })
    }

    fn dataset(&self) -> Option<&DatasetEntry> {
        self.entry.as_ref()?.dataset()
    }

    /// The name in the registry.
    pub(crate) fn registered_name(&self) -> Option<&str> {
        self.entry.as_ref().map(|entry| entry.name.as_str())
    }

    /// Where the set lies, unless it is generated.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::Path(path) => Some(path),
            Source::Noise(_) => None,
        }
    }

    /// A file or folder that has the name of the registry's set, and is not what is meant.
    pub(crate) fn shadowed(&self) -> Option<&str> {
        let other = Path::new(&self.typed);
        let shadowed = self.entry.is_some() && other.exists() && self.path() != Some(other);
        shadowed.then_some(self.typed.as_str())
    }

    /// The number of images that the registry says a set has that is read.
    pub(crate) fn expected_images(&self) -> Option<u64> {
        self.path().and_then(|_| self.dataset()?.images)
    }

    /// The number of classes that the registry says it has.
    pub(crate) fn expected_classes(&self) -> Option<usize> {
        self.dataset()?.classes
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
        let of_set = self
            .dataset()
            .and_then(|dataset| dataset.transform.as_ref());
        let steps = [of_set, selection.of_model.as_ref()].into_iter();
        let steps: Vec<Step> = steps
            .flatten()
            .flat_map(Transform::steps)
            .copied()
            .collect();
        match steps.is_empty() {
            true => Ok(None),
            false => Ok(Some(Transform::new(steps)?)),
        }
    }

    /// The images of the set that take part.
    pub(crate) fn range(&self, selection: &Selection, len: usize) -> Result<Range<usize>> {
        let of_set = self.dataset().map_or(0, |dataset| dataset.validation);
        let default = match of_set {
            0 => SplitArg::All,
            _ => selection.preferred,
        };
        let validation = if of_set > 0 {
            of_set
        } else {
            VALIDATION_IMAGES
        };
        let part = match (&self.source, selection.split.unwrap_or(default)) {
            (Source::Noise(_), _) | (_, SplitArg::All) => 0..len,
            (_, SplitArg::Test) => validation..len,
            (_, SplitArg::Validation) => 0..len.min(validation),
        };
        if part.is_empty() {
            return Err(UsageError(format!(
                "{} has {len} images, and its test part begins at image {validation}; --split all takes them all",
                self.typed
            ))
            .into());
        }
        Ok(selection.limited(part))
    }

    /// The images that tune and those that test: of the paper's sets as the paper has them, of
    /// others as many, or the first half of small ones. Of noise the first `noise` tune.
    pub(crate) fn parts(
        &self,
        selection: &Selection,
        len: usize,
        noise: usize,
    ) -> Result<[Range<usize>; 2]> {
        let of_set = self.dataset().map_or(0, |dataset| dataset.validation);
        let tune = match (&self.source, of_set) {
            (Source::Noise(_), _) => noise,
            (_, 0) => VALIDATION_IMAGES.min(len / 2),
            _ => of_set,
        };
        if tune == 0 || tune >= len {
            return Err(UsageError(format!(
                "{} has {len} images; tuning takes some and leaves others for a test",
                self.typed
            ))
            .into());
        }
        Ok([0..tune, tune..len].map(|part| selection.limited(part)))
    }

    /// The number of noise images: as many as are asked for, or as in the in-set.
    pub(crate) fn noise_count(selection: &Selection, in_count: usize) -> usize {
        selection
            .limit
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(in_count)
    }

    /// Whether this set is compared with equally many in-distribution images.
    pub(crate) fn shortens_in_set(&self) -> bool {
        self.dataset()
            .is_some_and(|dataset| dataset.shortens_in_set)
    }
}
