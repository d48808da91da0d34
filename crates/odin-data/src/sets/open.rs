//! Opens sets: recognises the format of a path, or of bytes in memory, by content.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::list::{self, LIST_EXTENSIONS, List};
use super::origin::Origin;
use super::{DataSet, OpenOptions, cifar, idx, images, npy, npz, svhn};
use crate::archive::{Blob, Folder, Store, Tar, Zip};
use crate::error::{Error, ErrorKind};
use crate::image::check_size;
use odin_error::escape;
use odin_untrusted::{impostor, tar};

/// Opens the set at `path`, recognised by its content:
///
/// - CIFAR-10 and CIFAR-100 as distributed, python or binary version: the `.tar.gz`, its folder,
///   the folder above, or one batch file;
/// - MNIST-style idx files, plain or gzipped, or a folder of them;
/// - SVHN's cropped digits, a MATLAB file;
/// - `.npy` and `.npz` arrays of images, signals or vectors, also of the splits of MedMNIST;
/// - a folder of images, with or without class sub-folders, or a single image;
/// - a tar, tar.gz or zip archive of such a folder;
/// - a list of images with labels, as OpenOOD has them: a text in a `.txt` or `.list` file.
///
/// No image file is decoded here: one that is damaged is an error of [`DataSet::get`].
///
/// # Errors
/// `NotFound` or `Io` for what the operating system refuses, `Malformed` and `Unsupported` for
/// content, `Empty` if there is no image, `Invalid` for options that do not fit.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn DataSet>, Error> {
    check_options(options)?;
    open_path(path, options)
}

/// The files that a list of images with labels names, in its order.
///
/// # Errors
/// Those of [`open`] for lists.
pub fn listed_images(list: &Path, options: &OpenOptions) -> Result<Vec<PathBuf>, Error> {
    Ok(List::open(&Blob::open(list)?, &origin_of(list, options))?.paths())
}

/// Opens a set that lies in memory: any single file that [`open`] would read. Static bytes, as
/// `include_bytes!` gives them, are not copied.
///
/// # Errors
/// Those of [`open`].
pub fn open_bytes(
    name: &str,
    bytes: impl Into<Cow<'static, [u8]>>,
    options: &OpenOptions,
) -> Result<Box<dyn DataSet>, Error> {
    check_options(options)?;
    open_file(name, bytes.into(), None, options)
}

/// Opens the bytes of an `.npy` or `.npz` file of images, with labels from the bytes of a second
/// `.npy` file if they are given.
///
/// # Errors
/// Those of [`open`].
pub fn from_npy_bytes(
    name: &str,
    images: impl Into<Cow<'static, [u8]>>,
    labels: Option<Cow<'static, [u8]>>,
    options: &OpenOptions,
) -> Result<Box<dyn DataSet>, Error> {
    check_options(options)?;
    open_file(name, images.into(), labels, options)
}

fn check_options(options: &OpenOptions) -> Result<(), Error> {
    check_size(options.channels.unwrap_or(1), 1, 1)
}

fn open_path(path: &Path, options: &OpenOptions) -> Result<Box<dyn DataSet>, Error> {
    let metadata = fs::metadata(path).map_err(|e| Error::io("open", path, e))?;
    let origin = origin_of(path, options);
    if metadata.is_dir() {
        return open_store(Arc::new(Folder::open(path)?), &origin);
    }
    if !metadata.is_file() {
        return Err(origin.error(ErrorKind::Unsupported, "it is neither a file nor a folder"));
    }
    open_blob(Blob::open(path)?, &origin)
}

fn open_file(
    name: &str,
    bytes: Cow<'static, [u8]>,
    labels: Option<Cow<'static, [u8]>>,
    options: &OpenOptions,
) -> Result<Box<dyn DataSet>, Error> {
    let origin = Origin {
        title: name.to_owned(),
        name: options.name.clone().unwrap_or_else(|| name.to_owned()),
        path: None,
        labels: labels.map(|bytes| Arc::new(Blob::Memory(bytes))),
        options,
    };
    open_blob(Blob::Memory(bytes), &origin)
}

/// A set at `path`, named like it unless the options say otherwise.
fn origin_of<'a>(path: &'a Path, options: &'a OpenOptions) -> Origin<'a> {
    Origin {
        title: path.display().to_string(),
        name: match &options.name {
            Some(name) => name.clone(),
            None => escape(&set_name(path)),
        },
        path: Some(path),
        labels: None,
        options,
    }
}

/// The last part of the path without the extensions that sets come with.
fn set_name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let of = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    let mut name = of(path)
        .or_else(|| of(&full))
        .unwrap_or_else(|| "images".into());
    if full.is_dir() {
        return name;
    }
    while let Some((stem, extension)) = name.rsplit_once('.') {
        let known = ["gz", "tgz", "tar", "zip", "npy", "npz", "bin", "idx", "mat"]
            .contains(&extension)
            || LIST_EXTENSIONS.contains(&extension)
            || images::has_image_extension(&name);
        if !known || stem.is_empty() {
            break;
        }
        name.truncate(stem.len());
    }
    name
}

