//! Lists of images with labels, as OpenOOD has them: on each line the path of an image, a space,
//! and its label, which is -1 where there is none.

use std::collections::HashSet;
use std::iter::once;
use std::path::{Path, PathBuf};

use super::array::MAX_IMAGES;
use super::origin::Origin;
use super::{DataSet, Sample, images};
use crate::archive::{Blob, read_file};
use crate::error::{Error, ErrorKind};
use crate::image::Image;
use odin_error::{agree, shown, spell, spell_path};

/// A list of images is a text file whose name ends in one of these.
pub const LIST_EXTENSIONS: [&str; 2] = ["txt", "list"];

/// The largest list that is read.
const MAX_LIST: u64 = 1 << 28;

/// A longer line holds no path of any system.
const MAX_LINE: usize = 1 << 16;

/// The folders of images that OpenOOD has beside its lists.
const BESIDE: [&str; 2] = ["images_classic", "images_largescale"];

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether a file is a list: by its name, and because texts hold no zeros.
pub(super) fn is_list(head: &[u8], title: &str) -> bool {
    images::has_extension(title, &LIST_EXTENSIONS) && !head.contains(&0)
}

/// The path and the label of a line `path label` of a list: what stands before the last space or
/// tab, and a whole number from 0, or -1 where the image has no label. `None` where the line is
/// no such.
pub fn split_label(line: &[u8]) -> Option<(&[u8], Option<usize>)> {
    let line = line.trim_ascii_end();
    let space = line.iter().rposition(|byte| matches!(byte, b' ' | b'\t'))?;
    let (path, label) = (&line[..space], &line[space + 1..]);
    let label = match label {
        b"-1" => None,
        digits if digits.iter().all(u8::is_ascii_digit) => {
            let label: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
            Some(usize::try_from(label).ok()?)
        }
        _ => return None,
    };
    (!path.trim_ascii().is_empty()).then_some((path, label))
}

/// A file of this name: of any bytes where the system has such, and elsewhere of UTF-8.
#[cfg(unix)]
pub fn path_of_bytes(name: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name)))
}

/// A file of this name: of any bytes where the system has such, and elsewhere of UTF-8.
#[cfg(not(unix))]
pub fn path_of_bytes(name: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(name).ok().map(PathBuf::from)
}

/// The images of a list, each read when it is asked for.
pub(super) struct List {
    name: String,
    text: Vec<u8>,
    rows: Vec<Row>,
    /// What relative paths are below.
    root: PathBuf,
    channels: Option<usize>,
    notes: Vec<String>,
}

/// A line: where its path lies in the text, and its label.
struct Row {
    start: u32,
    end: u32,
    label: Option<u32>,
}

impl List {
    pub(super) fn open(blob: &Blob, origin: &Origin) -> Result<Self, Error> {
        origin.refuse_splits()?;
        let Some(place) = origin.path else {
            let problem = "a list names files, and is read only where it is one itself; save it";
            return Err(origin.error(ErrorKind::Unsupported, problem));
        };
        let text = text(blob, origin)?;
        let mut list = Self {
            name: origin.name.clone(),
            rows: rows(&text, origin)?,
            text,
            root: PathBuf::new(),
            channels: origin.options.channels,
            notes: Vec::new(),
        };
        list.find_root(place, origin)?;
        list.note_repeated();
        Ok(list)
    }

    /// Where the images lie.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let rows = self.rows.iter();
        rows.map(|row| self.root.join(self.listed(row))).collect()
    }

    fn bytes(&self, row: &Row) -> &[u8] {
        &self.text[row.start as usize..row.end as usize]
    }

    /// The path as the list has it.
    fn listed(&self, row: &Row) -> PathBuf {
        // Where it is none, there is an error when the list is opened.
        path_of_bytes(self.bytes(row)).unwrap_or_default()
    }

    /// Looks for the first relative path, unless the caller says what it is relative to.
    fn find_root(&mut self, place: &Path, origin: &Origin) -> Result<(), Error> {
        let mut paths = self.rows.iter().map(|row| self.listed(row));
        let first = paths.find(|path| path.is_relative());
        match (&origin.options.list_root, first) {
            (Some(root), _) => self.root.clone_from(root),
            (None, None) => {}
            (None, Some(first)) => {
                let (root, note) = root_of(&first, place, origin)?;
                self.root = root;
                self.notes.extend(note);
            }
        }
        Ok(())
    }

    fn note_repeated(&mut self) {
        let mut seen = HashSet::new();
        let rows = self.rows.iter();
        let repeated = rows.filter(|row| !seen.insert(self.bytes(row))).count();
        if repeated > 0 {
            self.notes.push(format!(
                "{} an image that a line before {} names; each counts",
                agree(repeated, "1 line names", &format!("{repeated} lines name")),
                agree(repeated, "it", "them")
            ));
        }
    }
}

fn text(blob: &Blob, origin: &Origin) -> Result<Vec<u8>, Error> {
    if blob.len() > MAX_LIST {
        let problem = format!("the list has more than {MAX_LIST} bytes; split it");
        return Err(origin.error(ErrorKind::Unsupported, problem));
    }
    blob.read(0, blob.len()).map_err(|e| origin.io_error(e))
}

