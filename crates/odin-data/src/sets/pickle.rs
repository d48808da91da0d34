//! The pickled dictionaries of CIFAR: lists of numbers and names, and `numpy` arrays.

mod numpy;

use odin_untrusted::pickle::{Id, Options, Pickle, Python2Strings, Value};

const OPTIONS: Options = Options {
    // The pixels are one, in the batches as distributed.
    strings: Python2Strings::Bytes,
    // 30 times those of the largest batch.
    max_values: 4_000_000,
    max_steps: 4_000_000,
};

/// The longest string in a list of strings, in bytes.
const MAX_STRING: usize = 1 << 10;

/// Why a pickle is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PickleError(pub(super) String);

type Result<T> = std::result::Result<T, PickleError>;

fn wrong<T>(problem: impl Into<String>) -> Result<T> {
    Err(PickleError(problem.into()))
}

/// A parsed pickle of a dictionary.
#[derive(Debug)]
pub(super) struct Dictionary<'a>(Pickle<'a>);

impl<'a> Dictionary<'a> {
    pub(super) fn parse(mut input: &'a [u8]) -> Result<Self> {
        let pickle = Pickle::read(&mut input, OPTIONS);
        pickle.map(Self).map_err(|e| PickleError(e.to_string()))
    }

    /// The value under `key`; the last one wins, as in Python.
    fn get(&self, key: &str) -> Option<Id> {
        let Value::Dict(items) = self.0.get(self.0.root()) else {
            return None;
        };
        let mut items = items.iter().rev();
        let found = items.find(|(k, _)| self.string(*k) == Some(key.as_bytes()));
        found.map(|(_, value)| *value)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whole numbers from a list or tuple.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<i64>> {
        let number = |&id: &Id| {
            let number = self.0.int(id).and_then(|n| i64::try_from(n).ok());
            number.ok_or_else(|| {
                PickleError(format!("{key:?} holds something that is no whole number"))
            })
        };
        self.items(key)?.iter().map(number).collect()
    }

    /// Exactly `count` strings from a list or tuple, which may be one string many times.
    pub(super) fn strings(&self, key: &str, count: usize) -> Result<Vec<String>> {
        let items = self.items(key)?;
        if items.len() != count {
            let found = items.len();
            return wrong(format!("{key:?} holds {found} strings, expected {count}"));
        }
        items
            .iter()
            .map(|&id| match self.string(id) {
                Some(bytes) if bytes.len() <= MAX_STRING => {
                    Ok(String::from_utf8_lossy(bytes).into_owned())
                }
                Some(_) => wrong(format!(
                    "{key:?} holds a string of more than {MAX_STRING} bytes"
                )),
                None => wrong(format!("{key:?} holds something that is no string")),
            })
            .collect()
    }

    fn items(&self, key: &str) -> Result<&[Id]> {
        let Some(value) = self.get(key) else {
            return wrong(format!("it has no {key:?}"));
        };
        let items = self.0.sequence(value);
        items.ok_or_else(|| PickleError(format!("{key:?} is no list")))
    }

    /// A string of either kind. Those that matter here are ASCII, so encodings are passed over.
    fn string(&self, id: Id) -> Option<&[u8]> {
        match self.0.get(self.encoded_text(id).unwrap_or(id)) {
            Value::Bytes(bytes) => Some(bytes),
            Value::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The text in the call by which Python 3 writes bytes in protocols 0 to 2.
    fn encoded_text(&self, id: Id) -> Option<Id> {
        let call = self.0.object(id)?;
        match self.0.global(call.callable)? {
            ("_codecs", "encode") => self.0.tuple(call.args)?.first().copied(),
            _ => None,
        }
    }
}
