//! Texts at the edge of a program, where a terminal may take them for commands.

use crate::escape::acts;
use std::borrow::Cow;
use std::fmt::Write;

/// What may go to a terminal: any text, where line breaks and tabs stay, and escapes stand for all
/// else that acts on a terminal or cannot be seen. For the edge of a program, where texts of every
/// origin come together.
pub fn printable(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| matches!(c, '\n' | '\t') || !(acts(c) || is_unseen(c));
    spelled(text, is_plain, |c, shown| shown.extend(c.escape_unicode()))
}

/// A text in JSON whose strings have escapes, as JSON spells them, for what acts on a terminal or
/// cannot be seen: the same values.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // Control characters of ASCII stand between strings, or are escaped already; but for one.
    let is_plain = |c: char| match c.is_ascii() {
        true => c != '\x7f',
        false => !(acts(c) || is_unseen(c)),
    };
    spelled(json, is_plain, |c, shown| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    })
}

/// The text with what is not plain spelled in another way.
fn spelled(
    text: &str,
    is_plain: impl Fn(char) -> bool,
    spell: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if text.chars().all(&is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_plain(c) {
            true => shown.push(c),
            false => spell(c, &mut shown),
        }
    }
    Cow::Owned(shown)
}

/// Characters of no width, by which two names look alike, and other breaks of lines.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2028}'..='\u{2029}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_cannot_act() {
        let cases = [
            ("a\n\tb ε → 日本", "a\n\tb ε → 日本", "a\n\tb ε → 日本"),
            ("\x7f\u{9b}2J", "\\u{7f}\\u{9b}2J", "\\u007f\\u009b2J"),
            (
                "a\u{200b}b\u{feff}",
                "a\\u{200b}b\\u{feff}",
                "a\\u200bb\\ufeff",
            ),
            ("\u{202e}\u{2069}", "\\u{202e}\\u{2069}", "\\u202e\\u2069"),
            ("\u{e0041}", "\\u{e0041}", "\\udb40\\udc41"),
        ];
        for (text, expected, in_json) in cases {
            assert_eq!(printable(text), expected);
            assert_eq!(printable_json(text), in_json);
        }
        assert_eq!(printable("\x1b[2J\r\x07"), "\\u{1b}[2J\\u{d}\\u{7}");
    }
}
