//! A pickle machine that builds no Python objects.
//!
//! A pickle is a program for a small stack machine. This one runs all of it and *calls
//! nothing*: what Python would import and call becomes a [`Node::Object`] that records the
//! callable's name, its arguments and its state. The result is a graph of nodes in one arena,
//! in which shared and even cyclic references are plain indices; reading it is the business
//! of the modules beside this one.
//!
//! The format is described in CPython's `Lib/pickletools.py`; protocols 0 to 5 are read.

use std::rc::Rc;

use super::machine::Machine;
use crate::Error;

/// A value's place in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) u32);

/// A pickled value.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    /// Bytes, or an integer of more than 128 bits.
    Opaque,
    Tuple(Vec<Id>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// Something that Python would import.
    Global(Box<Global>),
    /// Something that Python would have built by calling a [`Node::Global`].
    Object(Box<Object>),
    /// Something that the pickle's container holds outside of the pickle.
    Persistent(Id),
}

/// The name of something that Python would import.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Global {
    pub(super) module: Rc<str>,
    pub(super) name: Rc<str>,
}

/// What the pickle says about an object: `callable(*args)`, then `__setstate__(state)`, then
/// `obj[key] = value` for each of `items`.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) callable: Id,
    pub(super) args: Id,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<(Id, Id)>,
}

/// A value read from a pickle, with all that it refers to.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    root: Id,
}

impl Pickle {
    /// Runs the pickle at the start of `input` and moves `input` past its end.
    pub(super) fn read(input: &mut &[u8]) -> Result<Self, Error> {
        let total = input.len();
        let mut machine = Machine::new(input);
        let result = machine.run();
        let (nodes, rest) = machine.into_parts();
        let at = total - rest.len();
        *input = rest;
        let root = result.map_err(|e| e.about(format_args!("pickle, byte {at}")))?;
        Ok(Self { nodes, root })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    pub(super) fn get(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn str(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Str(s) => Some(s),
            _ => None,
        }
    }

    pub(super) fn int(&self, id: Id) -> Option<i128> {
        match self.get(id) {
            Node::Int(i) => Some(*i),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a list, a set or a tuple.
    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn text(pickle: &Pickle, id: Id) -> String {
        let join = |items: &[Id]| {
            let texts: Vec<String> = items.iter().map(|&i| text(pickle, i)).collect();
            texts.join(" ")
        };
        match pickle.get(id) {
            Node::Str(s) => format!("{s:?}"),
            Node::Tuple(items) => format!("({})", join(items)),
            Node::List(items) => format!("[{}]", join(items)),
            Node::Dict(items) => {
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
            let pickle = Pickle::read(&mut rest).unwrap();
            assert_eq!(rest, b"rest", "protocol {protocol}");
            assert_eq!(
                text(&pickle, pickle.root()),
                expected,
                "protocol {protocol}"
            );
        }
    }
}
