//! Opens checkpoints: recognises containers by their first bytes and unwraps compressed files and
//! archives.

use std::path::Path;

use odin_error::{first_shown, shown};
use odin_untrusted::file::read_regular;
use odin_untrusted::{impostor, inflate, tar};

use crate::allowance::Allowance;
use crate::checkpoint::{Checkpoint, ReadOptions};
use crate::{Error, ErrorKind, safetensors, torch};

/// Wrappers around wrappers that are followed: a gzipped tar is two.
const MAX_WRAPPERS: usize = 4;

/// What the file inside of an archive is called when it is a checkpoint.
const EXTENSIONS: [&str; 9] = [
    "pth",
    "pt",
    "th",
    "pkl",
    "ckpt",
    "bin",
    "model",
    "t7",
    "safetensors",
];

/// How a pickle begins.
const PICKLE: u8 = 0x80;

/// A larger file is none: the largest classifiers have a few billion parameters.
const LARGEST_FILE: u64 = 16 << 30;

impl Checkpoint {
    /// Reads a checkpoint, recognising its container by content and not by file name.
    ///
    /// # Errors
    /// When the file cannot be read, is no checkpoint, is damaged, holds no weights, or holds
    /// weights that are NaN or infinite. Nothing in the file is ever executed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(path, &ReadOptions::default())
    }

    /// The same, as the options say.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and when there are no such weights.
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = read_regular(path, LARGEST_FILE)?;
        Self::from_bytes_with(&bytes, &name, options)
    }

    /// Reads a checkpoint that is in memory already; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, Error> {
        Self::from_bytes_with(bytes, name, &ReadOptions::default())
    }

    /// The same, as the options say.
    ///
    /// # Errors
    /// As [`Checkpoint::open_with`].
    pub fn from_bytes_with(bytes: &[u8], name: &str, options: &ReadOptions) -> Result<Self, Error> {
        let (allowance, wanted) = (Allowance::of(bytes.len()), options.weights.as_deref());
        let checkpoint = read_wrapped(bytes, MAX_WRAPPERS, allowance, wanted);
        let mut checkpoint = checkpoint.map_err(|e| e.about(name))?;
        checkpoint.name = name.to_owned();
        Ok(checkpoint)
    }
}

fn read_wrapped(
    bytes: &[u8],
    wrappers_left: usize,
    mut allowance: Allowance,
    wanted: Option<&str>,
) -> Result<Checkpoint, Error> {
    if bytes.starts_with(b"PK\x03\x04") {
        return torch::read_zip(bytes, allowance, wanted);
    }
    if bytes.starts_with(b"\x1f\x8b") {
        let inner = allowance.read(inflate::gunzip(bytes, allowance.budget()));
        let inner = inner.map_err(|e| e.about("gzip"))?;
        return read_wrapped(&inner, one_less(wrappers_left)?, allowance, wanted);
    }
    if tar::is_header(bytes) {
        return match TarContents::of(bytes)? {
            TarContents::Torch => torch::read_tar(bytes, allowance, wanted),
            TarContents::One { name, content } => {
                let result = read_wrapped(content, one_less(wrappers_left)?, allowance, wanted);
                result
                    .map_err(|e| e.about(format_args!("`{}` inside of the archive", shown(&name))))
            }
        };
    }
    if safetensors::recognises(bytes) {
        return safetensors::read(bytes, wanted);
    }
    if torch::recognises_legacy(bytes) {
        return torch::read_legacy(bytes, allowance, wanted);
    }
    Err(unknown(bytes))
}

fn one_less(wrappers_left: usize) -> Result<usize, Error> {
    let too_deep = || Error::unsupported("archives are nested too deeply; unpack them");
    wrappers_left.checked_sub(1).ok_or_else(too_deep)
}

fn unknown(bytes: &[u8]) -> Error {
    let found = match (impostor::recognise(bytes), bytes) {
        (Some(what), _) => format!("this is {what}"),
        (None, [PICKLE, ..]) => {
            "this is a pickle that torch.save did not write: save the state_dict with torch.save"
                .to_owned()
        }
        (None, []) => "the file is empty".to_owned(),
        (None, _) => "the content is neither".to_owned(),
    };
    Error::new(
        ErrorKind::UnknownContainer,
        format!("expected a PyTorch checkpoint (torch.save) or a safetensors file, but {found}"),
    )
}

enum TarContents<'a> {
    /// The parts that PyTorch before 0.1.10 wrote.
    Torch,
    /// A single checkpoint.
    One { name: String, content: &'a [u8] },
}

impl<'a> TarContents<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Error> {
        let files = torch::tar_files(bytes)?;
        let has = |part: &str| files.iter().any(|(name, _)| name == part);
        if torch::TAR_PARTS.iter().all(|part| has(part)) {
            return Ok(Self::Torch);
        }
        let checkpoint = |name: &str| {
            let file = name.rsplit('/').next().unwrap_or(name);
            let extension = file.rsplit_once('.').map_or("", |(_, e)| e);
            EXTENSIONS.contains(&extension) && !file.starts_with("._")
        };
        let mut candidates: Vec<_> = files.iter().filter(|(name, _)| checkpoint(name)).collect();
        if candidates.is_empty() {
            candidates = files.iter().collect();
        }
        match candidates[..] {
            [(name, content)] => Ok(Self::One {
                name: name.clone(),
                content,
            }),
            _ => {
                let names = first_shown(files.iter().map(|(name, _)| name.as_str()));
                Err(Error::new(
                    ErrorKind::NoWeights,
                    format!(
                        "an archive of {} files, among them {names:?}; expected exactly one \
                         checkpoint: unpack it and give the file",
                        files.len()
                    ),
                ))
            }
        }
    }
}
