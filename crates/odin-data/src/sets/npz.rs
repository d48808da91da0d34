//! The `.npz` format: a zip archive of `.npy` files.

use std::fmt;
use std::sync::Arc;

use super::npy::{Header, Npy};
use super::origin::Origin;
use super::splits::Splits;
use super::{DataSet, array};
use crate::archive::{Store, Unpack, Zip};
use crate::error::{Error, ErrorKind};

/// The most arrays that a message lists.
const MAX_LISTED: usize = 8;

const LABELS: [&str; 5] = ["labels", "label", "y", "targets", "target"];

pub(super) fn is_npz(store: &dyn Store) -> bool {
    !store.entries().is_empty() && store.entries().iter().all(|e| e.name.ends_with(".npy"))
}

/// The arrays of an archive. Members of a zip archive may share their packed bytes, so a limit for
/// each of them would be none: all together may unpack to as much as a single compressed file.
pub(super) struct Arrays<'a> {
    zip: &'a Zip,
    unpack: Unpack,
    title: &'a str,
}

impl<'a> Arrays<'a> {
    /// Those of an archive of `packed` bytes.
    pub(super) fn new(zip: &'a Zip, packed: u64, mut unpack: Unpack, title: &'a str) -> Self {
        unpack.limit = unpack.budget(packed).limit();
        Self { zip, unpack, title }
    }

    /// Calls `see` with the place, the name and the header of each array.
    pub(super) fn look(&mut self, mut see: impl FnMut(usize, &str, &Header)) -> Result<(), Error> {
        for (i, entry) in self.zip.entries().iter().enumerate() {
            let title = self.zip.title(i);
            let header = self
                .zip
                .with_member(i, |member, _| Header::read(member, &title))?;
            self.spend(header.len());
            if self.unpack.limit == 0 {
                let problem = format!("{}: it holds too many arrays", self.title);
                return Err(Error::unsupported(problem));
            }
            see(i, entry.name.trim_end_matches(".npy"), &header);
        }
        Ok(())
    }

    /// The array of a place, and what messages call it.
    pub(super) fn read(&mut self, i: usize) -> Result<(Npy, String), Error> {
        let title = self.zip.title(i);
        let blob = self.zip.unpack(i, &self.unpack)?;
        self.spend(blob.len());
        Ok((Npy::parse(Arc::new(blob), &title)?, title))
    }

    fn spend(&mut self, bytes: u64) {
        self.unpack.limit = self.unpack.limit.saturating_sub(bytes);
    }
}

/// The names and shapes of arrays as a message lists them.
#[derive(Default)]
pub(super) struct Seen(Vec<String>);

impl Seen {
    pub(super) fn add(&mut self, name: &str, header: &Header) {
        if self.0.len() < MAX_LISTED {
            self.0.push(format!("{name} {:?}", header.shape));
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// The images and labels of an archive of `packed` bytes: those of one of its splits, or the one
/// array with three or four axes, or else the one with two, and labels from an array named like
/// them. Of the other arrays only the headers are read.
pub(super) fn open(zip: &Zip, packed: u64, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    let mut arrays = Arrays::new(zip, packed, origin.unpack(), &origin.title);
    let (mut images, mut vectors) = (Vec::new(), Vec::new());
    let (mut labels, mut seen) = (None, Seen::default());
    let mut splits = Splits::default();
    arrays.look(|i, name, header| {
        seen.add(name, header);
        match header.shape.len() {
            _ if splits.take(i, name, header) => {}
            _ if LABELS.contains(&name) => labels = Some(i),
            3 | 4 => images.push(i),
            2 => vectors.push(i),
            _ => {}
        }
    })?;
    let mut notes = Vec::new();
    let (images, labels) = match (&images[..], &vectors[..]) {
        (&[], _) if splits.any() => splits.chosen(origin, &mut notes)?,
        (&[one], _) | (&[], &[one]) if !splits.any() => {
            origin.refuse_splits()?;
            (one, labels)
        }
        (&[], &[]) => return Err(not_one("none", &seen, origin)),
        _ => return Err(not_one("at least 2", &seen, origin)),
    };
    let labels = match (&origin.labels, labels) {
        (Some(blob), _) => {
            let title = format!("the labels of {}", origin.title);
            Some(Npy::parse(Arc::clone(blob), &title)?.labels(&title)?)
        }
        (None, Some(i)) => {
            let (labels, title) = arrays.read(i)?;
            Some(labels.labels(&title)?)
        }
        (None, None) => None,
    };
    let (images, title) = arrays.read(images)?;
    array::open(images.into_array(&title)?, labels, notes, origin)
}

fn not_one(found: &str, seen: &Seen, origin: &Origin) -> Error {
    origin.error(
        ErrorKind::Unsupported,
        format!(
            "expected exactly one array of images with 3 or 4 axes, or of vectors with 2 (beside \
             one named labels or y), found {found} in: {seen}"
        ),
    )
}
