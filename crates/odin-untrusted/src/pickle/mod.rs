//! A pickle machine that builds no Python objects.
//!
//! A pickle is a program for a small stack machine. This one runs all of it and *calls nothing*:
//! what Python would import and call becomes a [`Value::Object`] that records the callable's name,
//! its arguments and its state. The result is a tree of values in one arena, in which shared and
//! even cyclic references are plain indices. What the names and calls stand for, such as tensors
//! or arrays, is the business of the caller.
//!
//! The format is described in CPython's `Lib/pickletools.py`; protocols 0 to 5 are read.

mod machine;
mod opcode;
mod text;

use std::borrow::Cow;

use crate::error::Error;
use machine::Machine;

/// A value's place in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id(u32);

/// A pickled value. Texts and bytes are borrowed from the input where they lie in it as they are.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// An integer of more than 128 bits.
    LongInt,
    /// A float.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    /// A dict.
    Dict(Vec<(Id, Id)>),
    /// Something that Python would import, by two texts.
    Global {
        /// The module's name.
        module: Id,
        /// The name in the module.
        name: Id,
    },
    /// Something that Python would have built by calling a [`Value::Global`].
    Object(Box<Object>),
    /// Something that the pickle's container holds outside of the pickle, by its persistent id.
    Persistent(Id),
}

/// What a pickle says about an object: `callable(*args)`, then `__setstate__(state)`, then
/// `obj[key] = value` for each of `items`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The class or function.
    pub callable: Id,
    /// A tuple, in sound pickles.
    pub args: Id,
    /// The state, where it is set.
    pub state: Option<Id>,
    /// The items that are set.
    pub items: Vec<(Id, Id)>,
}

/// What strings of Python 2 become, whose encoding a pickle does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Python2Strings {
    /// [`Value::Text`] in Latin-1, of which ASCII is a part.
    Latin1,
    /// [`Value::Bytes`].
    Bytes,
}

/// How a pickle is read.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What strings of Python 2 become.
    pub strings: Python2Strings,
    /// The most values that it may create.
    pub max_values: usize,
    /// The most instructions that are followed.
    pub max_steps: usize,
}

