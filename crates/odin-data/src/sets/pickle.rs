//! An opaque reader of Python pickles, protocols 0 to 5: enough for dictionaries of lists,
//! numbers, strings and `numpy` arrays. Nothing is imported or called; what a pickle would call
//! stays a record of name and arguments.

use std::collections::HashMap;
use std::ops::Range;

mod machine;
mod numpy;
mod text;

/// The most instructions that are followed: 30 times those of the largest CIFAR batch.
const MAX_STEPS: usize = 4_000_000;

/// The longest string in a list of strings, in bytes.
const MAX_STRING: usize = 1 << 10;

/// Why a pickle is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PickleError(pub(super) String);

type Result<T> = std::result::Result<T, PickleError>;

fn wrong<T>(problem: impl Into<String>) -> Result<T> {
    Err(PickleError(problem.into()))
}

/// A place in [`Pickle::values`]. Values refer to each other by place, so cycles and shared
/// values cost nothing.
type Id = usize;

/// Bytes of the input, or decoded ones.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Span {
    Input(Range<usize>),
    Owned(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A number that nothing here needs.
    Number,
    Bytes(Span),
    Text(Span),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// An importable name, as places in the input: one name may be used any number of times.
    Global {
        module: Range<usize>,
        name: Range<usize>,
    },
    /// A call that Python would make, and the state it would then set.
    Call {
        callable: Id,
        arguments: Id,
        state: Option<Id>,
    },
}

/// A parsed pickle of a dictionary.
#[derive(Debug)]
pub(super) struct Pickle {
    input: Vec<u8>,
    values: Vec<Value>,
    root: Id,
}

impl Pickle {
    pub(super) fn parse(input: Vec<u8>) -> Result<Self> {
        let (values, root) = machine::run(&input)?;
        Ok(Self {
            input,
            values,
            root,
        })
    }

    /// Gives the input back, into which [`ByteArray`] points.
    pub(super) fn into_input(self) -> Vec<u8> {
        self.input
    }

    /// The value under `key` in the top-level dictionary; the last one wins, as in Python.
    fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(items) = &self.values[self.root] else {
            return None;
        };
        items
            .iter()
            .rev()
            .find(|(k, _)| self.string(*k) == Some(key.as_bytes()))
            .map(|(_, value)| &self.values[*value])
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whole numbers from a list or tuple.
    pub(super) fn integers(&self, key: &str) -> Result<Vec<i64>> {
        self.items(key)?
            .iter()
            .map(|&id| match self.values[id] {
                Value::Int(number) => Ok(number),
                _ => wrong(format!("{key:?} holds something that is no whole number")),
            })
            .collect()
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
        match self.get(key) {
            Some(Value::List(items) | Value::Tuple(items)) => Ok(items),
            Some(_) => wrong(format!("{key:?} is no list")),
            None => wrong(format!("it has no {key:?}")),
        }
    }

    /// A string of either kind. Those that matter here are ASCII, so encodings are passed over.
    fn string(&self, id: Id) -> Option<&[u8]> {
        let id = self.encoded_text(id).unwrap_or(id);
        match &self.values[id] {
            Value::Bytes(span) | Value::Text(span) => Some(self.bytes(span)),
            _ => None,
        }
    }

    /// The text in the call by which Python 3 writes bytes in protocols 0 to 2.
    fn encoded_text(&self, id: Id) -> Option<Id> {
        match &self.values[id] {
            Value::Call {
                callable,
                arguments,
                ..
            } if matches!(self.global(*callable), Some((b"_codecs", b"encode"))) => {
                match &self.values[*arguments] {
                    Value::Tuple(arguments) => arguments.first().copied(),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The module and the name of something importable.
    fn global(&self, id: Id) -> Option<(&[u8], &[u8])> {
        match &self.values[id] {
            Value::Global { module, name } => {
                Some((&self.input[module.clone()], &self.input[name.clone()]))
            }
            _ => None,
        }
    }

    fn bytes<'a>(&'a self, span: &'a Span) -> &'a [u8] {
        match span {
            Span::Input(range) => &self.input[range.clone()],
            Span::Owned(bytes) => bytes,
        }
    }
}

type Memo = HashMap<u32, Id>;
