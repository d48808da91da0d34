//! Vectors of numbers in `.npy` and `.npz` files, such as saved scores.

use std::fs::File;
use std::sync::Arc;

use super::npy::{MAGIC, Npy};
use super::npz::{Arrays, Seen, is_npz};
use crate::archive::{Blob, Unpack, Zip};
use crate::error::{Error, ErrorKind};

/// The arrays that are read of a file unpack to at most so many bytes, of which the longest vector
/// needs half.
const MAX_UNPACKED: u64 = 1 << 28;

/// Which array of an `.npz` file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrayChoice<'a> {
    /// The one of this name.
    Named(&'a str),
    /// The one of this name, or else the only vector of floats.
    Usually(&'a str),
}

/// Numbers from a file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Vector {
    /// The name of the array; none of a `.npy` file, which has no names.
    pub name: Option<String>,
    /// Its values.
    pub values: Vec<f64>,
}

/// Reads a vector `[N]` (or a column `[N, 1]`) of floats of 2, 4 or 8 bytes or whole numbers, in
/// either byte order, from a `.npy` file or, by its name, from an `.npz` file. `title` is what
/// errors call the file.
///
/// # Errors
/// `Unsupported` or `Malformed` for what is no such file or array, `NotFound` where the choice
/// names none, `Io` for what the operating system refuses.
pub fn read_vector(file: File, title: &str, choice: ArrayChoice<'_>) -> Result<Vector, Error> {
    let io = |e| Error::new(ErrorKind::Io, format!("{title}: cannot be read")).because(e);
    let len = file.metadata().map_err(io)?.len();
    let blob = Blob::File { file, len };
    match blob.head(MAGIC.len()).map_err(io)? == MAGIC {
        true => Ok(Vector {
            name: None,
            values: Npy::parse(Arc::new(blob), title)?.numbers(title)?,
        }),
        false => from_npz(blob, title, choice),
    }
}

fn from_npz(blob: Blob, title: &str, choice: ArrayChoice<'_>) -> Result<Vector, Error> {
    let packed = blob.len();
    let zip = Zip::open(Arc::new(blob), title)?;
    if !is_npz(&zip) {
        let problem = format!("{title}: it is no .npz file, for not all in it are .npy files");
        return Err(Error::unsupported(problem));
    }
    let unpack = Unpack {
        limit: MAX_UNPACKED,
        scratch: None,
    };
    let mut arrays = Arrays::new(&zip, packed, unpack, title);
    let (place, name) = chosen(&mut arrays, title, choice)?;
    let (array, title) = arrays.read(place)?;
    Ok(Vector {
        name: Some(name),
        values: array.numbers(&title)?,
    })
}

/// The place and the name of the array to read.
fn chosen(
    arrays: &mut Arrays<'_>,
    title: &str,
    choice: ArrayChoice<'_>,
) -> Result<(usize, String), Error> {
    let (ArrayChoice::Named(wanted) | ArrayChoice::Usually(wanted)) = choice;
    let (mut found, mut floats, mut seen) = (None, Vec::new(), Seen::default());
    arrays.look(|i, name, header| {
        seen.add(name, header);
        if name == wanted {
            found = Some(i);
        } else if header.is_float() && header.vector().is_some() && floats.len() < 2 {
            floats.push((i, name.to_string()));
        }
    })?;
    match (found, choice, &mut floats[..]) {
        (Some(i), ..) => Ok((i, wanted.to_string())),
        (None, ArrayChoice::Usually(_), [only]) => Ok(std::mem::take(only)),
        (None, ArrayChoice::Named(_), _) => {
            let problem = format!("{title}: there is no array {wanted:?}; the arrays are {seen}");
            Err(Error::new(ErrorKind::NotFound, problem))
        }
        _ => {
            let problem = format!(
                "{title}: there is no array {wanted:?}, and not one vector of floats alone; name \
                 one of the arrays: {seen}"
            );
            Err(Error::new(ErrorKind::NotFound, problem))
        }
    }
}