/// A value read from a pickle, with all that it refers to.
#[derive(Debug)]
pub struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Runs the pickle at the start of `input` and moves `input` past its end.
    ///
    /// # Errors
    /// `Damaged` when it is no pickle or ends early, `Unsupported` for an unknown instruction,
    /// `TooLarge` for one that exceeds the limits; each with the place where it happened.
    pub fn read(input: &mut &'a [u8], options: Options) -> Result<Self, Error> {
        let total = input.len();
        let mut machine = Machine::new(input, options);
        let result = machine.run();
        let (values, rest) = machine.into_parts();
        let at = total - rest.len();
        *input = rest;
        let root = result.map_err(|e| e.about(format_args!("pickle, byte {at}")))?;
        Ok(Self { values, root })
    }

    /// The value that the pickle stands for.
    pub fn root(&self) -> Id {
        self.root
    }

    /// The value at a place.
    pub fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    /// All values.
    pub fn values(&self) -> &[Value<'a>] {
        &self.values
    }

    /// A text.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer of at most 128 bits.
    pub fn int(&self, id: Id) -> Option<i128> {
        match self.get(id) {
            Value::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// An integer that counts something.
    pub fn size(&self, id: Id) -> Option<usize> {
        usize::try_from(self.int(id)?).ok()
    }

    /// The items of a tuple.
    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a list, a set or a tuple.
    pub fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Module and name of something that Python would import.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match *self.get(id) {
            Value::Global { module, name } => self.text(module).zip(self.text(name)),
            _ => None,
        }
    }

    /// Something that Python would have built by a call.
    pub fn object(&self, id: Id) -> Option<&Object> {
        match self.get(id) {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    const OPTIONS: Options = Options {
        strings: Python2Strings::Latin1,
        max_values: 1000,
        max_steps: 10_000,
    };

    /// `{'a': [1, 300, 70000, 2.5, True, None, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    /// 'big': 2**70, 'neg': -2**40, '': 'e'}`, as CPython writes it in protocols 0 to 5.
    const PICKLES: [&[u8]; 6] = [
        b"(dp0\x0aVa\x0ap1\x0a(lp2\x0aI1\x0aaI300\x0aaI70000\x0aaF2.5\x0aaI01\x0aaNa(ta(I1\x0atp3\x0aa(I1\x0aI2\x0atp4\x0aa(I1\x0aI2\x0aI3\x0atp5\x0aa(I1\x0aI2\x0aI3\x0aI4\x0atp6\x0aasVbig\x0ap7\x0aL1180591620717411303424L\x0asVneg\x0ap8\x0aL-1099511627776L\x0asV\x0ap9\x0aVe\x0ap10\x0as.",
        b"}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01Jp\x11\x01\x00G@\x04\x00\x00\x00\x00\x00\x00I01\x0aN)(K\x01tq\x03(K\x01K\x02tq\x04(K\x01K\x02K\x03tq\x05(K\x01K\x02K\x03K\x04tq\x06eX\x03\x00\x00\x00bigq\x07L1180591620717411303424L\x0aX\x03\x00\x00\x00negq\x08L-1099511627776L\x0aX\x00\x00\x00\x00q\x09X\x01\x00\x00\x00eq\x0au.",
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01Jp\x11\x01\x00G@\x04\x00\x00\x00\x00\x00\x00\x88N)K\x01\x85q\x03K\x01K\x02\x86q\x04K\x01K\x02K\x03\x87q\x05(K\x01K\x02K\x03K\x04tq\x06eX\x03\x00\x00\x00bigq\x07\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@X\x03\x00\x00\x00negq\x08\x8a\x06\x00\x00\x00\x00\x00\xffX\x00\x00\x00\x00q\x09X\x01\x00\x00\x00eq\x0au.",
        b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01Jp\x11\x01\x00G@\x04\x00\x00\x00\x00\x00\x00\x88N)K\x01\x85q\x03K\x01K\x02\x86q\x04K\x01K\x02K\x03\x87q\x05(K\x01K\x02K\x03K\x04tq\x06eX\x03\x00\x00\x00bigq\x07\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@X\x03\x00\x00\x00negq\x08\x8a\x06\x00\x00\x00\x00\x00\xffX\x00\x00\x00\x00q\x09X\x01\x00\x00\x00eq\x0au.",
        b"\x80\x04\x95f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01Jp\x11\x01\x00G@\x04\x00\x00\x00\x00\x00\x00\x88N)K\x01\x85\x94K\x01K\x02\x86\x94K\x01K\x02K\x03\x87\x94(K\x01K\x02K\x03K\x04t\x94e\x8c\x03big\x94\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@\x8c\x03neg\x94\x8a\x06\x00\x00\x00\x00\x00\xff\x8c\x00\x94\x8c\x01e\x94u.",
        b"\x80\x05\x95f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01Jp\x11\x01\x00G@\x04\x00\x00\x00\x00\x00\x00\x88N)K\x01\x85\x94K\x01K\x02\x86\x94K\x01K\x02K\x03\x87\x94(K\x01K\x02K\x03K\x04t\x94e\x8c\x03big\x94\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00@\x8c\x03neg\x94\x8a\x06\x00\x00\x00\x00\x00\xff\x8c\x00\x94\x8c\x01e\x94u.",
    ];

    fn text(pickle: &Pickle<'_>, id: Id) -> String {
        let join = |items: &[Id]| {
            let texts: Vec<String> = items.iter().map(|&i| text(pickle, i)).collect();
            texts.join(" ")
        };
        match pickle.get(id) {
            Value::Text(text) => format!("{text:?}"),
            Value::Tuple(items) => format!("({})", join(items)),
            Value::List(items) => format!("[{}]", join(items)),
            Value::Dict(items) => {
                let text = |&(k, v): &(Id, Id)| format!("{}:{}", text(pickle, k), text(pickle, v));
                items.iter().map(text).collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn every_protocol_is_read() {
        let expected = "\"a\":[Int(1) Int(300) Int(70000) Float(2.5) Bool(true) None () (Int(1)) \
            (Int(1) Int(2)) (Int(1) Int(2) Int(3)) (Int(1) Int(2) Int(3) Int(4))] \
            \"big\":Int(1180591620717411303424) \"neg\":Int(-1099511627776) \"\":\"e\"";
        for (protocol, bytes) in PICKLES.iter().enumerate() {
            let input = [bytes, &b"rest"[..]].concat();
            let mut rest = input.as_slice();
            let pickle = Pickle::read(&mut rest, OPTIONS).unwrap();
            assert_eq!(rest, b"rest", "protocol {protocol}");
            assert_eq!(
                text(&pickle, pickle.root()),
                expected,
                "protocol {protocol}"
            );
        }
    }

    #[test]
    fn strings_of_python_2_are_what_the_caller_wants() {
        for (bytes, latin1, plain) in [
            (&b"U\x02a\xe9."[..], "aé", &b"a\xe9"[..]),
            (b"T\x01\0\0\0a.", "a", b"a"),
            (b"S'a\\xe9\\n'\n.", "aé\n", b"a\xe9\n"),
        ] {
            let read = |strings| {
                let options = Options { strings, ..OPTIONS };
                let pickle = Pickle::read(&mut &*bytes, options).unwrap();
                pickle.get(pickle.root()).clone()
            };
            assert_eq!(read(Python2Strings::Latin1), Value::Text(latin1.into()));
            assert_eq!(read(Python2Strings::Bytes), Value::Bytes(plain.into()));
        }
    }

    #[test]
    fn calls_are_recorded() {
        let bytes = b"\x80\x02cos\nsystem\nU\x02ls\x85R}b.";
        let mut input = &bytes[..];
        let pickle = Pickle::read(&mut input, OPTIONS).unwrap();
        let object = pickle.object(pickle.root()).unwrap();
        assert_eq!(pickle.global(object.callable), Some(("os", "system")));
        assert_eq!(text(&pickle, object.args), "(\"ls\")");
        let state = object.state.map(|state| pickle.get(state));
        assert_eq!(state, Some(&Value::Dict(vec![])));
    }

    #[test]
    fn limits_hold() {
        for (bytes, kind) in [
            (b"N0".repeat(1001), ErrorKind::TooLarge),
            (
                [&b"N"[..], &b"2".repeat(10_001)].concat(),
                ErrorKind::TooLarge,
            ),
            (b"T\xff\xff\xff\xffabc".to_vec(), ErrorKind::Damaged),
            (b"N".to_vec(), ErrorKind::Damaged),
            (b"(.".to_vec(), ErrorKind::Damaged),
            (b"\xff".to_vec(), ErrorKind::Unsupported),
            (
                [b"c", &b"m".repeat(2000)[..], b"\nn\n."].concat(),
                ErrorKind::Damaged,
            ),
        ] {
            let error = Pickle::read(&mut &bytes[..], OPTIONS).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    /// Every place that a value refers to exists, and the limits hold.
    fn check(bytes: &[u8], strings: Python2Strings) {
        let options = Options { strings, ..OPTIONS };
        let Ok(pickle) = Pickle::read(&mut &*bytes, options) else {
            return;
        };
        assert!(pickle.values().len() <= options.max_values);
        let exists = |id: &Id| (id.0 as usize) < pickle.values().len();
        assert!(exists(&pickle.root()));
        for value in pickle.values() {
            let all = match value {
                Value::Tuple(items) | Value::List(items) => items.iter().all(exists),
                Value::Dict(items) => items.iter().all(|(k, v)| exists(k) && exists(v)),
                Value::Global { module, name } => {
                    [module, name].iter().all(|&&id| pickle.text(id).is_some())
                }
                Value::Object(object) => {
                    let items = object.items.iter().all(|(k, v)| exists(k) && exists(v));
                    let parts = [Some(object.callable), Some(object.args), object.state];
                    items && parts.iter().flatten().all(exists)
                }
                Value::Persistent(id) => exists(id),
                _ => true,
            };
            assert!(all, "{value:?}");
        }
    }

    fn strings() -> impl Strategy<Value = Python2Strings> {
        prop::sample::select(vec![Python2Strings::Latin1, Python2Strings::Bytes])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            strings in strings(),
        ) {
            check(&bytes, strings);
        }

        #[test]
        fn instructions_in_any_order_never_panic(
            instructions in prop::collection::vec(prop::sample::select(INSTRUCTIONS.to_vec()), 0..60),
            strings in strings(),
        ) {
            check(&[instructions.concat().as_slice(), b"."].concat(), strings);
        }

        #[test]
        fn damage_never_panics(
            protocol in 0..PICKLES.len(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
            strings in strings(),
        ) {
            let mut bytes = PICKLES[protocol].to_vec();
            for (place, value) in flips {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            check(&bytes, strings);
        }
    }

    const INSTRUCTIONS: [&[u8]; 48] = [
        b"(",
        b"}",
        b"]",
        b")",
        b"t",
        b"l",
        b"d",
        b"\x85",
        b"\x86",
        b"\x87",
        b"a",
        b"e",
        b"s",
        b"u",
        b"R",
        b"b",
        b"o",
        b"Q",
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"K\x05",
        b"I7\n",
        b"I01\n",
        b"L-9L\n",
        b"F1.5\n",
        b"\x8a\x02\0\xff",
        b"U\x04data",
        b"S'a\\x00'\n",
        b"Va\\u00e9\n",
        b"X\x01\0\0\0u",
        b"C\x02ab",
        b"cnumpy\ndtype\n",
        b"im\nC\n",
        b"Pid\n",
        b"q\0",
        b"h\0",
        b"p1\n",
        b"g1\n",
        b"\x94",
        b"\x81",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"\x92",
        b"\x93",
    ];
}
