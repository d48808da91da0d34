//! Sets that are open, checked and named, before the first image is scored.

use crate::progress::say;
use crate::spec::{Selection, Spec};
use anyhow::{Context, Result, bail};
use odin::Classifier;
use odin_data::DataSet;
use odin_report::SetInfo;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// A set of images that can be scored.
pub(crate) struct OpenSet {
    /// What reports and score files call it.
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) set: Box<dyn DataSet>,
    /// The images that take part.
    pub(crate) range: Range<usize>,
}

impl OpenSet {
    /// Opens a set and looks at its first image; noise gets `noise_count` images. The part of it
    /// that the selection names takes part.
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

    /// Opens a set of which a part tunes and another tests; the part that tunes takes part.
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

    /// What the user should know before it is scored.
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
