//! Data sets, found by name or path, opened and checked before the first image is scored.

use super::registry::{located, named, unknown};
use crate::args::{RegistryOptions, RunOptions, SplitArg, UsageError};
use crate::output::atomic::SourceFile;
use crate::output::progress::say;
use anyhow::{Context, Result, bail};
use odin::{Classifier, Images, Provenance};
use odin_data::registry::{DatasetEntry, Entry, Located, Registry};
use odin_data::{ErrorKind, NoiseKind, Split, Transform, Transformed, open};
use odin_error::agree;
use odin_report::{SetInfo, counted};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How many images are for tuning where a split is asked for and the registry does not say: as many
/// as of the paper's sets.
const VALIDATION_IMAGES: usize = 1000;

/// The seed of the order in which images are taken: the same in all commands, so that no image both
/// tunes and tests.
const ORDER: u64 = 0;

/// The network that sets are opened for, and which of their images are used.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    classifier: Classifier,
    /// Where registry names are looked for.
    data_dir: PathBuf,
    pub(crate) split: Option<SplitArg>,
    /// The part of the paper's sets that is used where none is asked for.
    pub(crate) preferred: SplitArg,
    pub(crate) limit: Option<u64>,
    /// The seed of noise.
    pub(crate) seed: u64,
}

impl Selection {
    /// All images of the test parts, as this network takes them.
    pub(crate) fn of(classifier: &Classifier, registry: &RegistryOptions) -> Self {
        Self {
            classifier: classifier.clone(),
            data_dir: registry.data_dir.clone(),
            split: None,
            preferred: SplitArg::Test,
            limit: None,
            seed: 0,
        }
    }

    /// What the options say.
    pub(crate) fn new(run: &RunOptions, classifier: &Classifier) -> Self {
        Self {
            seed: run.seed,
            ..Self::of(classifier, &run.network.registry)
        }
    }

    /// How many images of a part are asked for, at most.
    fn limit(&self) -> usize {
        let limit = self.limit.map(usize::try_from);
        limit.map_or(usize::MAX, |limit| limit.unwrap_or(usize::MAX))
    }
}

/// Which of a set's images a part of it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The first ones, as the paper has its sets.
    Listed,
    /// Evenly over the classes, by hashes of their names.
    Stratified,
}

impl Order {
    /// At most so many of these images.
    fn at_most(self, images: &Images, count: usize) -> Images {
        match self {
            Self::Listed => images.range(0..count),
            Self::Stratified => images.at_most(count, ORDER),
        }
    }

    /// The first so many of these images, and the others.
    fn split(self, images: &Images, count: usize) -> (Images, Images) {
        match self {
            Self::Listed => (images.range(0..count), images.range(count..usize::MAX)),
            Self::Stratified => images.split(count, ORDER),
        }
    }
}

/// Whether the error is that the set has no such split.
fn is_invalid(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<odin_data::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::Invalid)
}

