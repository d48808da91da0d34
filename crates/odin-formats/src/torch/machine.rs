//! The machine that runs a pickle's instructions. See [`super::pickle`].

use std::collections::HashMap;
use std::rc::Rc;

use super::opcode as op;
use super::pickle::{Global, Id, Node, Object};
use crate::Error;

/// Most nodes that one pickle may create. A checkpoint takes about twenty per tensor; some
/// carry a training log with a number per step.
const MAX_NODES: usize = 4_000_000;

/// Longest name of a module or of something in it, in bytes.
const MAX_GLOBAL: usize = 1 << 10;

/// The machine, before or after its run.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            nodes: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// What the run built, and the input behind the pickle.
    pub(super) fn into_parts(self) -> (Vec<Node>, &'a [u8]) {
        (self.nodes, self.input)
    }

    /// Runs to the end of the pickle.
    pub(super) fn run(&mut self) -> Result<Id, Error> {
        loop {
            let code = self.byte()?;
            if code == op::STOP {
                return self.pop();
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<(), Error> {
        match code {
            op::PROTO => self.take(1).map(drop),
            op::FRAME => self.take(8).map(drop),

            op::NONE => self.push(Node::None),
            op::NEWTRUE => self.push(Node::Bool(true)),
            op::NEWFALSE => self.push(Node::Bool(false)),
            op::INT => self.text_int(),
            op::LONG => {
                let line = self.line()?;
                self.push(parse_decimal(line.strip_suffix('L').unwrap_or(&line)))
            }
            op::BININT => {
                let v = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(v.into()))
            }
            op::BININT1 => {
                let v = self.byte()?;
                self.push(Node::Int(v.into()))
            }
            op::BININT2 => {
                let v = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(v.into()))
            }
            op::LONG1 => self.long_of(1),
            op::LONG4 => self.long_of(4),
            op::FLOAT => {
                let v = self.line()?.parse().map_err(|_| malformed("a float"))?;
                self.push(Node::Float(v))
            }
            op::BINFLOAT => {
                let v = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(v))
            }

            op::STRING => self.text_string(),
            op::UNICODE => {
                let v = self.line()?;
                self.push(Node::Str(v.into()))
            }
            op::BINSTRING => self.string_of(4, latin1),
            op::SHORT_BINSTRING => self.string_of(1, latin1),
            op::SHORT_BINUNICODE => self.string_of(1, utf8),
            op::BINUNICODE => self.string_of(4, utf8),
            op::BINUNICODE8 => self.string_of(8, utf8),
            op::SHORT_BINBYTES => self.bytes_of(1),
            op::BINBYTES => self.bytes_of(4),
            op::BINBYTES8 | op::BYTEARRAY8 => self.bytes_of(8),

            op::EMPTY_TUPLE => self.push(Node::Tuple(Vec::new())),
            op::TUPLE1 => self.tuple_of(1),
            op::TUPLE2 => self.tuple_of(2),
            op::TUPLE3 => self.tuple_of(3),
            op::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Node::Tuple(items))
            }
            op::EMPTY_LIST | op::EMPTY_SET => self.push(Node::List(Vec::new())),
            op::LIST | op::FROZENSET => {
                let items = self.pop_to_mark()?;
                self.push(Node::List(items))
            }
            op::EMPTY_DICT => self.push(Node::Dict(Vec::new())),
            op::DICT => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.push(Node::Dict(items))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.append(&[item])
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.pop_to_mark()?;
                self.append(&items)
            }
            op::SETITEM => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])
            }
            op::SETITEMS => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.set_items(items)
            }

            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop_or_unmark(),
            op::POP_MARK => self.pop_to_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }

            op::GET => {
                let index = self.line_index()?;
                self.recall(index)
            }
            op::BINGET => {
                let index = self.byte()?;
                self.recall(index.into())
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.array()?);
                self.recall(index.into())
            }
            op::PUT => {
                let index = self.line_index()?;
                self.memoize(index)
            }
            op::BINPUT => {
                let index = self.byte()?;
                self.memoize(index.into())
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.array()?);
                self.memoize(index.into())
            }
            op::MEMOIZE => self.memoize(self.memo.len() as u64),

            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(global(module.into(), name.into())?)
            }
            op::STACK_GLOBAL => self.stack_global(),
            op::REDUCE | op::NEWOBJ => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.object(callable, args)
            }
            op::NEWOBJ_EX => {
                let (_keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(class, args)
            }
            op::OBJ => {
                let items = self.pop_to_mark()?;
                let (&class, args) = items.split_first().ok_or_else(underflow)?;
                let args = self.alloc(Node::Tuple(args.to_vec()))?;
                self.object(class, args)
            }
            op::INST => {
                let (module, name) = (self.line()?, self.line()?);
                let class = self.alloc(global(module.into(), name.into())?)?;
                let items = self.pop_to_mark()?;
                let args = self.alloc(Node::Tuple(items))?;
                self.object(class, args)
            }
            op::BUILD => self.build(),

            op::PERSID => {
                let line = self.line()?;
                let id = self.alloc(Node::Str(line.into()))?;
                self.push(Node::Persistent(id))
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))
            }

            _ => Err(Error::unsupported(format!(
                "opcode 0x{code:02x} is none that a checkpoint uses; the file is damaged, or no pickle"
            ))),
        }
    }

    // Input.

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.input.split_at_checked(count).ok_or_else(truncated)?;
        self.input = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(|[b]: [u8; 1]| b)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, tail) = self.input.split_first_chunk().ok_or_else(truncated)?;
        self.input = tail;
        Ok(*head)
    }

    /// Text up to a line feed, which is taken and dropped.
    fn line(&mut self) -> Result<String, Error> {
        let end = self.input.iter().position(|&b| b == b'\n');
        let line = self.take(end.ok_or_else(truncated)?)?;
        self.take(1)?;
        Ok(utf8(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    fn line_index(&mut self) -> Result<u64, Error> {
        self.line()?.parse().map_err(|_| malformed("a memo index"))
    }

    /// As many bytes as an unsigned integer of `width` bytes in front of them says.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], Error> {
        let mut count = [0; 8];
        count[..width].copy_from_slice(self.take(width)?);
        let count = usize::try_from(u64::from_le_bytes(count)).map_err(|_| truncated())?;
        self.take(count)
    }

    // Stack.

    fn alloc(&mut self, node: Node) -> Result<Id, Error> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Error::unsupported(format!(
                "more than {MAX_NODES} values; save the model's state_dict alone"
            )));
        }
        self.nodes.push(node);
        Ok(Id(self.nodes.len() as u32 - 1))
    }

    fn push(&mut self, node: Node) -> Result<(), Error> {
        let id = self.alloc(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// The lowest place that belongs to the innermost open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Error> {
        let above_mark = &self.stack[self.floor()..];
        above_mark.last().copied().ok_or_else(underflow)
    }

    fn pop(&mut self) -> Result<Id, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Error> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_or_unmark(&mut self) -> Result<(), Error> {
        if self.stack.len() > self.floor() {
            return self.pop().map(drop);
        }
        self.marks.pop().map(drop).ok_or_else(underflow)
    }

    fn recall(&mut self, index: u64) -> Result<(), Error> {
        let id = self.memo.get(&index).copied();
        self.stack
            .push(id.ok_or_else(|| malformed("a memo index"))?);
        Ok(())
    }

    fn memoize(&mut self, index: u64) -> Result<(), Error> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    // Values.

    fn text_int(&mut self) -> Result<(), Error> {
        let line = self.line()?;
        self.push(match line.as_str() {
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            _ => parse_decimal(&line),
        })
    }

    fn long_of(&mut self, width: usize) -> Result<(), Error> {
        let bytes = self.counted(width)?;
        self.push(parse_twos_complement(bytes))
    }

    /// A quoted Python 2 string. Escapes stay as they are: no name of a tensor has any.
    fn text_string(&mut self) -> Result<(), Error> {
        let line = self.line()?;
        let quoted = line.trim_end();
        let inner = ['\'', '"']
            .iter()
            .find_map(|&q| quoted.strip_prefix(q)?.strip_suffix(q));
        let inner = inner.ok_or_else(|| malformed("a quoted string"))?;
        self.push(Node::Str(inner.into()))
    }

    fn string_of(&mut self, width: usize, decode: fn(&[u8]) -> String) -> Result<(), Error> {
        let bytes = self.counted(width)?;
        self.push(Node::Str(decode(bytes).into()))
    }

    fn bytes_of(&mut self, width: usize) -> Result<(), Error> {
        self.counted(width)?;
        self.push(Node::Opaque)
    }

    fn tuple_of(&mut self, count: usize) -> Result<(), Error> {
        let start = self.stack.len().checked_sub(count);
        let start = start.filter(|&s| s >= self.floor()).ok_or_else(underflow)?;
        let items = self.stack.split_off(start);
        self.push(Node::Tuple(items))
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Error> {
        let target = self.top()?;
        match &mut self.nodes[target.0 as usize] {
            Node::List(list) => list.extend_from_slice(items),
            // A subclass of list or set: none holds weights.
            Node::Object(_) => {}
            _ => return Err(malformed("a list to append to")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<(Id, Id)>) -> Result<(), Error> {
        let target = self.top()?;
        match &mut self.nodes[target.0 as usize] {
            Node::Dict(dict) => dict.extend(items),
            Node::Object(object) => object.items.extend(items),
            _ => return Err(malformed("a dict to add to")),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let text = |id: Id| match &self.nodes[id.0 as usize] {
            Node::Str(s) => Ok(Rc::clone(s)),
            _ => Err(malformed("the name of a global")),
        };
        let named = global(text(module)?, text(name)?)?;
        self.push(named)
    }

    fn object(&mut self, callable: Id, args: Id) -> Result<(), Error> {
        self.push(Node::Object(Box::new(Object {
            callable,
            args,
            state: None,
            items: Vec::new(),
        })))
    }

    fn build(&mut self) -> Result<(), Error> {
        let (state, target) = (self.pop()?, self.top()?);
        match &mut self.nodes[target.0 as usize] {
            Node::Object(object) => object.state = Some(state),
            _ => return Err(malformed("an object to set the state of")),
        }
        Ok(())
    }
}

fn global(module: Rc<str>, name: Rc<str>) -> Result<Node, Error> {
    if module.len().max(name.len()) > MAX_GLOBAL {
        return Err(Error::corrupt(format!(
            "the name of a class or function takes more than {MAX_GLOBAL} bytes; the file is damaged"
        )));
    }
    Ok(Node::Global(Box::new(Global { module, name })))
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Error> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed("a value for every key"));
    }
    Ok(pairs.iter().map(|&[k, v]| (k, v)).collect())
}

fn parse_decimal(text: &str) -> Node {
    text.trim().parse().map_or(Node::Opaque, Node::Int)
}

fn parse_twos_complement(bytes: &[u8]) -> Node {
    let mut wide = match bytes.last() {
        Some(sign) if sign & 0x80 != 0 => [0xff; 16],
        _ => [0; 16],
    };
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Node::Opaque,
    }
    Node::Int(i128::from_le_bytes(wide))
}

/// Python 2 strings are bytes; those in a checkpoint are ASCII.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn truncated() -> Error {
    Error::corrupt("the file ends in the middle of a value; it is truncated or damaged")
}

fn underflow() -> Error {
    Error::corrupt("an instruction takes more values than there are; the file is damaged")
}

fn malformed(expected: &str) -> Error {
    Error::corrupt(format!("expected {expected}; the file is damaged"))
}
