//! Numbers and strings as pickles write them.

use super::{PickleError, Result, wrong};

pub(super) fn decimal(digits: &[u8]) -> Result<i64> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.trim().parse().ok())
        .ok_or_else(|| PickleError("a number is not written in digits, or is too large".into()))
}

/// A two's complement number of any length up to 8 bytes.
pub(super) fn little_endian(bytes: &[u8]) -> Result<i64> {
    if bytes.len() > 8 {
        return wrong("a number is larger than 64 bits");
    }
    let fill = match bytes.last() {
        Some(top) if top & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Ok(i64::from_le_bytes(wide))
}

/// A Python string literal with its quotes.
pub(super) fn unquote(literal: &[u8]) -> Result<Vec<u8>> {
    let inner = match literal {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return wrong("a string has no quotes"),
    };
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
                _ => return wrong("a string has an unknown escape"),
            },
            byte => byte,
        });
    }
    Ok(bytes)
}

/// Latin-1 with `\uXXXX` escapes, to UTF-8.
pub(super) fn raw_unicode(line: &[u8]) -> Result<Vec<u8>> {
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
        match char::from_u32(hexadecimal(&mut rest, digits)?) {
            Some(letter) => text.push(letter),
            None => return wrong("a text has an escape that is no character"),
        }
    }
    Ok(text.into_bytes())
}

fn hexadecimal(rest: &mut std::slice::Iter<u8>, digits: usize) -> Result<u32> {
    (0..digits).try_fold(0, |number, _| {
        match rest.next().and_then(|&b| char::from(b).to_digit(16)) {
            Some(digit) => Ok(number << 4 | digit),
            None => wrong("a string has an escape without its digits"),
        }
    })
}

/// The bytes that `text.encode("latin1")` gives.
pub(super) fn to_latin1(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text)
        .ok()?
        .chars()
        .map(|letter| u8::try_from(u32::from(letter)).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings() {
        assert_eq!(decimal(b"-12"), Ok(-12));
        assert!(decimal(b"1e3").is_err());
        assert_eq!(little_endian(b"\x00\xff"), Ok(-256));
        assert_eq!(little_endian(b""), Ok(0));
        assert_eq!(unquote(br"'a\x00\n\\'").unwrap(), b"a\x00\n\\");
        assert!(unquote(b"'").is_err());
        assert_eq!(raw_unicode(b"a\\u00e9\xe9").unwrap(), "aéé".as_bytes());
        assert_eq!(to_latin1("é".as_bytes()), Some(vec![0xe9]));
        assert_eq!(to_latin1("€".as_bytes()), None);
    }
}