/// As many images of noise are fitted to, at most.
const NOISE: usize = 10_000;

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

    /// Opens the set; of noise there are so many images.
    pub(crate) fn open(&self, selection: &Selection, noise_count: usize) -> Result<Images> {
        self.open_split(selection, noise_count, None)
    }

    /// At most so many training images of a set that is distributed in two, or else of all of it.
    pub(crate) fn open_training(&self, selection: &Selection, count: usize) -> Result<Images> {
        let train = self.open_split(selection, count.min(NOISE), Some(Split::Train));
        let images = match train {
            Err(error) if is_invalid(&error) => {
                self.open_split(selection, count.min(NOISE), None)?
            }
            other => other?,
        };
        Ok(images.at_most(count, ORDER))
    }

    /// The validation split of a source that brings one, as those of MedMNIST do.
    fn own_validation(&self, selection: &Selection) -> Result<Option<Images>> {
        if let Source::Noise(_) = self.source {
            return Ok(None);
        }
        match self.open_split(selection, 0, Some(Split::Validation)) {
            Err(error) if is_invalid(&error) => Ok(None),
            images => images.map(Some),
        }
    }

    /// All images that are at hand for the part that the selection names, and the part.
    fn open_part(&self, selection: &Selection, noise_count: usize) -> Result<PartOf> {
        let wanted = selection.split.unwrap_or(selection.preferred);
        let own = match (selection.split, wanted) {
            (None, SplitArg::Test) | (_, SplitArg::All) => None,
            _ => self.own_validation(selection)?,
        };
        let whole = |all: Images| PartOf {
            part: self.order().at_most(&all, selection.limit()),
            all: all.len(),
            brought: true,
        };
        match (own, wanted) {
            (Some(validation), SplitArg::Validation) => Ok(whole(validation)),
            (Some(_), _) => Ok(whole(self.open(selection, noise_count)?)),
            (None, _) => {
                let images = self.open(selection, noise_count)?;
                Ok(PartOf {
                    part: self.part(selection, &images)?,
                    all: images.len(),
                    brought: false,
                })
            }
        }
    }

    fn open_split(
        &self,
        selection: &Selection,
        noise_count: usize,
        split: Option<Split>,
    ) -> Result<Images> {
        let classifier = &selection.classifier;
        let path = match &self.source {
            Source::Noise(kind) => {
                return Ok(classifier.noise(*kind, noise_count, selection.seed)?);
            }
            Source::Path(path) => path,
        };
        let mut options = classifier.open_options();
        options.split = split;
        let set = match &self.entry {
            Some(entry) => entry.open(path, &options)?,
            None => open(path, &options)?,
        };
        Ok(classifier.images(match self.own_transform(selection) {
            Some(transform) => Box::new(Transformed::new(set, transform.clone())),
            None => set,
        }))
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

    /// The same, with words for it.
    pub(crate) fn source(&self) -> Option<SourceFile> {
        Some(("a set of images", self.path()?.to_path_buf()))
    }

    /// A file or folder of the same name as the registry's set, which takes precedence over it.
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

    /// What the registry says that every image goes through before the model's own transform; not
    /// where the user says what takes the place of both.
    fn own_transform(&self, selection: &Selection) -> Option<&Transform> {
        let of_model = selection.classifier.preprocessing().transform.as_ref();
        let given = of_model.is_some_and(|transform| transform.from == Provenance::Given);
        let own = self.dataset()?.transform.as_ref();
        own.filter(|_| !given)
    }

    /// How parts of the set are taken.
    fn order(&self) -> Order {
        let of_paper = self.dataset().is_some_and(|dataset| dataset.validation > 0);
        match &self.source {
            Source::Path(_) if !of_paper => Order::Stratified,
            _ => Order::Listed,
        }
    }

    /// How many images the part for tuning takes.
    fn validation(&self) -> usize {
        match self.dataset().map_or(0, |dataset| dataset.validation) {
            0 => VALIDATION_IMAGES,
            of_set => of_set,
        }
    }

    /// The part of the set that is used.
    fn split(&self, selection: &Selection) -> SplitArg {
        let default = match self.dataset().map_or(0, |dataset| dataset.validation) {
            0 => SplitArg::All,
            _ => selection.preferred,
        };
        match self.source {
            Source::Noise(_) => SplitArg::All,
            Source::Path(_) => selection.split.unwrap_or(default),
        }
    }

    /// The images of the set that are used.
    fn part(&self, selection: &Selection, images: &Images) -> Result<Images> {
        let validation = self.validation();
        let parts = || self.order().split(images, validation);
        let part = match self.split(selection) {
            SplitArg::All => images.clone(),
            SplitArg::Test => parts().1,
            SplitArg::Validation => parts().0,
        };
        if part.is_empty() {
            return Err(UsageError(format!(
                "{} has {}, of which {validation} are the validation part, and none is left for the test part; --split all takes them all",
                self.typed,
                counted(images.len(), "image")
            ))
            .into());
        }
        Ok(self.order().at_most(&part, selection.limit()))
    }

    /// The images that tune and those that test: of the paper's sets as the paper has them, of
    /// others as many, or half of small ones. Of noise the first `noise` tune.
    fn parts(&self, selection: &Selection, images: &Images, noise: usize) -> Result<[Images; 2]> {
        let of_set = self.dataset().map_or(0, |dataset| dataset.validation);
        let tune = match (&self.source, of_set) {
            (Source::Noise(_), _) => noise,
            (_, 0) => VALIDATION_IMAGES.min(images.len() / 2),
            _ => of_set,
        };
        if tune == 0 || tune >= images.len() {
            return Err(UsageError(format!(
                "{} has {}; tuning takes some and leaves others for a test",
                self.typed,
                counted(images.len(), "image")
            ))
            .into());
        }
        let (tune, test) = self.order().split(images, tune);
        Ok([tune, test].map(|part| self.order().at_most(&part, selection.limit())))
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

/// A part of a set.
struct PartOf {
    part: Images,
    /// How many images the set has, or the split that it brings.
    all: usize,
    /// Whether it is of a split that the set brings.
    brought: bool,
}

/// A set of images that can be scored.
pub(crate) struct OpenSet {
    pub(crate) spec: Spec,
    /// The images that are used, under the name that reports and score files give the set.
    pub(crate) images: Images,
    /// How many the set has, or the split that it brings.
    all: usize,
    /// Whether it is of a split that the set brings.
    brought: bool,
}

impl OpenSet {
    /// Opens a set and checks the shape of its first image; noise gets `noise_count` images. The
    /// part that the selection names is used.
    pub(crate) fn open(
        spec: Spec,
        selection: &Selection,
        noise_count: usize,
        skip_bad: bool,
    ) -> Result<Self> {
        let part = spec.open_part(selection, noise_count)?;
        Self::of(spec, part, selection, skip_bad)
    }

    /// Opens a set of which a part tunes, which is used, and another tests, which is returned.
    pub(crate) fn open_in_two(
        spec: Spec,
        selection: &Selection,
        noise: [usize; 2],
        skip_bad: bool,
    ) -> Result<(Self, Images)> {
        let images = spec.open(selection, noise.iter().sum())?;
        let (tune, test) = match spec.own_validation(selection)? {
            None => {
                let [part, test] = spec.parts(selection, &images, noise[0])?;
                let (all, brought) = (images.len(), false);
                (PartOf { part, all, brought }, test)
            }
            Some(own) => {
                let at_most = |images| spec.order().at_most(images, selection.limit());
                let (part, all, brought) = (at_most(&own), own.len(), true);
                (PartOf { part, all, brought }, at_most(&images))
            }
        };
        let set = Self::of(spec, tune, selection, skip_bad)?;
        Ok((set, test.skip_bad(skip_bad)))
    }

    fn of(spec: Spec, part: PartOf, selection: &Selection, skip_bad: bool) -> Result<Self> {
        let PartOf { part, all, brought } = part;
        let name = spec.registered_name().unwrap_or(part.name()).to_string();
        match part.get(0) {
            Ok(first) => selection
                .classifier
                .check_shape(&first.image)
                .with_context(|| format!("{name}, {}", first.name))?,
            Err(error) if error.kind() == odin::ErrorKind::Shape => {
                return Err(error).with_context(|| format!("{name}, {}", part.image_name(0)));
            }
            Err(_) if skip_bad => {}
            Err(error) => bail!("{error}; --skip-bad leaves out what cannot be read"),
        }
        Ok(Self {
            spec,
            images: part.named(name).skip_bad(skip_bad),
            all,
            brought,
        })
    }

    /// What reports and score files call it.
    pub(crate) fn name(&self) -> &str {
        self.images.name()
    }

    /// Where it lies, unless it is generated.
    pub(crate) fn source(&self) -> Option<SourceFile> {
        self.spec.source()
    }

    /// What reports say of it.
    pub(crate) fn info(&self, skipped: usize) -> SetInfo {
        let expected = self.spec.expected_images();
        SetInfo {
            path: self.spec.path().map(|path| path.display().to_string()),
            images: self.all,
            expected_images: expected.filter(|expected| *expected != self.all as u64),
            skipped,
        }
    }

    /// Prints what the user should know before it is scored.
    pub(crate) fn announce(&self, selection: &Selection) {
        let (name, all) = (self.name(), self.all);
        if let Some(folder) = self.spec.shadowed() {
            say(&format!(
                "{name}: the set of the registry is used; write ./{folder} for the path of that name"
            ));
        }
        if let Some(expected) = self.info(0).expected_images {
            say(&format!(
                "{name}: {} {} here, the registry says {expected}",
                counted(all, "image"),
                agree(all, "is", "are")
            ));
        }
        for note in self.images.notes() {
            say(&format!("{name}: {note}"));
        }
        let takes_all = all <= self.spec.validation() && !self.brought;
        if self.spec.split(selection) == SplitArg::Validation && takes_all {
            say(&format!(
                "{name}: the validation part takes up to {} images, which are all of these; none is left for a test",
                self.spec.validation()
            ));
        }
        match (self.images.len(), self.spec.order()) {
            (part, _) if part == all => say(&format!("{name}: {}", counted(all, "image"))),
            (part, Order::Listed) => say(&format!(
                "{name}: {part} of {all} images, from image {}",
                self.images.position(0)
            )),
            (part, Order::Stratified) => say(&format!(
                "{name}: {part} of {all} images, evenly over the classes, chosen by their names"
            )),
        }
        if let Some(transform) = self.spec.own_transform(selection) {
            say(&format!("{name}, every image first: {transform}"));
        }
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

/// The longest path that serves as a name.
const MOST_PARTS: usize = 16;

/// Gives sets that lie at several places under one name longer ones: with the extension, then
/// with the folder, and so on.
pub(crate) fn tell_apart(sets: &mut [OpenSet]) {
    for parts in 1..=MOST_PARTS {
        let mut places: HashMap<String, Vec<Option<&Path>>> = HashMap::new();
        for set in sets.iter() {
            let places = places.entry(set.name().to_string()).or_default();
            if !places.contains(&set.spec.path()) {
                places.push(set.spec.path());
            }
        }
        let shared = |name: &str| places.get(name).is_some_and(|places| places.len() > 1);
        let names: Vec<Option<String>> = sets
            .iter()
            .map(|set| match set.spec.registered_name() {
                None if shared(set.name()) => set.tail(parts),
                _ => None,
            })
            .collect();
        for (set, name) in sets.iter_mut().zip(names) {
            if let Some(name) = name {
                set.images = set.images.clone().named(name);
            }
        }
    }
}
