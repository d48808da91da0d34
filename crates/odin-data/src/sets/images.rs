//! Folders and archives of image files, and single images.

use std::sync::Arc;

use super::origin::Origin;
use super::{DataSet, Sample};
use crate::archive::{Blob, MAX_FILE, Store};
use crate::error::{Error, ErrorKind};
use crate::image::Image;
use odin_error::{agree, counted, spell};

const EXTENSIONS: [&str; 9] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "webp", "gif",
];

/// Those of images in formats that are not read.
const FOREIGN: [&str; 13] = [
    "tif", "tiff", "avif", "heic", "heif", "jp2", "jxl", "ico", "tga", "ppm", "pgm", "pbm", "pnm",
];

pub(super) fn has_image_extension(name: &str) -> bool {
    has_extension(name, &EXTENSIONS)
}

pub(super) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, e)| extensions.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Whether a file starts like one of the image formats.
pub(super) fn is_image(head: &[u8]) -> bool {
    const MAGICS: [&[u8]; 5] = [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF87a",
        b"GIF89a",
        b"BM",
    ];
    MAGICS.iter().any(|magic| head.starts_with(magic))
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

/// Images in a [`Store`], sorted by name.
struct Images {
    name: String,
    store: Arc<dyn Store>,
    /// Bytes of the archive's own folder at the start of every name.
    root: usize,
    items: Vec<Item>,
    classes: Option<Vec<String>>,
    channels: Option<usize>,
    notes: Vec<String>,
}

struct Item {
    entry: usize,
    label: Option<usize>,
}

pub(super) fn open_store(
    store: Arc<dyn Store>,
    origin: &Origin,
) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_splits()?;
    let entries: Vec<usize> = (0..store.entries().len())
        .filter(|&e| is_listed(&store.entries()[e].name, &EXTENSIONS))
        .collect();
    let names: Vec<&str> = entries
        .iter()
        .map(|&e| store.entries()[e].name.as_str())
        .collect();
    if names.is_empty() {
        return Err(nothing_found(&*store, origin));
    }
    let root = match store.is_archive() {
        true => first_folder(&names).min(common_folder(&names)),
        false => 0,
    };
    let classes = classes(&names);
    let mut notes = left_out(&*store, names.len());
    match &classes {
        None if has_both(&names) => {
            notes.push("no labels: some images lie beside the sub-folders and some in them".into());
        }
        Some(classes) => notes.extend(classes.number_note()),
        None => {}
    }
    let items = entries
        .iter()
        .zip(&names)
        .map(|(&entry, name)| Item {
            entry,
            label: classes.as_ref().and_then(|c| c.label(name)),
        })
        .collect();
    Ok(Box::new(Images {
        name: origin.name.clone(),
        root,
        items,
        classes: classes.map(|c| c.names),
        channels: origin.options.channels,
        notes,
        store,
    }))
}

/// What was left out of a store of `images` images.
fn left_out(store: &dyn Store, images: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let entries = store.entries().iter();
    let foreign = entries.filter(|entry| is_listed(&entry.name, &FOREIGN));
    let names: Vec<&str> = foreign.map(|entry| entry.name.as_str()).collect();
    let others = store.entries().len() - images - names.len();
    if let [first, ..] = names[..] {
        notes.push(format!(
            "{} in formats that are not read {} left out, such as {first}; convert {} to PNG",
            counted(names.len(), "image"),
            agree(names.len(), "was", "were"),
            agree(names.len(), "it", "them")
        ));
    }
    if others > 0 {
        notes.push(match others {
            1 => "1 file that is no image was left out".to_owned(),
            _ => format!("{others} files that are no images were left out"),
        });
    }
    let left_out = store.left_out();
    if left_out.count > 0 {
        notes.push(format!(
            "{} left out, such as {}",
            match left_out.count {
                1 => "1 link or device was".to_owned(),
                count => format!("{count} links and devices were"),
            },
            left_out.example
        ));
    }
    notes
}

/// Hidden files, among them what macOS adds to archives, are no images whatever their extension.
fn is_listed(name: &str, extensions: &[&str]) -> bool {
    has_extension(name, extensions)
        && !name
            .split('/')
            .any(|part| part.starts_with('.') && part != ".." || part == "__MACOSX")
}

fn nothing_found(store: &dyn Store, origin: &Origin) -> Error {
    let count = store.entries().len();
    let mut problem = format!(
        "no image in it; {} {} found, none named like a CIFAR or idx file or ending in .png, \
         .jpg, .jpeg, .bmp, .webp or .gif",
        counted(count, "file"),
        agree(count, "was", "were")
    );
    let mut entries = store.entries().iter();
    if let Some(foreign) = entries.find(|e| is_listed(&e.name, &FOREIGN)) {
        problem += &format!(
            "; {} is an image in a format that is not read, convert it to PNG",
            foreign.name
        );
    }
    let archive = store.entries().iter().find(|e| {
        [".tar.gz", ".tgz", ".tar", ".zip", ".npy", ".npz"]
            .iter()
            .any(|extension| e.name.ends_with(extension))
    });
    if let Some(archive) = archive {
        problem += &format!("; to read {}, name that file", archive.name);
    }
    origin.error(ErrorKind::Empty, problem)
}

