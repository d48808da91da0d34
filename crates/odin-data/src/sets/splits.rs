//! The arrays of splits in an `.npz` file: `test_images` and `test_labels` in those of MedMNIST,
//! `x_test` and `y_test` in those of Keras, and so on.

use super::Split;
use super::npy::Header;
use super::origin::Origin;
use crate::error::{Error, ErrorKind};

/// The splits with what arrays call them.
const SPLITS: [(Split, &str); 3] = [
    (Split::Train, "train"),
    (Split::Validation, "val"),
    (Split::Test, "test"),
];

/// What an array holds of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Images,
    Labels,
}

/// The split and the part of it that an array's name says.
fn part_of(name: &str) -> Option<(Split, Part)> {
    let (split, part) = match name.split_once('_')? {
        ("x", split) | (split, "images") => (split, Part::Images),
        ("y", split) | (split, "labels") => (split, Part::Labels),
        _ => return None,
    };
    let known = SPLITS.iter().find(|(_, known)| *known == split);
    known.map(|&(split, _)| (split, part))
}

/// An array of the archive.
struct Place {
    index: usize,
    name: String,
    shape: Vec<usize>,
}

/// The arrays of an archive that are named like those of splits.
#[derive(Default)]
pub(super) struct Splits(Vec<(Split, Part, Place)>);

impl Splits {
    /// Whether the array is one of a split, which is then remembered.
    pub(super) fn take(&mut self, index: usize, name: &str, header: &Header) -> bool {
        let part = part_of(name);
        let part = part.filter(|&(_, part)| part == Part::Labels || header.shape.len() > 1);
        let Some((split, part)) = part else {
            return false;
        };
        let place = Place {
            index,
            name: name.to_owned(),
            shape: header.shape.clone(),
        };
        // Of two arrays for the same part the later counts, as of two of one name.
        self.0
            .retain(|(other, has, _)| (*other, *has) != (split, part));
        self.0.push((split, part, place));
        true
    }

    /// Whether there are images of a split.
    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|(_, part, _)| *part == Part::Images)
    }

    fn find(&self, split: Split, part: Part) -> Option<&Place> {
        let mut places = self.0.iter();
        let found = places.find(|(of, is, _)| (*of, *is) == (split, part));
        found.map(|(_, _, place)| place)
    }

    /// The places of the images and of the labels of the split that is read, and `notes` of them:
    /// of the one that is asked for, or else of the test split, or of the only one.
    pub(super) fn chosen(
        &self,
        origin: &Origin,
        notes: &mut Vec<String>,
    ) -> Result<(usize, Option<usize>), Error> {
        let present: Vec<(Split, &str)> = SPLITS
            .into_iter()
            .filter(|(split, _)| self.find(*split, Part::Images).is_some())
            .collect();
        let split = match (origin.options.split, &present[..]) {
            (Some(split), _) => split,
            (None, [(only, _)]) => *only,
            (None, _) => Split::Test,
        };
        let names: Vec<&str> = present.iter().map(|&(_, name)| name).collect();
        let names = names.join(", ");
        let Some(images) = self.find(split, Part::Images) else {
            let kind = match origin.options.split {
                Some(_) => ErrorKind::Invalid,
                None => ErrorKind::NotFound,
            };
            let asked_for = split.as_str();
            let problem =
                format!("it has no images of a {asked_for} split; its splits are {names}");
            return Err(origin.error(kind, problem));
        };
        if present.len() > 1 {
            notes.push(format!("of its splits {names}, {} is read", images.name));
        }
        let labels = self.find(split, Part::Labels).and_then(|labels| {
            match (&labels.shape[..], &origin.labels) {
                (&[_, several], None) if several > 1 => {
                    notes.push(several_labels(labels, several));
                    None
                }
                _ => Some(labels.index),
            }
        });
        Ok((images.index, labels))
    }
}

/// The reason why labels are not read of which an image has several, as in ChestMNIST.
fn several_labels(labels: &Place, several: usize) -> String {
    format!(
        "no labels: {} {:?} gives each image {several} of them, of which any number may hold, and \
         a classifier here gives each image one class",
        labels.name, labels.shape
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_splits_are_known_by_their_names() {
        use Part::{Images, Labels};
        for (name, expected) in [
            ("train_images", Some((Split::Train, Images))),
            ("val_labels", Some((Split::Validation, Labels))),
            ("test_images", Some((Split::Test, Images))),
            ("x_train", Some((Split::Train, Images))),
            ("y_test", Some((Split::Test, Labels))),
            ("x_val", Some((Split::Validation, Images))),
            ("images_test", None),
            ("x_images", None),
            ("train_images_2", None),
            ("x", None),
            ("testimages", None),
            ("", None),
        ] {
            assert_eq!(part_of(name), expected, "{name}");
        }
    }
}
