//! Names as they are shown. A file, an archive member or a tensor may be called anything, also
//! what a terminal would take for a command; such characters are shown as escapes, `\u{1b}`.

use std::borrow::Cow;
use std::fmt::Write;

/// The text without characters that do something instead of being seen: control characters, and
/// those that change the direction of the text after them.
pub fn escape(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same with line breaks left in, for messages that are lists.
pub fn escape_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
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

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

    #[test]
    fn long_names_are_shortened() {
        let long = "é".repeat(MAX_SHOWN + 1);
        let expected = format!("{}… (402 bytes)", &long[..2 * MAX_SHOWN]);
        assert_eq!(shown(&long), expected);
        assert_eq!(first_shown([long.as_str(); 20].into_iter()).len(), 8);
    }
}
