//! Concatenation of several sets, and sets from lists of image files.

use std::path::PathBuf;

use super::{DataSet, OpenOptions, Sample, open};
use crate::error::{Error, ErrorKind};
use odin_error::spell_path;

/// Sets one behind the other. The names of their images begin with the name of their source.
pub struct Joined {
    name: String,
    parts: Vec<Part>,
    len: usize,
}

struct Part {
    prefix: String,
    set: Box<dyn DataSet>,
    /// The index of its first image among all.
    start: usize,
}

impl Joined {
    /// Sets with what the names of their images begin with, and a `/` after it; an empty prefix
    /// leaves names as they are.
    ///
    /// # Errors
    /// `Empty` if there is no set.
    pub fn new(
        name: impl Into<String>,
        sets: Vec<(String, Box<dyn DataSet>)>,
    ) -> Result<Self, Error> {
        let (name, mut len) = (name.into(), 0);
        let mut parts = Vec::with_capacity(sets.len());
        for (prefix, set) in sets {
            let start = len;
            len += set.len();
            parts.push(Part { prefix, set, start });
        }
        match parts.is_empty() {
            false => Ok(Self { name, parts, len }),
            true => Err(Error::new(
                ErrorKind::Empty,
                format!("{name}: there is no image"),
            )),
        }
    }

    /// The part of an image, and its index there.
    fn part(&self, i: usize) -> Option<(&Part, usize)> {
        let after = self.parts.partition_point(|part| part.start <= i);
        let part = self.parts.get(after.checked_sub(1)?)?;
        (i < self.len).then_some((part, i - part.start))
    }
}

impl Part {
    fn named(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_string(),
            prefix => format!("{}/{name}", prefix.trim_end_matches('/')),
        }
    }
}

impl DataSet for Joined {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.len
    }

    /// The parts may know different classes.
    fn class_names(&self) -> Option<&[String]> {
        match &self.parts[..] {
            [only] => only.set.class_names(),
            _ => None,
        }
    }

    fn sample_name(&self, i: usize) -> String {
        self.part(i).map_or(String::new(), |(part, i)| {
            part.named(&part.set.sample_name(i))
        })
    }

    fn label(&self, i: usize) -> Option<usize> {
        let (part, i) = self.part(i)?;
        part.set.label(i)
    }

    fn size(&self, i: usize) -> Option<[usize; 3]> {
        let (part, i) = self.part(i)?;
        part.set.size(i)
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let (part, i) = match self.part(i) {
            Some(found) => found,
            None => return Err(Error::invalid("there is no such image")),
        };
        let mut sample = part.set.get(i)?;
        sample.name = part.named(&sample.name);
        Ok(sample)
    }
}

/// Image files by their paths, each opened when it is asked for: one that is not there or does not
/// decode is an error of its own.
pub struct ImageList {
    name: String,
    paths: Vec<PathBuf>,
    options: OpenOptions,
}

impl ImageList {
    /// Files, each of one image.
    ///
    /// # Errors
    /// `Empty` if there is no path.
    pub fn new(
        name: impl Into<String>,
        paths: Vec<PathBuf>,
        options: OpenOptions,
    ) -> Result<Self, Error> {
        let name = name.into();
        match paths.is_empty() {
            false => Ok(Self {
                name,
                paths,
                options,
            }),
            true => Err(Error::new(
                ErrorKind::Empty,
                format!("{name}: the list names no image"),
            )),
        }
    }
}

impl DataSet for ImageList {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.paths.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        self.paths
            .get(i)
            .map_or(String::new(), |path| spell_path(path))
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let path = &self.paths[i];
        let set = open(path, &self.options)?;
        if set.len() != 1 {
            let message = format!(
                "{} holds {} images; only files of one image belong in a list",
                spell_path(path),
                set.len()
            );
            return Err(Error::unsupported(message));
        }
        let image = set.get(0)?.image;
        Ok(Sample::new(spell_path(path), None, image))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{NoiseKind, noise};

    fn noisy(count: usize, seed: u64) -> Box<dyn DataSet> {
        Box::new(noise(NoiseKind::Uniform, 1, 2, 2, count, seed).unwrap())
    }

    #[test]
    fn joined_sets_follow_each_other() {
        let parts = || [noisy(3, 1), noisy(1, 2), noisy(2, 3)];
        let prefixes = ["a/", "b.tar", ""].map(str::to_string);
        let joined = Joined::new("all", prefixes.into_iter().zip(parts()).collect()).unwrap();
        assert_eq!(joined.len(), 6);
        let apart = parts();
        let images = apart
            .iter()
            .flat_map(|set| (0..set.len()).map(|i| set.get(i).unwrap()));
        for (i, alone) in images.enumerate() {
            let sample = joined.get(i).unwrap();
            assert_eq!(sample.image, alone.image, "{i}");
            assert_eq!(sample.name, joined.sample_name(i));
        }
        let first = apart[0].sample_name(0);
        let names = [0, 3, 4].map(|i| joined.sample_name(i));
        assert_eq!(
            names,
            [format!("a/{first}"), format!("b.tar/{first}"), first]
        );
        assert_eq!(joined.get(6).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(joined.sample_name(6), "");
    }

    #[test]
    fn nothing_is_no_set() {
        let error = Joined::new("none", Vec::new()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Empty);
        let error = ImageList::new("none", Vec::new(), OpenOptions::default());
        assert_eq!(error.err().unwrap().kind(), ErrorKind::Empty);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_of_its_own() {
        let paths = vec![PathBuf::from("not-here.png"), PathBuf::from("nor-here.png")];
        let list = ImageList::new("list", paths, OpenOptions::default()).unwrap();
        assert_eq!(list.sample_name(1), "nor-here.png");
        let error = list.get(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("nor-here.png"));
    }
}
