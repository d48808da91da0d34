//! Opens the data set of a registry entry and checks it against the entry.

use std::path::Path;

use super::{DatasetEntry, Entry};
use crate::error::Error;
use crate::sets::{DataSet, OpenOptions, Sample, open};

impl Entry {
    /// Opens this data set at `path`, where [`Entry::locate`] found it, and checks it against the
    /// entry's `classes` and `shape`: the number of its classes, if it has any, and the label and
    /// shape of its first image. A first image that cannot be read is left to
    /// [`DataSet::get`]. The entry's transform is not applied.
    ///
    /// # Errors
    /// Those of [`open`]; `Invalid` if the entry is a network, or if the set is another one than
    /// the entry describes.
    pub fn open(&self, path: &Path, options: &OpenOptions) -> Result<Box<dyn DataSet>, Error> {
        let Some(dataset) = self.dataset() else {
            let message = format!("{} is a network, not a data set", self.name);
            return Err(Error::invalid(message));
        };
        let set = open(path, options)?;
        let problem = dataset
            .other_classes(&*set)
            .or_else(|| dataset.other_image(&set.get(0).ok()?, options.channels));
        match problem {
            None => Ok(set),
            Some(problem) => Err(Error::invalid(format!(
                "{} is not {} as the registry {} describes it: {problem}; to read another \
                     set, give its path instead of the name",
                path.display(),
                self.name,
                self.origin
            ))),
        }
    }
}

impl DatasetEntry {
    fn other_classes(&self, set: &dyn DataSet) -> Option<String> {
        let (expected, found) = (self.classes?, set.class_names()?.len());
        (found != expected).then(|| format!("expected {expected} classes, found {found}"))
    }

    fn other_image(&self, first: &Sample, channels: Option<usize>) -> Option<String> {
        let name = &first.name;
        if let (Some(classes), Some(label)) = (self.classes, first.label)
            && label >= classes
        {
            return Some(format!(
                "expected {classes} classes, {name} is of class {label}"
            ));
        }
        let [stored, height, width] = self.shape?;
        let expected = [channels.unwrap_or(stored), height, width];
        let image = &first.image;
        let found = [image.channels, image.height, image.width];
        (found != expected).then(|| {
            let text = |[c, h, w]: [usize; 3]| format!("{c}x{h}x{w}");
            format!(
                "expected images of {} (channels x height x width), {name} is {}",
                text(expected),
                text(found)
            )
        })
    }
}
