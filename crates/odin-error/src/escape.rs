//! Names as they are shown. A file, an archive member or a tensor may be called anything, also
//! what a terminal would take for a command; such characters are shown as escapes, `\u{1b}`.

use std::fmt::Write;
use std::path::Path;

/// The text without characters that do something instead of being seen: control characters, and
/// those that change the direction of the text after them.
pub fn escape(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same with line breaks left in, for messages that are lists.
pub fn escape_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

/// A name as files of scores have it: as it is, but for what [`escape`] escapes, bytes that are no
/// UTF-8 (`\xff`), and the backslash (`\\`), so that no two names are spelled alike.
pub fn spell(name: &[u8]) -> String {
    let mut spelled = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => spelled.push_str("\\\\"),
                c if acts(c) => spelled.extend(c.escape_unicode()),
                c => spelled.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(spelled, "\\x{byte:02x}");
        }
    }
    spelled
}

/// [`spell`] of a path, its parts separated by `/` on every system.
pub fn spell_path(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    match cfg!(windows) {
        true => {
            let separated = bytes
                .iter()
                .map(|&byte| if byte == b'\\' { b'/' } else { byte });
            spell(&separated.collect::<Vec<u8>>())
        }
        false => spell(bytes),
    }
}

/// Characters of a name that messages show.
const MAX_SHOWN: usize = 200;

/// A name from a file as messages show it: escaped, and of a long one the beginning stands for
/// the whole.
pub fn shown(name: &str) -> String {
    match name.char_indices().nth(MAX_SHOWN) {
        None => escape(name),
        Some((end, _)) => format!("{}… ({} bytes)", escape(&name[..end]), name.len()),
    }
}

/// The first few of many names, as messages show them.
pub fn first_shown<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.take(8).map(shown).collect()
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match acts(c) && !keep(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

pub(crate) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_is_escaped() {
        for (text, expected) in [
            ("ä b/日本.png", "ä b/日本.png"),
            ("layer1.0.größe", "layer1.0.größe"),
            ("\x1b]0;owned\x07\n", "\\u{1b}]0;owned\\u{7}\\u{a}"),
            ("a\r\nb\u{9b}", "a\\u{d}\\u{a}b\\u{9b}"),
            ("gnp\u{202e}.exe", "gnp\\u{202e}.exe"),
            ("back\\slash", "back\\slash"),
        ] {
            assert_eq!(escape(text), expected);
            assert_eq!(shown(text), expected);
        }
        assert_eq!(escape_lines("a\n\tb"), "a\n\\u{9}b");
    }

    /// The reverse of [`spell`].
    fn read(spelled: &str) -> Vec<u8> {
        let mut name = Vec::new();
        let mut rest = spelled;
        while let Some((before, escaped)) = rest.split_once('\\') {
            name.extend(before.as_bytes());
            let (kind, after) = escaped.split_at(1);
            rest = match kind {
                "u" => {
                    let (digits, after) = after[1..].split_once('}').unwrap();
                    let c = char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap();
                    name.extend(c.to_string().as_bytes());
                    after
                }
                "x" => {
                    name.push(u8::from_str_radix(&after[..2], 16).unwrap());
                    &after[2..]
                }
                _ => {
                    name.push(b'\\');
                    after
                }
            };
        }
        name.extend(rest.as_bytes());
        name
    }

    #[test]
    fn names_are_spelled_in_one_way_each() {
        for (name, expected) in [
            (&b"a/b \xc3\xa4.png"[..], "a/b ä.png"),
            (b"a\\b", "a\\\\b"),
            (b"\x1b", "\\u{1b}"),
            (b"\\u{1b}", "\\\\u{1b}"),
            (b"\xff\xc3", "\\xff\\xc3"),
            (b"\\xff", "\\\\xff"),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
            ("\u{202e}".as_bytes(), "\\u{202e}"),
            (b"", ""),
        ] {
            assert_eq!(spell(name), expected);
        }
        // All names of up to three of these bytes.
        let bytes = b"\\xu{1b}ff\x1b\xff\xc3\xa4";
        let longer = |names: &[Vec<u8>]| -> Vec<Vec<u8>> {
            let name = |name: &Vec<u8>, byte: &u8| [&name[..], &[*byte]].concat();
            let names = names.iter();
            names
                .flat_map(|n| bytes.iter().map(move |b| name(n, b)))
                .collect()
        };
        let one = longer(&[Vec::new()]);
        let two = longer(&one);
        for name in one.iter().chain(&two).chain(&longer(&two)) {
            let spelled = spell(name);
            assert_eq!(read(&spelled), *name, "{spelled}");
            assert_eq!(escape(&spelled), spelled);
        }
    }

    #[test]
    fn long_names_are_shortened() {
        let long = "é".repeat(MAX_SHOWN + 1);
        let expected = format!("{}… (402 bytes)", &long[..2 * MAX_SHOWN]);
        assert_eq!(shown(&long), expected);
        assert_eq!(first_shown([long.as_str(); 20].into_iter()).len(), 8);
    }
}