fn rows(text: &[u8], origin: &Origin) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut start = match text.starts_with(BYTE_ORDER_MARK) {
        true => BYTE_ORDER_MARK.len(),
        false => 0,
    };
    let lines = text[start..].split(|&byte| byte == b'\n');
    for (number, line) in (1..).zip(lines) {
        if !line.trim_ascii().is_empty() {
            rows.push(row(line, start, number, origin)?);
        }
        if rows.len() > MAX_IMAGES {
            let problem = format!("the list names more than {MAX_IMAGES} images; split it");
            return Err(origin.error(ErrorKind::Unsupported, problem));
        }
        start += line.len() + 1;
    }
    match rows.is_empty() {
        false => Ok(rows),
        true => Err(origin.error(ErrorKind::Empty, "the list names no image")),
    }
}

/// A line that begins at `start`.
fn row(line: &[u8], start: usize, number: usize, origin: &Origin) -> Result<Row, Error> {
    let refuse = |problem: String| {
        let kind = ErrorKind::Malformed;
        Err(origin.error(kind, format!("line {number}: {problem}")))
    };
    if line.len() > MAX_LINE {
        return refuse(format!("it is longer than {MAX_LINE} bytes, as no path is"));
    }
    let Some((path, label)) = split_label(line) else {
        return refuse(format!(
            "expected the path of an image, a space and its label, a whole number (-1 where it \
             has none), found {:?}",
            shown(&String::from_utf8_lossy(line))
        ));
    };
    if path_of_bytes(path).is_none() {
        return refuse(format!("the path {} is no UTF-8", shown(&spell(path))));
    }
    // A list is at most `MAX_LIST` bytes long, and labels are read as `u32`.
    Ok(Row {
        start: start as u32,
        end: (start + path.len()) as u32,
        label: label.map(|label| label as u32),
    })
}

/// The folder that a relative path of the list is below, and a note of it where it is not the
/// list's own: that one, or the nearest above it, or of these the first with OpenOOD's folder of
/// images that has the path.
fn root_of(first: &Path, list: &Path, origin: &Origin) -> Result<(PathBuf, Option<String>), Error> {
    let own = list.parent().unwrap_or(Path::new("")).to_path_buf();
    if own.join(first).is_file() {
        return Ok((own, None));
    }
    let folder = match own.as_os_str().is_empty() {
        true => Path::new("."),
        false => &own,
    };
    let folder = folder.canonicalize();
    let folder = folder.map_err(|e| Error::io("read the folder of", list, e))?;
    let places = folder.ancestors().flat_map(|above| {
        let beside = BESIDE.iter().map(|name| above.join(name));
        once(above.to_path_buf()).chain(beside)
    });
    let mut places = places.filter(|place| place.join(first).is_file());
    match places.next() {
        Some(root) => {
            let note = format!("the paths of the list are below {}", root.display());
            Ok((root, Some(note)))
        }
        None => Err(origin.error(ErrorKind::NotFound, not_found(first, &folder))),
    }
}

fn not_found(first: &Path, folder: &Path) -> String {
    format!(
        "the first image, {}, is not there; it was looked for below {}, each folder above that, \
         and {} in any of these; put the list into the folder that its paths are relative to",
        shown(&spell_path(first)),
        folder.display(),
        BESIDE.join(" and ")
    )
}

impl DataSet for List {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn sample_name(&self, i: usize) -> String {
        let row = self.rows.get(i);
        row.map_or(String::new(), |row| spell(self.bytes(row)))
    }

    fn label(&self, i: usize) -> Option<usize> {
        Some(self.rows.get(i)?.label? as usize)
    }

    fn get(&self, i: usize) -> Result<Sample, Error> {
        self.check_index(i)?;
        let path = self.root.join(self.listed(&self.rows[i]));
        let bytes = read_file(&path)?;
        let title = spell_path(&path);
        Ok(Sample {
            name: self.sample_name(i),
            label: self.label(i),
            image: Image::decode(&bytes, &title, self.channels)?,
        })
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_path_and_a_label() {
        type Row = (&'static [u8], Option<usize>);
        let cases: [(&[u8], Option<Row>); 17] = [
            (b"a/b.png 0", Some((b"a/b.png", Some(0)))),
            (b"a.png\t12\r", Some((b"a.png", Some(12)))),
            (b"a.png -1  ", Some((b"a.png", None))),
            (b"a b 7.png 3", Some((b"a b 7.png", Some(3)))),
            (b"a b 7 3", Some((b"a b 7", Some(3)))),
            (b" a.png  3", Some((b" a.png ", Some(3)))),
            (b"\xff\\.png 3", Some((b"\xff\\.png", Some(3)))),
            (b"a 4294967295", Some((b"a", Some(u32::MAX as usize)))),
            (b"a 4294967296", None),
            (b"a.png", None),
            (b"a.png -2", None),
            (b"a.png +2", None),
            (b"a.png 2.0", None),
            (b"a.png cat", None),
            (b"a.png \xff", None),
            (b" 3", None),
            (b"3", None),
        ];
        for (line, expected) in cases {
            assert_eq!(split_label(line), expected, "{:?}", spell(line));
        }
    }
}
