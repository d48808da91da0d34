//! Numbers and strings as pickles write them.

use std::borrow::Cow;
use std::str;

use super::Value;
use crate::error::Error;

pub(super) fn malformed(expected: &str) -> Error {
    Error::damaged(format!("expected {expected}; the file is damaged"))
}

/// An integer in digits.
pub(super) fn decimal<'a>(digits: &[u8]) -> Result<Value<'a>, Error> {
    let digits = digits.trim_ascii();
    let own = digits.strip_prefix(b"-").unwrap_or(digits);
    if own.is_empty() || !own.iter().all(u8::is_ascii_digit) {
        return Err(malformed("an integer"));
    }
    let number = str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
    Ok(number.map_or(Value::LongInt, Value::Int))
}

/// A two's complement number of any length, the lowest byte first.
pub(super) fn twos_complement<'a>(bytes: &[u8]) -> Value<'a> {
    let mut wide = match bytes.last() {
        Some(sign) if sign & 0x80 != 0 => [0xff; 16],
        _ => [0; 16],
    };
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Value::LongInt,
    }
    Value::Int(i128::from_le_bytes(wide))
}

/// UTF-8; what is none is replaced.
pub(super) fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Latin-1.
pub(super) fn latin1(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) if bytes.is_ascii() => utf8(bytes),
        bytes => bytes.iter().map(|&b| char::from(b)).collect(),
    }
}

/// The bytes of a Python string literal with its quotes.
pub(super) fn unquote(literal: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let inner = match literal {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err(malformed("a quoted string")),
    };
    if !inner.contains(&b'\\') {
        return Ok(inner.into());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'x') => hexadecimal(&mut rest, 2)? as u8,
                Some(&same @ (b'\\' | b'\'' | b'"')) => same,
                _ => return Err(malformed("a known escape in a string")),
            },
            byte => byte,
        });
    }
    Ok(bytes.into())
}

/// Latin-1 with `\uXXXX` escapes.
pub(super) fn raw_unicode(line: &[u8]) -> Result<Cow<'_, str>, Error> {
    if !line.contains(&b'\\') {
        return Ok(latin1(line.into()));
    }
    let mut text = String::with_capacity(line.len());
    let mut rest = line.iter();
    while let Some(&byte) = rest.next() {
        let digits = match (byte, rest.as_slice().first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(char::from(byte));
                continue;
            }
        };
        rest.next();
        let letter = char::from_u32(hexadecimal(&mut rest, digits)?);
        text.push(letter.ok_or_else(|| malformed("a character in an escape"))?);
    }
    Ok(text.into())
}

fn hexadecimal(rest: &mut std::slice::Iter<'_, u8>, digits: usize) -> Result<u32, Error> {
    (0..digits).try_fold(0, |number, _| {
        let digit = rest.next().and_then(|&b| char::from(b).to_digit(16));
        let digit = digit.ok_or_else(|| malformed("the digits of an escape"))?;
        Ok(number << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings() {
        assert_eq!(decimal(b"-12"), Ok(Value::Int(-12)));
        assert_eq!(decimal(&b"9".repeat(50)), Ok(Value::LongInt));
        assert!(decimal(b"1e3").is_err() && decimal(b"-").is_err());
        assert_eq!(twos_complement(b"\x00\xff"), Value::Int(-256));
        assert_eq!(twos_complement(b""), Value::Int(0));
        assert_eq!(twos_complement(&[1; 17]), Value::LongInt);
        assert_eq!(unquote(br"'a\x00\n\\'").unwrap(), &b"a\x00\n\\"[..]);
        assert!(unquote(b"'").is_err() && unquote(br"'\q'").is_err());
        assert_eq!(raw_unicode(b"a\\u00e9\xe9").unwrap(), "aéé");
        assert!(raw_unicode(b"\\ud800").is_err());
        assert_eq!(latin1(b"\xe9"[..].into()), "é");
    }
}
