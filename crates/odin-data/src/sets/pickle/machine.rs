//! The pickle machine: a stack, a memo and one instruction after the other.

use std::ops::Range;

use super::{Id, MAX_STEPS, Memo, PickleError, Result, Span, Value, text, wrong};

/// Runs the instructions up to STOP; returns all values, and the place of the result.
pub(super) fn run(input: &[u8]) -> Result<(Vec<Value>, Id)> {
    let mut machine = Machine {
        input,
        position: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Memo::new(),
    };
    for _ in 0..MAX_STEPS {
        if let Some(result) = machine.step()? {
            return Ok((machine.values, result));
        }
    }
    wrong(format!("it has more than {MAX_STEPS} instructions"))
}

struct Machine<'a> {
    input: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: Memo,
}

impl Machine<'_> {
    /// One instruction; the result at STOP.
    fn step(&mut self) -> Result<Option<Id>> {
        match self.byte()? {
            b'.' => return self.pop().map(Some),
            // PROTO, FRAME
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            opcode @ (b'p' | b'q' | b'r' | 0x94) => self.put(opcode)?,
            opcode @ (b'g' | b'h' | b'j') => self.get(opcode)?,
            opcode @ (b'N' | 0x88 | 0x89 | b'F' | b'G' | b'I' | b'J' | b'K' | b'M' | b'L'
            | 0x8a | 0x8b) => self.number(opcode)?,
            opcode @ (b'S' | b'T' | b'U' | b'V' | b'X' | b'B' | b'C' | 0x8c | 0x8d | 0x8e
            | 0x96) => self.string(opcode)?,
            opcode @ (b')' | b']' | b'}' | b't' | b'l' | b'd' | 0x85 | 0x86 | 0x87) => {
                self.container(opcode)?;
            }
            opcode @ (b'a' | b'e' | b's' | b'u') => self.fill(opcode)?,
            opcode @ (b'c' | 0x93 | b'R' | b'b') => self.call(opcode)?,
            opcode => {
                return wrong(format!(
                    "instruction {opcode:#04x} at byte {} is none that a batch of images needs",
                    self.position - 1
                ));
            }
        }
        Ok(None)
    }

    fn number(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'F' => {
                self.line()?;
                Value::Number
            }
            b'G' => {
                self.skip(8)?;
                Value::Number
            }
            b'I' => match self.line()? {
                b"00" => Value::Bool(false),
                b"01" => Value::Bool(true),
                digits => Value::Int(text::decimal(digits)?),
            },
            b'L' => {
                let digits = self.line()?;
                Value::Int(text::decimal(digits.strip_suffix(b"L").unwrap_or(digits))?)
            }
            b'J' => Value::Int(i64::from(self.unsigned(4)? as u32 as i32)),
            b'K' => Value::Int(self.unsigned(1)? as i64),
            b'M' => Value::Int(self.unsigned(2)? as i64),
            width => {
                let len = self.unsigned(if width == 0x8a { 1 } else { 4 })?;
                let bytes = self.take(len)?;
                Value::Int(text::little_endian(&self.input[bytes])?)
            }
        };
        self.push(value);
        Ok(())
    }

    fn string(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'S' => Value::Bytes(Span::Owned(text::unquote(self.line()?)?)),
            b'V' => Value::Text(Span::Owned(text::raw_unicode(self.line()?)?)),
            _ => {
                let width = match opcode {
                    b'U' | b'C' | 0x8c => 1,
                    b'T' | b'X' | b'B' => 4,
                    _ => 8,
                };
                let len = self.unsigned(width)?;
                let span = Span::Input(self.take(len)?);
                match opcode {
                    b'X' | 0x8c | 0x8d => Value::Text(span),
                    _ => Value::Bytes(span),
                }
            }
        };
        self.push(value);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b')' => Value::Tuple(Vec::new()),
            b']' => Value::List(Vec::new()),
            b'}' => Value::Dict(Vec::new()),
            b't' => Value::Tuple(self.pop_to_mark()?),
            b'l' => Value::List(self.pop_to_mark()?),
            b'd' => Value::Dict(pairs(&self.pop_to_mark()?)?),
            tuple => {
                let mut items = Vec::new();
                for _ in 0x84..tuple {
                    items.push(self.pop()?);
                }
                items.reverse();
                Value::Tuple(items)
            }
        };
        self.push(value);
        Ok(())
    }

    /// APPEND(S) and SETITEM(S).
    fn fill(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        let target = self.top()?;
        match (&mut self.values[target], opcode) {
            (Value::List(list), b'a' | b'e') => list.extend(items),
            (Value::Dict(dict), b's' | b'u') => dict.extend(pairs(&items)?),
            _ => return wrong("it fills something that is no list or dictionary"),
        }
        Ok(())
    }

    /// GLOBAL, REDUCE and BUILD, none of which is carried out.
    fn call(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'c' => Value::Global {
                module: self.line_range()?,
                name: self.line_range()?,
            },
            0x93 => {
                let name = self.pop_name()?;
                let module = self.pop_name()?;
                Value::Global { module, name }
            }
            b'R' => {
                let arguments = self.pop()?;
                Value::Call {
                    callable: self.pop()?,
                    arguments,
                    state: None,
                }
            }
            _ => {
                let built = self.pop()?;
                let target = self.top()?;
                return match &mut self.values[target] {
                    Value::Call { state, .. } => {
                        *state = Some(built);
                        Ok(())
                    }
                    _ => wrong("it sets the state of something that is no object"),
                };
            }
        };
        self.push(value);
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Result<()> {
        let key = match opcode {
            0x94 => self.memo.len() as u32,
            _ => self.memo_key(opcode)?,
        };
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Result<()> {
        let key = self.memo_key(opcode)?;
        match self.memo.get(&key) {
            Some(&id) => {
                self.stack.push(id);
                Ok(())
            }
            None => wrong(format!("it refers to a value {key} that it does not have")),
        }
    }

    fn memo_key(&mut self, opcode: u8) -> Result<u32> {
        match opcode {
            b'p' | b'g' => u32::try_from(text::decimal(self.line()?)?)
                .map_err(|_| PickleError("a memo index is out of range".into())),
            b'q' | b'h' => Ok(self.unsigned(1)? as u32),
            _ => Ok(self.unsigned(4)? as u32),
        }
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    /// The top of the stack, but nothing below the last mark.
    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..) {
            Some([.., top]) => Ok(*top),
            _ => wrong("it takes a value from an empty stack"),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => wrong("it refers to a mark that it has not set"),
        }
    }

    fn pop_name(&mut self) -> Result<Range<usize>> {
        let id = self.pop()?;
        match &self.values[id] {
            Value::Text(Span::Input(range)) => Ok(range.clone()),
            _ => wrong("it imports something whose name is no text"),
        }
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.input[self.take(1)?.start])
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        self.take(count).map(|_| ())
    }

    fn take(&mut self, count: u64) -> Result<Range<usize>> {
        let left = self.input.len() - self.position;
        match usize::try_from(count) {
            Ok(count) if count <= left => {
                let start = self.position;
                self.position += count;
                Ok(start..self.position)
            }
            _ => wrong(format!(
                "it ends within byte {} and those after",
                self.position
            )),
        }
    }

    fn unsigned(&mut self, width: u64) -> Result<u64> {
        let bytes = self.take(width)?;
        let bytes = &self.input[bytes];
        Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn line(&mut self) -> Result<&'_ [u8]> {
        let range = self.line_range()?;
        Ok(&self.input[range])
    }

    /// Up to the line feed, which is left out.
    fn line_range(&mut self) -> Result<Range<usize>> {
        let start = self.position;
        let rest = &self.input[start..];
        match rest.iter().position(|&b| b == b'\n') {
            Some(len) => {
                self.position += len + 1;
                Ok(start..start + len)
            }
            None => wrong("it ends within a line"),
        }
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    match items.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => wrong("a dictionary has a key without a value"),
    }
}
