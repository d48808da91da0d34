//! The machine that runs a pickle's instructions. See [`super`].

use std::borrow::Cow;
use std::collections::HashMap;

use super::text::{decimal, latin1, malformed, raw_unicode, twos_complement, unquote, utf8};
use super::{Id, Object, Options, Python2Strings, Value, opcode as op};
use crate::error::Error;

/// Longest name of a module or of something in it, in bytes.
const MAX_GLOBAL: usize = 1 << 10;

/// The machine, before or after its run.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    options: Options,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8], options: Options) -> Self {
        Self {
            input,
            options,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// What the run built, and the input behind the pickle.
    pub(super) fn into_parts(self) -> (Vec<Value<'a>>, &'a [u8]) {
        (self.values, self.input)
    }

    /// Runs to the end of the pickle.
    pub(super) fn run(&mut self) -> Result<Id, Error> {
        for _ in 0..self.options.max_steps {
            match self.byte()? {
                op::STOP => return self.pop(),
                code => self.step(code)?,
            }
        }
        let limit = self.options.max_steps;
        Err(Error::too_large(format!("more than {limit} instructions")))
    }

    fn step(&mut self, code: u8) -> Result<(), Error> {
        match code {
            op::PROTO => self.take(1).map(drop),
            op::FRAME => self.take(8).map(drop),

            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::INT => self.text_int(),
            op::LONG => {
                let line = self.line()?;
                self.push(decimal(line.strip_suffix(b"L").unwrap_or(line))?)
            }
            op::BININT => {
                let v = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(v.into()))
            }
            op::BININT1 => {
                let v = self.byte()?;
                self.push(Value::Int(v.into()))
            }
            op::BININT2 => {
                let v = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(v.into()))
            }
            op::LONG1 => self.long_of(1),
            op::LONG4 => self.long_of(4),
            op::FLOAT => {
                let v = utf8(self.line()?).parse();
                self.push(Value::Float(v.map_err(|_| malformed("a float"))?))
            }
            op::BINFLOAT => {
                let v = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(v))
            }

            op::STRING => {
                let line = self.line()?;
                self.string(unquote(line.trim_ascii_end())?)
            }
            op::BINSTRING => {
                let bytes = self.counted(4)?;
                self.string(bytes.into())
            }
            op::SHORT_BINSTRING => {
                let bytes = self.counted(1)?;
                self.string(bytes.into())
            }
            op::UNICODE => {
                let text = raw_unicode(self.line()?)?;
                self.push(Value::Text(text))
            }
            op::SHORT_BINUNICODE => self.text_of(1),
            op::BINUNICODE => self.text_of(4),
            op::BINUNICODE8 => self.text_of(8),
            op::SHORT_BINBYTES => self.bytes_of(1),
            op::BINBYTES => self.bytes_of(4),
            op::BINBYTES8 | op::BYTEARRAY8 => self.bytes_of(8),

            op::EMPTY_TUPLE => self.push(Value::Tuple(Vec::new())),
            op::TUPLE1 => self.tuple_of(1),
            op::TUPLE2 => self.tuple_of(2),
            op::TUPLE3 => self.tuple_of(3),
            op::TUPLE => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items))
            }
            op::EMPTY_LIST | op::EMPTY_SET => self.push(Value::List(Vec::new())),
            op::LIST | op::FROZENSET => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))
            }
            op::EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            op::DICT => {
                let items = pairs(&self.pop_to_mark()?)?;
                self.push(Value::Dict(items))
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
                let global = self.global_of(module, name)?;
                self.push(global)
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
                let args = self.alloc(Value::Tuple(args.to_vec()))?;
                self.object(class, args)
            }
            op::INST => {
                let (module, name) = (self.line()?, self.line()?);
                let global = self.global_of(module, name)?;
                let class = self.alloc(global)?;
                let items = self.pop_to_mark()?;
                let args = self.alloc(Value::Tuple(items))?;
                self.object(class, args)
            }
            op::BUILD => self.build(),

            op::PERSID => {
                let line = self.line()?;
                let id = self.alloc(Value::Text(utf8(line)))?;
                self.push(Value::Persistent(id))
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }

            _ => Err(Error::unsupported(format!(
                "opcode 0x{code:02x} is not supported; the file is damaged, or no pickle"
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
    fn line(&mut self) -> Result<&'a [u8], Error> {
        let end = self.input.iter().position(|&b| b == b'\n');
        let line = self.take(end.ok_or_else(truncated)?)?;
        self.take(1)?;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn line_index(&mut self) -> Result<u64, Error> {
        let index = utf8(self.line()?).parse();
        index.map_err(|_| malformed("a memo index"))
    }

    /// As many bytes as an unsigned integer of `width` bytes in front of them says.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], Error> {
        let mut count = [0; 8];
        count[..width].copy_from_slice(self.take(width)?);
        let count = usize::try_from(u64::from_le_bytes(count)).map_err(|_| truncated())?;
        self.take(count)
    }

    // Stack.

    fn alloc(&mut self, value: Value<'a>) -> Result<Id, Error> {
        let (count, limit) = (self.values.len(), self.options.max_values);
        let id = u32::try_from(count).ok().filter(|_| count < limit);
        let id = id.ok_or_else(|| Error::too_large(format!("more than {limit} values")))?;
        self.values.push(value);
        Ok(Id(id))
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Error> {
        let id = self.alloc(value)?;
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
        let value = match self.line()? {
            b"00" => Value::Bool(false),
            b"01" => Value::Bool(true),
            digits => decimal(digits)?,
        };
        self.push(value)
    }

    fn long_of(&mut self, width: usize) -> Result<(), Error> {
        let bytes = self.counted(width)?;
        self.push(twos_complement(bytes))
    }

    /// A string of Python 2.
    fn string(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        self.push(match self.options.strings {
            Python2Strings::Latin1 => Value::Text(latin1(bytes)),
            Python2Strings::Bytes => Value::Bytes(bytes),
        })
    }

    fn text_of(&mut self, width: usize) -> Result<(), Error> {
        let bytes = self.counted(width)?;
        self.push(Value::Text(utf8(bytes)))
    }

    fn bytes_of(&mut self, width: usize) -> Result<(), Error> {
        let bytes = self.counted(width)?;
        self.push(Value::Bytes(bytes.into()))
    }

    fn tuple_of(&mut self, count: usize) -> Result<(), Error> {
        let start = self.stack.len().checked_sub(count);
        let start = start.filter(|&s| s >= self.floor()).ok_or_else(underflow)?;
        let items = self.stack.split_off(start);
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Error> {
        let target = self.top()?;
        match &mut self.values[target.0 as usize] {
            Value::List(list) => list.extend_from_slice(items),
            // A subclass of list or set, whose items are not needed.
            Value::Object(_) => {}
            _ => return Err(malformed("a list to append to")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<(Id, Id)>) -> Result<(), Error> {
        let target = self.top()?;
        match &mut self.values[target.0 as usize] {
            Value::Dict(dict) => dict.extend(items),
            Value::Object(object) => object.items.extend(items),
            _ => return Err(malformed("a dict to add to")),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let global = self.global(module, name)?;
        self.push(global)
    }

    fn global_of(&mut self, module: &'a [u8], name: &'a [u8]) -> Result<Value<'a>, Error> {
        let module = self.alloc(Value::Text(utf8(module)))?;
        let name = self.alloc(Value::Text(utf8(name)))?;
        self.global(module, name)
    }

    fn global(&self, module: Id, name: Id) -> Result<Value<'a>, Error> {
        for id in [module, name] {
            match &self.values[id.0 as usize] {
                Value::Text(text) if text.len() <= MAX_GLOBAL => {}
                Value::Text(_) => {
                    return Err(Error::damaged(format!(
                        "the name of a class or function takes more than {MAX_GLOBAL} bytes; the file is damaged"
                    )));
                }
                _ => return Err(malformed("the name of a global")),
            }
        }
        Ok(Value::Global { module, name })
    }

    fn object(&mut self, callable: Id, args: Id) -> Result<(), Error> {
        self.push(Value::Object(Box::new(Object {
            callable,
            args,
            state: None,
            items: Vec::new(),
        })))
    }

    fn build(&mut self) -> Result<(), Error> {
        let (state, target) = (self.pop()?, self.top()?);
        match &mut self.values[target.0 as usize] {
            Value::Object(object) => object.state = Some(state),
            _ => return Err(malformed("an object to set the state of")),
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Error> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed("a value for every key"));
    }
    Ok(pairs.iter().map(|&[k, v]| (k, v)).collect())
}

fn truncated() -> Error {
    Error::damaged("the file ends in the middle of a value; it is truncated or damaged")
}

fn underflow() -> Error {
    Error::damaged("an instruction takes more values than there are; the file is damaged")
}
