//! Names as they are shown. A file, an archive member or a tensor may be called anything, also
//! what a terminal would take for a command; such characters are shown as escapes, `\u{1b}`.

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

    #[test]
    fn long_names_are_shortened() {
        let long = "é".repeat(MAX_SHOWN + 1);
        let expected = format!("{}… (402 bytes)", &long[..2 * MAX_SHOWN]);
        assert_eq!(shown(&long), expected);
        assert_eq!(first_shown([long.as_str(); 20].into_iter()).len(), 8);
    }
}
