//! The images that `odin score` is given, as files, folders, archives and lists.

use crate::args::UsageError;
use crate::output::atomic::Output;
use anyhow::{Context, Result, bail};
use odin::{Classifier, Images, Shard};
use odin_data::{
    DataSet, ImageList, Joined, LIST_EXTENSIONS, OpenOptions, listed_images, open, path_of_bytes,
    spell_path, split_label,
};
use odin_error::{agree, counted};
use odin_untrusted::file::read_regular;
use odin_untrusted::impostor;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

const IMAGES: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "webp", "gif"];
/// Standard input.
const STDIN: &str = "-";

/// The images of all inputs, each once, and which of them belong to this part of the job.
pub(super) struct Inputs {
    images: Images,
    all: usize,
    notes: Vec<String>,
}

/// Whether a path is that of an image file, by its extension.
pub(super) fn is_image(path: &Path) -> bool {
    has_extension(path, &IMAGES) && !path.is_dir()
}

fn is_list(path: &Path) -> bool {
    path.as_os_str() == STDIN || (has_extension(path, &LIST_EXTENSIONS) && !path.is_dir())
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|own| extensions.iter().any(|e| own.eq_ignore_ascii_case(e)))
}

impl Inputs {
    /// `out` must be none of them.
    pub(super) fn open(
        inputs: &[PathBuf],
        classifier: &Classifier,
        shard: Shard,
        out: Option<&Output>,
    ) -> Result<Self> {
        let options = classifier.open_options();
        let mut sets: Vec<(String, Box<dyn DataSet>)> = Vec::new();
        let mut notes = Vec::new();
        let mut images: Vec<PathBuf> = Vec::new();
        for input in inputs {
            if is_image(input) {
                if !input.exists() {
                    bail!("there is no image {}", input.display());
                }
                out.map_or(Ok(()), |out| out.is_not("an image", input))?;
                images.push(input.clone());
            } else if is_list(input) {
                let listed = listed(input, &options)?;
                if let Some(out) = out {
                    out.is_not("the list", input)?;
                    out.is_no_image_of(&listed)?;
                }
                images.extend(listed);
            } else {
                out.map_or(Ok(()), |out| out.is_not("a set of images", input))?;
                // Images keep the order in which they are named.
                flush(&mut images, &mut sets, &options)?;
                let set = open(input, &options)?;
                let name = spell_path(input);
                notes.extend(set.notes().iter().map(|note| format!("{name}: {note}")));
                sets.push((name, set));
            }
        }
        flush(&mut images, &mut sets, &options)?;
        let all = classifier.images(Box::new(Joined::new("the inputs", sets)?));
        let mut seen = HashSet::new();
        let mut twice = 0;
        let mut places = Vec::new();
        for place in 0..all.len() {
            let name = all.image_name(place);
            if !shard.contains(&name) {
                continue;
            }
            match seen.insert(name) {
                true => places.push(place),
                false => twice += 1,
            }
        }
        if twice > 0 {
            notes.push(format!(
                "{} {} named more than once, and scored once",
                counted(twice, "image"),
                agree(twice, "is", "are")
            ));
        }
        Ok(Self {
            images: all.these(places),
            all: all.len(),
            notes,
        })
    }

    /// The images of this part of the job.
    pub(super) fn images(&self) -> &Images {
        &self.images
    }

    /// The number of images of all parts.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Makes a set of the image files that follow each other.
fn flush(
    images: &mut Vec<PathBuf>,
    sets: &mut Vec<(String, Box<dyn DataSet>)>,
    options: &OpenOptions,
) -> Result<()> {
    if !images.is_empty() {
        let list = ImageList::new("the list", std::mem::take(images), options.clone())?;
        sets.push((String::new(), Box::new(list)));
    }
    Ok(())
}

/// The longest list that is read, of a few million images.
const MAX_LIST: u64 = 1 << 28;

fn list_on_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut stdin = std::io::stdin().lock().take(MAX_LIST + 1);
    let read = stdin.read_to_end(&mut bytes);
    read.context("cannot read the list from standard input")?;
    match bytes.len() as u64 > MAX_LIST {
        true => bail!(
            "the list on standard input has more than {MAX_LIST} bytes; give it in parts, or --shard the images of a folder"
        ),
        false => Ok(bytes),
    }
}

/// What some editors, most of them on Windows, put in front of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The paths in a list, one a line, or ended by NUL as `find -print0` does; or those of a list of a
/// data set, whose lines end in labels, which are not needed here.
fn listed(list: &Path, options: &OpenOptions) -> Result<Vec<PathBuf>> {
    let text = match list.as_os_str() == STDIN {
        true => list_on_stdin()?,
        false => read_regular(list, MAX_LIST).context("cannot read the list")?,
    };
    if let Some(found) = impostor::recognise(&text) {
        bail!("{} is no list of images, but {found}", list.display());
    }
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    let ended_by_nul = text.contains(&0);
    let lines = text.split(|&byte| byte == if ended_by_nul { 0 } else { b'\n' });
    // A name in a list that is ended by NUL may end in what ends a line elsewhere.
    let lines = lines.map(|line| match line {
        [line @ .., b'\r'] if !ended_by_nul => line,
        line => line,
    });
    let paths = lines.filter(|line| !line.is_empty()).map(path_of_bytes);
    let paths: Vec<PathBuf> = paths
        .collect::<Option<_>>()
        .with_context(|| format!("the list {} holds names that are no UTF-8", list.display()))?;
    match &paths[..] {
        [] => Err(UsageError(format!("the list {} names no image", list.display())).into()),
        [first, ..] if list.as_os_str() != STDIN && has_label(first) => {
            Ok(listed_images(list, options)?)
        }
        _ => Ok(paths),
    }
}

/// Whether a line of a list is no file as it stands, but a path and a label.
fn has_label(line: &Path) -> bool {
    split_label(line.as_os_str().as_encoded_bytes()).is_some() && !line.exists()
}