/// What the first bytes of a file show it to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Npy,
    Zip,
    Gzip,
    Tar,
    Idx,
    Pickle,
    Matlab,
    Image,
    List,
    CifarBinary,
    /// What takes the place of a set by accident.
    Impostor(&'static str),
    /// A container that is not read, by its name.
    Foreign(&'static str),
    Unknown,
}

/// A tar header is the longest thing that is looked at.
const HEAD: usize = tar::BLOCK as usize;

fn recognise(head: &[u8], len: u64, title: &str) -> Content {
    const MAGICS: [(&[u8], Content); 7] = [
        (npy::MAGIC, Content::Npy),
        (b"PK\x03\x04", Content::Zip),
        (b"PK\x05\x06", Content::Zip),
        (b"\x1f\x8b", Content::Gzip),
        (b"\xfd7zXZ\0", Content::Foreign("an xz file")),
        (b"BZh", Content::Foreign("a bzip2 file")),
        (b"\x28\xb5\x2f\xfd", Content::Foreign("a zstandard file")),
    ];
    if let Some(what) = impostor::recognise(head) {
        return Content::Impostor(what);
    }
    if list::is_list(head, title) {
        return Content::List;
    }
    if let Some((_, content)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return *content;
    }
    if tar::is_header(head) {
        Content::Tar
    } else if svhn::is_matlab(head) {
        Content::Matlab
    } else if images::is_image(head) {
        Content::Image
    } else if idx::is_idx(head) {
        Content::Idx
    } else if title.ends_with(".bin") && cifar::is_binary_batch(len) {
        Content::CifarBinary
    } else if cifar::is_pickle(head) {
        Content::Pickle
    } else {
        Content::Unknown
    }
}

fn open_blob(blob: Blob, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    let head = blob.head(HEAD).map_err(|e| origin.io_error(e))?;
    let content = recognise(&head, blob.len(), &origin.title);
    if content != Content::Zip {
        origin.refuse_validation_split()?;
    }
    let blob = Arc::new(blob);
    if content != Content::Gzip {
        return open_content(content, blob, origin);
    }
    let unpacked = origin.unpack().gunzip(blob, &origin.title)?;
    let head = unpacked.head(HEAD).map_err(|e| origin.io_error(e))?;
    let inner_title = origin.title.trim_end_matches(".gz");
    let content = recognise(&head, unpacked.len(), inner_title);
    open_content(content, Arc::new(unpacked), origin)
}

fn open_content(
    content: Content,
    blob: Arc<Blob>,
    origin: &Origin,
) -> Result<Box<dyn DataSet>, Error> {
    match content {
        Content::Npy => npy::open(blob, origin),
        Content::Zip => {
            let packed = blob.len();
            let zip = Arc::new(Zip::open(blob, &origin.title)?);
            if npz::is_npz(&*zip) {
                npz::open(&zip, packed, origin)
            } else {
                open_store(zip, origin)
            }
        }
        Content::Tar => open_store(Arc::new(Tar::open(blob, &origin.title)?), origin),
        Content::Idx => idx::open(&blob, origin),
        Content::Matlab => svhn::open(&blob, origin),
        Content::Image => images::open_one(&blob, origin),
        Content::List => Ok(Box::new(List::open(&blob, origin)?)),
        Content::Pickle | Content::CifarBinary => cifar::open_batch(&blob, origin),
        Content::Gzip => Err(origin.error(
            ErrorKind::Unsupported,
            "it is compressed twice; unpack it first",
        )),
        Content::Impostor(what) => Err(origin.error(
            ErrorKind::Unsupported,
            format!("this is no data set, but {what}"),
        )),
        Content::Foreign(what) => Err(origin.error(
            ErrorKind::Unsupported,
            format!("it is {what}, which is not read; unpack or convert it first"),
        )),
        Content::Unknown => Err(origin.error(
            ErrorKind::Unsupported,
            "not recognised by its content; tried PNG, JPEG, BMP, WebP, GIF, tar, tar.gz, zip, \
             npy, npz, idx, SVHN's MATLAB files, CIFAR-10 and CIFAR-100 (python and binary), and \
             lists of images (.txt)",
        )),
    }
}

/// A folder or an archive: CIFAR and MNIST-style sets by the names of their files, anything else
/// by the images in it.
fn open_store(store: Arc<dyn Store>, origin: &Origin) -> Result<Box<dyn DataSet>, Error> {
    origin.refuse_validation_split()?;
    if let Some(set) = cifar::open_store(&*store, origin)? {
        return Ok(set);
    }
    if let Some(set) = idx::open_store(&*store, origin)? {
        return Ok(set);
    }
    images::open_store(store, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_named_like_their_file() {
        for (path, name) in [
            ("a/Imagenet.tar.gz", "Imagenet"),
            ("LSUN_resize.tgz", "LSUN_resize"),
            ("x/v1.5.npz", "v1.5"),
            ("test_batch.bin", "test_batch"),
            ("t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"),
            ("photo.JPG", "photo"),
            ("test_cifar10.txt", "test_cifar10"),
            (".npy", ".npy"),
        ] {
            assert_eq!(set_name(Path::new(path)), name);
        }
    }
}