/// Length of the folder part, with its slash, that all names share.
fn common_folder(names: &[&str]) -> usize {
    let (Some(first), Some(last)) = (names.first(), names.last()) else {
        return 0;
    };
    // Names are sorted, so what the first and the last share is shared by all.
    let shared = first
        .bytes()
        .zip(last.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    first.as_bytes()[..shared]
        .iter()
        .rposition(|&b| b == b'/')
        .map_or(0, |slash| slash + 1)
}

/// Length of the first name's first folder with its slash.
fn first_folder(names: &[&str]) -> usize {
    names
        .first()
        .and_then(|name| name.find('/'))
        .map_or(0, |slash| slash + 1)
}

struct Classes {
    names: Vec<String>,
    prefix: usize,
}

impl Classes {
    fn label(&self, name: &str) -> Option<usize> {
        let folder = class_folder(name, self.prefix)?;
        self.names.binary_search_by(|n| n.as_str().cmp(folder)).ok()
    }

    /// A note where the names are numbers and their order as texts is another one.
    fn number_note(&self) -> Option<String> {
        let numbers = self.names.iter().map(|name| name.parse::<u64>());
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
        let place = numbers.windows(2).position(|pair| pair[0] > pair[1])?;
        Some(format!(
            "the class folders are ordered as texts, as PyTorch's ImageFolder does: {} has the \
             label {place} and {} the label {}; pad the numbers with zeros if they are labels",
            self.names[place],
            self.names[place + 1],
            place + 1
        ))
    }
}

fn class_folder(name: &str, prefix: usize) -> Option<&str> {
    name[prefix..].split_once('/').map(|(folder, _)| folder)
}

/// The sub-folders of the deepest folder that holds everything, if every image lies in one.
fn classes(names: &[&str]) -> Option<Classes> {
    let prefix = common_folder(names);
    let mut folders = names
        .iter()
        .map(|name| class_folder(name, prefix).map(str::to_owned))
        .collect::<Option<Vec<_>>>()?;
    folders.sort_unstable();
    folders.dedup();
    Some(Classes {
        names: folders,
        prefix,
    })
}

fn has_both(names: &[&str]) -> bool {
    let prefix = common_folder(names);
    names
        .iter()
        .any(|name| class_folder(name, prefix).is_some())
}

impl DataSet for Images {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    fn sample_name(&self, i: usize) -> String {
        self.items
            .get(i)
            .and_then(|item| self.store.entries().get(item.entry))
            .map_or_else(String::new, |entry| entry.name[self.root..].to_owned())
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.items.get(i)?.label
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let item = &self.items[i];
        let bytes = self.store.read(item.entry)?;
        let title = self.store.title(item.entry);
        Ok(Sample {
            name: self.sample_name(i),
            label: item.label,
            image: Image::decode(&bytes, &title, self.channels)?,
        })
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// A set of one image, which is decoded when it is asked for: a large one takes much more memory
/// than its file.
struct OneImage {
    name: String,
    title: String,
    sample_name: String,
    bytes: Vec<u8>,
    channels: Option<usize>,
}

pub(super) fn open_one(blob: &Blob, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_splits()?;
    if blob.len() > MAX_FILE {
        return Err(origin.error(
            ErrorKind::Unsupported,
            "the image file is larger than 512 MiB",
        ));
    }
    let bytes = blob.read(0, blob.len()).map_err(|e| origin.io_error(e))?;
    let file_name = origin.path.and_then(|path| path.file_name());
    let sample_name = file_name.map_or_else(
        || spell(origin.title.as_bytes()),
        |name| spell(name.as_encoded_bytes()),
    );
    Ok(Box::new(OneImage {
        name: origin.name.clone(),
        title: origin.title.clone(),
        sample_name,
        bytes,
        channels: origin.options.channels,
    }))
}

impl DataSet for OneImage {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        1
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        match i {
            0 => self.sample_name.clone(),
            _ => String::new(),
        }
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        Ok(Sample {
            name: self.sample_name(i),
            label: None,
            image: Image::decode(&self.bytes, &self.title, self.channels)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> Option<(Vec<String>, Vec<Option<usize>>)> {
        let classes = classes(names)?;
        let labels = names.iter().map(|name| classes.label(name)).collect();
        Some((classes.names, labels))
    }

    #[test]
    fn labels_come_from_the_first_folders_that_differ() {
        for (names, expected) in [
            (vec!["a.png", "b.png"], None),
            (vec!["0/a.png", "0/b.png"], None),
            (vec!["Imagenet/test/a.png", "Imagenet/test/b.png"], None),
            (vec!["a/1.png", "z.png"], None),
            (vec!["cat/x/1.png", "dog/1.png"], Some(["cat", "dog"])),
            (vec!["s/cat/1.png", "s/dog/1.png"], Some(["cat", "dog"])),
            (vec!["a-b/1.png", "a/1.png"], Some(["a", "a-b"])),
        ] {
            let found = labels(&names).map(|(classes, _)| classes);
            let expected = expected.map(|e| e.map(str::to_owned).to_vec());
            assert_eq!(found, expected, "{names:?}");
        }
        let (_, found) = labels(&["a-b/1.png", "a/1.png"]).unwrap();
        assert_eq!(found, [Some(1), Some(0)]);
    }

    #[test]
    fn hidden_files_are_not_listed() {
        for (name, listed) in [
            ("a/b.PNG", true),
            ("../b.jpeg", true),
            ("b.JFIF", true),
            ("b.jpe", true),
            ("b.tif", false),
            ("a/._b.png", false),
            ("__MACOSX/a/b.png", false),
            (".git/b.png", false),
            ("b.txt", false),
            ("png", false),
        ] {
            assert_eq!(is_listed(name, &EXTENSIONS), listed, "{name}");
        }
    }
}
