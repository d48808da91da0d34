//! Data sets: found by name or path, opened and checked before the first image is scored.

use super::network;
use super::registry::{located, named, unknown};
use crate::args::{RegistryOptions, RunOptions, SplitArg, UsageError};
use crate::output::progress::say;
use anyhow::{Context, Result, bail};
use odin::Classifier;
use odin_data::registry::{DatasetEntry, Entry, Located, Registry};
use odin_data::{
    DataSet, ErrorKind, NoiseKind, OpenOptions, Split, Step, Transform, Transformed, noise, open,
};
use odin_report::SetInfo;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many of the first images are for tuning where a split is asked for and the registry does
/// not say: as many as of the paper's sets.
const VALIDATION_IMAGES: usize = 1000;

/// Which images of the sets are used, and how they are opened.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Where registry names are looked for.
    data_dir: PathBuf,
    pub(crate) split: Option<SplitArg>,
    /// The part of the paper's sets that is used where none is asked for.
    pub(crate) preferred: SplitArg,
    pub(crate) limit: Option<u64>,
    /// The seed of noise.
    pub(crate) seed: u64,
    /// The transform that the user asks for.
    pub(crate) transform: Option<Transform>,
    /// The transform that the model asks for.
    of_model: Option<Transform>,
    /// The shape of the network's images, `[C, H, W]`.
    image_shape: [usize; 3],
    /// The options that images for this network are opened with.
    open_options: OpenOptions,
}

impl Selection {
    /// All images of the test parts, as this network takes them.
    pub(crate) fn of(classifier: &Classifier, registry: &RegistryOptions) -> Self {
        Self {
            data_dir: registry.data_dir.clone(),
            split: None,
            preferred: SplitArg::Test,
            limit: None,
            seed: 0,
            transform: None,
            of_model: network::transform(classifier),
            image_shape: classifier.image_shape(),
            open_options: network::open_options(classifier),
        }
    }

    /// What the options say.
    pub(crate) fn new(run: &RunOptions, classifier: &Classifier) -> Self {
        Self {
            seed: run.seed,
            transform: run.transform.clone(),
            ..Self::of(classifier, &run.network.registry)
        }
    }

    /// The first images of a part, no more than asked for.
    fn limited(&self, part: Range<usize>) -> Range<usize> {
        let limit = self
            .limit
            .map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        part.start..part.end.min(part.start.saturating_add(limit))
    }
}

/// Whether the error is that the set has no such split.
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
        let mut options = selection.open_options.clone();
        options.split = split;
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

    /// The images of the set that are used.
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

/// A set of images that can be scored.
pub(crate) struct OpenSet {
    /// What reports and score files call it.
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) set: Box<dyn DataSet>,
    /// The images that are used.
    pub(crate) range: Range<usize>,
}

impl OpenSet {
    /// Opens a set and checks the shape of its first image; noise gets `noise_count` images. The
    /// part that the selection names is used.
    pub(crate) fn open(
        spec: Spec,
        selection: &Selection,
        noise_count: usize,
        classifier: &Classifier,
        skip_bad: bool,
    ) -> Result<Self> {
        let set = spec.open(selection, noise_count)?;
        let range = spec.range(selection, set.len())?;
        Self::with_range(spec, set, range, classifier, skip_bad)
    }

    /// Opens a set of which a part tunes, which is used, and another tests, which is returned.
    pub(crate) fn open_in_two(
        spec: Spec,
        selection: &Selection,
        noise: [usize; 2],
        classifier: &Classifier,
        skip_bad: bool,
    ) -> Result<(Self, Range<usize>)> {
        let set = spec.open(selection, noise.iter().sum())?;
        let [tunes, tests] = spec.parts(selection, set.len(), noise[0])?;
        let set = Self::with_range(spec, set, tunes, classifier, skip_bad)?;
        Ok((set, tests))
    }

    fn with_range(
        spec: Spec,
        set: Box<dyn DataSet>,
        range: Range<usize>,
        classifier: &Classifier,
        skip_bad: bool,
    ) -> Result<Self> {
        let name = spec.registered_name().unwrap_or(set.name()).to_string();
        match set.get(range.start) {
            Ok(first) => classifier
                .check_shape(&first.image)
                .with_context(|| format!("{name}, {}", first.name))?,
            Err(_) if skip_bad => {}
            Err(error) => bail!("{error}; --skip-bad leaves out what cannot be read"),
        }
        Ok(Self {
            name,
            spec,
            set,
            range,
        })
    }

    /// What reports say of it.
    pub(crate) fn info(&self, skipped: usize) -> SetInfo {
        let images = self.set.len();
        let expected = self.spec.expected_images();
        SetInfo {
            path: self.spec.path().map(|path| path.display().to_string()),
            images,
            expected_images: expected.filter(|expected| *expected != images as u64),
            skipped,
        }
    }

    /// Prints what the user should know before it is scored.
    pub(crate) fn announce(&self, selection: &Selection) -> Result<()> {
        let (name, images) = (&self.name, self.set.len());
        if let Some(folder) = self.spec.shadowed() {
            say(&format!(
                "{name}: the set of the registry is used; write ./{folder} for what lies here"
            ));
        }
        if let Some(expected) = self.info(0).expected_images {
            say(&format!(
                "{name}: {images} images are here, the registry says {expected}"
            ));
        }
        for note in self.set.notes() {
            say(&format!("{name}: {note}"));
        }
        match self.range.len() {
            all if all == images => say(&format!("{name}: {images} images")),
            part => say(&format!(
                "{name}: {part} of {images} images, from image {}",
                self.range.start
            )),
        }
        if let Some(transform) = self.spec.transform(selection)? {
            say(&format!("{name}, every image: {transform}"));
        }
        Ok(())
    }

    /// The last `parts` parts of its path.
    fn tail(&self, parts: usize) -> Option<String> {
        let components = self.spec.path()?.components();
        let components = components.map(|part| part.as_os_str().to_string_lossy());
        let components: Vec<_> = components.collect();
        let first = components.len().saturating_sub(parts);
        Some(components.get(first..)?.join("/"))
    }
}

/// Paths longer than this are no names any more.
const MOST_PARTS: usize = 16;

/// Gives sets that lie at several places under one name longer ones: with the extension, then
/// with the folder, and so on.
pub(crate) fn tell_apart(sets: &mut [OpenSet]) {
    for parts in 1..=MOST_PARTS {
        let mut places: HashMap<String, Vec<Option<&Path>>> = HashMap::new();
        for set in sets.iter() {
            let places = places.entry(set.name.clone()).or_default();
            if !places.contains(&set.spec.path()) {
                places.push(set.spec.path());
            }
        }
        let shared = |name: &str| places.get(name).is_some_and(|places| places.len() > 1);
        let names: Vec<Option<String>> = sets
            .iter()
            .map(|set| match set.spec.registered_name() {
                None if shared(&set.name) => set.tail(parts),
                _ => None,
            })
            .collect();
        for (set, name) in sets.iter_mut().zip(names) {
            set.name = name.unwrap_or_else(|| std::mem::take(&mut set.name));
        }
    }
}
